"""The diffusive generator of SynDiff: NCSN++ with adaptive group norm (Özbey et al., IEEE TMI 2023).

Parameter names are those of the authors' checkpoints.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.generators.blocks import silu
from mrimpute.generators.syndiff.config import NetworkConfig, groups_of
from mrimpute.generators.syndiff.layers import (
    HALF_POWER,
    NORM_EPS,
    Attention,
    PixelNorm,
    PyramidDown,
    ResBlock,
    convolution,
    linear,
    sinusoids,
)

__all__ = ["DiffusiveGenerator", "NetworkConfig"]

IMAGES = 2
"""Channels in and out: the noisy target and the source; of the output only the first counts."""


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
        h = silu(next(modules)(h.float().contiguous()).to(h.dtype))
        made: Tensor = torch.tanh(next(modules)(h))
        return made
