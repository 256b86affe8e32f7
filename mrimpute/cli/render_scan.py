"""What `scan` shows, as text and as JSON: each series and why, the losers, the open ones, what must be asked.

No tag value and no patient attribute ever; paths as given. Refused or not, `inputs` holds only what `fill` would use.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mrimpute import __version__
from mrimpute.cli.records.scan import LeftRecord, ProblemRecord, ScannedRecord, ScanRecord
from mrimpute.cli.render import LABEL, error_record, job_record, job_text, series_part, wrapped
from mrimpute.contrasts import Contrast
from mrimpute.errors import MrimputeError, NoRoute, UsageError
from mrimpute.files import real_path
from mrimpute.plan import ASKED_ONLY, Job, route, targets_of
from mrimpute.study import NotUsed, Problem, Study
from mrimpute.study.evidence import Evidence
from mrimpute.study.model import About


def scan_text(study: Study) -> str:
    """Return what `scan` prints for one study: of each series what it is, why, and last its path."""
    lines = [f"{study.folder}  (names: {study.naming.scheme})"]
    for series in study.series:
        reasons = [item.reason for item in series.evidence[:2]]
        sure = f"{series.contrast:<6}{series.confidence:.2f}"
        lines += _entry(sure, _about_text(study, series.path, series.grid.words), reasons, series.path)
    for label, items in (("set aside", study.set_aside), ("not used", study.unidentified)):
        for item in items:
            doubt = _may_be(item) if item.broken or label == "not used" else ""
            lines += _entry(label, _about_text(study, item.path), [item.reason + doubt], item.path)
    lines += wrapped("missing", ", ".join(study.missing) or "nothing")
    for problem in study.problems:
        lines += wrapped("question", problem.text)
        lines += [f"{'':{LABEL + 2}}{option}" for option in problem.options or ()]
        lines += [] if problem.options else wrapped("", problem.hint)
    jobs, no_route = _routes(study)
    for job in jobs:
        lines += wrapped("can be made", job_text(job))
    lines += wrapped("no route", no_route) if no_route else []
    for target in () if study.problems or no_route else _not_made(study):
        lines += wrapped("not made", f"{target} unasked, since enhancement cannot be computed; --missing {target}")
    return "\n".join(lines)


def _entry(label: str, about: str, reasons: Sequence[str], path: Path) -> list[str]:
    """Return the lines of one series: its label, what it is, why, where."""
    told = [line for text in (about, *reasons) if text for line in wrapped("", text)]
    first = f"  {label:<{LABEL}}" + told[0].strip()
    return [first, *told[1:], f"{'':{LABEL + 2}}{path}"]


def _about_text(study: Study, path: Path, grid: str = "") -> str:
    """Return number, kind of sequence, plane, slices and grid of a series, as far as they are known."""
    about = study.about.get(path, About())
    words = [f"series {about.number}"] if about.number else []
    words += [word for word in (about.kind, about.plane) if word]
    words += [f"{about.slices} slice{'s' * (about.slices != 1)}"] if about.slices else []
    words += [grid or (about.grid.words if about.grid else "")]
    return ", ".join(word for word in words if word)


def scan_record(study: Study, error: MrimputeError | None) -> ScanRecord:
    """Return the JSON object of `scan --json` for one study, with the error that `fill` would refuse it with."""
    jobs, no_route = _routes(study)
    return ScanRecord(
        version=__version__,
        exit=int(error.exit_code) if error else 0,
        study=str(study.folder),
        scheme=study.naming.scheme,
        inputs=[ScannedRecord(**series_part(item), **_told_of(study, item.path)) for item in study.series],
        set_aside=[_left_record(study, item) for item in study.set_aside],
        unidentified=[_left_record(study, item) for item in study.unidentified],
        problems=[_problem_record(problem) for problem in study.problems],
        missing=list(study.missing),
        not_made=list(_not_made(study)),
        plan=[job_record(job) for job in jobs],
        no_route=no_route,
        error=error_record(error),
    )


def scan_error_record(folder: Path, error: MrimputeError) -> ScanRecord:
    """Return the JSON object for a study that `scan` could not read."""
    return ScanRecord(
        version=__version__,
        exit=int(error.exit_code),
        study=str(folder),
        scheme=None,
        inputs=[],
        set_aside=[],
        unidentified=[],
        problems=[ProblemRecord(text=error.text, hint=error.hint, paths=[], options=[])],
        missing=[],
        not_made=[],
        plan=[],
        no_route="",
        error=error_record(error),
    )


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


def _left_record(study: Study, item: NotUsed) -> LeftRecord:
    return LeftRecord(
        path=str(item.path),
        reason=item.reason,
        may_be=list(item.may_be),
        evidence=_reasons(item.evidence),
        **_told_of(study, item.path),
    )


def _told_of(study: Study, path: Path) -> dict[str, Any]:
    about = study.about.get(path, About())
    return {"number": about.number, "kind": about.kind, "plane": about.plane, "slices": about.slices}


def _problem_record(problem: Problem) -> ProblemRecord:
    return ProblemRecord(
        text=problem.text,
        hint=problem.hint,
        paths=[str(path) for path in problem.paths],
        options=list(problem.options),
    )


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
