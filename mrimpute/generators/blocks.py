"""Pieces of 3-D diffusion networks that more than one generator is built of."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.generators.convolution import Conv1, Conv3, double, is_laid_out


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
        if x.dtype != torch.float32:
            return super().forward(x)
        return self._precise(x)

    def _precise(self, x: Tensor) -> Tensor:
        """Normalise float32 with channels last, where PyTorch's own GroupNorm loses three digits: statistics of a few
        planes at a time, without what the first plane's mean is, brought together in float64."""
        batch, width, length = x.shape[:3]
        planes = x.transpose(1, 2).flatten(0, 1)  # (B X, C, Y, Z)
        size, groups = planes[0, 0].numel(), self.num_groups

        def statistics(part: Tensor) -> tuple[Tensor, Tensor]:
            return torch.native_group_norm(part, None, None, len(part), width, size, groups, self.eps)[1:]

        def per_channel(value: Tensor) -> Tensor:
            return value.repeat_interleave(width // groups, dim=-1)

        near = per_channel(statistics(planes[:1])[0])  # (1, C)
        parts = [statistics(part - near[:, :, None, None]) for part in planes.split(PLANES)]
        means, inverse = (torch.cat(found).double().view(batch, length, groups) for found in zip(*parts, strict=True))
        mean = means.mean(dim=1)
        variance = (inverse**-2 - self.eps + means.square()).mean(dim=1) - mean.square()
        gain = self.weight * per_channel((variance + self.eps).rsqrt())
        offset = self.bias - gain * (near + per_channel(mean))
        result: Tensor = torch.addcmul(offset.float()[:, :, None, None, None], x, gain.float()[:, :, None, None, None])
        return result


PLANES = 8
"""How many planes `Norm` looks at together: what it makes of them is thrown away."""


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

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return x plus what two normalised convolutions make of it."""
        norm, _, convolve = self.in_layers
        h = silu(norm(x))
        assert isinstance(convolve, Conv3)  # see above
        if self.resample is double:
            h = convolve.on_doubled(h)
        else:
            h = convolve(h if self.resample is None else self.resample(h))
        h += self.emb_layers(embedding)[:, :, None, None, None].to(h.dtype)
        norm, _, _, convolve = self.out_layers
        h = convolve(silu(norm(h)))
        if self.resample is not None:  # only now: at the finest level this map is half a gigabyte
            x = self.resample(x)
        h += self.skip_connection(x)
        result: Tensor = h
        return result


class TimestepSequential(nn.ModuleList):
    """Layers in a row, of which residual blocks see the embedding (B, embedding)."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Apply each layer."""
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ResBlock) else layer(x)
        return x


class Upsample(nn.Module):
    """Double each axis by repetition, then convolve: (B, C, X, Y, Z) → (B, C, 2X, 2Y, 2Z)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map at twice the size."""
        doubled: Tensor = self.conv.on_doubled(x)
        return doubled
