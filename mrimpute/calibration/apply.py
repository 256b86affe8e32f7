"""Prepared images → their Gram matrix, and what coefficients make of them; in torch, with the generators' own terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mrimpute.calibration.gram import (
    ASTRAY,
    EVERY,
    PLAIN,
    RICH,
    Gram,
    Kinds,
    astray,
    evening,
    plain_of,
    split,
    term_count,
    term_indices,
)
from mrimpute.calibration.site import Regressor
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.generators import regression
from mrimpute.volume import BoolArray, FloatArray, box_of

CHUNK = 2**15
"""Voxels whose terms are held at once: 60 MB of 231 in float64."""

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


def gram_of(images: Mapping[Contrast, FloatArray], head: BoolArray, every: int = 1, kinds: Kinds = PLAIN) -> Gram:
    """Return the Gram matrix of one study.

    Args:
        images: (X, Y, Z) float32 in [0, 1] each, of contrasts among the four.
        head: (X, Y, Z); not empty.
        every: of its voxels, every so many-th is looked at.
        kinds: of features of each contrast, PLAIN or RICH.
    """
    present = tuple(contrast for contrast in BRATS_FOUR if contrast in images)
    values = features_in([images[contrast] for contrast in present], head, every, kinds)
    matrix, rows = np.zeros((term_count(kinds), term_count(kinds))), term_indices(present, kinds)
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for some in values.split(CHUNK, dim=1):
        terms = regression.terms(some.double())
        total += terms @ terms.T
    matrix[np.ix_(rows, rows)] = total / values.shape[1]
    return Gram(matrix, int(np.count_nonzero(head)), present)


def features_in(images: Sequence[FloatArray], head: BoolArray, every: int = 1, kinds: Kinds = PLAIN) -> Tensor:
    """Return the features of images (X, Y, Z) at the head's voxels, (kinds S, N); see `gram_of`."""
    box = box_of(head, (1, 1, 1))
    places = torch.from_numpy(np.flatnonzero(head[box])[::every])
    sources = (torch.from_numpy(np.ascontiguousarray(image[box])).float() for image in images)
    return regression.features_at(places, sources, kinds == RICH)


def settled(images: Mapping[Contrast, FloatArray], head: BoolArray, regressor: Regressor) -> Regressor:
    """Return a regression with its coefficients for one study; as it is where it has no `singles`.

    Args:
        images, head: as for `estimated`.
        regressor: on sources that are among them.
    """
    if not regressor.singles:
        return regressor
    sources = regressor.sources
    whole, plain = split(regressor.weights, sources)
    kinds = RICH if len(whole) else PLAIN
    matrix = gram_of({contrast: images[contrast] for contrast in sources}, head, EVERY, kinds).matrix
    strays = astray(plain_of(matrix), sources, plain, [split(one, sources)[1] for one in regressor.singles]) > ASTRAY
    unseen = regressor.target is Contrast.T1 and Contrast.T1C not in sources
    share = 0.0 if strays or unseen else WHOLE_SHARE
    weights = share * regressor.weights + (1 - share) * np.mean(regressor.singles, axis=0)
    if len(whole):
        weights[: len(whole)] *= evening(matrix, sources)
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
        weights: (target, sources) → coefficients; not empty.
    """
    squared = dict.fromkeys(weights, 0.0)
    counts = {pair: torch.zeros(ERROR_BINS, dtype=torch.float64) for pair in weights}
    target, sources = next(iter(weights))
    kinds = PLAIN if len(weights[target, sources]) == len(term_indices(sources)) else RICH
    spread, holding = torch.zeros(len(weights), term_count(kinds)), torch.zeros(len(weights), term_count(PLAIN))
    for row, plain, (pair, weight) in zip(spread, holding, weights.items(), strict=True):
        rows, plain_rows = list(term_indices(pair[1], kinds)), list(term_indices(pair[1]))
        row[rows] = torch.from_numpy(weight[: len(rows)]).float()
        plain[plain_rows] = torch.from_numpy(weight[-len(plain_rows) :]).float()
    absent = np.zeros(head.shape, np.float32)
    every = features_in([images.get(contrast, absent) for contrast in BRATS_FOUR], head, kinds=kinds)
    for values in every.split(CHUNK, dim=1):
        images_made = (spread @ regression.terms(values)).clamp_(0.0, 1.0)
        if kinds == RICH:
            near = (holding @ regression.terms(values[: len(PLAIN) * len(BRATS_FOUR)])).clamp_(0.0, 1.0)
            images_made = regression.held(images_made, near)
        for pair, made in zip(weights, images_made, strict=True):
            error = (made - values[BRATS_FOUR.index(pair[0])]).abs_()
            squared[pair] += float(error.double().square().sum())
            counts[pair] += torch.histc(error, ERROR_BINS, 0.0, 1.0)
    voxels = int(np.count_nonzero(head))
    return {pair: Errors(squared[pair] / voxels, (counts[pair].cumsum(0) / voxels).numpy()) for pair in weights}


def _stacked(images: Sequence[FloatArray]) -> Tensor:
    return torch.from_numpy(np.stack(images)).float()
