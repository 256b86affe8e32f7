"""Each present contrast predicted from the other present ones, and how near that comes; needs torch.

The generator itself cannot be checked so, for its target is missing. What the same regressions make of series that are
there tells whether grey values, register and sharpness are such as they learnt from.
"""

from collections.abc import Collection, Mapping

import numpy as np
import torch

from mrimpute.calibration import Site
from mrimpute.calibration.apply import features_in
from mrimpute.contrasts import Contrast
from mrimpute.device import side_by_side
from mrimpute.errors import StudyRefused
from mrimpute.generators.regression import value_of
from mrimpute.metrics import SSIM_WINDOW, decibels, score, texture
from mrimpute.volume import BoolArray, FloatArray, box_of
from mrimpute.write.verdict import Figure

THROUGH = 2
"""Array axis along which axial slices follow each other in the frame of calibrations."""


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
    held = list(images)
    if not held:
        return {}
    seen = features_in([images[contrast] for contrast in held], head, kinds=site.kinds)
    made = {}
    for contrast in held:
        others = tuple(one for one in held if one is not contrast)
        try:
            regressor = site.regressor(contrast, others, digests)
        except StudyRefused:
            continue
        if set(regressor.sources) == set(others):
            rows = [held.index(one) for one in regressor.sources]
            values = seen[[kind * len(held) + row for kind in site.kinds for row in rows]]
            made[contrast] = np.zeros(head.shape, np.float32)
            made[contrast][head] = value_of(values, torch.from_numpy(regressor.weights).float()).numpy()
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
    box = _even_box(head)
    head = head[box]
    coarse_head = _coarse(head.astype(np.float32)) >= 0.5

    def figure(contrast: Contrast) -> Figure:
        image, truth = made[contrast][box], images[contrast][box]
        error = float(np.mean(np.square((image - truth)[head], dtype=np.float64)))
        return Figure(
            contrast=contrast,
            sources=tuple(one for one in images if one is not contrast),
            psnr_db=round(decibels(error), 2),
            ssim=round(score(_coarse(image), _coarse(truth), {"head": coarse_head})["head"].ssim, 4),
            sharpness=round(texture(image, truth, head, THROUGH).sharpness, 3),
        )

    return tuple(side_by_side(figure, made))


def _even_box(head: BoolArray) -> tuple[slice, ...]:
    """Return the box around a head beyond which no figure sees a voxel, with even numbers for bounds."""
    reach = SSIM_WINDOW + 1  # of a window of voxels twice as wide, to either side
    box = box_of(head, (reach, reach, reach))
    return tuple(slice(axis.start // 2 * 2, -(-axis.stop // 2) * 2) for axis in box)


def _coarse(image: FloatArray) -> FloatArray:
    """Return the means of 2x2x2 voxels, of which SSIM takes an eighth of the time: (X, Y, Z) → (X/2, Y/2, Z/2)."""
    x = image[::2] + image[1::2]
    y = x[:, ::2] + x[:, 1::2]
    means: FloatArray = (y[..., ::2] + y[..., 1::2]) / 8
    return means
