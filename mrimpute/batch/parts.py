"""A cohort cut into parts, one for each of many processes or tasks of an array."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.engine import ClaimedPlaces
from mrimpute.errors import UsageError
from mrimpute.fill import Engine


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
        UsageError: another word, no Slurm array around, or one that does not count evenly.
    """
    part, parts = _place_in_array() if word == "slurm" else _place_of(word)
    if not 0 <= part < parts:
        raise UsageError(f"--shard {part}/{parts}: parts count from 0 to {parts - 1}", "correct it")
    return sorted(folders)[part::parts]


def _place_of(word: str) -> tuple[int, int]:
    left, _, right = word.partition("/")
    if not (left.isdigit() and right.isdigit()):
        raise UsageError(f"--shard {word}: not of the form I/N", "use for instance --shard 0/4")
    return int(left), int(right)


def _place_in_array() -> tuple[int, int]:
    """Return which task of its array this is, counted from 0, and of how many.

    Slurm tells a task its number, and the least, largest and count of all numbers and their step, not the numbers
    themselves: `--array=3,7,12` cannot be counted through.
    """
    try:
        number, count = int(os.environ["SLURM_ARRAY_TASK_ID"]), int(os.environ["SLURM_ARRAY_TASK_COUNT"])
        first, step = (int(os.environ.get(f"SLURM_ARRAY_TASK_{word}", least)) for word, least in _ARRAY_WORDS)
        last = int(os.environ.get("SLURM_ARRAY_TASK_MAX", first + step * (count - 1)))
    except (KeyError, ValueError) as error:
        raise UsageError("--shard slurm: this is no Slurm array job", "use --shard I/N") from error
    if step < 1 or (number - first) % step or last != first + step * (count - 1):
        raise UsageError(
            f"--shard slurm: the {count} task numbers from {first} to {last} have gaps, so task {number} does not know "
            "which part is its own",
            "give the array a range such as 0-99, or name the part with --shard I/N",
        )
    return (number - first) // step, count


_ARRAY_WORDS = (("MIN", "0"), ("STEP", "1"))
