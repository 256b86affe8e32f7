"""Is there a head in the image at all, and the whole of it: how far its tissue reaches, what lies outside."""

from collections.abc import Mapping

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mrimpute.contrasts import Contrast
from mrimpute.device import side_by_side
from mrimpute.errors import StudyRefused
from mrimpute.prepare.skull import head_of
from mrimpute.volume import BoolArray, FloatArray, Grid, Volume, box_of

MIN_SPAN_MM = 60.0
"""A source whose tissue spans less in a direction is a slab, a surface coil's corner, or has a wrong spacing."""
MAX_UNSEEN = 0.01
"""Share of the head outside a series from which it ends inside the head. Of eleven studies, three of them with series
on grids of their own, none has any outside the others on its thinnest series; one has 10 % on a thicker one."""
POINTS_MM = 4.0
"""About how far apart the voxels are that are looked at for it."""
MIN_ABOVE = 0.01
"""Least share of the voxels other than 0 that must be above it."""
STRAY = 0.5
"""Percent of the tissue at either end that does not count: single bright voxels far from the head."""


def check_extent(volumes: Mapping[Contrast, Volume]) -> None:
    """Check that every source shows enough of a head.

    Args:
        volumes: of the sources, by contrast.

    Raises:
        StudyRefused: hardly a voxel of one is above 0, or its tissue spans less than 60 mm in a direction.
    """
    for contrast, volume in volumes.items():
        if np.count_nonzero(volume.voxels > 0) < MIN_ABOVE * np.count_nonzero(volume.voxels):
            raise StudyRefused(
                f"{contrast} ({volume.path}) is below 0 nearly everywhere",
                "give the image as it was scanned, with background 0",
            )
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


def unseen_shares(
    volumes: Mapping[Contrast, Volume], grid: Grid, inside: BoolArray | None = None
) -> dict[Contrast, float]:
    """Return which share of the head lies outside each series that ends inside it; others are left out.

    Args:
        volumes: the series of one target, as they lie on each other.
        grid: of the result; what lies outside it does not count.
        inside: (X, Y, Z) on that grid, where a brain mask leaves something; what lies outside does not count either.
    """
    heads = {contrast: _points(volume, grid, inside) for contrast, volume in volumes.items()}
    shares = {}
    for contrast, volume in volumes.items():
        shown = box_of(volume.voxels, (1, 1, 1))
        share = max(_share_outside(points, volume.grid, shown) for points in heads.values())
        if share > MAX_UNSEEN:
            shares[contrast] = share
    return shares


def _points(volume: Volume, grid: Grid, inside: BoolArray | None) -> FloatArray:
    """Return positions of voxels of a volume's head within a grid, and a mask on it: (N, 3) RAS mm."""
    x, y, z = (max(1, round(POINTS_MM / edge)) for edge in volume.grid.spacing)
    indices = np.argwhere(head_of(volume)[::x, ::y, ::z]) * (x, y, z)
    points = nib.affines.apply_affine(volume.grid.affine, indices)
    kept: FloatArray = points[_within(points, grid, tuple(slice(0, n) for n in grid.shape))]
    if inside is None:
        return kept
    nearest = np.rint(nib.affines.apply_affine(np.linalg.inv(grid.affine), kept)).astype(int)
    masked: FloatArray = kept[inside[tuple(np.clip(nearest, 0, np.array(grid.shape) - 1).T)]]
    return masked


def _share_outside(points: FloatArray, grid: Grid, box: tuple[slice, ...]) -> float:
    """Return the share of positions (N, 3) RAS mm that lie outside a box of a grid's voxels; 0 of none."""
    return 1.0 - float(np.mean(_within(points, grid, box))) if len(points) else 0.0


def _within(points: FloatArray, grid: Grid, box: tuple[slice, ...]) -> BoolArray:
    """Tell which positions (N, 3) RAS mm lie within a box of a grid's voxels."""
    indices = nib.affines.apply_affine(np.linalg.inv(grid.affine), points)
    low, high = [one.start - 0.5 for one in box], [one.stop - 0.5 for one in box]
    return np.asarray(((indices >= low) & (indices <= high)).all(axis=1))
