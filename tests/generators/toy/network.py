"""The toy's network."""

import torch
from torch import Tensor, nn


class Toy(nn.Module):
    """(S, X, Y, Z) in [0, 1] and noise (X, Y, Z) → (X, Y, Z)."""

    def __init__(self, sources: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((sources,), 1 / sources))
        self.noise = nn.Parameter(torch.tensor(0.01))

    def forward(self, sources: Tensor, noise: Tensor) -> Tensor:
        mixed: Tensor = torch.tensordot(self.weights, sources, 1) + self.noise * noise
        return mixed
