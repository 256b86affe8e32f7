"""Networks without a regression, run on complete studies: how their grey values go with the acquired ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mrimpute.calibration.curve import Joint, joint_of
from mrimpute.calibration.learn import Learnt
from mrimpute.calibration.use import network_run
from mrimpute.contrasts import Contrast
from mrimpute.errors import MrimputeError, StudyRefused, UsageError
from mrimpute.evaluate import normalised
from mrimpute.fill import Engine
from mrimpute.generators.records import has_regression
from mrimpute.plan import make_plan
from mrimpute.prepare.geometry import resample
from mrimpute.prepare.sources import choose_sources
from mrimpute.registry import Checkpoint
from mrimpute.request import Options
from mrimpute.request.order import Order, order_of
from mrimpute.settings import Settings
from mrimpute.study import Study, find_series
from mrimpute.volume import FloatArray, Grid, Volume

RunOf = Callable[[Path, Contrast], None]
"""Called with the study and the target before a network is run."""
Orders = Mapping[Path, Sequence[Order]]
"""What is run on each study."""


def curve_orders(folders: Sequence[Path], targets: Sequence[Contrast], options: Options) -> dict[Path, list[Order]]:
    """Return which networks are to be run on which studies, before a voxel is read; what a study's own settings say
    counts for nothing.

    Args:
        folders: complete studies; of one that cannot be used nothing is said here.
        targets: what is left out in turn.
        options: weights, sampling and device.

    Raises:
        UsageError: a network has a regression, and needs no curve, or cannot be sampled so.
        WeightsUnavailable: it is not known.
    """
    orders = {}
    for folder in folders:
        try:
            study = find_series(folder)
            held = [target for target in targets if target in study.present]
            plans = [make_plan(study.without(target), [target], options.generator) for target in held]
        except StudyRefused:
            continue  # it is told why when it is read
        jobs = [(plan.study.present, job) for plan in plans for job in plan.jobs]
        orders[folder] = [order_of(job, present, folder, Settings(), options) for present, job in jobs]
        for order in orders[folder]:
            _check_bare(order.checkpoint)
    return orders


def _check_bare(checkpoint: Checkpoint | MrimputeError) -> None:
    """Check that a network has no regression of its own.

    Raises:
        UsageError: it has, and a calibration replaces that.
        MrimputeError: it is not known.
    """
    if isinstance(checkpoint, MrimputeError):
        raise checkpoint
    if has_regression(checkpoint):
        raise UsageError(
            f"--weights: {checkpoint.name} is blended with a regression, which every calibration replaces",
            "leave --weights and --missing out, or name weights without a regression",
        )


def with_curves(learnt: Learnt, orders: Orders, engine: Engine, told: RunOf) -> Learnt:
    """Run networks on the studies of a calibration, and add what their images tell.

    Args:
        learnt: the calibration.
        orders: from `curve_orders`.
        engine: runs them.
        told: called before each run.

    Raises:
        MrimputeError: a network cannot be had or run.
    """
    members = []
    for folder, member in zip(learnt.used, learnt.site.studies, strict=True):
        joints = tuple(_joints(folder, orders.get(folder, ()), engine, told))
        members.append(replace(member, joints=joints))
    return replace(learnt, site=replace(learnt.site, studies=tuple(members)))


def _joints(folder: Path, orders: Sequence[Order], engine: Engine, told: RunOf) -> Iterator[Joint]:
    study = find_series(folder)
    volumes = {series.path: series.read() for series in study.series}
    for order in orders:
        told(folder, order.job.target)
        yield _joint(study, volumes, order, engine)


def _joint(study: Study, volumes: Mapping[Path, Volume], order: Order, engine: Engine) -> Joint:
    """Make one target of a study from its sources, and compare it with the acquired one."""
    target = order.job.target
    listed = [study.get(contrast) for contrast in order.job.sources]
    sources = choose_sources(listed, None, volumes, register=False, mask=None)
    checkpoint, sampling = engine.maker.networks.obtain(order)
    made, _ = engine.image(order, sources)
    acquired, mask = volumes[study.get(target).path], engine.maker.masks.of(sources)
    run = network_run(checkpoint, sampling, target, order.job.sources)
    truth = _on(mask.applied(acquired) if mask else acquired, made.recipe.grid)
    return joint_of(run, made.unit, truth, made.recipe.head)


def _on(acquired: Volume, grid: Grid) -> FloatArray:
    """Return an acquired image in [0, 1] on the grid of a made one."""
    unit = normalised(acquired).astype("float32")
    return unit if acquired.grid.same_as(grid) else resample(unit, acquired.grid, grid)
