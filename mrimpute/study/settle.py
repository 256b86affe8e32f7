"""Several series of one contrast → the one to use, why, and what must be asked.

A tumour exam holds each contrast in several planes, and its T1 before and after agent. Never is a series chosen across
agent: a T1 without a word about it is native only where it comes before the first series after agent, or where it is
the only T1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.study.asides import DIFFERENCES
from mrimpute.study.candidate import Candidate, acquisitions
from mrimpute.study.evidence import Evidence
from mrimpute.study.judge import may_name_agent
from mrimpute.study.model import NotUsed, Problem, Series
from mrimpute.study.prefer import common_plane, criteria

MANY = 8
"""Series that a question names; of more it gives the number."""
_LONE = 0.6
"""Confidence that a lone T1 is native where nothing says so."""
_PLACED = 0.7
"""Confidence that it is where its place in the exam says so."""
_T1_FAMILY = (Contrast.T1, Contrast.T1C)


@dataclass
class Settled:
    """What became of the candidates: one series per contrast, the losers, the open ones, the questions."""

    kept: dict[Contrast, Series] = field(default_factory=dict)
    left: list[NotUsed] = field(default_factory=list)
    open: list[NotUsed] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def settle(candidates: Sequence[Candidate], others: Sequence[Candidate], overruled: set[Contrast]) -> Settled:
    """Choose one series per contrast.

    Args:
        candidates: the series that may be used.
        others: those that are set aside: they tell where the first one after agent stands.
        overruled: contrasts that the user named.
    """
    settled = Settled()
    for candidate in candidates:
        if candidate.user:
            _keep(
                settled,
                candidate,
                candidate.user,
                [Evidence(candidate.user, f"named by the user with --{candidate.user}", 1.0)],
            )
    sure = [item for item in candidates if not item.user and not _doubtful(item)]
    everything = [*candidates, *others]
    for contrast in (Contrast.T2, Contrast.FLAIR, Contrast.PD, Contrast.CT):
        _choose(settled, contrast, [item for item in sure if item.contrast is contrast], everything, overruled)
    family = [item for item in sure if item.contrast is Contrast.T1]
    given = [item for item in family if item.agent == "given"]
    _choose(settled, Contrast.T1C, given, everything, overruled)
    _choose_native(settled, [item for item in family if item not in given], everything, overruled)
    for item in candidates:
        if not item.user and _doubtful(item):
            _ask(settled, item, overruled)
    return settled


def _doubtful(item: Candidate) -> bool:
    verdict = item.verdict
    unclear = verdict.contrast is Contrast.T1 and bool(verdict.unclear) and not item.agent
    return bool(verdict.doubt) or item.agent == "both" or unclear


def _keep(settled: Settled, item: Candidate, contrast: Contrast, decided: Sequence[Evidence]) -> None:
    """Take a series; one that forms no volume is a problem instead."""
    told = (*decided, *item.verdict.agents, *item.verdict.evidence)
    evidence = tuple({entry.reason: entry for entry in reversed(told)}.values())[::-1]
    if item.defect or item.grid is None:
        defect = item.defect or StudyRefused(f"{item.path} forms no volume")
        settled.problems.append(Problem(defect.text, defect.hint, (item.path,), error=type(defect), broken=True))
        settled.open.append(NotUsed(item.path, _short(defect.text), may_be=(contrast,), evidence=evidence))
        return
    settled.kept[contrast] = Series(contrast, item.path, evidence, item.grid, item.warnings, item.reading, item.dicom)


def _short(text: str) -> str:
    return text.split(": ", 1)[-1]


def _choose(
    settled: Settled,
    contrast: Contrast,
    candidates: Sequence[Candidate],
    everything: Sequence[Candidate],
    overruled: set[Contrast],
    later: bool = True,
) -> None:
    """Keep the best of the series that are of one contrast for certain."""
    if not candidates:
        return
    if contrast in overruled:
        settled.left += [NotUsed(item.path, f"overruled by --{contrast}", may_be=(contrast,)) for item in candidates]
        return
    remaining = _whole(settled, contrast, candidates)
    others = [item for item in everything if item.contrast and _group(item) != _group(remaining[0])]
    for reason, rank in criteria(common_plane(others), later):
        ranks = {id(item): rank(item, remaining) for item in remaining}
        best = max(ranks.values())
        beaten = [item for item in remaining if ranks[id(item)] < best]
        remaining = [item for item in remaining if ranks[id(item)] == best]
        for item in beaten:
            why = f"{contrast} too; {_name(remaining[0].path)} is {reason}; take it with --{contrast}"
            settled.left.append(NotUsed(item.path, why, may_be=(contrast,), evidence=item.verdict.evidence))
    if len(remaining) > 1:
        _found_twice(settled, contrast, remaining)
    else:
        _keep(settled, remaining[0], contrast, _deciding(remaining[0], contrast))


def _whole(settled: Settled, contrast: Contrast, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the series that form a volume, or the first where none does."""
    whole = [item for item in candidates if item.defect is None]
    for item in candidates:
        if item.defect and whole:
            reason = f"{_short(item.defect.text)}; another {contrast} is there"
            settled.left.append(NotUsed(item.path, reason, may_be=(contrast,)))
    return whole or [candidates[0]]


def _group(item: Candidate) -> tuple[Contrast | None, bool]:
    return item.contrast, item.agent == "given"


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}" if path.suffix.lower() in (".dcm", ".ima", "") else path.name


def _deciding(item: Candidate, contrast: Contrast) -> list[Evidence]:
    if contrast in _T1_FAMILY and item.verdict.agents:
        return [entry for entry in item.verdict.agents if entry.contrast is contrast]
    return []


def _found_twice(settled: Settled, contrast: Contrast, items: Sequence[Candidate]) -> None:
    names = _listed([item.path for item in items])
    times = "twice" if len(items) == 2 else f"{len(items)} times"
    paths = tuple(item.path for item in items)
    options = tuple(f"--{contrast} {path}" for path in paths)
    settled.problems.append(
        Problem(
            f"{contrast} found {times} ({names}) and nothing prefers one",
            f"name one with {options[0]}, or give one study at a time",
            paths,
            options,
        )
    )
    settled.open += [NotUsed(path, f"{contrast} found {times}", may_be=(contrast,)) for path in paths]


def _choose_native(
    settled: Settled, family: Sequence[Candidate], everything: Sequence[Candidate], overruled: set[Contrast]
) -> None:
    """Keep a T1 without agent: one that says so, or else one that cannot be anything else."""
    stated = [item for item in family if item.agent == "denied"]
    silent = [item for item in family if item.agent == ""]
    if Contrast.T1 in overruled:
        _choose(settled, Contrast.T1, family, everything, overruled)
        return
    native, doubtful = native_by_place(silent, everything, bool(stated), Contrast.T1C in settled.kept)
    if stated:
        _choose(settled, Contrast.T1, stated, everything, overruled)
        doubtful = [*doubtful, *native]
    elif native:
        _choose(settled, Contrast.T1, native, everything, overruled, later=False)
        _say_how_sure(settled, len(silent) == 1 and Contrast.T1C not in settled.kept)
    for item in doubtful:
        reason = "a T1 that does not say whether an agent was given"
        settled.open.append(NotUsed(item.path, reason, may_be=_T1_FAMILY, evidence=item.verdict.evidence))
    if doubtful and Contrast.T1 not in settled.kept:
        settled.problems.append(_which(doubtful))


def native_by_place(
    silent: Sequence[Candidate], everything: Sequence[Candidate], stated: bool, beside_agent: bool
) -> tuple[list[Candidate], list[Candidate]]:
    """Tell the T1 without a word about agent that are native by their place in the exam from the doubtful ones.

    Those before the first series after agent are; of these, one that leads straight up to it only where there is
    no other, since the agent may have been given before it. A lone T1 is, where no header speaks of an agent. Two T1
    and no word are a question.
    """
    if not silent:
        return [], []
    marked = [item for item in everything if item.after_agent]
    order = _order([*silent, *marked])
    if not marked or order is None:
        lone = len(acquisitions(silent)) == 1 and not stated
        sure = lone and _nothing_else(silent, everything, beside_agent)
        return (list(silent), []) if sure else ([], list(silent))
    first = min(order(item) for item in marked)
    native = _well_before(silent, everything, order, first)
    return native, [item for item in silent if item not in native]


def _well_before(
    silent: Sequence[Candidate], everything: Sequence[Candidate], order: Callable[[Candidate], float], first: float
) -> list[Candidate]:
    """Return the T1 before the first series after agent; those that lead straight up to it only if all do."""
    before = [item for item in silent if order(item) < first]
    between = [order(item) for item in everything if item not in silent and not item.after_agent and item.number]
    apart = [item for item in before if any(order(item) < place < first for place in between)]
    return apart or before


def _nothing_else(silent: Sequence[Candidate], everything: Sequence[Candidate], beside_agent: bool) -> bool:
    """Tell whether a lone T1 is native: no broken T1 and no subtraction lies beside it, and neither header nor unknown
    word may speak of an agent."""
    subtracted = any(item.verdict.aside.startswith(DIFFERENCES) for item in everything)
    broken = any(item.defect and item.contrast is Contrast.T1 and item not in silent for item in everything)
    speaks = any(may_name_agent(item.facts) or item.verdict.strange for item in silent)
    return not broken and (not (speaks or subtracted) or beside_agent)


def _order(items: Sequence[Candidate]) -> Callable[[Candidate], float] | None:
    """Return where in the exam a series stands, by series number; None where one has none."""
    return (lambda item: float(item.number)) if all(item.number for item in items) else None


def _say_how_sure(settled: Settled, lone: bool) -> None:
    """Put the reason first why a T1 without a word about agent is taken for native."""
    series = settled.kept.get(Contrast.T1)
    if series is None:
        return
    reason = "no series and no word tells of an agent" if lone else "it comes before, or beside, the series after agent"
    decided = Evidence(Contrast.T1, f"taken for native: {reason}", _LONE if lone else _PLACED)
    settled.kept[Contrast.T1] = replace(series, evidence=(decided, *series.evidence))


def _which(items: Sequence[Candidate]) -> Problem:
    """Ask which of several T1 is native."""
    ordered = sorted(items, key=lambda item: (item.facts.time, item.number, str(item.path)))
    paths = tuple(item.path for item in ordered)
    names = _listed(paths)
    if len(paths) == 1:
        text = f"{names}: a T1, and nothing tells whether it was acquired with a contrast agent"
        text += f"; {items[0].verdict.strange}" if items[0].verdict.strange else ""
        both = (f"--t1 {paths[0]}", f"--t1c {paths[0]}")
        return Problem(text, f"settle it with {both[0]} or {both[1]}", paths, both)
    times = "twice" if len(paths) == 2 else f"{len(paths)} times"
    options = (f"--t1 {paths[0]}", *(f"--t1c {path}" for path in paths[1:]))
    return Problem(
        f"t1 found {times} ({names}), and nothing tells which one has a contrast agent",
        f"name the one without: {options[0]} if it is the first; one with agent is --t1c PATH",
        paths,
        options,
    )


def _listed(paths: Sequence[Path]) -> str:
    """Return paths as text, the first few of many."""
    shown = ", ".join(str(path) for path in paths[:MANY])
    return f"{shown} and {len(paths) - MANY} more" if len(paths) > MANY else shown


def _ask(settled: Settled, item: Candidate, overruled: set[Contrast]) -> None:
    """Ask what a series is whose evidence contradicts itself, where that matters."""
    verdict = item.verdict
    may_be = item.may_be
    if set(may_be) - {Contrast.T1C} <= overruled or set(may_be) <= overruled:
        reason = "its contrasts were named by the user"
        settled.left.append(NotUsed(item.path, reason, may_be=may_be, evidence=verdict.evidence))
        return
    if verdict.doubt:
        text = verdict.doubt
    elif item.agent == "both":
        first, second = (
            verdict.agents[0],
            next(e for e in verdict.agents if e.contrast is not verdict.agents[0].contrast),
        )
        text = f"{first.reason}, but {second.reason}"
    else:
        text = f"a T1, but {verdict.unclear}"
    settled.open.append(NotUsed(item.path, text, may_be=may_be, evidence=(*verdict.agents, *verdict.evidence)))
    sure = {c for c, series in settled.kept.items() if not (c is Contrast.T1 and series.confidence <= _LONE)}
    if set(may_be) - {Contrast.T1C} <= sure:
        return
    options = tuple(f"--{contrast} {item.path}" for contrast in may_be)
    settled.problems.append(
        Problem(f"{item.path}: {text}", f"settle it with {' or '.join(options)}", (item.path,), options)
    )
