"""Is there a head in the image at all: how far its tissue reaches in each direction."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mrimpute.contrasts import Contrast
from mrimpute.device import side_by_side
from mrimpute.errors import StudyRefused
from mrimpute.prepare.skull import head_of
from mrimpute.volume import Volume

MIN_SPAN_MM = 60.0
"""A source whose tissue spans less in a direction is a slab, a surface coil's corner, or has a wrong spacing."""
STRAY = 0.5
"""Percent of the tissue at either end that does not count: single bright voxels far from the head."""


def check_extent(volumes: Mapping[Contrast, Volume]) -> None:
    """Check that every source shows enough of a head.

    Args:
        volumes: of the sources, by contrast.

    Raises:
        StudyRefused: the tissue of one spans less than 60 mm in a direction.
    """
    found = side_by_side(spans_mm, volumes.values())
    for (contrast, volume), spans in zip(volumes.items(), found, strict=True):
        if min(spans) < MIN_SPAN_MM:
            told = " x ".join(f"{span:.0f}" for span in spans)
            raise StudyRefused(
                f"{contrast} ({volume.path}) shows tissue over {told} mm; a head spans at least {MIN_SPAN_MM:.0f} mm "
                "in every direction",
                f"check the image's spacing, or name a series of the whole head with --{contrast} PATH",
            )


def spans_mm(volume: Volume) -> tuple[float, float, float]:
    """Return how far the tissue of a volume reaches along each of its axes, mm; 0 where there is none."""
    head = head_of(volume)
    across = ((1, 2), (0, 2), (0, 1))
    x, y, z = (_planes(head.sum(axis=axes)) * edge for axes, edge in zip(across, volume.grid.spacing, strict=True))
    return x, y, z


def _planes(counts: NDArray[np.int64]) -> int:
    """Return over how many planes nearly all voxels lie, given how many each holds."""
    if not counts.any():
        return 0
    reached = np.cumsum(counts) / counts.sum() * 100
    first, last = np.searchsorted(reached, STRAY, side="right"), np.searchsorted(reached, 100 - STRAY)
    return int(last - first) + 1
