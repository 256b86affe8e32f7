"""Synthetic against acquired: one pair of images, or every sequence of a study left out in turn."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mrimpute import io
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import ImageDamaged, NoRoute, StudyRefused, UsageError
from mrimpute.fill import Engine
from mrimpute.io.image import place_of, read_image
from mrimpute.marks import is_synthetic
from mrimpute.metrics import Score, Texture, score, texture
from mrimpute.picture import Panel, Row, middle_of, most_of
from mrimpute.plan import make_plan, route
from mrimpute.prepare.extent import check_extent
from mrimpute.prepare.geometry import Reorient
from mrimpute.prepare.intensity import GreyRange, quantile_range
from mrimpute.prepare.skull import head_of
from mrimpute.prepare.sources import choose_sources
from mrimpute.registry import Checkpoint
from mrimpute.request import Options
from mrimpute.request.order import Order, order_of
from mrimpute.request.trust import trusted
from mrimpute.segment import CompleteCase, Segmented, Segmenter
from mrimpute.settings import read_settings
from mrimpute.study import Study, find_series
from mrimpute.study.folder import read_json_sidecar
from mrimpute.volume import BoolArray, FloatArray, Grid, Volume

DIFFERENCE_GAIN = 2.0
"""Differences are drawn this much brighter, around middle grey."""
QUANTILES = (0.001, 0.999)
"""Acquired images are clipped to these quantiles, at least 0, and mapped to [0, 1]."""


@dataclass(frozen=True)
class Evaluation:
    """How near one synthetic image comes to the acquired one.

    Attributes:
        study, target: what was evaluated.
        made, acquired: the files; where a sequence was left out, both are the acquired one.
        scale: how the synthetic image was brought to [0, 1].
        brain: how the brain was told from the background.
        scores: region ('whole', 'brain', 'lesion') → metrics.
        texture: sharpness and fit of neighbouring slices, beside the acquired image's.
        checkpoint: name of the network; '' where files were compared.
        seconds: that checking and generating took; 0 where files were compared.
        seen: whether network or calibration learnt from the study: 'no', 'network', 'calibration', 'network and
            calibration', or 'unknown' where the network's record does not tell.
        images: (made, acquired) in [0, 1], (X, Y, Z) each, for a picture.
        grid: where they lie.
        point: (3,) RAS mm: where a picture cuts them: most of the lesion, else the middle of the head.
        segmented: what a segmenter makes of it; None where none was asked.
    """

    study: str
    target: str
    made: Path
    acquired: Path
    scale: str
    brain: str
    scores: dict[str, Score]
    texture: Texture
    checkpoint: str
    seconds: float
    images: tuple[FloatArray, FloatArray]
    grid: Grid
    point: FloatArray
    seen: str = "unknown"
    segmented: Segmented | None = None


def evaluate_files(made: Path, acquired: Path, mask: Path | None = None) -> Evaluation:
    """Compare a synthetic image with the acquired one.

    Args:
        made: an image file, a DICOM file or a folder of one series; ours is mapped back to [0, 1] by its sidecar, any
            other by its own quantiles.
        acquired: likewise; see `normalised`.
        mask: lesion mask on the same grid, not zero in the lesion.

    Raises:
        ImageDamaged: an image cannot be used.
        UsageError: the images lie on different grids, or a folder holds not one image.
    """
    truth = read_image(acquired)
    lesion = _lesion(mask, truth).get("lesion")
    return compare(read_image(made), truth, lesion)


def compare(made: Volume, acquired: Volume, lesion: BoolArray | None = None) -> Evaluation:
    """Compare a synthetic volume with the acquired one.

    Args:
        made, acquired: as in `evaluate_files`, read.
        lesion: (X, Y, Z) on the acquired one's grid.

    Raises:
        UsageError: they lie on different grids.
    """
    volume = _turned(made, acquired)
    if lesion is not None and lesion.shape != acquired.voxels.shape:
        raise UsageError(f"the lesion has {lesion.shape} voxels, the image {acquired.voxels.shape}", "resample it")
    unit, scale = _unit(volume)
    brain = acquired.voxels != 0
    regions = {"whole": np.ones_like(brain), "brain": brain}
    regions |= {"lesion": lesion} if lesion is not None and lesion.any() else {}
    target = normalised(acquired)
    return Evaluation(
        study=place_of(acquired).parent.name,
        target="",
        made=place_of(made),
        acquired=place_of(acquired),
        scale=scale,
        brain="where the acquired image is not zero",
        scores=score(unit, target, regions),
        texture=texture(unit, target, brain, _through(acquired.grid)),
        checkpoint="",
        seconds=0.0,
        images=(unit, target),
        grid=acquired.grid,
        point=_point(regions, target, acquired.grid),
    )


def leave_one_out(
    folder: Path,
    targets: Sequence[Contrast],
    options: Options,
    engine: Engine,
    seen: bool = False,
    segmenter: Segmenter | None = None,
) -> Iterator[Evaluation]:
    """Leave each sequence of a study out in turn, make it from the others, and compare.

    Args:
        folder: a study that holds the targets and their sources.
        targets: empty for all of t1, t1c, t2, flair that are present and can be made.
        options: of the run; names of series, weights, sampling, device.
        engine: makes the images under these options.
        seen: whether a study may be measured that network or calibration learnt from.
        segmenter: run on the complete case and on each case with a synthetic contrast.

    Yields:
        One evaluation per target.

    Raises:
        MrimputeError: the study cannot be used, or a target cannot be made.
    """
    study = find_series(folder, options.overrides)
    settings = trusted(read_settings(folder), folder, options)
    wanted = targets or [contrast for contrast in BRATS_FOUR if _makeable(study, contrast)]
    if not wanted:
        raise StudyRefused(f"{folder} holds no sequence that could be made from its others", "see `mrimpute scan`")
    for target in wanted:
        if target not in study.present:
            raise StudyRefused(f"{folder} has no acquired {target} to compare with", "leave it out of --missing")
    plans = [make_plan(study.without(target), [target], options.generator) for target in wanted]
    orders = [order_of(job, plan.study.present, folder, settings, options) for plan in plans for job in plan.jobs]
    volumes = {series.path: series.read() for series in study.series}
    check_extent({series.contrast: volumes[series.path] for series in study.series})
    masks = [item.path for item in study.set_aside if item.reason.startswith("a segmentation")]
    learnt = [_learnt_from(order, volumes) for order in orders]
    if not seen:
        _check_unseen(folder, learnt)
    mask = masks[0] if len(masks) == 1 else None
    complete = CompleteCase(segmenter, study, mask) if segmenter else None
    for order, word in zip(orders, learnt, strict=True):
        yield _left_out(study, order, volumes, mask, engine, word, complete)


def _check_unseen(folder: Path, learnt: Sequence[str]) -> None:
    """Check that nothing is known to have learnt from a study.

    Raises:
        StudyRefused: network or calibration did.
    """
    word = next((word for word in learnt if word not in ("no", "unknown")), None)
    if word:
        raise StudyRefused(
            f"{folder}: the {word} learnt from this study, so that figures of it tell nothing",
            "measure another study, or add --seen, which is then told with the figures",
        )


def _learnt_from(order: Order, volumes: dict[Path, Volume]) -> str:
    """Return what of an order learnt from a study with these volumes; see `Evaluation.seen`."""
    digests = {volume.voxel_digest for volume in volumes.values()}
    network = order.checkpoint.record.trained_on_voxels if isinstance(order.checkpoint, Checkpoint) else None
    found = ["network"] if digests.intersection(network or ()) else []
    found += ["calibration"] if order.calibration and order.calibration.knows(digests) else []
    return " and ".join(found) or ("unknown" if network is None else "no")


def _left_out(
    study: Study,
    order: Order,
    volumes: dict[Path, Volume],
    mask: Path | None,
    engine: Engine,
    seen: str,
    complete: CompleteCase | None,
) -> Evaluation:
    """Make one target from the others of its study, and compare; have both cases segmented, where asked for."""
    target = order.job.target
    truth = volumes[study.get(target).path]
    began = time.perf_counter()
    listed = [study.get(contrast) for contrast in order.job.sources]
    beside = [study.get(contrast) for contrast in order.beside]
    sources = choose_sources(listed, None, volumes, register=False, mask=None, regressed=beside)
    made, checkpoint = engine.image(order, sources)
    seconds = time.perf_counter() - began
    if not made.recipe.grid.same_as(truth.grid):
        reference = study.get(made.recipe.reference).path
        raise UsageError(
            f"{reference} ({made.recipe.grid.words}) and {truth.path} ({truth.grid.words}) lie on different grids",
            "resample the study's series onto one grid; nothing can be compared voxel by voxel otherwise",
        )
    brain = np.logical_or.reduce([v.voxels != 0 for v in volumes.values() if v.grid.same_as(truth.grid)])
    regions = {"whole": np.ones_like(brain), "brain": brain} | _lesion(mask, truth)
    images = (np.asarray(made.unit, np.float64), normalised(truth))
    return Evaluation(
        study=study.name,
        target=target,
        made=truth.path,
        acquired=truth.path,
        scale="as the network made it",
        brain="where any sequence is not zero",
        scores=score(*images, regions),
        texture=texture(*images, brain, _through(truth.grid)),
        checkpoint=checkpoint.name,
        seconds=seconds,
        images=images,
        grid=truth.grid,
        point=_point(regions, images[1], truth.grid),
        seen=seen,
        segmented=complete.beside(made, checkpoint) if complete else None,
    )


def picture_row(evaluation: Evaluation) -> Row:
    """Return what a picture shows of an evaluation: acquired, synthetic and difference."""
    made, acquired = evaluation.images
    target, grid = evaluation.target, evaluation.grid
    difference = 0.5 + DIFFERENCE_GAIN * (made - acquired) / 2
    panels = (
        Panel(f"{target} acquired".strip(), acquired, grid),
        Panel(f"{target} made".strip(), made, grid, synthetic=True),
        Panel(f"made - acquired, x{DIFFERENCE_GAIN:g}", difference, grid, synthetic=True),
    )
    return Row(panels, evaluation.point)


def normalised(volume: Volume) -> FloatArray:
    """Return an acquired image in [0, 1], float64, as the built-in networks see it: empty margin does not count."""
    grey = quantile_range(volume, QUANTILES, 0.0, head_of(volume))
    return np.asarray(grey.normalise(volume.voxels), np.float64)


def _unit(volume: Volume) -> tuple[FloatArray, str]:
    """Return a synthetic image in [0, 1], and how it got there."""
    place = place_of(volume)
    sidecar = read_json_sidecar(place)
    match sidecar.get("intensity") if is_synthetic(place, sidecar) else None:
        case None | {"one": None}:
            return normalised(volume), "its own 0.1 and 99.9 percentiles"
        case {"zero": int() | float() as zero, "one": int() | float() as one} if one > zero:
            unit = np.clip(GreyRange(zero, one).exactly(volume.voxels), 0, 1)
            return unit, f"its sidecar: {zero:.6g} is 0 and {one:.6g} is 1"
    raise ImageDamaged(f"the sidecar of {place} is damaged: intensity is wrong", "make the image again")


def _lesion(mask: Path | None, truth: Volume) -> dict[str, BoolArray]:
    """Return the lesion as a region; {} without a mask."""
    if mask is None:
        return {}
    info, voxels = io.read_info(mask), io.read_mask(mask)
    if not info.grid.same_as(truth.grid):
        raise UsageError(f"{mask} does not lie on the grid of {truth.path}", "resample the mask")
    return {"lesion": voxels} if voxels.any() else {}


def _through(grid: Grid) -> int:
    """Return the array axis along which axial slices follow each other."""
    return next(axis for axis, code in enumerate(grid.orientation) if code in "SI")


def _point(regions: Mapping[str, BoolArray], acquired: FloatArray, grid: Grid) -> FloatArray:
    """Return where a picture cuts the images: where most of the lesion is, else in the middle of the head."""
    lesion = regions.get("lesion")
    return middle_of(acquired, grid) if lesion is None else most_of(lesion, grid)


def _turned(made: Volume, truth: Volume) -> Volume:
    """Return an image with its axes in the acquired one's order; no voxel is interpolated.

    Raises:
        UsageError: it lies on another grid.
    """
    turn = Reorient(made.grid, truth.grid.orientation)
    if turn.grid.same_as(truth.grid):
        return replace(made, voxels=turn.apply(made.voxels), grid=turn.grid)
    raise UsageError(
        f"{made.path} ({made.grid.words}) and {truth.path} ({truth.grid.words}) lie on different grids",
        "fill again with --reference and the acquired series' contrast, or resample one onto the other's grid",
    )


def _makeable(study: Study, target: Contrast) -> bool:
    """Tell whether the other sequences have a route to this one."""
    if target not in study.present:
        return False
    others = [contrast for contrast in study.present if contrast is not target]
    try:
        return bool(route(others, [target]))
    except NoRoute:
        return False
