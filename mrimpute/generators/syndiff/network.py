"""The diffusive generator of SynDiff: NCSN++ with adaptive group norm (Özbey et al., IEEE TMI 2023;
layer by layer in reference/syndiff/SPEC.md section 2).

Parameter names are those of the authors' checkpoints.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.generators.syndiff.layers import (
    HALF_POWER,
    NORM_EPS,
    Attention,
    PixelNorm,
    PyramidDown,
    ResBlock,
    convolution,
    groups_of,
    linear,
    sinusoids,
)

IMAGES = 2
"""Channels in and out: the noisy target and the source; of the output only the first counts."""


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the generator; the default is the authors' of 39.7 million parameters.

    Attributes:
        image_size: width of the slices in pixels.
        base_channels: width of the finest level.
        channel_mult: width of each level as a multiple of base_channels, finest first.
        res_blocks: residual blocks per level on the way down (one more on the way up).
        attention_at: widths of a level with attention, for slices of image_size; the coarsest
            level always has it.
        latent_width: of the latent after its mapping.
        latent_size: of the normal latent z.
        latent_layers: linear layers of the mapping after the first.
        timesteps: large steps of the diffusion.
    """

    image_size: int = 256
    base_channels: int = 64
    channel_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    res_blocks: int = 2
    attention_at: tuple[int, ...] = (16,)
    latent_width: int = 256
    latent_size: int = 100
    latent_layers: int = 3
    timesteps: int = 4

    def __post_init__(self) -> None:
        if not self.channel_mult or min(self.channel_mult) < 1 or self.base_channels < 4:
            raise ValueError("channel_mult must hold positive numbers, and base_channels be 4 or more")
        if self.image_size % self.image_multiple:
            raise ValueError(f"image_size {self.image_size} is not a multiple of {self.image_multiple}")
        if self.res_blocks < 1 or min(self.latent_width, self.latent_size) < 1 or self.latent_layers < 0:
            raise ValueError("res_blocks and the latent's sizes must be positive")
        if not 1 <= self.timesteps <= 1000:
            raise ValueError("timesteps must be between 1 and 1000")
        for width in self.widths:
            for channels in (width, *(width + other for other in self.widths)):
                if channels % groups_of(channels):
                    raise ValueError(
                        f"a level of {channels} channels cannot be divided into {groups_of(channels)} groups"
                    )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, finest first."""
        return tuple(self.base_channels * factor for factor in self.channel_mult)

    @property
    def image_multiple(self) -> int:
        """Both axes of a slice must be multiples of this: each level halves them."""
        return int(2 ** (len(self.channel_mult) - 1))


class DiffusiveGenerator(nn.Module):
    """Estimates the clean target from a noisy one, conditioned on the source.

    Its layers stand in one list, `all_modules`, in the order in which they are applied.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        base, latent = config.base_channels, config.latent_width
        embedding = 4 * base
        first = linear(config.latent_size, latent, fan=latent)
        more = [linear(latent, latent, fan=latent) for _ in range(config.latent_layers)]
        layers = [layer for one in (first, *more) for layer in (one, nn.SiLU())]
        self.z_transform = nn.Sequential(PixelNorm(), *layers)

        def block(inputs: int, outputs: int, resample: str = "") -> ResBlock:
            return ResBlock(inputs, outputs, embedding, latent, resample)

        modules: list[nn.Module] = [
            linear(base, embedding, fan=(base + embedding) / 2),
            linear(embedding, embedding, fan=embedding),
            convolution(IMAGES, base),
        ]
        skips, current, pyramid = [base], base, IMAGES
        for level, width in enumerate(config.widths):
            attends = config.image_size >> level in config.attention_at
            for _ in range(config.res_blocks):
                modules += [block(current, width), *([Attention(width)] if attends else [])]
                current = width
                skips.append(current)
            if level + 1 < len(config.widths):
                modules += [block(current, current, "down"), PyramidDown(pyramid, current)]
                pyramid = current
                skips.append(current)
        modules += [block(current, current), Attention(current), block(current, current)]
        for level, width in reversed(list(enumerate(config.widths))):
            for _ in range(config.res_blocks + 1):
                modules.append(block(current + skips.pop(), width))
                current = width
            if config.image_size >> level in config.attention_at:
                modules.append(Attention(width))
            if level:
                modules.append(block(current, current, "up"))
        modules += [
            nn.GroupNorm(groups_of(current), current, eps=NORM_EPS),
            convolution(current, IMAGES, scale=1e-10),
        ]
        self.all_modules = nn.ModuleList(modules)

    def forward(self, x: Tensor, timestep: Tensor, z: Tensor) -> Tensor:
        """Estimate the clean target.

        Args:
            x: (B, 2, H, W) noisy target and source, in [-1, 1] where clean; H and W are multiples
                of the configuration's image_multiple, and W is its image_size, unless no level
                but the coarsest has attention.
            timestep: (B,) index of the step, 0 to timesteps - 1.
            z: (B, latent_size) standard normal.

        Returns:
            (B, 2, H, W) in [-1, 1]; channel 0 is the estimate, channel 1 means nothing.
        """
        config = self.config
        if config.attention_at and x.shape[3] != config.image_size:
            raise ValueError(f"slices must be {config.image_size} pixels wide, not {x.shape[3]}")
        modules = iter(self.all_modules)
        latent = self.z_transform(z)
        time = next(modules)(sinusoids(timestep, config.base_channels))
        time = next(modules)(F.silu(time))
        pyramid = x
        h = next(modules)(x)  # (B, base, H, W)
        skips = [h]
        for level in range(len(config.widths)):
            for _ in range(config.res_blocks):
                h = next(modules)(h, time, latent)
                if h.shape[3] in config.attention_at:
                    h = next(modules)(h)
                skips.append(h)
            if level + 1 < len(config.widths):
                h = next(modules)(h, time, latent)
                h = pyramid = (next(modules)(pyramid) + h) * HALF_POWER
                skips.append(h)
        h = next(modules)(h, time, latent)
        h = next(modules)(h)
        h = next(modules)(h, time, latent)
        for level in reversed(range(len(config.widths))):
            for _ in range(config.res_blocks + 1):
                h = next(modules)(torch.cat([h, skips.pop()], dim=1), time, latent)
            if h.shape[3] in config.attention_at:
                h = next(modules)(h)
            if level:
                h = next(modules)(h, time, latent)
        h = F.silu(next(modules)(h.float()).to(h.dtype))
        made: Tensor = torch.tanh(next(modules)(h))
        return made


def parameter_bytes(config: NetworkConfig) -> int:
    """Return the bytes of the generator's weights in float32, without making it."""
    with torch.device("meta"):
        network = DiffusiveGenerator(config)
    return 4 * sum(math.prod(tensor.shape) for tensor in network.parameters())
