"""The JSON of `mrimpute fill`, `verify` and `bids … group`, as typed models: `--json-schema` prints their schema."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mrimpute.write.verdict import Verdict


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class InputRecord(_Record):
    """One identified series."""

    path: str
    modality: str
    confidence: float
    evidence: list[str]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    orientation: str
    sha256: str | None
    used: bool


class SetAsideRecord(_Record):
    """One file that is no source."""

    path: str
    reason: str


class SettingsRecord(_Record):
    """What the study's own mrimpute.toml chooses, where the user says nothing."""

    file: str
    weights: list[str]
    trusted: bool


class JobRecord(_Record):
    """One planned target."""

    target: str
    generator: str
    sources: list[str]
    reason: str


class IntensityRecord(_Record):
    """Which grey values 0 and 1 of the network became (high is null where the image was skipped)."""

    scale: Literal["study", "unit"]
    low: float
    high: float | None
    derived_from: str = Field(alias="from")


class RecipeRecord(_Record):
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
    device: str
    intensity: str
    calibration: str
    version: str


class ExpectedRecord(_Record):
    """What a calibration's regression did in its own studies, each left out in turn, without the network."""

    of: str
    studies: int
    psnr_db: float
    ssim: float | None
    half_width_of_90_percent: float | None
    seen: bool


class RegressionRecord(_Record):
    """What a network was blended with, where it is not the regression in its own file."""

    derived_from: Literal["calibration", "package"] = Field(alias="from")
    calibration: str
    sources: list[str]
    studies: int
    own_study_left_out: bool
    training_site: str
    expected: ExpectedRecord | None


class OutputRecord(_Record):
    """One synthetic image; `regression` is null where its network was blended with its own, with none, or where the
    image was skipped, `verdict` where nothing was checked."""

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
    recipe: RecipeRecord


class CostRecord(_Record):
    """What the study took; CPU time and peak memory are of the whole process so far."""

    seconds: float
    cpu_seconds: float
    peak_rss_mb: int
    peak_cuda_mb: int


class CheckRecord(_Record):
    """One figure measured on a written image."""

    name: str
    value: float
    limit: float
    ok: bool


class WarningRecord(_Record):
    """Something the user should know about the inputs or the result; `code` is `enhancement-not-known`, or `warning`
    for what has no code of its own."""

    code: str
    text: str


class ErrorRecord(_Record):
    """Why a study was not filled."""

    code: str
    text: str
    hint: str


class FillRecord(_Record):
    """One study of `mrimpute fill`; `recipe` is that of the first output, each output has its own."""

    schema_name: Literal["mrimpute.fill/1"] = Field(default="mrimpute.fill/1", alias="schema")
    version: str
    status: Literal["filled", "complete", "skipped", "planned", "refused", "failed"]
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


class MakerRecord(_Record):
    """What made an image, as far as it is told; the digest may be cut to 16 digits."""

    version: str
    target: str
    generator: str
    checkpoint: str
    checkpoint_sha256: str


class SourceRecord(_Record):
    """One recorded source, and the given path whose digest is the same."""

    contrast: str
    file: str
    sha256: str
    found: str | None


class VerifyRecord(_Record):
    """One image of `mrimpute verify`; `synthetic` is null where it cannot be read."""

    schema_name: Literal["mrimpute.verify/1"] = Field(default="mrimpute.verify/1", alias="schema")
    version: str
    path: str
    status: Literal["intact", "changed", "unchecked", "other-sources", "unmarked", "unreadable"]
    exit: int
    synthetic: bool | None
    text: str
    marks: list[str]
    made_by: MakerRecord | None
    sidecar: str | None
    sha256: str | None
    recorded_sha256: str | None
    sources: list[SourceRecord]


class GroupImageRecord(_Record):
    """One synthetic image of a session; `status` as in `mrimpute verify`."""

    participant: str
    session: str | None
    path: str
    status: Literal["intact", "changed", "unchecked", "other-sources", "unmarked", "unreadable"]
    target: str
    generator: str
    checkpoint: str
    sha256: str | None


class GroupRecord(_Record):
    """What `mrimpute bids IN OUT group` finds in OUT: numbers of images by target, checkpoint and status, and each."""

    schema_name: Literal["mrimpute.bids-group/1"] = Field(default="mrimpute.bids-group/1", alias="schema")
    version: str
    exit: int
    data: str
    derivatives: str
    participants: int
    sessions: int
    sessions_with_images: int
    targets: dict[str, int]
    checkpoints: dict[str, int]
    statuses: dict[str, int]
    images: list[GroupImageRecord]
