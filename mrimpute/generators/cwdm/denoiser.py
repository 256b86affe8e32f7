"""The network with its conditions: noisy sub-bands and sources → clean sub-bands."""

import torch
from torch import Tensor, nn

from mrimpute.generators.cwdm import _wavelet, regression
from mrimpute.generators.cwdm.network import NetworkConfig, WaveletUNet


class Denoiser(nn.Module):
    """Predicts a target's clean sub-bands, by itself (the paper) or as a correction of a regression.

    Attributes:
        unet: the network.
        coefficients: of the regression that it corrects; None for the paper's network.
    """

    def __init__(self, config: NetworkConfig, coefficients: Tensor | None = None) -> None:
        super().__init__()
        self.unet = WaveletUNet(config)
        self.coefficients: Tensor | None
        self.register_buffer("coefficients", coefficients)

    def condition(self, sources: Tensor) -> Tensor:
        """Return what the network sees of sources (S, X, Y, Z) in [0, 1]: their packed sub-bands
        side by side, and those of the regression's estimate after them: (1, 8 per image, X/2, Y/2, Z/2).
        """
        images = list(sources)
        if self.coefficients is not None:
            images.append(regression.estimate(sources, self.coefficients))
        return torch.cat([_wavelet.pack(image[None, None]) for image in images], dim=1)

    def forward(self, state: Tensor, condition: Tensor, timesteps: Tensor) -> Tensor:
        """Predict clean sub-bands (B, 8, X, Y, Z), float32, from noisy ones and the condition."""
        bands: Tensor = self.unet(torch.cat([state, condition], dim=1), timesteps).float()
        return bands if self.coefficients is None else bands + condition[:, -_wavelet.BANDS :]

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint file holds."""
        extra = {} if self.coefficients is None else {regression.COEFFICIENTS: self.coefficients}
        return self.unet.state_dict() | extra
