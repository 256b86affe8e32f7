"""What `evaluate` tells of one comparison."""

from typing import Literal

from pydantic import Field

from mrimpute.cli.records.base import ErrorRecord, Record


class ScoreRecord(Record):
    """Figures of one region; `psnr` is null where the images are equal."""

    psnr: float | None
    ssim: float
    nmse: float
    voxels: int


class TextureRecord(Record):
    """Differences of neighbouring voxels, synthetic over acquired; null where the acquired image has none."""

    between_slices: float | None
    sharpness: float | None


class AgreementRecord(Record):
    """What became of one label of a segmenter; a Dice is null where there is nothing to compare."""

    label: int
    dice: float | None
    complete_ml: float
    synthetic_ml: float
    complete_truth: float | None
    synthetic_truth: float | None


class SegmentedRecord(Record):
    """What a segmenter made of one synthetic contrast, or why nothing came of it."""

    labels: list[AgreementRecord]
    error: ErrorRecord | None


class EvaluateRecord(Record):
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
