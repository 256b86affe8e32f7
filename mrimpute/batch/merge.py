"""One list out of the JSON lines that many tasks of `fill` wrote: each study once, what is missing named."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrimpute.errors import StudyRefused, UsageError

SCHEMA = "mrimpute.fill/1"
_START = b'{"schema": "' + SCHEMA.encode() + b'"'


@dataclass(frozen=True)
class Entry:
    """Where the line of one study stands, and what it tells.

    Attributes:
        study: the folder, as it was given to `fill`.
        status: its word.
        exit: its code.
        digests: of the images it names.
        file, start, length: where its bytes are.
    """

    study: str
    status: str
    exit: int
    digests: tuple[str, ...]
    file: Path
    start: int
    length: int

    def read(self) -> bytes:
        """Read the line again."""
        with self.file.open("rb") as file:
            file.seek(self.start)
            return file.read(self.length)


@dataclass(frozen=True)
class Merged:
    """What all the lines tell together.

    Attributes:
        entries: one per study, in the order in which studies first occur.
        repeated: studies that stood in several lines.
        missing: studies of the list that stand in none.
        unlisted: studies that are not in the list.
        cut: lines that a killed task left unfinished, as 'FILE, line N'.
    """

    entries: tuple[Entry, ...]
    repeated: int
    missing: tuple[str, ...]
    unlisted: tuple[str, ...]
    cut: tuple[str, ...]

    @property
    def totals(self) -> dict[str, int]:
        """Status → studies."""
        return dict(Counter(entry.status for entry in self.entries))

    @property
    def codes(self) -> list[int]:
        """The exit codes of the studies."""
        return [entry.exit for entry in self.entries]

    @property
    def left(self) -> tuple[str, ...]:
        """The studies still to be done: those that failed or were only planned, and those without a line."""
        undone = (entry.study for entry in self.entries if entry.exit or entry.status == "planned")
        return (*undone, *self.missing)

    def lines(self) -> Iterator[bytes]:
        """Yield the chosen lines again, as they were written."""
        return (entry.read() for entry in self.entries)


def merge(files: Sequence[Path], listed: Iterable[Path] | None = None) -> Merged:
    """Choose one line per study: a success before a failure, otherwise the later one.

    A later line that only found the image of an earlier one does not replace it: the earlier one tells how it was made.

    Args:
        files: JSON lines of `mrimpute fill`, the older ones first.
        listed: studies that there should be lines of; None where nobody says.

    Raises:
        StudyRefused: a file cannot be read, or holds something else.
    """
    chosen: dict[str, Entry] = {}
    cut: list[str] = []
    times: Counter[str] = Counter()
    for file in files:
        for entry in entries_of(file, cut):
            key = os.path.normpath(entry.study)
            times[key] += 1
            chosen[key] = _better(chosen[key], entry) if key in chosen else entry
    wanted = None if listed is None else {os.path.normpath(study): str(study) for study in listed}
    return Merged(
        tuple(chosen.values()),
        sum(count > 1 for count in times.values()),
        tuple(study for key, study in (wanted or {}).items() if key not in chosen),
        () if wanted is None else tuple(entry.study for key, entry in chosen.items() if key not in wanted),
        tuple(cut),
    )


def check_apart(files: Iterable[Path], written: os.stat_result) -> None:
    """Refuse to read the file that the result is written to.

    Raises:
        UsageError: one of the files is that one.
    """
    for file in files:
        if file.is_file() and os.path.samestat(file.stat(), written):
            raise UsageError(f"{file} would be read and written at once", "write the result elsewhere")


def _better(earlier: Entry, later: Entry) -> Entry:
    if (earlier.exit == 0) != (later.exit == 0):
        return earlier if earlier.exit == 0 else later
    found_only = later.status == "skipped" and earlier.status == "filled" and earlier.digests == later.digests
    return earlier if found_only else later


def entries_of(file: Path, cut: list[str]) -> Iterator[Entry]:
    """Yield the lines of a file, and note what a killed task left unfinished.

    Raises:
        StudyRefused: it cannot be read, or a line is neither a record nor the beginning of one.
    """
    try:
        with file.open("rb") as lines:
            start = 0
            for number, line in enumerate(lines, 1):
                begin = max(line.rfind(_START), 0)  # a task that goes on in the same file writes on in the broken line
                record = _parsed(line[begin:])
                entry = _entry(record, file, start + begin, len(line) - begin)
                unfinished = record is None and line.startswith(_START[: len(line.rstrip())])
                if begin or (unfinished and line.strip()):
                    cut.append(f"{file}, line {number}")
                elif entry is None and line.strip():
                    raise StudyRefused(
                        f"{file}, line {number} is no JSON line of mrimpute fill", "give what `fill --json` wrote"
                    )
                if entry is not None:
                    yield entry
                start += len(line)
    except OSError as error:
        raise StudyRefused(f"cannot read {file} ({error.strerror})", "give files of JSON lines") from error


def _parsed(line: bytes) -> Any:
    """Return what a line of JSON says; None where it ends too early."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _entry(record: Any, file: Path, start: int, length: int) -> Entry | None:
    """Return what a record tells; None where it is none of `fill`."""
    try:
        digests = tuple(output["sha256"] for output in record["outputs"])
        entry = Entry(record["study"], record["status"], record["exit"], digests, file, start, length)
    except (TypeError, KeyError):
        return None
    ours = record.get("schema") == SCHEMA and type(entry.exit) is int
    return entry if ours and isinstance(entry.study, str) and isinstance(entry.status, str) else None
