"""Curves: what the grey values that a network makes mean on one scanner, for networks without a regression. No torch.

Of a study that has the target, the network's own image and the acquired one give a joint histogram in the head. The
curve is the rising function of the made value that is nearest to the acquired one (isotonic regression: pool adjacent
violators, Ayer et al., Ann. Math. Stat. 26(4), 1955). Any study can be left out: histograms add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.volume import BoolArray, FloatArray

BINS = 100
"""Steps of [0, 1] in either direction of a joint histogram."""
CENTRES: FloatArray = (np.arange(BINS) + 0.5) / BINS


@dataclass(frozen=True)
class NetworkRun:
    """What makes an image whose grey values a curve corrects; another network or sampling needs another curve.

    Attributes:
        sha256: digest of the weights.
        sampler, steps: how they are sampled.
        target, sources: what from what, sources in the network's order.
    """

    sha256: str
    sampler: str
    steps: int
    target: Contrast
    sources: tuple[Contrast, ...]


@dataclass(frozen=True)
class Joint:
    """How made and acquired grey values of one study go together.

    Attributes:
        run: what made the one.
        shares: (BINS, BINS) float32: shares of the head's voxels, the made value along the first axis.
    """

    run: NetworkRun
    shares: FloatArray


def joint_of(run: NetworkRun, made: FloatArray, acquired: FloatArray, head: BoolArray) -> Joint:
    """Return the joint histogram of two images.

    Args:
        run: of the first.
        made, acquired: (X, Y, Z) in [0, 1].
        head: (X, Y, Z); not empty.
    """
    places = [np.clip((image[head] * BINS).astype(np.int64), 0, BINS - 1) for image in (made, acquired)]
    counts = np.bincount(places[0] * BINS + places[1], minlength=BINS * BINS).reshape(BINS, BINS)
    return Joint(run, (counts / counts.sum()).astype(np.float32))


def fitted(joints: Sequence[Joint]) -> FloatArray:
    """Return the knots of a curve, (2, K): made values that rise, and what they mean; constant beyond the ends.

    Args:
        joints: of studies, which count alike; one at least.
    """
    shares: FloatArray = np.mean([one.shares for one in joints], axis=0, dtype=np.float64)
    blocks: list[tuple[float, float, float]] = []  # share of voxels, mean made, mean acquired
    for centre, row in zip(CENTRES, shares, strict=True):
        if row.sum() > 0:
            blocks.append((float(row.sum()), float(centre), float(row @ CENTRES / row.sum())))
            while len(blocks) > 1 and blocks[-2][2] >= blocks[-1][2]:
                blocks[-2:] = [_pooled(*blocks[-2:])]
    return np.array([block[1:] for block in blocks]).T


def _pooled(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float, float]:
    weight = one[0] + other[0]
    made, acquired = ((one[0] * one[place] + other[0] * other[place]) / weight for place in (1, 2))
    return weight, made, acquired


def corrected(unit: FloatArray, head: BoolArray, knots: FloatArray) -> FloatArray:
    """Return an image through a curve, (X, Y, Z) float32 in [0, 1], 0 outside the head.

    Args:
        unit: (X, Y, Z) in [0, 1].
        head: (X, Y, Z).
        knots: see `fitted`.
    """
    image = np.zeros(unit.shape, np.float32)
    image[head] = np.interp(unit[head], *knots)
    return image


def errors_through(joint: Joint, knots: FloatArray) -> tuple[float, FloatArray]:
    """Return how far a curve's values are from the acquired ones in a study, to the width of a bin.

    Returns:
        Mean squared error, and (BINS,) the share of the head's voxels whose error is at most 1, 2, … steps of 1/BINS.
    """
    distance = np.abs(np.interp(CENTRES, *knots)[:, None] - CENTRES)
    squared = float(np.sum(joint.shares * distance**2, dtype=np.float64))
    steps = np.minimum(np.ceil(distance * BINS), BINS).astype(np.int64)
    counted = np.bincount(steps.ravel(), joint.shares.ravel(), minlength=BINS + 1)
    return squared, np.cumsum(counted, dtype=np.float64)[1:]
