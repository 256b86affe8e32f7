"""Images whose sources were registered, known again before anything is registered a second time."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mrimpute.device import choose_device
from mrimpute.engine import BrainMasks
from mrimpute.errors import MrimputeError
from mrimpute.marks import read_sidecar
from mrimpute.prepare.skull import BrainMask, with_skull
from mrimpute.prepare.sources import Sources, agreed_reference
from mrimpute.registry import Checkpoint
from mrimpute.request import Options, Order, Request, engine_of, fingerprint_of, sampling_of
from mrimpute.volume import Volume
from mrimpute.write.place import already_made


def all_stand(
    request: Request, volumes: Mapping[Path, Volume], mask: BrainMask | None, options: Options, masks: BrainMasks
) -> bool:
    """Tell whether every image of a request stands, its sources registered, made by the recipe that is wanted now.

    Where a source lies after registering follows from the files, the reference and --register, and that something was
    moved proves --register. Where a series takes part in no image, so that no record tells that it was ever compared
    with the others, a source was passed over, nothing was moved, or a page is wanted that may need the sources, the
    answer is no, and the study goes the whole way.

    Args:
        request: of a study.
        volumes: of its sources, as read, by the path of their series.
        mask: the user's.
        options: of the run.
        masks: tells what decides a brain mask.
    """
    plain = options.register and not (options.overwrite or options.report or options.picture or options.layout)
    try:
        plain = plain and _one_takes_all(request, volumes)
        return plain and all(_stands(request, order, volumes, mask, options, masks) for order in request.orders)
    except MrimputeError:
        return False  # it is told why where the study goes the whole way


def _one_takes_all(request: Request, volumes: Mapping[Path, Volume]) -> bool:
    """Tell whether one target takes every series of the study: the run that made it compared them all."""
    sources, regressed = request.sources, request.regressed
    every = {one.path for listed in (*sources.values(), request.beside) for one in listed}
    return any(
        every <= {one.path for one in (*sources[target], *regressed[target])} & set(volumes) for target in sources
    )


def _stands(
    request: Request,
    order: Order,
    volumes: Mapping[Path, Volume],
    mask: BrainMask | None,
    options: Options,
    masks: BrainMasks,
) -> bool:
    target, checkpoint = order.job.target, order.checkpoint
    place = request.destinations[target]
    recorded = read_sidecar(place.sidecar).get("fingerprint")
    moved = recorded.get("moved") if isinstance(recorded, dict) else None
    if not moved or not isinstance(checkpoint, Checkpoint) or not checkpoint.is_here:
        return False
    listed = {series.contrast: series for series in request.sources[target]}
    read = {contrast: volumes[series.path] for contrast, series in listed.items()}
    beside = {one.contrast: volumes[one.path] for one in request.regressed[target] if one.path in volumes}
    chosen = request.reference.series if request.reference else listed[agreed_reference(read)]
    full = tuple(with_skull(read.items()))
    lying = Sources(chosen, volumes[chosen.path], read, {}, mask, with_skull=full, beside=beside)
    sampling = order.sampling or sampling_of(checkpoint, options)
    engine = engine_of(checkpoint, options.precision, choose_device(options.device))
    wanted = fingerprint_of(order, checkpoint, sampling, lying, masks.word(lying), engine, options)
    return already_made(place, replace(wanted, moved=moved), False, options.left_open, options.checks).finished
