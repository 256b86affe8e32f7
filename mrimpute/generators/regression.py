"""A voxelwise regression of the target on its sources, which is blended with a network's predictions.

All terms up to second order of the sources and their means over 3x3x3 voxels, 28 coefficients for three sources and 6
for one (a calibration, and the package for some targets, knows up to three features of each source more: 136 and 21),
fitted by least squares in the head. So few numbers carry brightness to another scanner better than a network does; the
network knows structure. Their errors are nearly independent, so half of each is nearer to the truth than either
(measured on patients left out: examples/training/).
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.records import has_regression
from mrimpute.registry import Checkpoint
from mrimpute.volume import box_of

COEFFICIENTS = "regression.coefficients"
"""Key of the coefficients beside a network's tensors; shape (terms,), of a network for all pairs of
contrasts (source, target, terms)."""

NETWORK_SHARE = 0.5
"""Share of the network's structure in a blended prediction."""

RIDGE = 3e-4
"""Penalty on each coefficient relative to its term's power: measured on patients left out, it costs
nothing on the same scanner and gains up to 0.4 dB on another."""


KNEES = (1 / 3, 2 / 3)
"""Where a regression on rich features may change its slope: a parabola cannot make fluid bright and tissue right."""

REACH = 0.2
"""How far a regression with such knees may lie from one without. Of a spot that is bright in T1 and in T2, which no
study of a calibration had, it made a FLAIR of 0.0, 0.1 or 1.0 (one without: 0.5 to 0.7). Held so, patients left out
lose at most 0.13 dB (12 cases), on average 0.02."""

PLANES = 16
"""Whose means are taken at once."""

CHUNK = 2**15
"""Voxels whose terms are summed at once."""


def term_count(sources: int) -> int:
    """Return how many coefficients a regression on this many sources has."""
    return (2 * sources + 1) * (2 * sources + 2) // 2


def take_coefficients(checkpoint: Checkpoint, tensors: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor | None:
    """Remove the coefficients from a checkpoint's tensors and return them, float32; None where its
    record has no regression.

    Args:
        checkpoint: whose record tells.
        tensors: of its file; the coefficients are removed.
        shape: the shape that they must have.

    Raises:
        WeightsUnavailable: they are missing, too few or too many, or not finite.
    """
    if not has_regression(checkpoint):
        return None
    coefficients = tensors.pop(COEFFICIENTS, torch.empty(0)).float()
    if coefficients.shape != shape or not coefficients.isfinite().all():
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name}: {COEFFICIENTS} must hold {' x '.join(map(str, shape))} numbers",
            "get it again",
        )
    return coefficients


def features_at(places: Tensor, sources: Iterable[Tensor], rich: bool = False) -> Tensor:
    """Return sources, then their 3x3x3 means, at some voxels: (2S, N).

    Args:
        places: (N,) numbers of these voxels in the flattened volume.
        sources: (X, Y, Z) each.
        rich: whether what of them is above each of KNEES, and their standard deviation over 3x3x3 voxels, follow: (5S,
            N).
    """
    kinds = zip(*(_features_of(places, one, rich) for one in sources), strict=True)
    return torch.stack([one for kind in kinds for one in kind])


def _features_of(places: Tensor, source: Tensor, rich: bool) -> list[Tensor]:
    """Return a source's own features at some voxels, (N,) each."""
    value, mean = source.flatten()[places], box_means(source).flatten()[places]
    if not rich:
        return [value, mean]
    squares = box_means(source.square()).flatten()[places]
    over = [(value - knee).clamp_(min=0.0) for knee in KNEES]
    return [value, mean, *over, (squares - mean.square()).clamp_(min=0.0).sqrt_()]


def box_means(source: Tensor) -> Tensor:
    """Return the means over 3x3x3 voxels of a volume (X, Y, Z) and of zeros outside, in a quarter of avg_pool3d's
    time."""
    means = torch.empty_like(source)
    wide = F.pad(source, (1,) * 6)
    for first in range(0, len(means), PLANES):  # that many planes stay in the cache
        some = wide[first : first + PLANES + 2]
        rows = some[..., :-2] + some[..., 1:-1] + some[..., 2:]
        planes = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
        means[first : first + PLANES] = (planes[:-2] + planes[1:-1] + planes[2:]) / 27
    return means


def terms(values: Tensor) -> Tensor:
    """Return 1, the features and the products of any two: (F, N) → (1 + F + F(F + 1)/2, N)."""
    first, second = torch.triu_indices(len(values), len(values))
    return torch.cat([torch.ones_like(values[:1]), values, values[first] * values[second]])


def fit(examples: Iterable[tuple[Tensor, Tensor]], ridge: float = RIDGE) -> Tensor:
    """Return the coefficients, float32.

    Args:
        examples: (sources (S, X, Y, Z), target (X, Y, Z)), float32 in [0, 1]; every voxel where
            any of them is not zero counts.
        ridge: see RIDGE.
    """
    gram: Tensor | float = 0.0
    moments: Tensor | float = 0.0
    for sources, target in examples:
        head = (sources > 0).any(0) | (target > 0)
        values = terms(features_at(head.flatten().nonzero()[:, 0], sources).double())
        gram = gram + values @ values.T
        moments = moments + values @ target[head].double()
    gram = torch.as_tensor(gram)
    solved: Tensor = torch.linalg.solve(gram + ridge * torch.diag(gram.diagonal()), moments)
    return solved.float()


def estimate(sources: Tensor, coefficients: Tensor, head: Tensor) -> Tensor:
    """Return the regression's target.

    Args:
        sources: (S, X, Y, Z) in [0, 1].
        coefficients: from `fit`, or of a calibration, with terms of the rich features.
        head: (X, Y, Z) bool. That a source is above 0 does not tell it: fluid may be 0.

    Returns:
        (X, Y, Z) in [0, 1], 0 outside the head.
    """
    box = box_of(head.cpu().numpy(), (1, 1, 1))
    places = head[box].flatten().nonzero()[:, 0]
    made = torch.zeros_like(sources[0], memory_format=torch.contiguous_format)
    rich = len(coefficients) > term_count(len(sources))
    made[head] = value_of(features_at(places, (source[box] for source in sources), rich), coefficients)
    return made


def value_of(values: Tensor, coefficients: Tensor) -> Tensor:
    """Return what coefficients make of features, (F, N) → (N,) in [0, 1].

    Args:
        values: see `features_at`.
        coefficients: one for each of `terms`; of rich features those of the plain ones follow, see `held`.
    """
    count = (len(values) + 1) * (len(values) + 2) // 2
    if len(coefficients) == count:
        return _sum_of(values, coefficients)
    sources = len(values) // (3 + len(KNEES))
    whole, plain = coefficients.split([count, term_count(sources)])
    return held(_sum_of(values, whole), _sum_of(values[: 2 * sources], plain))


def held(made: Tensor, plain: Tensor) -> Tensor:
    """Return what a regression on rich features made, no further than REACH from what one on plain ones makes."""
    return torch.minimum(torch.maximum(made, plain - REACH), plain + REACH)


def _sum_of(values: Tensor, coefficients: Tensor) -> Tensor:
    constant, linear, quadratic = coefficients.split([1, len(values), len(coefficients) - 1 - len(values)])
    made = torch.empty_like(values[0])
    for maps, value in zip(values.split(CHUNK, dim=1), made.split(CHUNK), strict=True):
        rest = iter(quadratic)
        value.copy_(constant.expand_as(value))
        for index, one in enumerate(maps):  # not by `terms`, which takes 28 or 136 maps of memory
            inner = linear[index].expand_as(one).clone()
            for other in maps[index:]:
                inner.addcmul_(next(rest), other)
            value.addcmul_(one, inner)
    return made.clamp_(0.0, 1.0)


def blended(image: Tensor, estimate: Tensor, head: Tensor, share: float = NETWORK_SHARE) -> Tensor:
    """Give a network's prediction the regression's mean over the head, and part of its structure.

    Args:
        image, estimate: the network's and the regression's target, (X, Y, Z) in [0, 1].
        head: (X, Y, Z) bool.
        share: of the structure.

    Returns:
        estimate + share (d - mean of d over the head) in the head, where d = image - estimate; else 0.
    """
    difference = torch.where(head, image - estimate, 0.0)
    exact = torch.float32 if difference.device.type == "mps" else torch.float64  # the same however many threads sum up
    mean = (difference.sum(dtype=exact) / head.sum().clamp(min=1)).float()
    return torch.where(head, estimate + share * (difference - mean), 0.0).clamp(0.0, 1.0)
