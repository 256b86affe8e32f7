"""Results as text and as JSON. No tag value and no patient attribute ever; paths as given."""

import os
import platform
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from importlib import metadata
from textwrap import shorten, wrap
from typing import Any, Literal

from mrimpute import __version__, device
from mrimpute.cli.records import (
    AgreementRecord,
    CheckRecord,
    CostRecord,
    DoctorRecord,
    ErrorRecord,
    EvaluateRecord,
    FillRecord,
    InputRecord,
    IntensityRecord,
    JobRecord,
    OutputRecord,
    RecipeRecord,
    RegressionRecord,
    ScoreRecord,
    SegmentedRecord,
    SetAsideRecord,
    SettingsRecord,
    TextureRecord,
    WarningRecord,
    WeightsRecord,
)
from mrimpute.contrasts import LIMITS, Contrast
from mrimpute.errors import ExitCode, MrimputeError
from mrimpute.evaluate import Evaluation
from mrimpute.files import peak_memory_mb
from mrimpute.outcome import Outcome, Spent
from mrimpute.plan import Job, Plan
from mrimpute.registry import Checkpoint, home_folder, load_registry, read_lock
from mrimpute.request import Options
from mrimpute.segment import Agreement, Segmented
from mrimpute.settings import SETTINGS_FILE
from mrimpute.study import Series
from mrimpute.write.provenance import Fingerprint
from mrimpute.write.result import Output

Status = Literal["filled", "complete", "skipped", "planned", "refused", "failed"]

_SCALE_FROM = {"study": "median of the sources' in-brain 99.9 percentiles", "unit": "the network"}
_SHOWN_PACKAGES = ("torch", "numpy", "nibabel", "SimpleITK", "pydicom", "huggingface-hub", "safetensors")

WARNING_CODES = frozenset(text.partition(":")[0] for text in LIMITS.values())


def plan_text(plan: Plan) -> str:
    """Return what `fill --dry-run` prints for one study."""
    lines = [f"{plan.study.folder}: {_job_text(job)}" for job in plan.jobs]
    nothing = "nothing is made" if plan.not_made else "nothing is missing"
    return "\n".join(lines or [f"{plan.study.folder}: {nothing}"])


def not_made_note(plan: Plan) -> str:
    """Return the line about what a study lacks and nobody asked for by name."""
    words = " ".join(f"--missing {contrast}" for contrast in plan.not_made)
    lacking = ", ".join(plan.not_made)
    return f"{plan.study.folder}: {lacking} is missing and not made: enhancement cannot be computed; {words} makes one"


def output_note(output: Output, seconds: float) -> str:
    """Return the line on stderr about one image."""
    made = output.fingerprint
    steps = "1 step" if made.steps == 1 else f"{made.steps} steps"
    if output.skipped:
        return f"{output.path} is there already, made by the same recipe; skipped"
    return (
        f"{output.path}: synthetic {output.target} by {output.checkpoint.name} "
        f"({made.sampler}, {steps}, {_seeds(made)}, {made.device}) in {seconds:.0f} s; not for diagnosis"
        + (f"; verdict: {output.verdict.text}" if output.verdict else "")
    )


def _seeds(made: Fingerprint) -> str:
    last = made.seed + made.samples - 1
    return f"seed {made.seed}" if made.samples == 1 else f"mean of seeds {made.seed} to {last}"


def fill_record(outcome: Outcome, options: Options, spent: Spent, dry_run: bool) -> FillRecord:
    """Return the JSON object of `fill --json` for one study."""
    error, outputs = outcome.error, outcome.outputs
    jobs = outcome.plan.jobs if outcome.plan else ()
    return FillRecord(
        version=__version__,
        status=_status(outcome, dry_run),
        exit=int(outcome.exit_code(options.require)),
        study=str(outcome.folder),
        settings=_settings_record(outcome, options),
        **_study_part(outcome, _used(outcome)),
        not_made=list(outcome.plan.not_made) if outcome.plan else [],
        plan=[JobRecord.model_validate(_job_record(job)) for job in jobs],
        outputs=[_output_record(output, options) for output in outputs],
        copies=[str(path) for path in outcome.copies],
        recipe=_recipe_record(outputs[0]) if outputs else None,
        cost=_cost(spent),
        checks=[
            CheckRecord(name=check.name, value=check.value, limit=check.limit, ok=check.ok)
            for output in outputs
            for check in output.checks
        ],
        warnings=[_warning_record(text) for text in dict.fromkeys(outcome.warnings)],
        error=ErrorRecord.model_validate(error_record(error)) if error else None,
        cite=sorted({output.checkpoint.record.about.cite for output in outputs}),
    )


def _warning_record(text: str) -> WarningRecord:
    """Return a warning with its code, where it begins with one of those that programs can count on."""
    code = text.partition(":")[0]
    return WarningRecord(code=code if code in WARNING_CODES else "warning", text=text)


def _used(outcome: Outcome) -> set[Contrast]:
    """Return the contrasts that networks take, and those that regressions beside them took."""
    jobs = outcome.plan.jobs if outcome.plan else ()
    taken = {Contrast(contrast) for output in outcome.outputs for contrast in output.fingerprint.sources}
    return taken | {contrast for job in jobs for contrast in job.sources}


def _study_part(outcome: Outcome, used: Collection[Contrast]) -> dict[str, Any]:
    """Return what a record tells of the study itself; empty where it could not be identified."""
    study = outcome.study
    if study is None:
        return {"scheme": None, "inputs": [], "set_aside": [], "missing": []}
    inputs = (
        _series_record(one) | {"sha256": outcome.volumes.get(one.contrast), "used": one.contrast in used}
        for one in study.series
    )
    return {
        "scheme": study.naming.scheme,
        "inputs": [InputRecord.model_validate(item) for item in inputs],
        "set_aside": [
            SetAsideRecord(path=str(item.path), reason=item.reason) for item in (*study.set_aside, *study.unidentified)
        ],
        "missing": list(study.missing),
    }


def _settings_record(outcome: Outcome, options: Options) -> SettingsRecord | None:
    words = outcome.settings.weights
    if not words:
        return None
    file = str(outcome.folder / SETTINGS_FILE)
    return SettingsRecord(file=file, weights=list(words), trusted=options.trust_study_settings)


def settings_notes(outcome: Outcome) -> list[str]:
    """Return a line for each word on weights that the study's own file chose."""
    return [f"{outcome.folder / SETTINGS_FILE} chooses --weights {word}" for word in outcome.settings.weights]


def doctor_record() -> DoctorRecord:
    """Return what `doctor` shows: versions, machine, store, network settings."""
    import torch
    from huggingface_hub import constants

    home = home_folder()
    present = next(folder for folder in (home, *home.parents) if folder.exists())
    memory = device.available_memory(torch.device("cpu"))
    versions = {name: metadata.version(name) for name in _SHOWN_PACKAGES}
    cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    checkpoints = load_registry().values()
    facts = {
        "mrimpute": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        **versions,
        "openvino": metadata.version(device.OPENVINO) if device.has_openvino() else None,
        "cpus_allowed": device.allowed_cpus(),
        "memory_available_gib": round(memory / 2**30, 1) if memory else None,
        "cuda_devices": cuda,
        "store": str(home),
        "store_writable": os.access(present, os.W_OK),
        "disk_free_gib": round(shutil.disk_usage(present).free / 2**30, 1),
        "checkpoints_here": [checkpoint.name for checkpoint in checkpoints if checkpoint.path.is_file()],
        "hub": constants.ENDPOINT,
        "hub_cache": constants.HF_HUB_CACHE,
        "hub_offline": bool(constants.HF_HUB_OFFLINE),
        "hub_token": bool(os.environ.get("HF_TOKEN")),
    }
    return DoctorRecord.model_validate(facts)


def evaluation_record(evaluation: Evaluation) -> EvaluateRecord:
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
        error=ErrorRecord.model_validate(error_record(segmented.error)) if segmented.error else None,
    )


def _segmented_lines(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return the table of what a segmenter makes of the synthetic contrasts, and its means over the studies."""
    rows: list[tuple[str, ...]] = [
        ("STUDY", "SYNTHETIC", "LABEL", "DICE", "ML", "ML COMPLETE", "TRUTH DICE", "COMPLETE")
    ]
    found: dict[tuple[str, int], list[Agreement]] = {}
    for item in evaluations:
        for one in item.segmented.labels if item.segmented else ():
            rows.append((item.study, item.target, *_agreement_cells([one])))
            found.setdefault((item.target, one.label), []).append(one)
    rows += [(f"mean of {len(many)}", target, *_agreement_cells(many)) for (target, _), many in found.items()]
    return table_lines(rows) if found else []


def _agreement_cells(many: Sequence[Agreement]) -> tuple[str, ...]:
    def mean(values: Iterable[float | None], digits: int) -> str:
        known = [value for value in values if value is not None]
        return f"{sum(known) / len(known):.{digits}f}" if known else "-"

    return (
        str(many[0].label),
        mean((one.dice for one in many), 3),
        mean((one.synthetic_ml for one in many), 2),
        mean((one.complete_ml for one in many), 2),
        mean((one.synthetic_truth for one in many), 3),
        mean((one.complete_truth for one in many), 3),
    )


def evaluation_text(evaluations: Sequence[Evaluation]) -> str:
    """Return the table of `evaluate`."""
    rows = [("STUDY", "TARGET", "REGION", "PSNR dB", "SSIM", "NMSE", "NETWORK")]
    for item in evaluations:
        for region, score in item.scores.items():
            figures = (f"{score.psnr:.2f}", f"{score.ssim:.4f}", f"{score.nmse:.4f}")
            rows.append((item.study, item.target, region, *figures, item.checkpoint))
    lines = table_lines(rows)
    lively = [
        f"{item.study} {item.target}: synthetic to acquired, between axial slices {item.texture.between_slices:.2f}, "
        f"sharpness {item.texture.sharpness:.2f}"
        for item in evaluations
    ]
    scales = dict.fromkeys(f"synthetic scaled by: {item.scale}; brain: {item.brain}" for item in evaluations)
    seen = dict.fromkeys(f"seen: {item.seen} ({item.study} {item.target})" for item in evaluations if item.checkpoint)
    return "\n".join([*lines, *lively, *scales, *seen, *_segmented_lines(evaluations)])


def error_record(error: MrimputeError) -> dict[str, str]:
    """Return an error as a JSON object."""
    return {"code": error.kind, "text": error.text, "hint": error.hint}


def weights_record(checkpoint: Checkpoint) -> WeightsRecord:
    """Return one checkpoint as a JSON object."""
    record = checkpoint.record
    return WeightsRecord(
        version=__version__,
        name=checkpoint.name,
        generator=record.generator,
        sources=list(record.sources),
        target=record.target,
        origin=record.origin,
        first_choice=record.first_choice,
        available=checkpoint.path.is_file(),
        path=str(checkpoint.path),
        bytes=_bytes_of(checkpoint),
        megabytes=_megabytes(checkpoint),
        sha256=record.sha256,
        about=record.about,
    )


def weights_text(checkpoints: Sequence[Checkpoint]) -> str:
    """Return the table of `weights list`, at most 100 columns wide."""
    rows = [("NAME", "MAKES", "FROM", "ORIGIN", "HERE", "MB", "LICENCE")]
    for checkpoint in checkpoints:
        record = checkpoint.record
        name = checkpoint.name + (" *" if record.first_choice else "")
        here = "yes" if checkpoint.path.is_file() else "no"
        licence = shorten(record.about.licence, 24, placeholder=" …")
        makes, sources, size = record.target or "any", ",".join(record.sources), _megabytes(checkpoint)
        rows.append((name, makes, sources, record.origin, here, f"{size:g}" if size else "-", licence))
    about = "* first choice of --weights auto; figures, data and whom to cite: mrimpute weights show NAME"
    return "\n".join([*table_lines(rows), about])


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Return what `weights show` prints: everything a person wants to know before using a checkpoint."""
    record, about = checkpoint.record, checkpoint.record.about
    rows = (
        ("makes", f"{record.target or 'any other'} from {', '.join(record.sources)}, by {record.generator}"),
        ("origin", record.origin + (f": {record.hub.repo}, {record.hub.file}" if record.hub else "")),
        ("here", str(checkpoint.path) if checkpoint.path.is_file() else "no"),
        ("size", f"about {_megabytes(checkpoint) or 'an unknown number of'} MB"),
        ("sha256", record.sha256 or "not known before the first pull"),
        ("licence", about.licence),
        ("trained on", about.trained_on),
        ("measured", about.quality),
        ("note", about.note),
        ("cite", about.cite),
    )
    lines = [line for label, value in rows if value for line in wrapped(label, value)]
    return "\n".join([checkpoint.name, *lines])


def _bytes_of(checkpoint: Checkpoint) -> int | None:
    """Return the size of the file that is here, else of the one on the Hub; None where neither is known."""
    if checkpoint.path.is_file():
        return checkpoint.path.stat().st_size
    return checkpoint.record.hub.bytes if checkpoint.record.hub else None


def _megabytes(checkpoint: Checkpoint) -> float | None:
    """Return about how large it is; None where that is not known."""
    size, hub = _bytes_of(checkpoint), checkpoint.record.hub
    return round(size / 1e6, 1) if size else hub.megabytes if hub else None


WIDTH = 80
"""Columns of a terminal that nobody made wider; only a path may be longer."""
LABEL = 14


def wrapped(label: str, text: str) -> list[str]:
    """Return a labelled text in lines of WIDTH columns; a path in it is never cut."""
    return wrap(
        text,
        WIDTH,
        initial_indent=f"  {label:<{LABEL}}",
        subsequent_indent=" " * (LABEL + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def table_lines(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _status(outcome: Outcome, dry_run: bool) -> Status:
    if outcome.error:
        return "refused" if outcome.error.exit_code == ExitCode.REFUSED else "failed"
    if dry_run and outcome.plan and outcome.plan.jobs:
        return "planned"
    if not outcome.outputs:
        return "complete"
    return "skipped" if all(output.skipped for output in outcome.outputs) else "filled"


def _job_text(job: Job) -> str:
    return f"{job.target} by {job.generator} from {', '.join(job.sources)}: {job.reason}"


def _job_record(job: Job) -> dict[str, Any]:
    return {
        "target": job.target,
        "generator": job.generator,
        "sources": list[Contrast](job.sources),
        "reason": job.reason,
    }


def _series_record(series: Series) -> dict[str, Any]:
    return {
        "path": str(series.path),
        "modality": series.contrast,
        "confidence": series.confidence,
        "evidence": [item.reason for item in series.evidence],
        "shape": series.grid.shape,
        "spacing": [round(value, 4) for value in series.grid.spacing],
        "orientation": series.grid.orientation,
    }


def _output_record(output: Output, options: Options) -> OutputRecord:
    return OutputRecord(
        path=str(output.path),
        kind="volume",
        modality=output.target,
        synthetic=True,
        skipped=output.skipped,
        grid_of=output.reference,
        sha256=output.sha256,
        threads=output.threads,
        intensity=IntensityRecord.model_validate(
            {
                "scale": options.intensity,
                "low": output.zero or 0.0,
                "high": output.one,
                "from": _scale_from(output, options),
            }
        ),
        regression=RegressionRecord.model_validate(output.regression) if output.regression else None,
        verdict=output.verdict,
        recipe=_recipe_record(output),
    )


def _scale_from(output: Output, options: Options) -> str:
    if output.target in output.checkpoint.record.inputs.ranges and options.intensity == "study":
        return "the checkpoint's range in Hounsfield units"
    return _SCALE_FROM[options.intensity]


def _recipe_record(output: Output) -> RecipeRecord:
    record, made = output.checkpoint.record, asdict(output.fingerprint)
    return RecipeRecord(
        checkpoint=output.checkpoint.name,
        origin=record.origin,
        revision=read_lock().get(output.checkpoint.name, {}).get("commit"),
        sha256=made.pop("checkpoint_sha256"),
        licence=record.about.licence,
        **made,
    )


def _cost(spent: Spent) -> CostRecord:
    torch = sys.modules.get("torch")
    cuda = torch.cuda.max_memory_allocated() // 2**20 if torch and torch.cuda.is_initialized() else 0
    return CostRecord(
        seconds=round(spent.seconds, 2),
        cpu_seconds=round(spent.cpu_seconds, 2),
        peak_rss_mb=peak_memory_mb(),
        peak_cuda_mb=cuda,
    )
