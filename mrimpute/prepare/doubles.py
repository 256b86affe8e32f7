"""Two contrasts that are one image: the same file under two names."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.device import side_by_side
from mrimpute.errors import StudyRefused
from mrimpute.prepare.geometry import resample
from mrimpute.prepare.skull import head_of
from mrimpute.volume import Volume

SAME_IMAGE = 0.98
"""Correlation in the head from which two contrasts are one image. Genuine T1 before and after agent reach 0.917."""


def check_doubles(volumes: Mapping[Contrast, Volume]) -> None:
    """Check that no two contrasts of a study are one image.

    Args:
        volumes: of the study, by contrast; on any grids.

    Raises:
        StudyRefused: two have equal voxels, or are so alike in the head that they must be one acquisition.
    """
    pairs = list(combinations(volumes, 2))
    found = side_by_side(lambda pair: correlation(volumes[pair[0]], volumes[pair[1]]), pairs)
    for (one, other), likeness in zip(pairs, found, strict=True):
        if likeness > SAME_IMAGE:
            raise StudyRefused(
                f"{one} ({volumes[one].path}) and {other} ({volumes[other].path}) show the same image "
                f"(correlation {likeness:.3f} in the head)",
                f"name the right series with --{one} PATH or --{other} PATH, or take one of them away",
            )


def correlation(one: Volume, other: Volume) -> float:
    """Return the correlation of two volumes where both show the head of the first; 0 where it is not defined.

    Args:
        one, other: any grids; the second is interpolated onto the first.
    """
    first = np.asarray(one.voxels, np.float32)
    second = np.asarray(other.voxels, np.float32)
    if not one.grid.same_as(other.grid):
        second = resample(second, other.grid, one.grid)
    inside = head_of(one) & (second != 0)
    if np.count_nonzero(inside) < 2 or not first[inside].std() or not second[inside].std():
        return 0.0
    return float(np.corrcoef(first[inside], second[inside])[0, 1])
