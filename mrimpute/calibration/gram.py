"""Gram matrices: all that the regression of any of four contrasts on any others needs to know of a study.

Terms, in this order: 1; t1, t1c, t2, flair; their means over 3x3x3 voxels; all products of two of these eight: 45. Of
a study that is learnt from, three features of each contrast more (what of it is above 1/3, and above 2/3; its standard
deviation over 3x3x3 voxels), and the products of all twenty: 231. A study's matrix is the mean over its head of the
outer product of these terms. Coefficients for any sources and target, and the error that they would have in any study,
follow from such matrices; no voxel is kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations_with_replacement

import numpy as np

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.volume import FloatArray

Kinds = tuple[int, ...]
"""Features of each contrast, as numbers in the order above."""

PLAIN, SHARP, RICH = (0, 1), (0, 1, 4), (0, 1, 2, 3, 4)
"""Its value and its mean; these and its standard deviation; all."""
LEAST_DEVIATION = 1e-6
"""Mean standard deviation up to which an image has no edges to speak of, and its terms stay as they are."""
RIDGE = 3e-4
"""Penalty on each coefficient relative to its term's power; that of `generators.regression`, which needs torch."""

EVERY = 5
"""Of the head's voxels, every fifth is looked at where a study is judged, and where a calibration learns from it."""
ASTRAY = 0.9
"""How far a regression on all sources may stray (see `astray`) before it says nothing of a study. From two sources:
0.2 to 0.88 in three patients of two scanners, the patient or the scanner left out (60 sets); in five studies of
another scanner 0.91 to 1.2 for t2, 1.1 to 1.6 for flair, but 0.5 for t1."""


@dataclass(frozen=True)
class Gram:
    """The Gram matrix of one study.

    Attributes:
        matrix: (45, 45) or (231, 231) float64, symmetric; 0 where a term has a contrast that the study lacks.
        voxels: how many voxels of 1 mm its head has.
        present: the contrasts that the study has, in the order of BRATS_FOUR.
    """

    matrix: FloatArray
    voxels: int
    present: tuple[Contrast, ...]

    @property
    def plain(self) -> "Gram":
        """The part of it that is of the 45 terms: what other studies and the package's own regressions are held to."""
        return replace(self, matrix=plain_of(self.matrix))

    @property
    def evened(self) -> "Gram":
        """What it would be, of 231 terms, if each standard deviation were 1 on average: how sharp or noisy images are
        differs from scanner to scanner, where they are sharper than elsewhere hardly."""
        factors = evening(self.matrix, BRATS_FOUR)
        return replace(self, matrix=self.matrix * np.outer(factors, factors))

    def holds(self, contrasts: Iterable[Contrast]) -> bool:
        """Tell whether the study has all of these contrasts."""
        return set(contrasts) <= set(self.present)


def term_count(kinds: Kinds) -> int:
    """Return how many terms a study's matrix has, with these features of each contrast."""
    features = len(kinds) * len(BRATS_FOUR)
    return 1 + features + features * (features + 1) // 2


def kinds_of(matrix: FloatArray) -> Kinds:
    """Return which features of each contrast a study's matrix has: PLAIN or RICH."""
    return PLAIN if len(matrix) == term_count(PLAIN) else RICH


def plain_of(matrix: FloatArray) -> FloatArray:
    """Return the part of a study's matrix that is of the 45 terms."""
    rows = term_indices(BRATS_FOUR, PLAIN, kinds_of(matrix))
    return matrix[np.ix_(rows, rows)]


def term_indices(sources: Sequence[Contrast], kinds: Kinds = PLAIN, held: Kinds | None = None) -> tuple[int, ...]:
    """Return which of a matrix's terms a regression on these sources has.

    They come in the order of `generators.regression.terms`, so that contrasts may be given in any order: that of
    another naming of the same series, for instance.

    Args:
        sources, kinds: what it takes.
        held: the features that the matrix has, PLAIN or RICH; None for no others.
    """
    return _indices(tuple(BRATS_FOUR.index(contrast) for contrast in sources), kinds, held or kinds)


@cache
def _indices(places: tuple[int, ...], kinds: Kinds, held: Kinds) -> tuple[int, ...]:
    features = [kind * len(BRATS_FOUR) + place for kind in kinds for place in places]
    every = range(len(held) * len(BRATS_FOUR))
    products = {pair: 1 + len(every) + number for number, pair in enumerate(_products(every))}
    return (0, *(1 + one for one in features), *(products[min(pair), max(pair)] for pair in _products(features)))


def _products(features: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the two factors of each product of features, in the order of `generators.regression.terms`."""
    return combinations_with_replacement(features, 2)


def coefficients(
    matrices: Sequence[FloatArray],
    sources: Sequence[Contrast],
    target: Contrast,
    ridge: float = RIDGE,
    shares: Sequence[float] | None = None,
    kinds: Kinds | None = None,
) -> FloatArray:
    """Return the coefficients of a regression, (terms,) float64 in the order of `generators.regression.terms`.

    Args:
        matrices: of the studies that it is learnt from, each with all of these contrasts.
        sources, target: what it makes of what.
        ridge: see RIDGE.
        shares: how much each study counts; None for all alike.
        kinds: of features that it takes; None for all that the matrices have.
    """
    held = kinds_of(matrices[0])
    rows = term_indices(sources, kinds or held, held)
    mean = np.average(matrices, axis=0, weights=shares)
    inner = mean[np.ix_(rows, rows)]
    moments = mean[list(rows), 1 + BRATS_FOUR.index(target)]
    power = np.diag(inner)
    penalty = np.where(power > 0, ridge * power, 1.0)  # a term that is 0 in all of them gets 0
    solved: FloatArray = np.linalg.solve(inner + np.diag(penalty), moments)
    return solved


def held_coefficients(
    matrices: Sequence[FloatArray],
    sources: Sequence[Contrast],
    target: Contrast,
    shares: Sequence[float] | None = None,
    kinds: Kinds = RICH,
) -> FloatArray:
    """Return what images are made with: coefficients, of 231 terms followed by those of the 45, which hold what the
    former make (see `generators.regression.value_of`).

    Args:
        matrices, sources, target, shares: as for `coefficients`.
        kinds: of features that it takes, the others' coefficients are 0. PLAIN, or such matrices, give the latter
            alone.
    """
    plain = coefficients(matrices, sources, target, shares=shares, kinds=PLAIN)
    if PLAIN in (kinds, kinds_of(matrices[0])):
        return plain
    made = coefficients(matrices, sources, target, shares=shares, kinds=kinds)
    among = term_indices(sources, RICH)
    return np.concatenate([_placed(made, term_indices(sources, kinds, RICH), among), plain])


def widened(weights: FloatArray, own: Sequence[Contrast], sources: Sequence[Contrast], kinds: Kinds) -> FloatArray:
    """Return the coefficients of a regression on some sources as those of one on more, 0 for the terms of the others.

    Args:
        weights: see `held_coefficients`, on
        own: its sources, and
        sources: those that it is to have.
        kinds: PLAIN or RICH, of the features that it is to have.
    """
    whole, plain = split(weights, own)
    held = _placed(plain, term_indices(own), term_indices(sources))
    if kinds == PLAIN:
        return held
    made, rows = (whole, term_indices(own, RICH)) if len(whole) else (plain, term_indices(own, PLAIN, RICH))
    return np.concatenate([_placed(made, rows, term_indices(sources, RICH)), held])


def split(weights: FloatArray, sources: Sequence[Contrast]) -> tuple[FloatArray, FloatArray]:
    """Return the two parts of what `held_coefficients` returned; the first is empty where there are 45 terms alone."""
    rich = len(weights) - len(term_indices(sources))
    return weights[:rich], weights[rich:]


def _placed(weights: FloatArray, rows: Sequence[int], among: Sequence[int]) -> FloatArray:
    """Return coefficients of some of a matrix's terms as those of more of them."""
    placed = np.zeros(len(among))
    placed[[among.index(row) for row in rows]] = weights
    return placed


def evening(matrix: FloatArray, sources: Sequence[Contrast]) -> FloatArray:
    """Return the factors of terms that make each standard deviation 1 on average, (terms,).

    What was learnt of studies so (see `Gram.evened`) is, times the factors of another one, coefficients for that one.

    Args:
        matrix: of the study, of 231 terms.
        sources: of the regression.
    """
    first = 1 + RICH[-1] * len(BRATS_FOUR)
    means = np.array([matrix[0, first + BRATS_FOUR.index(contrast)] for contrast in sources])
    features = np.ones(len(RICH) * len(sources))
    features[-len(sources) :] = 1 / np.where(means > LEAST_DEVIATION, means, 1.0)
    return np.array([1.0, *features, *(features[a] * features[b] for a, b in _products(range(len(features))))])


def astray(matrix: FloatArray, sources: Sequence[Contrast], whole: FloatArray, singles: Sequence[FloatArray]) -> float:
    """Return how far a regression on all sources strays from those on one each in one study, which needs no target.

    It is the root mean square of its difference from their mean, over that of two of them's difference. On another
    scanner each source's brightness is off in its own way, and products of two carry it far away.

    Args:
        matrix: of the study, with these sources.
        sources: in the order of the coefficients.
        whole: (terms,) of the regression on all of them.
        singles: (terms,) each, of those on one source, 0 for terms of other sources.
    """
    rows = list(term_indices(sources))
    inner = matrix[np.ix_(rows, rows)]
    mean = np.mean(singles, axis=0)
    apart = 4 * float(np.mean([_power(inner, one - mean) for one in singles]))  # of two, the power of their difference
    return float((_power(inner, whole - mean) / max(apart, 1e-12)) ** 0.5)


def _power(inner: FloatArray, weights: FloatArray) -> float:
    return float(weights @ inner @ weights)


def squared_error(matrix: FloatArray, sources: Sequence[Contrast], target: Contrast, weights: FloatArray) -> float:
    """Return the mean squared error over a study's head of what coefficients make of its sources, not clipped.

    Args:
        matrix: of the study.
        sources, target: as for `coefficients`.
        weights: (terms,) coefficients.
    """
    rows, column = list(term_indices(sources, kinds_of(matrix))), 1 + BRATS_FOUR.index(target)
    inner = matrix[np.ix_(rows, rows)]
    return float(weights @ inner @ weights - 2 * weights @ matrix[rows, column] + matrix[column, column])
