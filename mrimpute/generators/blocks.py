"""Pieces of 3-D diffusion networks that more than one generator is built of."""

import math
from collections.abc import Callable, Hashable, Sequence
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.device import one_thread_each
from mrimpute.generators.convolution import Conv1, Conv3, double, is_laid_out, joined, new_map
from mrimpute.generators.winograd import Fill


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


TOGETHER, PIECES = 2**16, 16
"""Numbers that `_moments` looks at together, in float32, and how many such pieces one thread looks at."""


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel of (1, C, X, Y, Z) with channels last, float64 (C,) each."""
    rows = x[0].flatten(1).T  # (X Y Z, C)
    count = -(-TOGETHER // rows.shape[1])
    shares = rows.split(PIECES * count)
    found = one_thread_each(partial(_moments_of, count), shares, TOGETHER)
    means, variances = (torch.cat(one).double() for one in zip(*found, strict=True))  # (pieces, C)
    lengths = torch.tensor([len(part) for share in shares for part in share.split(count)])
    weights = (lengths.double() / len(rows))[:, None]
    mean = (weights * means).sum(dim=0)
    return mean, (weights * (variances + (means - mean).square())).sum(dim=0)


@torch.inference_mode()
def _moments_of(count: int, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the channels of (N, C), `count` rows at a time, float32 (pieces, C) each."""
    kept = torch.zeros(rows.shape[1])  # PyTorch wants running ones, too, which stay as they are
    found = [torch.batch_norm_update_stats(part.T[None, :, :, None], kept, kept, 0.0) for part in rows.split(count)]
    means, variances = (torch.stack(one) for one in zip(*found, strict=True))
    return means, variances


def scaled(x: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Return gain * x + offset of each channel, as (1, C, X, Y, Z) of x's type, by PyTorch's quickest way to it."""
    mean, variance = torch.zeros_like(gain), torch.ones_like(gain)
    made: Tensor = F.batch_norm(x, mean, variance, gain, offset, training=False, eps=0.0)
    return made


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
        plain: Tensor = convolve(silu(norm(joined(parts))))
        if added:
            plain += added((slice(None),))
        return plain
    first = parts[0]
    made = new_map(first, convolve.out_channels) if into is None else into
    for item in range(len(first)):
        at = slice(item, item + 1)
        fill = _normalised(norm, [part[at] for part in parts])
        its = None if added is None else partial(_of_item, added, at)
        convolve.in_pieces(fill, made[at], its)
    return made


def _of_item(added: Added, item: slice, planes: slice, rows: slice) -> Tensor:
    return added((item, slice(None), planes, rows))


def _normalised(norm: Norm, parts: Sequence[Tensor]) -> Fill:
    """Return what writes silu(norm(parts)) of planes and rows of one item, (1, C_i, X, Y, Z) side by side."""
    widths = [part.shape[1] for part in parts]
    scales = list(zip(*(one.split(widths) for one in norm.scales(parts)), strict=True))

    def fill(planes: slice, rows: slice, room: Tensor) -> None:
        seen = [scaled(part[:, :, planes, rows], *scale) for part, scale in zip(parts, scales, strict=True)]
        torch.cat(seen, dim=1, out=room)
        F.silu(room, inplace=True)

    return fill


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


@cache
def parameter_count(network: Callable[..., nn.Module], config: Hashable) -> int:
    """Count the weights of a network of such sizes without making them; once, for every study of a call asks."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in network(config).parameters())


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
        parts = [x] if isinstance(x, Tensor) else x
        h: Tensor
        if isinstance(first, ResBlock):
            h = first(parts, embedding)
        else:
            h = first(parts if isinstance(first, Conv3) else joined(parts))
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
