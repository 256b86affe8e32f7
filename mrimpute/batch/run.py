"""Many studies in one process: grouped by network, the next one read and prepared while one is computed."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.device import free_memory
from mrimpute.fill import Engine
from mrimpute.outcome import Outcome, outcome_of
from mrimpute.plan import Job
from mrimpute.prepare.reading import Inputs
from mrimpute.request import Request

WINDOW = 256
"""Studies that are planned together, so that those for one network come in a row."""
ROOM_AHEAD = 4 * 2**30
"""Free memory from which on a study is read ahead: a built-in network takes up to 2.9 GiB, a second study of
240x240x155 voxels up to 0.6 GB beside it."""


def fill_all(
    engine: Engine, folders: Iterable[Path], missing: Sequence[Contrast], dry_run: bool = False
) -> Iterator[Outcome]:
    """Fill studies, one bad study not stopping the rest.

    Within a window of studies the order is by network; voxels do not depend on it.

    Args:
        engine: holds options and the loaded network.
        folders: studies; taken from the iterator as the work goes on.
        missing: targets, as in `fill`.
        dry_run: settle what would be done only.

    Yields:
        What came of each study, its error in it.
    """
    waiting = iter(folders)
    while window := list(islice(waiting, WINDOW)):
        requests = [engine.request(folder, missing) for folder in window]
        if dry_run:
            yield from (outcome_of(request, Inputs(), error=request.error) for request in requests)
        else:
            yield from _carry_out(engine, _by_network(requests))


def _by_network(requests: list[Request]) -> list[Request]:
    """Bring studies for one network together, otherwise in the order given."""
    first_seen: dict[tuple[Job, ...], int] = {}
    keys, key = [], 0
    for request in requests:
        if request.plan:  # a study that could not be planned stays behind the one before it
            key = first_seen.setdefault(request.plan.jobs, len(first_seen))
        keys.append(key)
    return [requests[number] for number in sorted(range(len(requests)), key=keys.__getitem__)]


def _carry_out(engine: Engine, requests: list[Request]) -> Iterator[Outcome]:
    """Fill studies in a row, the next one read and prepared while one is computed, where memory allows."""
    reader = ThreadPoolExecutor(max_workers=1)
    try:
        coming = None
        for number, request in enumerate(requests):
            inputs, checked = (coming or reader.submit(engine.read_ahead, request)).result()
            following = requests[number + 1 : number + 2] if _has_room() else []
            coming = reader.submit(engine.read_ahead, *following) if following else None
            yield engine.carry_out(request, inputs, checked)
    finally:
        reader.shutdown(wait=False, cancel_futures=True)  # a signal does not wait for a study that is being read


def _has_room() -> bool:
    """Tell whether memory is free for a second study beside the one that is computed."""
    free = free_memory()
    return free is None or free >= ROOM_AHEAD
