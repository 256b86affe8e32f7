"""What `calibrate` tells of a calibration."""

from typing import Literal

from pydantic import Field

from mrimpute.cli.records.base import Record


class LearntFromRecord(Record):
    """One study that a calibration was learnt from, without its name."""

    contrasts: list[str]
    spacing_mm: dict[str, list[float]]
    seen: bool


class ExpectedFigureRecord(Record):
    """Figures in a calibration's own studies, each left out of the others in turn."""

    studies: int
    psnr_db: float
    ssim: float | None
    half_width_of_90_percent: float | None
    seen: bool


class FigureRecord(ExpectedFigureRecord):
    """What the regression alone does for one target."""

    target: str
    sources: list[str]


class CurveRecord(Record):
    """A rising curve for one network; `expected` is null where one study cannot be left out."""

    target: str
    sources: list[str]
    network_sha256: str
    sampler: str
    steps: int
    studies: int
    expected: ExpectedFigureRecord | None


class LeftOutRecord(Record):
    """One study that a calibration was not learnt from."""

    study: str
    reason: str


class CalibrateRecord(Record):
    """A calibration; `used` and `left_out` are null where one of the store is listed."""

    schema_name: Literal["mrimpute.calibrate/1"] = Field(default="mrimpute.calibrate/1", alias="schema")
    version: str
    name: str
    path: str
    sha256: str
    with_skull: bool
    used: list[str] | None
    left_out: list[LeftOutRecord] | None
    studies: list[LearntFromRecord]
    curves: list[CurveRecord]
    figures: list[FigureRecord]
