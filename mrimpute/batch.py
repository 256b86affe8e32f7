"""Many studies in one process: grouped by network, the next one read while one is computed."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.engine import ClaimedPlaces
from mrimpute.errors import UsageError
from mrimpute.fill import Engine
from mrimpute.outcome import Outcome, outcome_of
from mrimpute.plan import Job
from mrimpute.prepare.sources import Inputs
from mrimpute.request import Request

WINDOW = 256
"""Studies that are planned together, so that those for one network come in a row."""


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
    """Fill studies in a row, the next one read while one is computed."""
    reader = ThreadPoolExecutor(max_workers=1)
    try:
        coming = reader.submit(engine.read, requests[0])
        for request, following in zip(requests, [*requests[1:], None], strict=True):
            inputs = coming.result()
            if following is not None:
                coming = reader.submit(engine.read, following)
            yield engine.carry_out(request, inputs)
    finally:
        reader.shutdown(wait=False, cancel_futures=True)  # a signal does not wait for a study that is being read


def check_places(engine: Engine, folders: Iterable[Path], missing: Sequence[Contrast]) -> None:
    """Refuse a cohort of which two studies would be written to one place, before it is cut into parts.

    Each part would see one of them only. Headers are read of those studies alone whose folders have like names.

    Args:
        engine: holds the options.
        folders: the whole cohort.
        missing: targets, as in `fill`.

    Raises:
        OutputRefused: two studies have one place.
    """
    if engine.options.out is None:
        return
    alike: dict[str, list[Path]] = {}
    for folder in folders:
        alike.setdefault(_rough_name(folder), []).append(folder)
    for group in alike.values():
        claimed = ClaimedPlaces()
        for folder in group if len(group) > 1 else ():
            claimed.take(engine.request(folder, missing).images, folder)


def _rough_name(folder: Path) -> str:
    """Return what is equal for two studies wherever a layout makes their names equal; of BIDS with the subject."""
    name = Path(os.path.realpath(folder)).name
    if re.match("ses-|anat$", name):
        inside = sorted(path.name for place in (folder, folder / "anat") for path in place.glob("sub-*_*"))
        name = "".join(part for part in inside[0].split("_") if re.match("sub-|ses-", part)) if inside else name
    return re.sub(r"[^a-z0-9]", "", name.lower())


def shard(folders: Sequence[Path], word: str) -> list[Path]:
    """Return the studies of one part of a cohort, by sorted path.

    Args:
        folders: the whole cohort.
        word: 'I/N' (part I of N, counted from 0), or 'slurm' for the place in a job array.

    Raises:
        UsageError: another word, or no Slurm array around.
    """
    if word == "slurm":
        try:
            first = int(os.environ.get("SLURM_ARRAY_TASK_MIN", "0"))
            part, parts = int(os.environ["SLURM_ARRAY_TASK_ID"]) - first, int(os.environ["SLURM_ARRAY_TASK_COUNT"])
        except (KeyError, ValueError) as error:
            raise UsageError("--shard slurm: this is no Slurm array job", "use --shard I/N") from error
    else:
        left, _, right = word.partition("/")
        if not (left.isdigit() and right.isdigit()):
            raise UsageError(f"--shard {word}: not of the form I/N", "use for instance --shard 0/4")
        part, parts = int(left), int(right)
    if not 0 <= part < parts:
        raise UsageError(f"--shard {part}/{parts}: parts count from 0 to {parts - 1}", "correct it")
    return sorted(folders)[part::parts]
