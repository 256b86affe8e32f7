"""What `fill` tells of one study."""

from typing import Literal

from pydantic import Field

from mrimpute.cli.records.base import ErrorRecord, Record
from mrimpute.cli.records.study import InputRecord, JobRecord, SetAsideRecord, SettingsRecord
from mrimpute.write.verdict import Verdict


class IntensityRecord(Record):
    """Which grey values 0 and 1 of the network became (high is null where the image was skipped)."""

    scale: Literal["study", "unit"]
    low: float
    high: float | None
    derived_from: str = Field(alias="from")


class RecipeRecord(Record):
    """What decided the voxels of one image."""

    target: str
    checkpoint: str
    origin: str
    revision: str | None
    sha256: str
    licence: str
    sources: dict[str, str]
    onto: str
    moved: list[str]
    brain_mask: str
    sampler: str
    steps: int
    samples: int
    seed: int
    precision: str
    engine: str
    device: str
    intensity: str
    calibration: str
    version: str


class ExpectedRecord(Record):
    """What a calibration's regression did in its own studies, each left out in turn, without the network."""

    of: str
    studies: int
    psnr_db: float
    ssim: float | None
    half_width_of_90_percent: float | None
    seen: bool


class RegressionRecord(Record):
    """What a network was blended with, where it is not the regression in its own file."""

    derived_from: Literal["calibration", "package"] = Field(alias="from")
    calibration: str
    sources: list[str]
    studies: int
    own_study_left_out: bool
    training_site: str
    expected: ExpectedRecord | None


class OutputRecord(Record):
    """One synthetic image; `regression` is null where its network was blended with its own, with none, or where the
    image was skipped, `verdict` where nothing was checked; `checked` is false where --no-checks made it."""

    path: str
    kind: Literal["volume"]
    modality: str
    synthetic: Literal[True]
    skipped: bool
    grid_of: str | None
    sha256: str
    threads: int | None
    intensity: IntensityRecord
    regression: RegressionRecord | None
    verdict: Verdict | None
    checked: bool
    recipe: RecipeRecord


class CostRecord(Record):
    """What the study took since the one before it ended, the next one's reading included; peak memory is the
    process's so far."""

    seconds: float
    cpu_seconds: float
    peak_rss_mb: int | None
    peak_cuda_mb: int


class CheckRecord(Record):
    """One figure measured on a written image."""

    name: str
    value: float
    limit: float
    ok: bool


class WarningRecord(Record):
    """Something the user should know about the inputs or the result; `code` is `enhancement-not-known`, or `warning`
    for what has no code of its own."""

    code: str
    text: str


StudyWord = Literal["filled", "complete", "skipped", "planned", "refused", "failed"]
"""What became of a study."""


class FillRecord(Record):
    """One study of `mrimpute fill`; `recipe` is that of the first output, each output has its own.

    By `seen` a later run with --resume knows a finished study again: a digest of what was wished, and of names, sizes,
    times and inodes of its files and of what was written; null for a study that is always looked at.
    """

    schema_name: Literal["mrimpute.fill/1"] = Field(default="mrimpute.fill/1", alias="schema")
    version: str
    status: StudyWord
    exit: int
    study: str
    scheme: str | None
    settings: SettingsRecord | None
    inputs: list[InputRecord]
    set_aside: list[SetAsideRecord]
    missing: list[str]
    not_made: list[str]
    plan: list[JobRecord]
    outputs: list[OutputRecord]
    copies: list[str]
    recipe: RecipeRecord | None
    cost: CostRecord
    checks: list[CheckRecord]
    warnings: list[WarningRecord]
    error: ErrorRecord | None
    cite: list[str]
    seen: str | None
