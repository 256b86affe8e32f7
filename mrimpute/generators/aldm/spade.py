"""MS-SPADE: a stack that moves a source's latent towards a target's, switched by class (Kim & Park 2024, section 3)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.generators.aldm.config import AldmConfig
from mrimpute.generators.blocks import laid_out_as
from mrimpute.generators.convolution import Conv1, Conv3

SLOPE = 0.2
EPS = 1e-5


class SpadeNorm(nn.Module):
    """Instance normalisation that the feature map itself modulates, for one class."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(Conv3(channels, hidden), nn.ReLU())
        self.mlp_gamma = Conv3(hidden, channels)
        self.mlp_beta = Conv3(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, X, Y, Z) → the same shape."""
        modulation = self.mlp_shared(x)
        normal = laid_out_as(F.instance_norm(x, eps=EPS), self.mlp_gamma.weight)  # PyTorch's own has the plain layout
        modulated: Tensor = normal * (1 + self.mlp_gamma(modulation)) + self.mlp_beta(modulation)
        return modulated


class SwitchedNorm(nn.Module):
    """One SPADE normalisation per class."""

    def __init__(self, channels: int, config: AldmConfig) -> None:
        super().__init__()
        self.spades = nn.ModuleList(SpadeNorm(channels, config.spade_hidden) for _ in range(config.classes))

    def forward(self, x: Tensor, target: int) -> Tensor:
        """(1, C, X, Y, Z) → the same shape."""
        modulated: Tensor = self.spades[target](x)
        return modulated


class SpadeBlock(nn.Module):
    """Residual block with switched normalisations."""

    def __init__(self, inputs: int, outputs: int, config: AldmConfig) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.conv_0 = Conv3(inputs, middle)
        self.conv_1 = Conv3(middle, outputs)
        self.conv_s = Conv1(inputs, outputs, bias=False)
        self.norm_0 = SwitchedNorm(inputs, config)
        self.norm_1 = SwitchedNorm(middle, config)

    def forward(self, x: Tensor, target: int) -> Tensor:
        """(1, in, X, Y, Z) → (1, out, X, Y, Z)."""
        h = self.conv_0(F.leaky_relu(self.norm_0(x, target), SLOPE))
        h = self.conv_1(F.leaky_relu(self.norm_1(h, target), SLOPE))
        result: Tensor = self.conv_s(x) + h
        return result


class SpadeStack(nn.Module):
    """Four blocks, the latent's width on both ends."""

    def __init__(self, config: AldmConfig) -> None:
        super().__init__()
        base = config.spade_channels
        widths = [config.latent, base, 2 * base, base, config.latent]
        self.block = nn.ModuleList(SpadeBlock(a, b, config) for a, b in pairwise(widths))

    def begin_as_identity(self) -> None:
        """Let the untrained stack return its input: translations start from the source as it is."""
        for block in self.block:
            assert isinstance(block, SpadeBlock)  # see above
            nn.init.dirac_(block.conv_s.weight)
            nn.init.zeros_(block.conv_1.weight)
            assert block.conv_1.bias is not None  # Conv3d's default
            nn.init.zeros_(block.conv_1.bias)

    def forward(self, latent: Tensor, targets: list[int]) -> Tensor:
        """Translate quantised latents.

        Args:
            latent: (B, latent, X, Y, Z).
            targets: class of each item.

        Returns:
            (B, latent, X, Y, Z), not quantised.
        """
        made = []
        for item, target in zip(latent.split(1), targets, strict=True):
            h = item
            for block in self.block:
                h = block(h, target)
            made.append(h)
        return torch.cat(made)
