"""Sources into a network's frame, and a result back onto the reference source's exact grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.geometry import Reorient, Window, choose_slices, choose_window, resample, respaced
from mrimpute.intensity import GreyRange, mean_range, quantile_range, study_scale
from mrimpute.registry import InputSpec
from mrimpute.volume import BoolArray, FloatArray, Grid, Volume

MIN_OVERLAP = 0.9
"""Least Dice overlap of the heads of two sources that lie on different grids."""
STRIPPED_LITRES = 2.2
"""An image with more than this volume that is not zero is not skull-stripped. Measured: stripped
heads 1.1 to 1.5 litres, heads with skull 2.6 to 3.4."""


@dataclass(frozen=True)
class Recipe:
    """What was applied to the sources: all that restore needs, and provenance records.

    Attributes:
        reference: contrast of the source whose grid the result gets.
        grid, header: grid and header of that source.
        reorient: first spatial step.
        resampled: grid that the sources were interpolated onto; None where reorienting sufficed.
        window: the box of it that the network sees.
        head: (X, Y, Z) on the reference's grid: where any source is not zero.
        ranges: grey values of each source that became 0 and 1.
        scale: grey value that 1 stands for on the study's scale.
    """

    reference: Contrast
    grid: Grid
    header: Any
    reorient: Reorient
    resampled: Grid | None
    window: Window
    head: BoolArray
    ranges: dict[Contrast, GreyRange]
    scale: float


@dataclass(frozen=True)
class Prepared:
    """Sources in the network's frame.

    Attributes:
        images: contrast → (X, Y, Z) float32 in [0, 1], all of the window's size.
        recipe: how they came here.
        content: digests of the sources, which with the run's seed decide the noise.
        warnings: what the user should know about these inputs.
    """

    images: dict[Contrast, FloatArray]
    recipe: Recipe
    content: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def prepare(volumes: Mapping[Contrast, Volume], inputs: InputSpec) -> Prepared:
    """Bring the sources of one target into the frame that a checkpoint was trained in.

    Args:
        volumes: the sources, in the checkpoint's order.
        inputs: the checkpoint's frame: orientation, spacing, window, grey-value rule.

    Raises:
        StudyRefused: the sources do not lie on each other, or one has no grey values.
    """
    reference = _reference(volumes)
    grid = volumes[reference].grid
    reorient = Reorient(grid, inputs.orientation)
    oriented = reorient.grid
    working = respaced(oriented, inputs.spacing)
    ranges = {contrast: _range(contrast, volume, inputs) for contrast, volume in volumes.items()}

    images, supports = {}, {}
    for contrast, volume in volumes.items():
        unit = ranges[contrast].normalise(volume.voxels)
        support = unit > 0 if contrast in inputs.ranges else volume.voxels != 0  # air in CT is not 0
        if volume.grid.same_as(grid) and working is oriented:
            images[contrast], supports[contrast] = reorient.apply(unit), reorient.apply(support)
        else:
            images[contrast] = resample(unit, volume.grid, working)
            supports[contrast] = resample(support.astype(np.float32), volume.grid, working) >= 0.5
    warnings = _check_overlap(volumes, grid, supports)

    head = np.logical_or.reduce(list(supports.values()))
    if not head.any():
        raise StudyRefused(f"the sources of {reference} do not overlap", "check their headers")
    window = _window(head, inputs, reference)
    if inputs.window and window.size != inputs.window:
        warnings.append(f"the head is larger than the network's window; it was widened to {window.size} voxels")
    recipe = Recipe(
        reference,
        grid,
        volumes[reference].header,
        reorient,
        None if working is oriented else working,
        window,
        _head_on(grid, volumes),
        ranges,
        study_scale(volumes),
    )
    content = tuple(volume.sha256 for volume in volumes.values())
    return Prepared({c: window.apply(image) for c, image in images.items()}, recipe, content, tuple(warnings))


def _range(contrast: Contrast, volume: Volume, inputs: InputSpec) -> GreyRange:
    if contrast in inputs.ranges:
        return GreyRange(*inputs.ranges[contrast])
    if inputs.clip_quantiles:
        return quantile_range(volume, inputs.clip_quantiles, inputs.clip_floor)
    return mean_range(volume, inputs.mean_to[contrast])


def _window(head: BoolArray, inputs: InputSpec, reference: Contrast) -> Window:
    if not inputs.slices:
        return choose_window(head, inputs.window, inputs.multiple)
    try:
        return choose_slices(head, *inputs.slices, inputs.multiple)
    except ValueError as error:
        raise StudyRefused(
            f"the head in {reference} is wider than the network's slices ({error})", "crop or skull-strip the study"
        ) from error


def restore(unit: FloatArray, recipe: Recipe) -> FloatArray:
    """Bring a result back onto the reference source's grid.

    Args:
        unit: (X, Y, Z) of the window's size, values in [0, 1].
        recipe: from `prepare`.

    Returns:
        Values in [0, 1] on the reference's grid, float32, exactly 0 outside the head.
    """
    whole = recipe.window.undo(unit)
    if recipe.resampled is None:
        on_grid = recipe.reorient.undo(whole)
    else:
        on_grid = resample(whole, recipe.resampled, recipe.grid)
    return np.where(recipe.head, on_grid, np.float32(0)).astype(np.float32)


def _reference(volumes: Mapping[Contrast, Volume]) -> Contrast:
    """Return the source with the thinnest slices; of equals, the first in the checkpoint's order."""
    return min(volumes, key=lambda contrast: round(max(volumes[contrast].grid.spacing), 3))


def _check_overlap(volumes: Mapping[Contrast, Volume], grid: Grid, supports: Mapping[Contrast, BoolArray]) -> list[str]:
    """Refuse sources on different grids whose heads do not cover each other.

    Returns:
        Warnings: sources that were interpolated by their headers, sources with skull.

    Raises:
        StudyRefused: the overlap is too small, or cannot be judged because an image is not
            skull-stripped.
    """
    warnings = []
    full = [contrast for contrast, volume in volumes.items() if _litres(volume) > STRIPPED_LITRES]
    if full:
        warnings.append(f"{', '.join(full)}: not skull-stripped, it seems; the networks were trained on stripped heads")
    moved = [contrast for contrast, volume in volumes.items() if not volume.grid.same_as(grid)]
    advice = "bring the series onto one grid (co-register and skull-strip them) first"
    if moved and full:
        raise StudyRefused(
            f"the series lie on different grids ({', '.join(moved)} off the others') and are not skull-stripped", advice
        )
    whole = np.logical_or.reduce(list(supports.values()))
    for contrast in moved:
        dice = _dice(supports[contrast], whole)
        if dice < MIN_OVERLAP:
            raise StudyRefused(
                f"{contrast} ({volumes[contrast].path}) does not lie on the others (overlap {dice:.2f})", advice
            )
        warnings.append(f"{contrast} lies on another grid; it was interpolated by its header (overlap {dice:.2f})")
    return warnings


def _litres(volume: Volume) -> float:
    """Return the volume of the voxels that are not zero."""
    return float(np.count_nonzero(volume.voxels) * abs(np.linalg.det(volume.grid.affine[:3, :3])) / 1e6)


def _dice(one: BoolArray, other: BoolArray) -> float:
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / max(1, total)


def _head_on(grid: Grid, volumes: Mapping[Contrast, Volume]) -> BoolArray:
    """Return where, on a grid, any source is not zero."""
    head = np.zeros(grid.shape, bool)
    for volume in volumes.values():
        support = volume.voxels != 0
        head |= support if volume.grid.same_as(grid) else resample(support.astype(np.float32), volume.grid, grid) >= 0.5
    return head
