"""Study + request → Plan: which generator makes which target from which sources, and why.

The route depends on the sequences present and the targets asked for, on nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import NoRoute
from mrimpute.study import Study

GeneratorName = Literal["cwdm", "aldm", "syndiff"]
GENERATOR_NAMES: tuple[GeneratorName, ...] = ("cwdm", "aldm", "syndiff")

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
    generator: GeneratorName
    sources: tuple[Contrast, ...]
    reason: str


@dataclass(frozen=True)
class Plan:
    """What will be made for one study.

    Attributes:
        study: the study.
        jobs: one per target; empty where nothing is missing.
        acquired: targets asked for that the study holds already; they are not made.
    """

    study: Study
    jobs: tuple[Job, ...]
    acquired: tuple[Contrast, ...] = ()


def make_plan(study: Study, missing: Sequence[Contrast] = (), generator: GeneratorName | None = None) -> Plan:
    """Plan the targets of one study.

    Args:
        study: from `find_series`.
        missing: targets; empty for every one of t1, t1c, t2, flair that the study lacks.
        generator: the user's choice; None for the table's.

    Raises:
        NoRoute: a target cannot be made from what is present.
    """
    asked = tuple(dict.fromkeys(missing)) or study.missing
    acquired = tuple(target for target in asked if target in study.present)
    targets = tuple(target for target in asked if target not in acquired)
    try:
        jobs = route(study.present, targets, generator)
    except NoRoute as error:
        raise NoRoute(f"{study.folder}: {error.text}", error.hint) from error
    return Plan(study, jobs, acquired)


def route(
    present: Sequence[Contrast], targets: Sequence[Contrast], generator: GeneratorName | None = None
) -> tuple[Job, ...]:
    """Return the jobs for these targets, by the first rule of the table that fits.

    1. one target of t1, t1c, t2, flair with the three others present → cWDM;
    2. one target with a SynDiff pair present → SynDiff;
    3. targets within t1, t1c, t2, flair → ALDM, each from its best present source.

    Raises:
        NoRoute: no rule fits; the message says what would make it possible.
    """
    if not targets:
        return ()
    if generator:
        return tuple(_forced(present, target, generator) for target in targets)
    if len(targets) == 1:
        job = _cwdm(present, targets[0]) or _syndiff(present, targets[0])
        if job:
            return (job,)
    jobs = [_aldm(present, target) for target in targets]
    for target, job in zip(targets, jobs, strict=True):
        if job is None:
            raise _no_route(present, targets, target)
    return tuple(job for job in jobs if job)


def _forced(present: Sequence[Contrast], target: Contrast, generator: GeneratorName) -> Job:
    job = {"cwdm": _cwdm, "syndiff": _syndiff, "aldm": _aldm}[generator](present, target)
    if job is None:
        needs = {
            "cwdm": f"the other three of {', '.join(BRATS_FOUR)}",
            "syndiff": f"one of {', '.join(SYNDIFF_SOURCES.get(target, ())) or 'no contrast'}",
            "aldm": f"one of {', '.join(ALDM_PSNR_DB.get(target, ())) or 'no contrast'}",
        }[generator]
        raise NoRoute(
            f"{generator} cannot make {target} from {_listed(present)}", f"it needs {needs}; or leave --generator out"
        )
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
