"""What `scan` shows, as text and as JSON: each series and why, the losers, the open ones, what must be asked.

No tag value and no patient attribute ever; paths as given. Refused or not, `inputs` holds only what `fill` would use.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mrimpute import __version__
from mrimpute.cli.render import _job_record, _job_text, error_record
from mrimpute.contrasts import Contrast
from mrimpute.errors import MrimputeError, NoRoute, UsageError
from mrimpute.files import real_path
from mrimpute.plan import ASKED_ONLY, Job, route, targets_of
from mrimpute.study import NotUsed, Problem, Series, Study
from mrimpute.study.evidence import Evidence

SCAN_SCHEMA = "mrimpute.scan/1"


def scan_text(study: Study) -> str:
    """Return what `scan` prints for one study."""
    lines = [f"{study.folder}  (names: {study.naming.scheme})"]
    width = max((len(str(series.path)) for series in study.series), default=0)
    for series in study.series:
        reasons = "; ".join(item.reason for item in series.evidence[:2])
        place = f"{series.path!s:<{width}}  {series.grid.words}"
        lines += [f"  {series.contrast:<6}{series.confidence:.2f}  {place}  {reasons}"]
    lines += [f"  set aside     {item.path}: {item.reason}" for item in study.set_aside]
    lines += [f"  not used      {item.path}: {item.reason}{_may_be(item)}" for item in study.unidentified]
    lines.append(f"  missing       {', '.join(study.missing) or 'nothing'}")
    for problem in study.problems:
        lines.append(f"  question      {problem.text}")
        lines += [f"                {option}" for option in problem.options]
    jobs, no_route = _routes(study)
    lines += [f"  can be made   {_job_text(job)}" for job in jobs]
    lines += [f"  no route      {no_route}"] if no_route else []
    if not study.problems:
        lines += [f"  not made      {target} unasked; --missing {target} makes one" for target in _not_made(study)]
    return "\n".join(lines)


def scan_record(study: Study) -> dict[str, Any]:
    """Return the JSON object of `scan --json` for one study, with `error` where `fill` would refuse it."""
    jobs, no_route = _routes(study)
    record = {
        "schema": SCAN_SCHEMA,
        "version": __version__,
        "exit": exit_of(study),
        "study": str(study.folder),
        "scheme": study.naming.scheme,
        "inputs": [_series_record(series) for series in study.series],
        "set_aside": [_left_record(item) for item in study.set_aside],
        "unidentified": [_left_record(item) for item in study.unidentified],
        "problems": [_problem_record(problem) for problem in study.problems],
        "missing": list(study.missing),
        "not_made": _not_made(study),
        "plan": [_job_record(job) for job in jobs],
        "no_route": no_route,
    }
    if study.problems:
        record["error"] = error_record(study.problems[0].refusal())
    return record


def scan_error_record(folder: Path, error: MrimputeError) -> dict[str, Any]:
    """Return the JSON object for a study that `scan` could not read."""
    return {
        "schema": SCAN_SCHEMA,
        "version": __version__,
        "exit": int(error.exit_code),
        "study": str(folder),
        "inputs": [],
        "set_aside": [],
        "unidentified": [],
        "problems": [{"text": error.text, "hint": error.hint, "paths": [], "options": []}],
        "error": error_record(error),
    }


def explain_text(study: Study, series: Path) -> str:
    """Return every rule that spoke about one series.

    Args:
        study: the study.
        series: a file of it, or a DICOM series' folder.

    Raises:
        UsageError: the study has no such series.
    """
    used = [item for item in study.series if _is_meant(item.path, series)]
    left = [item for item in (*study.set_aside, *study.unidentified) if _is_meant(item.path, series)]
    if not used and not left:
        raise UsageError(f"--explain {series}: no such series in {study.folder}", "take a path that `scan` shows")
    lines = []
    for item in used:
        lines.append(f"{item.path}: {item.contrast}, confidence {item.confidence:.2f}")
        lines += _rules(item.evidence)
    for other in left:
        lines.append(f"{other.path}: not used: {other.reason}{_may_be(other)}")
        lines += _rules(other.evidence)
    paths = {item.path for item in used} | {other.path for other in left}
    asked = [problem for problem in study.problems if paths & set(problem.paths)]
    return "\n".join(lines + [f"  question: {problem.text}; {problem.hint}" for problem in asked])


def _rules(rules: Sequence[Evidence]) -> list[str]:
    return [f"  {_rule(rule)}" for rule in rules] or ["  no rule says what it is"]


def exit_of(study: Study) -> int:
    """Return the exit code of `scan` for a study: 0 where `fill` would use it."""
    return int(study.problems[0].error.exit_code) if study.problems else 0


def _is_meant(path: Path, wanted: Path) -> bool:
    places = (
        real_path(path),
        real_path(path.parent) if path.suffix.lower() in (".dcm", ".ima", "") else real_path(path),
    )
    return real_path(wanted) in places or str(wanted) in (path.name, path.parent.name)


def _rule(rule: Evidence) -> str:
    return f"{rule.contrast or 'no source':<10}{rule.confidence:.2f}  {rule.reason}"


def _may_be(item: NotUsed) -> str:
    return f" (may be {_either(item.may_be)})" if item.may_be else ""


def _either(contrasts: Sequence[Contrast]) -> str:
    return " or ".join(contrasts)


def _left_record(item: NotUsed) -> dict[str, Any]:
    return {
        "path": str(item.path),
        "reason": item.reason,
        "may_be": list[str](item.may_be),
        "evidence": _reasons(item.evidence),
    }


def _problem_record(problem: Problem) -> dict[str, Any]:
    return {
        "text": problem.text,
        "hint": problem.hint,
        "paths": [str(path) for path in problem.paths],
        "options": list(problem.options),
    }


def _series_record(series: Series) -> dict[str, Any]:
    return {
        "path": str(series.path),
        "modality": series.contrast,
        "confidence": series.confidence,
        "evidence": _reasons(series.evidence),
        "shape": series.grid.shape,
        "spacing": [round(value, 4) for value in series.grid.spacing],
        "orientation": series.grid.orientation,
    }


def _reasons(rules: Iterable[Evidence]) -> list[str]:
    return [rule.reason for rule in rules]


def _routes(study: Study) -> tuple[tuple[Job, ...], str]:
    """Return the routes that `fill` takes unasked, and why there is none; none while there is a question."""
    if study.problems:
        return (), ""
    try:
        return route(study.present, targets_of(study)), ""
    except NoRoute as error:
        return (), str(error)


def _not_made(study: Study) -> list[Contrast]:
    """Return what the study lacks and is made only when asked for by name."""
    return [contrast for contrast in study.missing if contrast in ASKED_ONLY]
