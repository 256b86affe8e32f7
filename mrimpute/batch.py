"""Many studies in one process: grouped by network, the next one read while one is computed."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.errors import MrimputeError, Unexpected, UsageError
from mrimpute.fill import Engine, Outcome, Sources
from mrimpute.plan import Job, Plan

WINDOW = 256
"""Studies that are planned together, so that those for one network come in a row."""


@dataclass
class Finished:
    """One study of a batch: what came of it, and the error that ended it."""

    outcome: Outcome
    error: MrimputeError | None = None


def fill_all(
    engine: Engine, folders: Iterable[Path], missing: Sequence[Contrast], dry_run: bool = False
) -> Iterator[Finished]:
    """Fill studies, one bad study not stopping the rest.

    Within a window of studies the order is by network; voxels do not depend on it.

    Args:
        engine: holds options and the loaded network.
        folders: studies; taken from the iterator as the work goes on.
        missing: targets, as in `fill`.
        dry_run: plan only.

    Yields:
        Each study when it is done.
    """
    waiting = iter(folders)
    while window := list(islice(waiting, WINDOW)):
        items = [_planned(engine, folder, missing) for folder in window]
        if dry_run:
            yield from (Finished(item.outcome, item.error) for item in items)
        else:
            yield from _fill_planned(engine, _by_network(items))


@dataclass
class _Item:
    """One study of a window: its plan, or the error that ended the planning."""

    outcome: Outcome
    plan: Plan | None = None
    error: MrimputeError | None = None


def _planned(engine: Engine, folder: Path, missing: Sequence[Contrast]) -> _Item:
    item = _Item(Outcome(folder))
    try:
        item.plan = engine.plan(folder, missing, item.outcome)
    except MrimputeError as error:
        item.error = error
    except Exception as error:
        item.error = _wrapped(error)
    return item


def _wrapped(error: Exception) -> Unexpected:
    unexpected = Unexpected(error)
    unexpected.__cause__ = error
    return unexpected


def _by_network(items: list[_Item]) -> list[_Item]:
    """Bring studies for one network together, otherwise in the order given."""
    first_seen: dict[tuple[Job, ...], int] = {}
    keys, key = [], 0
    for item in items:
        if item.plan:  # a study that could not be planned stays behind the one before it
            key = first_seen.setdefault(item.plan.jobs, len(first_seen))
        keys.append(key)
    return [items[number] for number in sorted(range(len(items)), key=keys.__getitem__)]


def _fill_planned(engine: Engine, items: list[_Item]) -> Iterator[Finished]:
    with ThreadPoolExecutor(max_workers=1) as reader:

        def start(item: _Item) -> Future[Sources] | None:
            return reader.submit(engine.read, item.plan, item.outcome) if item.plan else None

        coming = start(items[0])
        for item, following in zip(items, [*items[1:], None], strict=True):
            reading, coming = coming, start(following) if following else None
            if item.plan and reading:
                try:
                    engine.make(item.plan, reading.result(), item.outcome)
                except MrimputeError as error:
                    item.error = error
                except Exception as error:
                    item.error = _wrapped(error)
            yield Finished(item.outcome, item.error)


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
