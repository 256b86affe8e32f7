"""Prepared images → their Gram matrix, and what coefficients make of them; in torch, with the generators' own terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mrimpute.calibration.gram import ASTRAY, EVERY, TERMS, Gram, astray, term_indices
from mrimpute.calibration.site import Regressor
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.generators import regression
from mrimpute.generators.regression import term_count
from mrimpute.volume import BoolArray, FloatArray

CHUNK = 2**17
"""Voxels whose terms are held at once: 47 MB of them in float64."""

WHOLE_SHARE = 0.5
"""Of a regression on all sources, beside the mean of those on one each, where the scanner is not known and the
regression does not stray. A t1 of T2 and FLAIR gets none of it: there it strays unseen. Against a half, inside the
brain, finished: four studies of a scanner that nothing here has seen gain 1.2 to 1.7 dB so, two patients of a known
one lose 0.4 and 1.3."""

ERROR_BINS = 1000
"""Steps of an error's size in [0, 1] that are counted."""


@dataclass(frozen=True)
class Errors:
    """How far coefficients are from the acquired image in a study's head.

    Attributes:
        squared: mean squared error.
        within: (ERROR_BINS,) share of voxels whose error is at most 1, 2, … ERROR_BINS steps.
    """

    squared: float
    within: FloatArray


def gram_of(images: Mapping[Contrast, FloatArray], head: BoolArray, every: int = 1) -> Gram:
    """Return the Gram matrix of one study.

    Args:
        images: (X, Y, Z) float32 in [0, 1] each, of contrasts among the four.
        head: (X, Y, Z); not empty.
        every: of its voxels, every so many-th is looked at.
    """
    present = tuple(contrast for contrast in BRATS_FOUR if contrast in images)
    return gram_in(features_in([images[contrast] for contrast in present], head)[:, ::every], present)


def gram_in(values: Tensor, present: tuple[Contrast, ...]) -> Gram:
    """Return the Gram matrix of one study.

    Args:
        values: (2S, N) features of contrasts among the four at some voxels, see `features_in`.
        present: these contrasts, in the features' order.
    """
    total = torch.zeros(term_count(len(present)), term_count(len(present)), dtype=torch.float64)
    for some in values.split(CHUNK, dim=1):
        terms = regression.terms(some.double())
        total += terms @ terms.T
    matrix, rows = np.zeros((TERMS, TERMS)), term_indices(present)
    matrix[np.ix_(rows, rows)] = total / values.shape[1]
    return Gram(matrix, values.shape[1], tuple(contrast for contrast in BRATS_FOUR if contrast in present))


def features_in(images: Sequence[FloatArray], head: BoolArray) -> Tensor:
    """Return images (X, Y, Z) and their means over 3x3x3 voxels at the head's voxels, (2S, N)."""
    inside = torch.from_numpy(np.ascontiguousarray(head))
    return regression.features_in(inside, (torch.from_numpy(np.ascontiguousarray(image)).float() for image in images))


def settled(images: Mapping[Contrast, FloatArray], head: BoolArray, regressor: Regressor) -> Regressor:
    """Return a regression with its coefficients for one study; as it is where it has no `singles`.

    Args:
        images, head: as for `estimated`.
        regressor: on sources that are among them.
    """
    if not regressor.singles:
        return regressor
    matrix = gram_of({contrast: images[contrast] for contrast in regressor.sources}, head, EVERY).matrix
    strays = astray(matrix, regressor.sources, regressor.weights, regressor.singles) > ASTRAY
    unseen = regressor.target is Contrast.T1 and Contrast.T1C not in regressor.sources
    share = 0.0 if strays or unseen else WHOLE_SHARE
    weights = share * regressor.weights + (1 - share) * np.mean(regressor.singles, axis=0)
    return replace(regressor, weights=weights, singles=(), astray=strays)


def estimated(
    images: Mapping[Contrast, FloatArray], head: BoolArray, sources: Sequence[Contrast], coefficients: FloatArray
) -> FloatArray:
    """Return what coefficients make of a study, (X, Y, Z) float32 in [0, 1], 0 outside the head.

    Args:
        images: (X, Y, Z) float32 in [0, 1] each; all sources are among them.
        head: (X, Y, Z).
        sources, coefficients: as `calibration.gram.coefficients` returned them.
    """
    weights = torch.from_numpy(coefficients).float()
    inside = torch.from_numpy(np.ascontiguousarray(head))
    return regression.estimate(_stacked([images[contrast] for contrast in sources]), weights, inside).numpy()


def errors_of(
    images: Mapping[Contrast, FloatArray],
    head: BoolArray,
    weights: Mapping[tuple[Contrast, tuple[Contrast, ...]], FloatArray],
) -> dict[tuple[Contrast, tuple[Contrast, ...]], Errors]:
    """Return the errors of several regressions in one study, their results clipped to [0, 1].

    Args:
        images, head: as for `gram_of`.
        weights: (target, sources) → coefficients.
    """
    squared = dict.fromkeys(weights, 0.0)
    counts = {pair: torch.zeros(ERROR_BINS, dtype=torch.float64) for pair in weights}
    rows = {pair: list(term_indices(pair[1])) for pair in weights}
    absent = np.zeros(head.shape, np.float32)
    every = features_in([images.get(contrast, absent) for contrast in BRATS_FOUR], head)
    for values in every.split(CHUNK, dim=1):
        terms = regression.terms(values)
        for pair, weight in weights.items():
            made = (torch.from_numpy(weight).float() @ terms[rows[pair]]).clamp_(0.0, 1.0)
            error = (made - values[BRATS_FOUR.index(pair[0])]).abs_()
            squared[pair] += float(error.double().square().sum())
            counts[pair] += torch.histc(error, ERROR_BINS, 0.0, 1.0)
    voxels = int(np.count_nonzero(head))
    return {pair: Errors(squared[pair] / voxels, (counts[pair].cumsum(0) / voxels).numpy()) for pair in weights}


def _stacked(images: Sequence[FloatArray]) -> Tensor:
    return torch.from_numpy(np.stack(images)).float()
