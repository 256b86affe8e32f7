"""The network with its conditions: noisy sub-bands and sources → the clean image."""

import torch
from torch import Tensor, nn

from mrimpute.generators import regression
from mrimpute.generators.cwdm import _wavelet
from mrimpute.generators.cwdm.network import NetworkConfig, WaveletUNet

Estimate = tuple[Tensor, Tensor]
"""A regression's target (X, Y, Z), and where there is a head (X, Y, Z)."""


class Denoiser(nn.Module):
    """Predicts a target's clean sub-bands.

    Attributes:
        unet: the network, a `WaveletUNet` or what stands for one.
        coefficients: of the regression that is blended with it; None for the paper's network.
    """

    def __init__(self, config: NetworkConfig, coefficients: Tensor | None = None) -> None:
        super().__init__()
        self.unet: nn.Module = WaveletUNet(config)
        self.coefficients: Tensor | None
        self.register_buffer("coefficients", coefficients)

    def condition(self, sources: Tensor) -> Tensor:
        """Return the packed sub-bands of sources (S, X, Y, Z) in [0, 1], side by side:
        (1, 8S, X/2, Y/2, Z/2)."""
        return torch.cat([_wavelet.pack(source[None, None]) for source in sources], dim=1)

    def forward(self, state: Tensor, condition: Tensor, timesteps: Tensor) -> Tensor:
        """Predict clean packed sub-bands (B, 8, X, Y, Z), float32, from noisy ones and the condition."""
        bands: Tensor = self.unet([state, condition], timesteps).float()
        return bands

    def estimate(self, sources: Tensor, head: Tensor) -> Estimate | None:
        """Return what the regression, if there is one, makes of sources (S, X, Y, Z) in a head, and that head."""
        if self.coefficients is None:
            return None
        return regression.estimate(sources, self.coefficients, head), head

    def image(self, state: Tensor, condition: Tensor, timesteps: Tensor, estimate: Estimate | None) -> Tensor:
        """Predict the clean image, (1, 1, X, Y, Z) in [0, 1], for a batch of one.

        Args:
            state, condition, timesteps: as for `forward`.
            estimate: from `estimate`, for the same study.
        """
        made = _wavelet.unpack(self(state, condition, timesteps)).clamp_(0.0, 1.0)
        if estimate is None:
            return made
        return regression.blended(made[0, 0], *estimate)[None, None]

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint file holds."""
        extra = {} if self.coefficients is None else {regression.COEFFICIENTS: self.coefficients}
        return self.unet.state_dict() | extra
