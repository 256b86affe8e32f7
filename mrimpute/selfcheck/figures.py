"""Each present contrast predicted from the other present ones, and how near that comes; needs torch.

The generator itself cannot be checked so, for its target is missing. What the same regressions make of series that are
there tells whether grey values, register and sharpness are such as they learnt from.
"""

from collections.abc import Collection, Mapping

import numpy as np

from mrimpute.calibration import Site
from mrimpute.calibration.apply import estimated
from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.metrics import decibels, score, texture
from mrimpute.volume import BoolArray, FloatArray
from mrimpute.write.verdict import Figure

THROUGH = 2
"""Array axis along which axial slices follow each other in the frame of calibrations."""
COARSE = 2
"""Voxels of 1 mm that are averaged along each axis for SSIM: eight times as quick."""


def predicted(
    images: Mapping[Contrast, FloatArray], head: BoolArray, site: Site, digests: Collection[str]
) -> dict[Contrast, FloatArray]:
    """Return what a site's regressions make of each series from all others, where they can.

    Args:
        images: (X, Y, Z) float32 in [0, 1] each, in the frame of calibrations.
        head: (X, Y, Z).
        site: what is known; a study never stands in its own calibration.
        digests: of the study's voxels.
    """
    made = {}
    for contrast in images:
        others = tuple(one for one in images if one is not contrast)
        try:
            regressor = site.regressor(contrast, others, digests)
        except StudyRefused:
            continue
        if set(regressor.sources) == set(others):
            made[contrast] = estimated(images, head, regressor.sources, regressor.weights)
    return made


def figures_of(
    images: Mapping[Contrast, FloatArray], made: Mapping[Contrast, FloatArray], head: BoolArray
) -> tuple[Figure, ...]:
    """Return how near predictions come to the acquired series.

    Args:
        images: acquired, (X, Y, Z) float32 in [0, 1] each.
        made: predictions of some of them.
        head: (X, Y, Z); even numbers of voxels.
    """
    coarse_head = _coarse(head.astype(np.float32)) >= 0.5
    found = []
    for contrast, image in made.items():
        truth = images[contrast]
        similar = score(_coarse(image), _coarse(truth), {"head": coarse_head})["head"].ssim
        error = float(np.mean(np.square(image[head] - truth[head], dtype=np.float64)))
        found.append(
            Figure(
                contrast=contrast,
                sources=tuple(one for one in images if one is not contrast),
                psnr_db=round(decibels(error), 2),
                ssim=round(similar, 4),
                sharpness=round(texture(image, truth, head, THROUGH).sharpness, 3),
            )
        )
    return tuple(found)


def _coarse(image: FloatArray) -> FloatArray:
    """Return the means of 2x2x2 voxels: (X, Y, Z) → (X/2, Y/2, Z/2)."""
    x, y, z = (length // COARSE for length in image.shape)
    means: FloatArray = image.reshape(x, COARSE, y, COARSE, z, COARSE).mean(axis=(1, 3, 5))
    return means
