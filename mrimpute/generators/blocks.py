"""Pieces of 3-D diffusion networks that more than one generator is built of."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def timestep_embedding(timesteps: Tensor, width: int) -> Tensor:
    """Return [cos, sin] of t times geometric frequencies: (N,) → (N, width) float32."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = timesteps[:, None].float() * frequencies.to(timesteps.device)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Norm(nn.GroupNorm):
    """GroupNorm in float32 whatever the input's type, contiguous for precision: PyTorch's
    channels-last GroupNorm loses three digits on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, X, Y, Z); the result has the input's type."""
        return super().forward(x.float().contiguous()).to(x.dtype)


SLAB_BYTES = 128 * 2**20
"""Input of a convolution's part: oneDNN copies input and output into layouts of its own, which for a whole
map at full resolution is two gigabytes."""


class SlabConv(nn.Conv3d):
    """A 3x3x3 convolution with padding 1 that, where no gradient is wanted, takes a large map on the CPU in slabs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, X, Y, Z) → (B, out, X, Y, Z)."""
        length = x.shape[2]
        planes = max(1, SLAB_BYTES * length // (x.element_size() * x.numel()))
        if planes >= length or x.device.type != "cpu" or torch.is_grad_enabled():
            return super().forward(x)
        made = None
        for start in range(0, length, planes):
            before, stop = max(0, start - 1), min(start + planes, length)
            slab = super().forward(x[:, :, before : stop + 1])[:, :, start - before : stop - before]
            if made is None:  # only now is its type known
                made = slab.new_empty(*slab.shape[:2], *x.shape[2:])
            made[:, :, start:stop] = slab
        assert made is not None  # a map has planes
        return made


def double(x: Tensor) -> Tensor:
    """Repeat each voxel 2x2x2 times: (B, C, X, Y, Z) → (B, C, 2X, 2Y, 2Z)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


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
        self.in_layers = nn.Sequential(Norm(groups, inputs), nn.SiLU(), nn.Conv3d(inputs, outputs, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, outputs))
        self.out_layers = nn.Sequential(
            Norm(groups, outputs), nn.SiLU(), nn.Identity(), zeroed(nn.Conv3d(outputs, outputs, 3, padding=1))
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv3d(inputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return x plus what two normalised convolutions make of it."""
        norm, _, convolve = self.in_layers
        h = silu(norm(x))
        if self.resample is not None:
            h = self.resample(h)
        h = convolve(h)
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
        self.conv = SlabConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map at twice the size."""
        doubled: Tensor = self.conv(double(x))
        return doubled
