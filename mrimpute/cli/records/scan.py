"""What `scan` tells of one study."""

from typing import Literal

from pydantic import Field

from mrimpute.cli.records.base import ErrorRecord, Record
from mrimpute.cli.records.study import JobRecord, SeriesRecord


class ScannedRecord(SeriesRecord):
    """One series that `fill` would use: its number (0 for none), kind of sequence, plane and number of slices."""

    number: int
    kind: str
    plane: str
    slices: int


class LeftRecord(Record):
    """One image that `fill` would not use, why, and what it may be."""

    path: str
    reason: str
    may_be: list[str]
    evidence: list[str]
    number: int
    kind: str
    plane: str
    slices: int


class ProblemRecord(Record):
    """What a person must settle before a study can be filled; `options` would, the likeliest first."""

    text: str
    hint: str
    paths: list[str]
    options: list[str]


class ScanRecord(Record):
    """One study of `mrimpute scan`; `scheme` is null where the folder could not be read, `error` is there only where
    the exit code is not 0."""

    schema_name: Literal["mrimpute.scan/1"] = Field(default="mrimpute.scan/1", alias="schema")
    version: str
    exit: int
    study: str
    scheme: str | None
    inputs: list[ScannedRecord]
    set_aside: list[LeftRecord]
    unidentified: list[LeftRecord]
    problems: list[ProblemRecord]
    missing: list[str]
    not_made: list[str]
    plan: list[JobRecord]
    no_route: str
    error: ErrorRecord | None = None

    def _absent(self) -> set[str]:
        return {"error"} if self.error is None else set()
