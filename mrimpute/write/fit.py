"""Does a complete case fit what its segmenter was trained on? A case that does not runs, and gives wrong masks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.files import read_json
from mrimpute.prepare.geometry import BRATS_SHAPE
from mrimpute.prepare.skull import with_skull
from mrimpute.study import Study
from mrimpute.volume import Grid
from mrimpute.write.layout import Layout

BRATS_ORIENTATION = "LPS"
BRATS_ORIGIN = (0.0, 239.0, 0.0)
"""RAS mm of the first voxel: the SRI24 atlas' grid as every BraTS release since 2017 stores it."""
ORIGIN_TOLERANCE_MM = 1.0
SPACING_TOLERANCE_MM = 0.01
SPACING_FACTOR = 1.5
"""nnU-Net resamples to its own spacing; voxels longer or shorter than those trained on by more are another kind."""
PLANS_FILES = ("plans.json", "nnUNetPlans.json")
_AS_IS = "or add --as-is if the segmenter takes it so"


def check_fit(study: Study, layout: Layout) -> None:
    """Check, before a voxel is read, that a case lies as its segmenter expects.

    Args:
        study: its series lie on one grid.
        layout: of the segmenter; bids promises nothing.

    Raises:
        StudyRefused: it does not; every reason is told. Or a plans file of nnU-Net cannot be used.
    """
    grids = [study.get(contrast).grid for contrast in layout.needs if contrast in study.present]
    if not grids:
        return
    if layout.name in ("brats21", "brats23"):
        reasons, remedy = _unlike_brats(grids[0]), "bring the study into BraTS space (SRI24, 1 mm, stripped) first"
    elif layout.dataset_json and (spacing := spacing_of_plans(layout.dataset_json, len(layout.needs))):
        reasons, remedy = _unlike_plan(grids[0], spacing), "resample the study to that spacing"
    else:
        return
    if reasons:
        text = f"{study.folder} does not fit a {layout.name} segmenter: {'; '.join(reasons)}"
        raise StudyRefused(text, f"{remedy}, {_AS_IS}")


def check_stripped(study: Study, layout: Layout, seen: Mapping[Contrast, bool]) -> None:
    """Check that the series of a BraTS case are skull-stripped, as a mask for making one does not strip the copies.

    Args:
        study: the acquired series are copied from.
        layout: of the segmenter.
        seen: whether those that were read for making a target have skull; the others are read here.

    Raises:
        StudyRefused: some have skull.
        ImageDamaged: one cannot be read.
    """
    if layout.name not in ("brats21", "brats23"):
        return
    copied = [contrast for contrast in layout.needs if contrast in study.present]
    unseen = with_skull((contrast, study.get(contrast).read()) for contrast in copied if contrast not in seen)
    full = [contrast for contrast in copied if seen.get(contrast) or contrast in unseen]
    if full:
        verb = "shows" if len(full) == 1 else "show"
        text = f"{study.folder} does not fit a {layout.name} segmenter: {', '.join(full)} {verb} skull"
        raise StudyRefused(text, f"strip the study's series first, {_AS_IS}")


def spacing_of_plans(dataset_json: Path, channels: int) -> tuple[float, ...] | None:
    """Return the median spacing that nnU-Net was trained on, in mm, from the plans file beside its dataset.json.

    Args:
        dataset_json: of the data set or the trained model.
        channels: as many as it lists.

    Returns:
        Three lengths, smallest first; None where no plans file is there.

    Raises:
        StudyRefused: the plans file cannot be read, or is for another number of channels.
    """
    file = next((dataset_json.with_name(name) for name in PLANS_FILES if dataset_json.with_name(name).is_file()), None)
    if file is None:
        return None
    try:
        plans = read_json(file)
        spacing = tuple(sorted(float(length) for length in plans["original_median_spacing_after_transp"]))
        planned = len(plans["foreground_intensity_properties_per_channel"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyRefused(f"{file} is no plans file of nnU-Net", "repair it, or move it away") from error
    if planned != channels or len(spacing) != 3:
        text = f"{file} plans {planned} channels in {len(spacing)} dimensions, {dataset_json} lists {channels} channels"
        raise StudyRefused(text, "give the dataset.json that the plans were made from")
    return spacing


def _unlike_brats(grid: Grid) -> list[str]:
    """Return what of a grid is not BraTS', in words."""
    origin = grid.affine[:3, 3]
    wrong = (
        (grid.shape != BRATS_SHAPE, f"{_times(grid.shape)} voxels, not {_times(BRATS_SHAPE)}"),
        (
            max(abs(length - 1) for length in grid.spacing) > SPACING_TOLERANCE_MM,
            f"voxels of {_times(grid.spacing)} mm, not 1 mm",
        ),
        (grid.orientation != BRATS_ORIENTATION, f"axes stored as {grid.orientation}, not {BRATS_ORIENTATION}"),
        (
            bool(np.abs(origin - BRATS_ORIGIN).max() > ORIGIN_TOLERANCE_MM),
            f"first voxel at ({', '.join(f'{place:.0f}' for place in origin)}) mm, not (0, 239, 0)",
        ),
    )
    return [words for holds, words in wrong if holds]


def _unlike_plan(grid: Grid, spacing: Sequence[float]) -> list[str]:
    """Return that a grid's voxels are of another kind than those trained on."""
    own = sorted(grid.spacing)
    factors = [max(one / other, other / one) for one, other in zip(own, spacing, strict=True)]
    told = f"voxels of {_times(own)} mm, trained on {_times(spacing)} mm"
    return [told] if max(factors) > SPACING_FACTOR else []


def _times(numbers: Sequence[float]) -> str:
    return "x".join(f"{number:.3g}" for number in numbers)
