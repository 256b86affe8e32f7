"""What `evaluate` shows: one comparison as JSON, all as tables."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from mrimpute import __version__
from mrimpute.cli.records.evaluate import AgreementRecord, EvaluateRecord, ScoreRecord, SegmentedRecord, TextureRecord
from mrimpute.cli.render import error_record, table_lines
from mrimpute.evaluate import Evaluation
from mrimpute.segment import Segmented


def record(evaluation: Evaluation) -> EvaluateRecord:
    """Return one evaluation as a JSON object."""
    return EvaluateRecord(
        version=__version__,
        study=evaluation.study,
        target=evaluation.target,
        checkpoint=evaluation.checkpoint,
        made=str(evaluation.made) if not evaluation.checkpoint else None,
        acquired=str(evaluation.acquired),
        seen=evaluation.seen,
        seconds=round(evaluation.seconds, 3),
        scale=evaluation.scale,
        brain=evaluation.brain,
        scores={name: ScoreRecord(**asdict(score)) for name, score in evaluation.scores.items()},
        texture=TextureRecord(**asdict(evaluation.texture)),
        segmented=_segmented_record(evaluation.segmented),
    )


def _segmented_record(segmented: Segmented | None) -> SegmentedRecord | None:
    if segmented is None:
        return None
    return SegmentedRecord(
        labels=[AgreementRecord(**asdict(label)) for label in segmented.labels],
        error=error_record(segmented.error),
    )


def text(records: Sequence[EvaluateRecord]) -> str:
    """Return the table of `evaluate`."""
    rows = [("STUDY", "TARGET", "REGION", "PSNR dB", "SSIM", "NMSE", "NETWORK")]
    for item in records:
        for region, score in item.scores.items():
            figures = (_figure(score.psnr, 2), _figure(score.ssim, 4), _figure(score.nmse, 4))
            rows.append((item.study, item.target, region, *figures, item.checkpoint))
    lines = table_lines(rows)
    lively = [
        f"{item.study} {item.target}: synthetic to acquired, between axial slices "
        f"{_figure(item.texture.between_slices, 2)}, sharpness {_figure(item.texture.sharpness, 2)}"
        for item in records
    ]
    scales = dict.fromkeys(f"synthetic scaled by: {item.scale}; brain: {item.brain}" for item in records)
    seen = dict.fromkeys(f"seen: {item.seen} ({item.study} {item.target})" for item in records if item.checkpoint)
    return "\n".join([*lines, *lively, *scales, *seen, *_segmented_rows(records)])


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _segmented_rows(records: Sequence[EvaluateRecord]) -> list[str]:
    """Return the table of what a segmenter makes of the synthetic contrasts, and its means over the studies."""
    rows: list[tuple[str, ...]] = [
        ("STUDY", "SYNTHETIC", "LABEL", "DICE", "ML", "ML COMPLETE", "TRUTH DICE", "COMPLETE")
    ]
    found: dict[tuple[str, int], list[AgreementRecord]] = {}
    for item in records:
        for one in item.segmented.labels if item.segmented else ():
            rows.append((item.study, item.target, *_agreement_cells([one])))
            found.setdefault((item.target, one.label), []).append(one)
    rows += [(f"mean of {len(many)}", target, *_agreement_cells(many)) for (target, _), many in found.items()]
    return table_lines(rows) if found else []


def _agreement_cells(many: Sequence[AgreementRecord]) -> tuple[str, ...]:
    def mean(values: Iterable[float | None], digits: int) -> str:
        known = [value for value in values if value is not None]
        return _figure(sum(known) / len(known) if known else None, digits)

    return (
        str(many[0].label),
        mean((one.dice for one in many), 3),
        mean((one.synthetic_ml for one in many), 2),
        mean((one.complete_ml for one in many), 2),
        mean((one.synthetic_truth for one in many), 3),
        mean((one.complete_truth for one in many), 3),
    )
