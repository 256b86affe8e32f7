"""The items of run.py, and how often each is tried."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.reliability import calls, cases, fuzz, kills, machine, writers
from tests.reliability.tally import Row
from tests.reliability.warm import FORMATS

QUICK_CALLS = ("fsync", "renameat2", "link", "mkdir")


@dataclass(frozen=True)
class Counts:
    """How often items are tried, and whether the reduced set is meant."""

    scale: float = 1.0
    quick: bool = False

    def of(self, full: int, quick: int) -> int:
        """Return a count: the reduced one, or a share of the full one, at least 1."""
        return quick if self.quick else max(1, round(full * self.scale))


Item = Callable[[Callable[[], Path], Counts], Iterator[Row]]


def corpus(work: Callable[[], Path], counts: Counts) -> Iterator[Row]:
    """Malformed studies and hostile weights are refused; odd but valid series are read."""
    steps = {"NIfTI": 4, "DICOM": 6, "studies and settings": 4, "hostile weights": 12}
    for family, step in steps.items():
        yield cases.refused(work(), family, step if counts.quick else 1)
    yield cases.accepted(work(), 4 if counts.quick else 1)


def killed(work: Callable[[], Path], counts: Counts) -> Iterator[Row]:
    """Kill -9 at random moments of writing."""
    for form in FORMATS:
        for overwrite in (False, True):
            yield kills.killed(work(), form, overwrite, counts.of(200, 4))


def signalled(work: Callable[[], Path], counts: Counts) -> Iterator[Row]:
    """SIGINT and SIGTERM at random moments."""
    for form in FORMATS:
        yield kills.signalled(work(), form, counts.of(80, 4))


def failing(work: Callable[[], Path], counts: Counts) -> Iterator[Row]:
    """The k-th call to the file system fails."""
    if counts.quick:
        yield calls.failed_calls(work(), "dicom", True, ("EIO",), QUICK_CALLS)
        return
    for form in FORMATS:
        for overwrite in (True, False):
            yield calls.failed_calls(work(), form, overwrite, calls.ERRORS if counts.scale >= 1 else ("EIO",))


def disks(work: Callable[[], Path], counts: Counts) -> Iterator[Row]:
    """Disks fill up."""
    for form in FORMATS:
        yield calls.full_disks(work(), form, counts.of(22, 4))
    if not counts.quick:
        yield calls.small_disks(work(), counts.of(8, 2))


def at_once(work: Callable[[], Path], counts: Counts) -> Iterator[Row]:
    """Two runs write at once, for every pair of commands."""
    for form in FORMATS:
        for overwrite in (False, True):
            for apart in (False, True) if not counts.quick else (True,):
                yield writers.two_fills(work(), form, overwrite, apart, counts.of(20, 2))
    if not counts.quick:
        yield writers.two_shards(work(), counts.of(5, 1))
        yield writers.two_pulls(work(), counts.of(10, 1))
    yield writers.two_trainings(work(), counts.of(5, 1))


def fuzzed(work: Callable[[], Path], counts: Counts) -> Iterator[Row]:
    """Bytes are changed at both doors."""
    full = {"NIfTI": 50_000, "NIfTI, packed": 50_000, "DICOM, enhanced": 25_000, "DICOM, one slice": 25_000}
    for name, count in full.items():
        yield fuzz.mutated(name, counts.of(count, count // 250))
    if not counts.quick:
        for name in ("NIfTI", "DICOM, enhanced"):
            yield fuzz.guided(name, counts.of(50_000, 1))


def surroundings(work: Callable[[], Path], counts: Counts) -> Iterator[Row]:
    """Memory caps, languages, places."""
    if not counts.quick:
        for item in (machine.address_space, machine.control_groups, machine.surrounded, machine.case_insensitive):
            yield item(work())


def many(work: Callable[[], Path], counts: Counts) -> Iterator[Row]:
    """Very many studies in one run, killed halfway."""
    if not counts.quick:
        yield machine.batch(work(), counts.of(500, 1))


ITEMS: dict[str, Item] = {
    "corpus": corpus,
    "kills": killed,
    "signals": signalled,
    "calls": failing,
    "disks": disks,
    "writers": at_once,
    "fuzz": fuzzed,
    "machine": surroundings,
    "batch": many,
}


def rows(folder: Path, names: list[str], counts: Counts) -> Iterator[Row]:
    """Try the named items in folders of their own, which are removed as soon as a row is done."""
    made: list[Path] = []

    def work() -> Path:
        made.append(Path(tempfile.mkdtemp(dir=folder)))
        return made[-1]

    for name in names:
        for row in ITEMS[name](work, counts):
            yield row
            while made:
                shutil.rmtree(made.pop(), ignore_errors=True)
