"""The cWDM network: a 3-D U-Net on packed wavelet sub-bands (Friedrich et al. 2024, section 2;
layer by layer in reference/cwdm/SPEC.md section 3).

Parameter names are those of the authors' checkpoints; a number that a name skips belongs to a
layer without parameters.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        base_channels: width of the finest level.
        channel_mult: width of each level as a multiple of base_channels, finest first; it
            begins with 1, since the output layer expects base_channels.
        res_blocks: residual blocks per level on the way down (one more on the way up).
        groups: groups of every GroupNorm; divides every width.
        in_channels: 8 noisy sub-bands and 8 per source.
        out_channels: 8 clean sub-bands.
    """

    base_channels: int = 64
    channel_mult: tuple[int, ...] = (1, 2, 2, 4, 4)
    res_blocks: int = 2
    groups: int = 32
    in_channels: int = 32
    out_channels: int = 8

    def __post_init__(self) -> None:
        if not self.channel_mult or self.channel_mult[0] != 1 or min(self.channel_mult) < 1:
            raise ValueError(f"channel_mult must begin with 1 and hold positive numbers, not {self.channel_mult}")
        if min(self.base_channels, self.groups) < 1:
            raise ValueError("base_channels and groups must be positive")
        if self.base_channels % self.groups or self.base_channels % 2:
            raise ValueError(f"base_channels {self.base_channels} must be even and divisible by groups {self.groups}")
        if self.res_blocks < 1:
            raise ValueError("res_blocks must be at least 1")

    @property
    def image_multiple(self) -> int:
        """Every axis of the image must be a multiple of this: the transform and each level halve it."""
        return int(2 ** len(self.channel_mult))


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


def halve(x: Tensor) -> Tensor:
    """Average 2x2x2 voxels: (B, C, X, Y, Z) → (B, C, X/2, Y/2, Z/2). PyTorch has no bfloat16
    average pooling on the CPU, hence float32."""
    return F.avg_pool3d(x.float(), 2).to(x.dtype)


def double(x: Tensor) -> Tensor:
    """Repeat each voxel 2x2x2 times: (B, C, X, Y, Z) → (B, C, 2X, 2Y, 2Z)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _silu(x: Tensor) -> Tensor:
    """SiLU, in place where no gradient needs the input: fresh pages cost more than the arithmetic."""
    return F.silu(x, inplace=not x.requires_grad)


def _zeroed(layer: nn.Conv3d) -> nn.Conv3d:
    """Set a convolution to zero: a fresh residual block is the identity (SPEC section 3)."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResBlock(nn.Module):
    """Residual block, optionally between two resolutions.

    (B, in, X, Y, Z) and embedding (B, 4C) → (B, out, X', Y', Z'). The resampling sits after the
    first norm and SiLU and before the first convolution.
    """

    def __init__(self, config: NetworkConfig, inputs: int, outputs: int, resample: str = "") -> None:
        super().__init__()
        embedding = 4 * config.base_channels
        self.resample = {"": None, "down": halve, "up": double}[resample]
        self.in_layers = nn.Sequential(Norm(config.groups, inputs), nn.SiLU(), nn.Conv3d(inputs, outputs, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, outputs))
        self.out_layers = nn.Sequential(
            Norm(config.groups, outputs), nn.SiLU(), nn.Identity(), _zeroed(nn.Conv3d(outputs, outputs, 3, padding=1))
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv3d(inputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, in, X, Y, Z), (B, 4C) → (B, out, X', Y', Z')."""
        norm, _, convolve = self.in_layers
        h = _silu(norm(x))
        if self.resample is not None:
            h = self.resample(h)
        h = convolve(h)
        h += self.emb_layers(embedding)[:, :, None, None, None].to(h.dtype)
        norm, _, _, convolve = self.out_layers
        h = convolve(_silu(norm(h)))
        if self.resample is not None:  # only now: at the finest level this map is half a gigabyte
            x = self.resample(x)
        h += self.skip_connection(x)
        result: Tensor = h
        return result


class Stage(nn.ModuleList):
    """One entry of the U-Net: a convolution or residual blocks, in a row."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Apply each layer; only residual blocks see the embedding (B, 4C)."""
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ResBlock) else layer(x)
        return x


class WaveletUNet(nn.Module):
    """Predicts the clean packed sub-bands of the target.

    Args:
        config: sizes; the default is the authors' network of 81.5 million parameters.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        base = config.base_channels
        widths = [base * factor for factor in config.channel_mult]
        deepest = len(widths) - 1
        self.time_embed = nn.Sequential(nn.Linear(base, 4 * base), nn.SiLU(), nn.Linear(4 * base, 4 * base))

        self.input_blocks = nn.ModuleList([Stage([nn.Conv3d(config.in_channels, base, 3, padding=1)])])
        skips, current = [base], base
        for level, width in enumerate(widths):
            for _ in range(config.res_blocks):
                self.input_blocks.append(Stage([ResBlock(config, current, width)]))
                current = width
                skips.append(current)
            if level != deepest:
                self.input_blocks.append(Stage([ResBlock(config, current, current, "down")]))
                skips.append(current)

        self.middle_block = Stage([ResBlock(config, current, current), ResBlock(config, current, current)])

        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for block in range(config.res_blocks + 1):
                layers = [ResBlock(config, current + skips.pop(), width)]
                current = width
                if level and block == config.res_blocks:
                    layers.append(ResBlock(config, current, current, "up"))
                self.output_blocks.append(Stage(layers))

        self.out = nn.Sequential(
            Norm(config.groups, base), nn.SiLU(), _zeroed(nn.Conv3d(base, config.out_channels, 3, padding=1))
        )

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Predict clean sub-bands.

        Args:
            x: (B, 32, X, Y, Z) noisy packed sub-bands, then those of the three sources; every
                axis divisible by 2^(levels - 1).
            timesteps: (B,) original timestep of each item, 0 to 999.

        Returns:
            (B, 8, X, Y, Z).
        """
        embedding = self.time_embed(timestep_embedding(timesteps, self.config.base_channels))
        h = x
        skips = []
        for stage in self.input_blocks:
            h = stage(h, embedding)  # (B, width, X/2^level, …)
            skips.append(h)
        h = self.middle_block(h, embedding)
        for stage in self.output_blocks:
            h = torch.cat([h, skips.pop()], dim=1)  # lets go of both before the stage needs room
            h = stage(h, embedding)  # up again
        norm, _, convolve = self.out
        bands: Tensor = convolve(_silu(norm(h)))  # (B, 8, X, Y, Z)
        return bands
