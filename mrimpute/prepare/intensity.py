"""Grey values: into the networks' [0, 1] and back to the study's own scale."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.device import side_by_side
from mrimpute.errors import StudyRefused
from mrimpute.volume import BoolArray, FloatArray, Volume

MAX_BELOW_FLOOR = 0.05
"""Share of the tissue that may lie below the floor: interpolation leaves a few negative voxels."""
HEAD_SHARE = 0.15
"""Share of a volume that the head fills where empty margin must not count. In the built-in networks' training studies
it fills 0.157, 0.152 and 0.140, which moves the upper bounds of their 12 images by 0.4 % on average, 1.7 % at most."""
STUDY_PERCENTILE = 99.9
"""In-brain percentile that the value 1 of a synthetic image stands for."""


@dataclass(frozen=True)
class GreyRange:
    """The grey values of one source that become 0 and 1."""

    low: float
    high: float

    def normalise(self, voxels: FloatArray) -> FloatArray:
        """Clip to the range and map it to [0, 1]: any shape → the same shape, float32."""
        return self.mapped(np.clip(np.asarray(voxels, np.float64), self.low, self.high))

    def mapped(self, voxels: FloatArray) -> FloatArray:
        """Map the range to [0, 1] without clipping: any shape → the same shape, float32."""
        return self.exactly(voxels).astype(np.float32)

    def exactly(self, voxels: FloatArray) -> FloatArray:
        """Map the range to [0, 1] without clipping: any shape → the same shape, float64."""
        unit: FloatArray = (np.asarray(voxels, np.float64) - self.low) / (self.high - self.low)
        return unit


def quantile_range(
    volume: Volume, quantiles: tuple[float, float], floor: float | None, head: BoolArray | None = None
) -> GreyRange:
    """Return the range between two quantiles of the whole volume, background included.

    Args:
        volume: any grid.
        quantiles: lower and upper, 0 to 1 (cWDM: 0.001 and 0.999).
        head: (X, Y, Z) where the head is, for the quantiles that the volume would have if it filled HEAD_SHARE of it
            and the rest were 0; None for the volume as it is.
        floor: the lower bound is at least this, so that background 0 stays 0 in spite of a
            few negative voxels; None for the authors' plain quantile.

    Raises:
        StudyRefused: the image has no contrast between the quantiles, or much of it lies below
            the floor.
    """
    values = np.asarray(volume.voxels if head is None else volume.voxels[head], np.float64)
    low, high = np.quantile(values, quantiles).tolist() if head is None else _in_margin(values, quantiles)
    if floor is not None:
        low = max(low, floor)
        below = int(np.count_nonzero(volume.voxels < floor)) / max(1, int(np.count_nonzero(volume.voxels)))
        if below > MAX_BELOW_FLOOR:
            raise StudyRefused(
                f"{below:.0%} of {volume.path} is below {floor:g}: it was standardised, or its background is not 0",
                "give the image as it was scanned, with background 0",
            )
    if not high > low:
        raise StudyRefused(
            f"{volume.path} has no grey values between its {quantiles[0]:.1%} and {quantiles[1]:.1%} quantiles",
            "check that it shows a whole head",
        )
    return GreyRange(low, high)


def _in_margin(tissue: FloatArray, quantiles: tuple[float, float]) -> list[float]:
    """Return quantiles of values (N,) among zeros, of which they are HEAD_SHARE together.

    A quantile above 0 has all zeros below it, one below 0 all above; where neither holds, it is 0.
    """
    if not tissue.size:
        return [0.0, 0.0]
    wider = (tissue.size / HEAD_SHARE - 1) / max(1, tissue.size - 1)
    ranks = np.array([[1 - (1 - one) * wider, one * wider] for one in quantiles])  # all zeros below, or all above
    found = np.where(ranks < 0, -np.inf, np.where(ranks > 1, np.inf, np.quantile(tissue, np.clip(ranks, 0, 1))))
    return [sorted((below, 0.0, above))[1] for below, above in found.tolist()]


def mean_range(volume: Volume, mean_to: float, head: BoolArray) -> GreyRange:
    """Return the range from 0 that brings the mean over the head to `mean_to`.

    SynDiff's authors divide each volume by its mean, then by one number for all. The mean of a volume depends on how
    much air is around the head, the head's own does not.

    Args:
        volume: any grid.
        mean_to: what the mean becomes.
        head: (X, Y, Z) where the head is.

    Raises:
        StudyRefused: the mean is not positive.
    """
    mean = float(np.mean(volume.voxels[head], dtype=np.float64)) if head.any() else 0.0
    if not mean > 0:
        raise StudyRefused(f"the mean of {volume.path} is not positive", "give the image as it was scanned")
    return GreyRange(0.0, mean / mean_to)


def study_scale(volumes: Mapping[Contrast, Volume]) -> float:
    """Return the grey value that 1 stands for: the median over sources of their in-brain
    99.9 percentile (brain: where the source is not zero)."""

    def top(volume: Volume) -> float:
        return float(np.percentile(volume.voxels[volume.voxels != 0], STUDY_PERCENTILE))

    return float(np.median(side_by_side(top, volumes.values())))
