"""Random changes to the sources of a training example: what another scanner would do to them.

The target keeps its grey values; only the mirror, which moves anatomy, acts on all images.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mrimpute.errors import UsageError
from mrimpute.volume import FloatArray

LEFT_RIGHT_AXIS = 0
BIAS_NODES = 3
THICKEST_SLICE = 4


@dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 leaves a change out, which is the default of the papers.

    Attributes:
        mirror: probability of swapping left and right.
        gamma: standard deviation of the logarithm of the power that grey values are raised to.
        gain: standard deviation of the logarithm of the factor on grey values.
        bias: standard deviation of the logarithm of a smooth field, for half of the images.
        noise: largest standard deviation of Gaussian noise, for half of the images.
        thick: probability of slices 2 to 4 voxels thick along a random axis.
    """

    mirror: float = 0.0
    gamma: float = 0.0
    gain: float = 0.0
    bias: float = 0.0
    noise: float = 0.0
    thick: float = 0.0

    @classmethod
    def parse(cls, words: str) -> "Augmentation":
        """Read 'mirror,gamma=0.3,…': a name alone means its usual strength; 'all' means every one.

        Raises:
            UsageError: an unknown name, or a strength that is no number from 0 on.
        """
        strengths: dict[str, float] = {}
        for word in filter(None, (part.strip() for part in words.split(","))):
            name, _, number = word.partition("=")
            try:
                if name == "all" and not number:
                    strengths |= USUAL
                else:
                    strengths[name] = float(number) if number else USUAL[name]
                    _ = USUAL[name], 1 / (strengths[name] >= 0)
            except (KeyError, ValueError, ZeroDivisionError):
                raise UsageError(
                    f"--augment: {word!r} is not understood", f"use all, or {', '.join(USUAL)} with =STRENGTH"
                ) from None
        return cls(**strengths)

    def __str__(self) -> str:
        return ",".join(f"{item.name}={getattr(self, item.name):g}" for item in fields(self)) if self else "none"

    def __bool__(self) -> bool:
        return any(getattr(self, item.name) for item in fields(self))


USUAL = {"mirror": 0.5, "gamma": 0.3, "gain": 0.1, "bias": 0.15, "noise": 0.03, "thick": 0.2}


def mirrored(images: FloatArray, probability: float, draw: np.random.Generator) -> FloatArray:
    """Swap left and right of all images (C, X, Y, Z) alike, or leave them."""
    return np.flip(images, axis=1 + LEFT_RIGHT_AXIS) if draw.random() < probability else images


def changed(image: Tensor, strengths: Augmentation, draw: np.random.Generator) -> Tensor:
    """Return one source (X, Y, Z), float32 in [0, 1], as another scanner might have made it."""
    if not (strengths.gamma or strengths.gain or strengths.bias or strengths.noise or strengths.thick):
        return image
    head = image > 0
    image = image.clamp(min=0.0)
    if strengths.gamma:
        image = image ** float(np.exp(draw.normal(0, strengths.gamma)))
    if strengths.gain:
        image = image * float(np.exp(draw.normal(0, strengths.gain)))
    if strengths.bias and draw.random() < 0.5:
        image = image * _field(image.shape, strengths.bias, draw).exp()
    if draw.random() < strengths.thick:
        image = _thick(image, draw)
    if strengths.noise and draw.random() < 0.5:
        deviation = strengths.noise * draw.random()
        image = image + deviation * torch.from_numpy(draw.standard_normal(image.shape, dtype=np.float32)) * head
    return image.clamp(0.0, 1.0)


def _field(shape: torch.Size, deviation: float, draw: np.random.Generator) -> Tensor:
    """Return a smooth random field (X, Y, Z), interpolated between a few nodes per axis."""
    nodes = torch.from_numpy(draw.normal(0, deviation, (1, 1, *(BIAS_NODES,) * 3)).astype(np.float32))
    return F.interpolate(nodes, shape, mode="trilinear", align_corners=True)[0, 0]


def _thick(image: Tensor, draw: np.random.Generator) -> Tensor:
    """Return the image as thick slices along a random axis would show it, interpolated back."""
    blocks = [1, 1, 1]
    blocks[int(draw.integers(3))] = int(draw.integers(2, THICKEST_SLICE + 1))
    slices = F.avg_pool3d(image[None, None], blocks, blocks, ceil_mode=True)
    return F.interpolate(slices, image.shape, mode="trilinear")[0, 0]
