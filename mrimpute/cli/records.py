"""What every command prints with --json, as typed, closed and versioned models: `--json-schema` prints their schema.

A field may be added within a version; none is renamed, removed or given another meaning without a new one.
"""

import json
import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mrimpute.registry.record import About
from mrimpute.write.verdict import Verdict


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, protected_namespaces=())

    def line(self) -> str:
        """Return it as one line of ASCII; what JSON cannot write is null (a PSNR of equal images) or escaped (a path
        that is not UTF-8)."""
        return json.dumps(_finite(self.model_dump(by_alias=True, exclude=self._absent())), allow_nan=False)

    def _absent(self) -> set[str]:
        """Return the fields that are left out."""
        return set()


def _finite(value: Any) -> Any:
    """Return a value in which numbers that are infinite, or none, are None."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class SeriesRecord(_Record):
    """One identified series."""

    path: str
    modality: str
    confidence: float
    evidence: list[str]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    orientation: str


class InputRecord(SeriesRecord):
    """One series of a study that is filled."""

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
    engine: str
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
    """What the study took since the one before it ended, the next one's reading included; peak memory is the
    process's so far."""

    seconds: float
    cpu_seconds: float
    peak_rss_mb: int | None
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
    status: Literal["intact", "rewritten", "changed", "unchecked", "other-sources", "unmarked", "unreadable"]
    exit: int
    synthetic: bool | None
    text: str
    marks: list[str]
    made_by: MakerRecord | None
    sidecar: str | None
    sha256: str | None
    recorded_sha256: str | None
    sources: list[SourceRecord]


class ScannedRecord(SeriesRecord):
    """One series that `fill` would use: its number (0 for none), kind of sequence, plane and number of slices."""

    number: int
    kind: str
    plane: str
    slices: int


class LeftRecord(_Record):
    """One image that `fill` would not use, why, and what it may be."""

    path: str
    reason: str
    may_be: list[str]
    evidence: list[str]
    number: int
    kind: str
    plane: str
    slices: int


class ProblemRecord(_Record):
    """What a person must settle before a study can be filled; `options` would, the likeliest first."""

    text: str
    hint: str
    paths: list[str]
    options: list[str]


class ScanRecord(_Record):
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


class ScoreRecord(_Record):
    """Figures of one region; `psnr` is null where the images are equal."""

    psnr: float | None
    ssim: float
    nmse: float
    voxels: int


class TextureRecord(_Record):
    """Differences of neighbouring voxels, synthetic over acquired; null where the acquired image has none."""

    between_slices: float | None
    sharpness: float | None


class AgreementRecord(_Record):
    """What became of one label of a segmenter; a Dice is null where there is nothing to compare."""

    label: int
    dice: float | None
    complete_ml: float
    synthetic_ml: float
    complete_truth: float | None
    synthetic_truth: float | None


class SegmentedRecord(_Record):
    """What a segmenter made of one synthetic contrast, or why nothing came of it."""

    labels: list[AgreementRecord]
    error: ErrorRecord | None


class EvaluateRecord(_Record):
    """One comparison of `mrimpute evaluate`; `made` is null where a sequence was left out and made again."""

    schema_name: Literal["mrimpute.evaluate/1"] = Field(default="mrimpute.evaluate/1", alias="schema")
    version: str
    study: str
    target: str
    checkpoint: str
    made: str | None
    acquired: str
    seen: str
    seconds: float
    scale: str
    brain: str
    scores: dict[str, ScoreRecord]
    texture: TextureRecord
    segmented: SegmentedRecord | None


class WeightsRecord(_Record):
    """One checkpoint of `mrimpute weights list` and `show`; `bytes` is of the file here, else of the Hub's;
    `megabytes` is about that, also where the exact size is not known."""

    schema_name: Literal["mrimpute.weights/1"] = Field(default="mrimpute.weights/1", alias="schema")
    version: str
    name: str
    generator: str
    sources: list[str]
    target: str | None
    origin: str
    first_choice: bool
    available: bool
    path: str
    bytes: int | None
    megabytes: float | None
    sha256: str | None
    about: About


class DoctorRecord(_Record):
    """What a question for help begins with."""

    schema_name: Literal["mrimpute.doctor/1"] = Field(default="mrimpute.doctor/1", alias="schema")
    mrimpute: str
    python: str
    system: str
    torch: str
    numpy: str
    nibabel: str
    simpleitk: str = Field(alias="SimpleITK")
    pydicom: str
    huggingface_hub: str = Field(alias="huggingface-hub")
    safetensors: str
    openvino: str | None
    cpus_allowed: int
    memory_available_gib: float | None
    cuda_devices: list[str]
    store: str
    store_writable: bool
    disk_free_gib: float
    checkpoints_here: list[str]
    hub: str
    hub_cache: str
    hub_offline: bool
    hub_token: bool


class LearntFromRecord(_Record):
    """One study that a calibration was learnt from, without its name."""

    contrasts: list[str]
    spacing_mm: dict[str, list[float]]
    seen: bool


class ExpectedFigureRecord(_Record):
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


class CurveRecord(_Record):
    """A rising curve for one network; `expected` is null where one study cannot be left out."""

    target: str
    sources: list[str]
    network_sha256: str
    sampler: str
    steps: int
    studies: int
    expected: ExpectedFigureRecord | None


class LeftOutRecord(_Record):
    """One study that a calibration was not learnt from."""

    study: str
    reason: str


class CalibrateRecord(_Record):
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


class GroupImageRecord(_Record):
    """One synthetic image of a session; `status` as in `mrimpute verify`."""

    participant: str
    session: str | None
    path: str
    status: Literal["intact", "rewritten", "changed", "unchecked", "other-sources", "unmarked", "unreadable"]
    target: str
    generator: str
    checkpoint: str
    sha256: str | None


class GroupRecord(_Record):
    """What `mrimpute bids IN OUT group` finds in OUT: numbers of images by target, checkpoint and status, and each;
    paths as given. In summary.json they are relative to OUT, and of IN there is the folder's name."""

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
