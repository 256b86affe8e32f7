"""Study + request → Plan: which generator makes which target from which sources, and why.

The route depends on the sequences present and the targets asked for, on nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import NoRoute, UsageError
from mrimpute.study import Study

ASKED_ONLY = (Contrast.T1C,)
"""Made when asked for by name only: where agent would enhance is in no image that was acquired without it."""

ALDM_PSNR_DB: dict[Contrast, dict[Contrast, float]] = {
    Contrast.T1: {Contrast.T1C: 26.23, Contrast.T2: 25.42, Contrast.FLAIR: 25.19},
    Contrast.T1C: {Contrast.T1: 26.12, Contrast.FLAIR: 25.90, Contrast.T2: 25.23},
    Contrast.T2: {Contrast.FLAIR: 26.15, Contrast.T1C: 25.99, Contrast.T1: 25.82},
    Contrast.FLAIR: {Contrast.T1C: 25.20, Contrast.T2: 25.07, Contrast.T1: 24.84},
}
"""Target → source → PSNR in dB, best first (Kim & Park, WACV 2024, Table 2)."""

SYNDIFF_SOURCES: dict[Contrast, tuple[Contrast, ...]] = {
    Contrast.T1: (Contrast.T2, Contrast.FLAIR, Contrast.PD),
    Contrast.T2: (Contrast.FLAIR, Contrast.T1, Contrast.PD),
    Contrast.FLAIR: (Contrast.T2, Contrast.T1),
    Contrast.PD: (Contrast.T1, Contrast.T2),
    Contrast.CT: (Contrast.T1, Contrast.T2),
}
"""Target → sources that SynDiff translates from: the order of ALDM_PSNR_DB, then pd."""


@dataclass(frozen=True)
class Job:
    """One target of a plan.

    Attributes:
        target: what is made.
        generator: which system makes it.
        sources: from what, in the system's channel order.
        reason: why this route, in words.
    """

    target: Contrast
    generator: str
    sources: tuple[Contrast, ...]
    reason: str


@dataclass(frozen=True)
class Plan:
    """What will be made for one study.

    Attributes:
        study: the study.
        jobs: one per target; empty where nothing is missing.
        acquired: targets asked for that the study holds already; they are not made.
        not_made: contrasts that the study lacks and that nobody asked for by name; see ASKED_ONLY.
    """

    study: Study
    jobs: tuple[Job, ...]
    acquired: tuple[Contrast, ...] = ()
    not_made: tuple[Contrast, ...] = ()


def make_plan(study: Study, missing: Sequence[Contrast] = (), generator: str | None = None) -> Plan:
    """Plan the targets of one study.

    Args:
        study: from `find_series`.
        missing: targets; empty for every one of t1, t2, flair that the study lacks.
        generator: the user's choice; None for the table's.

    Raises:
        UsageError: no generator has that name.
        NoRoute: a target cannot be made from what is present.
    """
    asked = targets_of(study, missing)
    acquired = tuple(target for target in asked if target in study.present)
    targets = tuple(target for target in asked if target not in acquired)
    try:
        jobs = route(study.present, targets, generator)
    except NoRoute as error:
        raise NoRoute(f"{study.folder}: {error.text}", error.hint) from error
    not_made = () if missing else tuple(contrast for contrast in study.missing if contrast in ASKED_ONLY)
    return Plan(study, jobs, acquired, not_made)


def targets_of(study: Study, missing: Sequence[Contrast] = ()) -> tuple[Contrast, ...]:
    """Return what is to be made of a study: what the user asked for, else all that it lacks but ASKED_ONLY."""
    unasked = (contrast for contrast in study.missing if contrast not in ASKED_ONLY)
    return tuple(dict.fromkeys(missing)) or tuple(unasked)


def would_change(study: Study, missing: Sequence[Contrast], generator: str | None, contrast: Contrast) -> bool:
    """Tell whether targets would be made otherwise, or at all, if one more contrast had been acquired.

    Args:
        study, missing, generator: as in `make_plan`.
        contrast: what might be there.
    """
    if contrast in study.present:
        return False
    targets = [
        target for target in targets_of(study, missing) if target not in study.present and target is not contrast
    ]

    def jobs(present: Sequence[Contrast]) -> tuple[Job, ...]:
        try:
            return route(present, targets, generator)
        except NoRoute:
            return ()

    return jobs(study.present) != jobs((*study.present, contrast))


def route(present: Sequence[Contrast], targets: Sequence[Contrast], generator: str | None = None) -> tuple[Job, ...]:
    """Return the jobs for these targets, each by the first row of ROUTES that fits.

    Raises:
        UsageError: no generator has that name.
        NoRoute: no row fits; the message says what would make it possible.
    """
    if generator:
        return tuple(_forced(present, target, generator) for target in targets)
    rows = [row for row in ROUTES if row.beside_others or len(targets) == 1]
    return tuple(_first_job(rows, present, targets, target) for target in targets)


def generator_names() -> tuple[str, ...]:
    """Return the generators that the table of routes knows."""
    return tuple(row.generator for row in ROUTES)


def _first_job(
    rows: Sequence["Route"], present: Sequence[Contrast], targets: Sequence[Contrast], target: Contrast
) -> Job:
    for row in rows:
        if job := row.job(present, target):
            return job
    raise _no_route(present, targets, target)


def _forced(present: Sequence[Contrast], target: Contrast, generator: str) -> Job:
    row = next((row for row in ROUTES if row.generator == generator), None)
    if row is None:
        raise UsageError(f"no generator is called {generator!r}", f"use one of {', '.join(generator_names())}")
    job = row.job(present, target)
    if job is None:
        needs = f"it needs {row.needs(target)}; or leave --generator out"
        raise NoRoute(f"{generator} cannot make {target} from {_listed(present)}", needs)
    return job


def _cwdm(present: Sequence[Contrast], target: Contrast) -> Job | None:
    sources = tuple(contrast for contrast in BRATS_FOUR if contrast is not target)
    if target not in BRATS_FOUR or not set(sources) <= set(present):
        return None
    return Job(target, "cwdm", sources, f"one of four is missing and {', '.join(sources)} are present")


def _syndiff(present: Sequence[Contrast], target: Contrast) -> Job | None:
    for source in SYNDIFF_SOURCES.get(target, ()):
        if source in present:
            return Job(target, "syndiff", (source,), f"one target, and {source} to {target} is a pair it translates")
    return None


def _aldm(present: Sequence[Contrast], target: Contrast) -> Job | None:
    for source, decibels in ALDM_PSNR_DB.get(target, {}).items():
        if source in present:
            reason = f"{source} is the best source present for {target} ({decibels:.2f} dB in the paper)"
            return Job(target, "aldm", (source,), reason)
    return None


def _no_route(present: Sequence[Contrast], targets: Sequence[Contrast], target: Contrast) -> NoRoute:
    if len(targets) > 1 and _syndiff(present, target):
        return NoRoute(f"{target} cannot be made together with other targets", f"ask for it alone: --missing {target}")
    possible = ALDM_PSNR_DB.get(target) or dict.fromkeys(SYNDIFF_SOURCES.get(target, ()))
    return NoRoute(
        f"nothing makes {target} from {_listed(present)}",
        f"it needs one of {', '.join(possible)}; name a series with --{next(iter(possible))} PATH if it is there",
    )


def _listed(present: Sequence[Contrast]) -> str:
    return ", ".join(present) or "nothing"


def _one_of(sources: Sequence[Contrast]) -> str:
    return f"one of {', '.join(sources) or 'no contrast'}"


@dataclass(frozen=True)
class Route:
    """One row of the table: when a generator makes a target.

    Attributes:
        generator: name of its room.
        job: (contrasts present, target) → how it makes the target, None where it cannot.
        needs: target → what it would need, in words.
        beside_others: whether it also makes a target that is asked for together with others.
    """

    generator: str
    job: Callable[[Sequence[Contrast], Contrast], Job | None]
    needs: Callable[[Contrast], str]
    beside_others: bool = False


ROUTES = (
    Route("cwdm", _cwdm, lambda _target: f"the other three of {', '.join(BRATS_FOUR)}"),
    Route("syndiff", _syndiff, lambda target: _one_of(SYNDIFF_SOURCES.get(target, ()))),
    Route("aldm", _aldm, lambda target: _one_of(tuple(ALDM_PSNR_DB.get(target, ()))), beside_others=True),
)
"""Who makes what; the first row that fits counts. One target with the three others present: cWDM. One target with a
SynDiff pair present: SynDiff. Targets within t1, t1c, t2, flair: ALDM, each from its best present source."""
