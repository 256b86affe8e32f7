"""A perceptual loss on slices: differences of a VGG-16's features, from a local weights file.

The paper names a perceptual loss and its code builds none; this is the usual one of
Johnson, Alahi & Fei-Fei, ECCV 2016. Parameter names are torchvision's, so that a file saved from its
`vgg16` fits; nothing is downloaded.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.errors import WeightsUnavailable
from mrimpute.files import sha256_of
from mrimpute.registry.tensors import load_strictly, read_pickle

WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512)
"""Convolutions by width; 0 halves the image. Features are compared before each 0 and at the end."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colour images in [0, 1] that the network was trained on."""


class PerceptualLoss(nn.Module):
    """Mean absolute difference of two volumes' features, on one slice of each orientation.

    Attributes:
        sha256: of the weights file.
    """

    def __init__(self, sha256: str) -> None:
        super().__init__()
        self.sha256 = sha256
        layers: list[nn.Module] = []
        channels = 3
        for width in WIDTHS:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
            channels = width or channels
        self.features = nn.Sequential(*layers)

    def forward(self, made: Tensor, truth: Tensor, slices: tuple[int, int, int]) -> Tensor:
        """Compare volumes.

        Args:
            made, truth: (B, 1, X, Y, Z) in [-1, 1].
            slices: which slice along X, Y and Z.

        Returns:
            The mean over slices and depths.
        """
        differences = []
        for axis, number in enumerate(slices):
            both = torch.cat([made.select(axis + 2, number), truth.select(axis + 2, number)])  # (2B, 1, …)
            mean, deviation = (both.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
            maps = ((both + 1) / 2 - mean) / deviation
            for layer in self.features:
                if isinstance(layer, nn.MaxPool2d):
                    differences.append(_difference(maps))
                maps = layer(maps)
            differences.append(_difference(maps))
        return torch.stack(differences).mean()


def load_perceptual(file: Path) -> PerceptualLoss:
    """Load the loss from torchvision's VGG-16 weights (.safetensors, or .pth read weights-only).

    Raises:
        WeightsUnavailable: the file is missing, unreadable, or holds other weights.
    """
    try:
        state = load_file(file) if file.suffix == ".safetensors" else read_pickle(file)
    except (OSError, SafetensorError) as error:
        raise WeightsUnavailable(
            f"cannot read {file}", "give torchvision's vgg16 weights, .safetensors or .pth"
        ) from error
    with torch.device("meta"):
        loss = PerceptualLoss(sha256_of(file))
    wanted = loss.state_dict().keys()
    load_strictly(loss, {key: tensor for key, tensor in state.items() if key in wanted}, str(file))
    return loss.eval().requires_grad_(False)


def _difference(maps: Tensor) -> Tensor:
    made, truth = maps.chunk(2)
    return F.l1_loss(made, truth)
