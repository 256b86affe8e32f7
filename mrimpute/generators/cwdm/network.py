"""The cWDM network: a 3-D U-Net on packed wavelet sub-bands (Friedrich et al. 2024, section 2).

Parameter names are those of the authors' checkpoints; a number that a name skips belongs to a
layer without parameters.
"""

from collections.abc import Callable

from torch import Tensor, nn

from mrimpute.generators.blocks import (
    Norm,
    ResBlock,
    TimestepSequential,
    halve,
    silu,
    timestep_embedding,
    zeroed,
)
from mrimpute.generators.convolution import Conv3, double
from mrimpute.generators.cwdm.config import NetworkConfig

__all__ = ["NetworkConfig", "WaveletUNet"]


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

        self.input_blocks = nn.ModuleList([TimestepSequential([Conv3(config.in_channels, base)])])
        skips, current = [base], base
        for level, width in enumerate(widths):
            for _ in range(config.res_blocks):
                self.input_blocks.append(TimestepSequential([self._block(current, width)]))
                current = width
                skips.append(current)
            if level != deepest:
                self.input_blocks.append(TimestepSequential([self._block(current, current, halve)]))
                skips.append(current)

        self.middle_block = TimestepSequential([self._block(current, current), self._block(current, current)])

        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for block in range(config.res_blocks + 1):
                layers = [self._block(current + skips.pop(), width)]
                current = width
                if level and block == config.res_blocks:
                    layers.append(self._block(current, current, double))
                self.output_blocks.append(TimestepSequential(layers))

        self.out = nn.Sequential(Norm(config.groups, base), nn.SiLU(), zeroed(Conv3(base, config.out_channels)))

    def _block(self, inputs: int, outputs: int, resample: Callable[[Tensor], Tensor] | None = None) -> ResBlock:
        return ResBlock(inputs, outputs, 4 * self.config.base_channels, self.config.groups, resample)

    def forward(self, x: Tensor | list[Tensor], timesteps: Tensor) -> Tensor:
        """Predict clean sub-bands.

        Args:
            x: (B, 32, X, Y, Z) noisy packed sub-bands, then those of the three sources; every
                axis divisible by 2^(levels - 1). Or a list of both.
            timesteps: (B,) original timestep of each item, 0 to 999.

        Returns:
            (B, 8, X, Y, Z).
        """
        embedding = self.time_embed(timestep_embedding(timesteps, self.config.base_channels))
        h, skips = x if isinstance(x, Tensor) else list(x), []  # stages empty a list
        for stage in self.input_blocks:
            h = stage(h, embedding)  # (B, width, X/2^level, …)
            skips.append(h)
        maps = [self.middle_block(h, embedding)]
        for stage in self.output_blocks:
            maps.append(skips.pop())
            maps.append(stage(maps, embedding))  # up again; the stage empties the list
        norm, _, convolve = self.out
        bands: Tensor = convolve(silu(norm(maps.pop())))  # (B, 8, X, Y, Z)
        return bands
