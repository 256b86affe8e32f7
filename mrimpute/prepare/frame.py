"""Sources into a network's frame, and a result back onto the reference source's exact grid."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np

from mrimpute.contrasts import LIMITS, Contrast
from mrimpute.device import side_by_side
from mrimpute.errors import StudyRefused
from mrimpute.prepare.geometry import Reorient, Window, choose_slices, choose_window, resample, respaced
from mrimpute.prepare.intensity import GreyRange, mean_range, quantile_range, study_scale
from mrimpute.prepare.skull import filled, head_of, with_skull
from mrimpute.registry import InputSpec
from mrimpute.volume import BoolArray, FloatArray, Grid, Volume

Made = TypeVar("Made")
MIN_OVERLAP = 0.9
"""Least Dice overlap of the stripped heads of two sources that lie on different grids."""


@dataclass(frozen=True)
class Recipe:
    """What was applied to the sources: all that restore needs, and provenance records.

    Attributes:
        reference: contrast of the series whose grid the result gets.
        grid, header: grid and header of that series.
        reorient: first spatial step.
        resampled: grid that the sources were interpolated onto; None where reorienting sufficed.
        window: the box of it that the network sees.
        head: (X, Y, Z) on the reference's grid: where any source shows the head.
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
        images: contrast → (X, Y, Z) float32 in [0, 1] (beyond, where quantiles are the window's), all of
            the window's size.
        head: (X, Y, Z) of the same size: where any source is above 0, and what that encloses of the head.
        recipe: how they came here.
        content: digests of the sources' voxels and places, which with the run's seed decide the noise.
        warnings: what the user should know about these inputs.
        estimates: target → (X, Y, Z) float32 in [0, 1], of the same size: what a regression makes of all present
            sources. A generator that is blended with a regression takes it instead of its own.
        network_share: of the network's structure in that blend; None for the generator's own. SynDiff alone heeds it.
        curve: (2, K) values of the network's result that rise, and what they mean; None for the result as it is.
        regression: what that regression or curve is, in the sidecar's words; None where there is neither.
        fit: how the series fit their names, the scanner and, with a calibration, each other, in the sidecar's words;
            None where that was not looked at.
    """

    images: dict[Contrast, FloatArray]
    head: BoolArray
    recipe: Recipe
    content: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    estimates: dict[Contrast, FloatArray] = field(default_factory=dict)
    network_share: float | None = None
    curve: FloatArray | None = None
    regression: dict[str, object] | None = None
    fit: dict[str, object] | None = None


@dataclass(frozen=True)
class Image:
    """A synthetic image on the grid of its reference series.

    Attributes:
        target: its contrast.
        unit: (X, Y, Z) float32 in [0, 1], 0 outside the head.
        recipe: how its sources were prepared.
        warnings: what the user should know about them.
        regression, fit: see `Prepared`.
    """

    target: Contrast
    unit: FloatArray
    recipe: Recipe
    warnings: tuple[str, ...] = ()
    regression: dict[str, object] | None = None
    fit: dict[str, object] | None = None

    @property
    def black(self) -> float:
        """Share of the head that is exactly 0."""
        return float(np.mean(self.unit[self.recipe.head] == 0))


def image_of(ready: Prepared, target: Contrast, unit: FloatArray) -> Image:
    """Return a synthetic image with what is told of its sources.

    Args:
        ready: its sources.
        target: its contrast.
        unit: (X, Y, Z) float32 in [0, 1] on the reference's grid, 0 outside the head.
    """
    warnings = (*ready.warnings, *((LIMITS[target],) if target in LIMITS else ()))
    return Image(target, unit, ready.recipe, warnings, ready.regression, ready.fit)


def prepare(
    volumes: Mapping[Contrast, Volume], inputs: InputSpec, onto: tuple[Contrast, Volume] | None = None
) -> Prepared:
    """Bring the sources of one target into the frame that a checkpoint was trained in.

    Args:
        volumes: the sources, in the checkpoint's order.
        inputs: the checkpoint's frame: orientation, spacing, window, grey-value rule.
        onto: the series whose grid the result gets; None for one of the sources.

    Raises:
        StudyRefused: the sources do not lie on each other, or one has no grey values.
    """
    reference = onto[0] if onto else choose_reference(volumes)
    host = onto[1] if onto else volumes[reference]
    grid = host.grid
    reorient = Reorient(grid, inputs.orientation)
    oriented = reorient.grid
    working = respaced(oriented, inputs.spacing)
    late = inputs.quantiles_of == "window"  # grey values are mapped once the window is cut
    heads = _each(volumes, lambda one: head_of(volumes[one]))
    ranges = {} if late else _each(volumes, lambda one: _range(one, volumes[one], inputs, heads[one]))

    def framed(contrast: Contrast) -> tuple[FloatArray, BoolArray]:
        volume, support = volumes[contrast], heads[contrast]
        if contrast in inputs.ranges:
            grey = np.asarray(volume.voxels, np.float32) if late else ranges[contrast].normalise(volume.voxels)
            support = grey > 0  # air in CT is not 0
        else:
            grey = _grey_in(volume, support, ranges.get(contrast))
        if volume.grid.same_as(grid) and working is oriented:
            return reorient.apply(grey), reorient.apply(support)
        seen = resample(support.astype(np.float32), volume.grid, working) >= 0.5
        return resample(grey, volume.grid, working), seen

    framings = _each(volumes, framed)
    images = {contrast: image for contrast, (image, _) in framings.items()}
    supports = {contrast: support for contrast, (_, support) in framings.items()}
    warnings = _check_overlap(volumes, grid, supports)

    head = np.logical_or.reduce(list(supports.values()))
    if not head.any():
        raise StudyRefused(f"the sources of {reference} do not overlap", "check their headers")
    window = _window(head, inputs, reference)
    if inputs.window and window.size != inputs.window:
        warnings.append(_widened(window, inputs))
    boxed = {contrast: window.apply(image) for contrast, image in images.items()}
    if late:
        for contrast, volume in volumes.items():
            ranges[contrast] = quantile_range(replace(volume, voxels=boxed[contrast]), _quantiles(inputs), None)
            boxed[contrast] = ranges[contrast].mapped(boxed[contrast])
    # Above 0 reaches a voxel further than the head where sources were interpolated, which the way back needs.
    seen = np.logical_or.reduce([image > 0 for image in boxed.values()])
    held = window.apply(head)
    inside = seen | (held & filled(seen)) if (held & ~seen).any() else seen
    recipe = Recipe(
        reference,
        grid,
        host.header,
        reorient,
        None if working is oriented else working,
        window,
        _head_on(grid, volumes, heads),
        ranges,
        study_scale(volumes),
    )
    content = tuple(side_by_side(attrgetter("placed_digest"), volumes.values()))
    return Prepared(boxed, inside, recipe, content, tuple(warnings))


def _widened(window: Window, inputs: InputSpec) -> str:
    """Say that a head did not fit, and what follows: percentiles of a larger window are others."""
    moved = ", and grey values are scaled by other percentiles" if inputs.quantiles_of == "window" else ""
    return f"the head is larger than the network's window; it was widened to {window.size} voxels{moved}"


def place_beside(
    volumes: Mapping[Contrast, Volume], recipe: Recipe, inputs: InputSpec
) -> tuple[dict[Contrast, FloatArray], dict[Contrast, GreyRange]]:
    """Bring further series of a study into the box that its sources were brought into.

    Args:
        volumes: the series, as they lie on the sources.
        recipe: of the sources.
        inputs: the frame; its grey values do not follow what the network sees.

    Returns:
        The images, (X, Y, Z) float32 in [0, 1] each, and the grey values that became 0 and 1.

    Raises:
        StudyRefused: one has no grey values.
    """
    heads = _each(volumes, lambda one: head_of(volumes[one]))
    ranges = _each(volumes, lambda one: _range(one, volumes[one], inputs, heads[one]))

    def placed(contrast: Contrast) -> FloatArray:
        volume = volumes[contrast]
        return boxed(_grey_in(volume, heads[contrast], ranges[contrast]), volume.grid, recipe)

    return _each(volumes, placed), ranges


def _grey_in(volume: Volume, head: BoolArray, grey_range: GreyRange | None) -> FloatArray:
    """Return the grey values of a head, mapped to [0, 1] where a range is given; a scanner's noise around it is 0."""
    made = np.zeros(volume.voxels.shape, np.float32)
    if grey_range is None:
        made[head] = volume.voxels[head]
        return made
    (nothing,) = grey_range.normalise(np.zeros(1))
    if nothing:
        made[volume.voxels == 0] = nothing
    made[head] = grey_range.normalise(volume.voxels[head])
    return made


def _each(volumes: Iterable[Contrast], work: Callable[[Contrast], Made]) -> dict[Contrast, Made]:
    """Return what comes of each contrast, worked on side by side."""
    contrasts = list(volumes)
    return dict(zip(contrasts, side_by_side(work, contrasts), strict=True))


def boxed(voxels: FloatArray, grid: Grid, recipe: Recipe) -> FloatArray:
    """Bring voxels (X, Y, Z) on some grid into the box that the sources of a recipe were brought into."""
    if grid.same_as(recipe.grid) and recipe.resampled is None:
        whole: FloatArray = recipe.reorient.apply(voxels)
    else:
        whole = resample(voxels, grid, recipe.resampled or recipe.reorient.grid)
    box: FloatArray = recipe.window.apply(whole)
    return box


def _quantiles(inputs: InputSpec) -> tuple[float, float]:
    assert inputs.clip_quantiles is not None  # quantiles_of needs them
    return inputs.clip_quantiles


def _range(contrast: Contrast, volume: Volume, inputs: InputSpec, head: BoolArray) -> GreyRange:
    if contrast in inputs.ranges:
        return GreyRange(*inputs.ranges[contrast])
    if inputs.clip_quantiles:
        of = head if inputs.quantiles_of == "head" else None
        return quantile_range(volume, inputs.clip_quantiles, inputs.clip_floor, of)
    return mean_range(volume, inputs.mean_to[contrast], head)


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


def choose_reference(volumes: Mapping[Contrast, Volume]) -> Contrast:
    """Return the source with the thinnest slices; of equals, the one that covers most; of equals
    again, the first in the checkpoint's order."""

    def key(contrast: Contrast) -> tuple[float, float]:
        grid = volumes[contrast].grid
        return round(max(grid.spacing), 3), -round(float(np.prod(grid.shape) * np.prod(grid.spacing)), -3)

    return min(volumes, key=key)


def _check_overlap(volumes: Mapping[Contrast, Volume], grid: Grid, supports: Mapping[Contrast, BoolArray]) -> list[str]:
    """Refuse stripped sources on different grids whose heads do not cover each other.

    Returns:
        Warnings: sources that were interpolated, sources with skull.

    Raises:
        StudyRefused: the overlap is too small.
    """
    warnings = []
    full = with_skull(volumes.items())
    if full:
        warnings.append(
            f"{', '.join(full)}: not skull-stripped, it seems; the networks were trained on stripped heads: "
            "add --brain-mask FILE or --skull-strip"
        )
    moved = [contrast for contrast, volume in volumes.items() if not volume.grid.same_as(grid)]
    whole = np.logical_or.reduce(list(supports.values()))
    for contrast in moved:
        note = f"{contrast} lies on another grid; it was interpolated"
        if not full:
            dice = _dice(supports[contrast], whole)
            note += f" (overlap {dice:.2f})"
            if dice < MIN_OVERLAP:
                raise StudyRefused(
                    f"{contrast} ({volumes[contrast].path}) does not lie on the others (overlap {dice:.2f})",
                    "bring the series onto one grid (co-register and skull-strip them) first",
                )
        warnings.append(f"{note}; across its slices it was measured every {_across(volumes[contrast].grid):.3g} mm")
    return warnings


def _across(grid: Grid) -> float:
    """Return the distance of voxels in mm along the coarsest axis."""
    return max(grid.spacing)


def _dice(one: BoolArray, other: BoolArray) -> float:
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / max(1, total)


def _head_on(grid: Grid, volumes: Mapping[Contrast, Volume], heads: Mapping[Contrast, BoolArray]) -> BoolArray:
    """Return where, on a grid, any source shows the head."""
    head = np.zeros(grid.shape, bool)
    for contrast, support in heads.items():
        volume = volumes[contrast]
        head |= support if volume.grid.same_as(grid) else resample(support.astype(np.float32), volume.grid, grid) >= 0.5
    return head
