"""Pieces of 3-D diffusion networks that more than one generator is built of."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import zip_longest

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.device import one_thread_each
from mrimpute.generators.convolution import Conv1, Conv3, double, is_laid_out, new_map


def timestep_embedding(timesteps: Tensor, width: int) -> Tensor:
    """Return [cos, sin] of t times geometric frequencies: (N,) → (N, width) float32."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = timesteps[:, None].float() * frequencies.to(timesteps.device)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Norm(nn.GroupNorm):
    """GroupNorm with float32 statistics whatever the input's type; the result has the input's type."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, X, Y, Z)."""
        if not is_laid_out(x):
            return super().forward(x.float().contiguous()).to(x.dtype)
        normal = [scaled(one, *self.scales([one])) for one in x.split(1)]
        return torch.cat(normal) if len(normal) > 1 else normal[0]

    def scales(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return what normalises channels that lie in several maps: gain and offset, float32 (C,) each.

        Sums of a few rows at a time, without what the first rows' mean is, are brought together in float64: PyTorch's
        own GroupNorm with channels last loses three digits.

        Args:
            parts: (1, C_i, X, Y, Z) with channels last, side by side.
        """
        found = [_moments(part) for part in parts]
        means, squares = (torch.cat(one).view(self.num_groups, -1) for one in zip(*found, strict=True))
        mean = means.mean(dim=1, keepdim=True)
        variance = (squares + (means - mean).square()).mean(dim=1, keepdim=True)
        gain = self.weight.double() * (variance + self.eps).rsqrt().expand_as(means).flatten()
        return gain.float(), (self.bias - gain * mean.expand_as(means).flatten()).float()


TOGETHER = 2**15 - 1
"""How many numbers `_moments` looks at together: they stay in the cache, and are too few for PyTorch to wake a second
thread for them, which takes ten times as long as the sums."""


SHARE, PIECE = 2**24, 2**17
"""How many numbers of a larger map a thread looks at, and how many of them together, since it is one alone."""


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel of (1, C, X, Y, Z) with channels last, float64 (C,) each."""
    rows = x[0].flatten(1).T  # (X Y Z, C)
    width = rows.shape[1]
    count = max(1, TOGETHER // width)
    near = rows[:count].float().mean(dim=0)
    if rows.numel() <= SHARE:
        found = [_sums(near, count, rows)]
    else:
        shares = rows.split(max(1, SHARE // width))
        found = one_thread_each(partial(_sums, near, max(1, PIECE // width)), shares, 16 * PIECE)
    total, squares = torch.stack(found).sum(dim=0)
    mean = total / len(rows)
    return near + mean, squares / len(rows) - mean.square()


@torch.inference_mode()
def _sums(near: Tensor, count: int, rows: Tensor) -> Tensor:
    """Return the sums of rows (N, C) less what is near their mean, and of the squares, (2, C) float64; `count` rows
    are looked at together."""
    sums = torch.zeros(2, len(near), dtype=torch.float64)
    for part in rows.split(count):
        apart = part - near
        sums[0] += apart.sum(dim=0)
        sums[1] += apart.square_().sum(dim=0)
    return sums


def scaled(x: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Return gain * x + offset of each channel, as (1, C, X, Y, Z) of x's type, by PyTorch's quickest way to it."""
    mean, variance = torch.zeros_like(gain), torch.ones_like(gain)
    made: Tensor = F.batch_norm(x, mean, variance, gain, offset, training=False, eps=0.0)
    return made


def joined(parts: Tensor | Sequence[Tensor]) -> Tensor:
    """Return maps (B, C_i, X, Y, Z) as one."""
    if isinstance(parts, Tensor):
        return parts
    return torch.cat(list(parts), dim=1) if len(parts) > 1 else parts[0]


SLAB_BYTES = 2**24
"""Of a map that is normalised and convolved at once."""

Added = Callable[[tuple[slice, ...]], Tensor]
"""What is added to some items and planes of a map: an index into (B, C, X, Y, Z) → (b, C or 1, x, …)."""


def convolved(
    norm: Norm, parts: Sequence[Tensor], convolve: Conv3, added: Added | None = None, into: Tensor | None = None
) -> Tensor:
    """Return the 3x3x3 convolution of silu(norm(parts)), plus something.

    Of laid-out maps a slab of planes or a band of rows at a time, so that neither the parts side by side nor what they
    are normalised to is ever whole: at the finest level each is gigabytes.

    Args:
        norm, convolve: the layers.
        parts: (B, C_i, X, Y, Z), side by side.
        added: see `Added`.
        into: a map of the result's size that may be overwritten, perhaps one of the parts; without it a new one.

    Returns:
        (B, out, X, Y, Z).
    """
    if not all(is_laid_out(part) for part in parts):
        made: Tensor = convolve(silu(norm(joined(parts))))
        if added:
            made += added((slice(None),))
        return made
    first = parts[0]
    if into is None:
        into = new_map(first, convolve.out_channels)
    for item in range(len(first)):
        at = slice(item, item + 1)
        if convolve.takes_fours(first):
            _by_fours(norm, [part[at] for part in parts], convolve, at, added, into)
            continue
        for planes, made in _slabs(norm, [part[at] for part in parts], convolve):
            index = (at, slice(None), planes)
            if added is None:
                into[index] = made
            else:
                torch.add(made, added(index), out=into[index])
    return into


def _scales(norm: Norm, parts: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return gain and offset of each part; see `Norm.scales`."""
    widths = [part.shape[1] for part in parts]
    return list(zip(*(one.split(widths) for one in norm.scales(parts)), strict=True))


def _by_fours(
    norm: Norm, parts: Sequence[Tensor], convolve: Conv3, at: slice, added: Added | None, into: Tensor
) -> None:
    """Write one item of `convolved`, into which its parts may lie, by F(4, 3)."""
    scales, widths = _scales(norm, parts), [part.shape[1] for part in parts]

    def fill(planes: slice, rows: slice, room: Tensor) -> None:
        for part, scale, its in zip(parts, scales, room.split(widths, dim=1), strict=True):
            torch.ops.aten.silu.out(scaled(part[:, :, planes, rows], *scale), out=its)

    index = (at, slice(None))
    convolve.by_fours(fill, into[at], None if added is None else lambda planes, rows: added((*index, planes, rows)))


def slab_room(length: int, plane: int) -> int:
    """Return the bytes that `convolved` takes beside what it reads and makes, of `length` planes of `plane` bytes:
    two slabs, their parts, what they become and room to convolve in."""
    return 5 * min(length * plane, max(SLAB_BYTES, 6 * plane))


def _slabs(norm: Norm, parts: Sequence[Tensor], convolve: Conv3) -> Iterator[tuple[slice, Tensor]]:
    """Yield planes and what they become, each only after the next slab was taken: who is told may overwrite them."""
    scales = _scales(norm, parts)
    length = parts[0].shape[2]

    def taken(low: int, high: int) -> Tensor:
        planes = slice(max(low - 1, 0), high + 1)
        seen = [scaled(part[:, :, planes], *one) for part, one in zip(parts, scales, strict=True)]
        return silu(joined(seen))

    plane = sum(part[:, :, 0].nbytes for part in parts)
    step = max(4, SLAB_BYTES // plane // 4 * 4)
    bounds = [(low, min(low + step, length)) for low in range(0, length, step)]
    slabs = [taken(*bounds[0])]
    for (low, high), following in zip_longest(bounds, bounds[1:]):
        made = convolve.between(slabs.pop(), low > 0, high < length)
        if following:
            slabs.append(taken(*following))
        yield slice(low, high), made


def halve(x: Tensor) -> Tensor:
    """Average 2x2x2 voxels: (B, C, X, Y, Z) → (B, C, X/2, Y/2, Z/2)."""
    if not is_laid_out(x):
        return F.avg_pool3d(x.float(), 2).to(x.dtype)  # PyTorch has no bfloat16 average pooling on the CPU
    x = x[:, :, 0::2] + x[:, :, 1::2]
    x = x[:, :, :, 0::2] + x[:, :, :, 1::2]
    return (x[..., 0::2] + x[..., 1::2]).mul_(1 / 8)


def lay_out(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Bring a network that is not trained to its device, once and for all steps: its convolutions in their type, on
    the CPU with channels last, where nothing is then copied between layouts from the first to the last. Planes stay
    as they are in float32: PyTorch's GroupNorm with channels last loses three digits."""
    network.to(device)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            layer.to(dtype)
            if device.type == "cpu" and isinstance(layer, nn.Conv3d):
                layer.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
            elif device.type == "cpu" and dtype != torch.float32:
                layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for parameter in network.parameters():  # what is still part of the file's map would keep all of it in memory
        parameter.data = parameter.data.clone()


def laid_out_as(x: Tensor, weight: Tensor) -> Tensor:
    """Return a map (B, C, X, Y, Z) in the layout of weights: what is convolved from one channel alone has the plain
    one, since a single channel is first and last."""
    last = weight.is_contiguous(memory_format=torch.channels_last_3d) and not weight.is_contiguous()
    return x.contiguous(memory_format=torch.channels_last_3d) if last else x


def silu(x: Tensor) -> Tensor:
    """SiLU, in place where no gradient needs the input: fresh pages cost more than the arithmetic."""
    return F.silu(x, inplace=not x.requires_grad)


def zeroed(layer: nn.Conv3d) -> nn.Conv3d:
    """Set a convolution to zero: a fresh residual block is the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResBlock(nn.Module):
    """Residual block that is told an embedding, optionally between two resolutions.

    (B, in, X, Y, Z) and (B, embedding) → (B, out, X', Y', Z'). The resampling sits after the first
    norm and SiLU and before the first convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        groups: int,
        resample: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample
        self.in_layers = nn.Sequential(Norm(groups, inputs), nn.SiLU(), Conv3(inputs, outputs))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, outputs))
        self.out_layers = nn.Sequential(
            Norm(groups, outputs), nn.SiLU(), nn.Identity(), zeroed(Conv3(outputs, outputs))
        )
        self.skip_connection = nn.Identity() if inputs == outputs else Conv1(inputs, outputs)

    def forward(self, x: Tensor | Sequence[Tensor], embedding: Tensor) -> Tensor:
        """Return x, which may lie in several maps side by side, plus what two normalised convolutions make of it."""
        parts = [x] if isinstance(x, Tensor) else x
        shift = self.emb_layers(embedding)[:, :, None, None, None].to(parts[0].dtype)
        h = self._first(parts, shift)
        norm, _, _, convolve = self.out_layers
        assert isinstance(norm, Norm) and isinstance(convolve, Conv3)  # see above
        return convolved(norm, [h], convolve, partial(self._kept, parts), into=h)

    def _first(self, parts: Sequence[Tensor], shift: Tensor) -> Tensor:
        """Return what the first convolution makes, at the resolution of the result, moved by the embedding."""
        norm, _, convolve = self.in_layers
        assert isinstance(norm, Norm) and isinstance(convolve, Conv3)  # see above
        if self.resample is None:
            return convolved(norm, parts, convolve, lambda at: shift[at[0]])
        (x,) = parts
        h = silu(norm(x))
        h = convolve.on_doubled(h) if self.resample is double else convolve(self.resample(h))
        h += shift
        return h

    def _kept(self, parts: Sequence[Tensor], at: tuple[slice, ...]) -> Tensor:
        """Return what the convolutions' result is added to, of some items and planes."""
        if self.resample is not None and len(at) > 1:
            wider = [
                slice(one.start // 2, one.stop // 2) if self.resample is double else slice(2 * one.start, 2 * one.stop)
                for one in at[2:]
            ]
            at = (*at[:2], *wider)
        x = joined([part[at] for part in parts])
        kept: Tensor = self.skip_connection(x if self.resample is None else self.resample(x))
        return kept


class TimestepSequential(nn.ModuleList):
    """Layers in a row, of which residual blocks see the embedding (B, embedding)."""

    def forward(self, x: Tensor | list[Tensor], embedding: Tensor) -> Tensor:
        """Apply each layer; a list of maps side by side is emptied, so that they are let go of when they were seen."""
        first, *rest = self
        h: Tensor = first(x, embedding) if isinstance(first, ResBlock) else first(joined(x))
        if isinstance(first, nn.Conv3d):  # PyTorch's own, which makes small maps in the plain layout
            h = laid_out_as(h, first.weight)
        if isinstance(x, list):
            x.clear()
        for layer in rest:
            h = layer(h, embedding) if isinstance(layer, ResBlock) else layer(h)
        return h


class Upsample(nn.Module):
    """Double each axis by repetition, then convolve: (B, C, X, Y, Z) → (B, C, 2X, 2Y, 2Z)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map at twice the size."""
        doubled: Tensor = self.conv.on_doubled(x)
        return doubled
