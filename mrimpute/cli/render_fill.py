"""What `fill` shows of a study, as text and as JSON. No tag value and no patient attribute ever; paths as given."""

import sys
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from mrimpute import __version__
from mrimpute.cli.records.fill import (
    CheckRecord,
    CostRecord,
    FillRecord,
    IntensityRecord,
    OutputRecord,
    RecipeRecord,
    RegressionRecord,
    StudyWord,
    WarningRecord,
)
from mrimpute.cli.records.study import InputRecord, SetAsideRecord, SettingsRecord
from mrimpute.cli.render import error_record, job_record, job_text, series_part
from mrimpute.contrasts import LIMITS, Contrast
from mrimpute.errors import ExitCode
from mrimpute.files import peak_memory_mb
from mrimpute.outcome import Outcome, Spent
from mrimpute.plan import Plan
from mrimpute.registry import read_lock
from mrimpute.request import Options
from mrimpute.settings import SETTINGS_FILE
from mrimpute.write.provenance import Fingerprint
from mrimpute.write.result import Output

_SCALE_FROM = {"study": "median of the sources' in-brain 99.9 percentiles", "unit": "the network"}

WARNING_CODES = frozenset(text.partition(":")[0] for text in LIMITS.values())


def plan_text(plan: Plan) -> str:
    """Return what `fill --dry-run` prints for one study."""
    lines = [f"{plan.study.folder}: {job_text(job)}" for job in plan.jobs]
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


def settings_notes(outcome: Outcome) -> list[str]:
    """Return a line for each word on weights that the study's own file chose."""
    return [f"{outcome.folder / SETTINGS_FILE} chooses --weights {word}" for word in outcome.settings.weights]


def record(outcome: Outcome, options: Options, spent: Spent, dry_run: bool, seen: str | None) -> FillRecord:
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
        plan=[job_record(job) for job in jobs],
        outputs=[_output_record(output, options) for output in outputs],
        copies=[str(path) for path in outcome.copies],
        recipe=_recipe_record(outputs[0]) if outputs else None,
        cost=cost_record(spent),
        checks=[
            CheckRecord(name=check.name, value=check.value, limit=check.limit, ok=check.ok)
            for output in outputs
            for check in output.checks
        ],
        warnings=[_warning_record(text) for text in dict.fromkeys(outcome.warnings)],
        error=error_record(error),
        cite=sorted({output.checkpoint.record.about.cite for output in outputs}),
        seen=seen,
    )


def _status(outcome: Outcome, dry_run: bool) -> StudyWord:
    if outcome.error:
        return "refused" if outcome.error.exit_code == ExitCode.REFUSED else "failed"
    if dry_run and outcome.plan and outcome.plan.jobs:
        return "planned"
    if not outcome.outputs:
        return "complete"
    return "skipped" if all(output.skipped for output in outcome.outputs) else "filled"


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
        series_part(one) | {"sha256": outcome.volumes.get(one.contrast), "used": one.contrast in used}
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
        checked=output.checked,
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


def cost_record(spent: Spent) -> CostRecord:
    """Return what a study took, with the most memory so far."""
    torch = sys.modules.get("torch")
    cuda = torch.cuda.max_memory_allocated() // 2**20 if torch and torch.cuda.is_initialized() else 0
    return CostRecord(
        seconds=round(spent.seconds, 2),
        cpu_seconds=round(spent.cpu_seconds, 2),
        peak_rss_mb=peak_memory_mb(),
        peak_cuda_mb=cuda,
    )
