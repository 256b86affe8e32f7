"""The rules of the verdict, in one table: what is looked at, and which word it gives at least."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from mrimpute.calibration.information import LEAST_SHARE, Shared
from mrimpute.calibration.naming import WARN_GAP
from mrimpute.calibration.present import MIN_SERIES
from mrimpute.write.result import BLACK_LIMIT
from mrimpute.write.verdict import AS_EXPECTED, DO_NOT_USE, LOOK, NOT_JUDGED, Figure, Range, Verdict, Word

PSNR_MARGIN, SSIM_MARGIN, SHARPNESS_RATIO = 1.0, 0.05, 1.25
"""How far outside the range of held-out studies a figure may lie: dB, SSIM, and a factor."""
FAR_BELOW = 3.0
"""Decibels below the range from which on an image is not to be used, where the range is of SURE studies."""
SURE = 5
"""Fewer studies than this never give more than 'look at it'."""

Standing = Literal["in range", "near", "outside"]


@dataclass(frozen=True)
class Evidence:
    """All that a verdict stands on.

    Attributes:
        figures: of the self-check, with their ranges.
        fit: how the series fit their names and the scanner, in the sidecar's words; None where that was not looked at.
        black: share of the head that is exactly 0 in the result.
        unjudged: why nothing can be said, where that is so.
    """

    figures: tuple[Figure, ...] = ()
    fit: Mapping[str, Any] | None = None
    black: float = 0.0
    unjudged: str = ""


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    Attributes:
        word: the verdict that it gives, unless an earlier row gives another.
        title: what it looks at, as the report and the README show it.
        reasons: Evidence → why it holds; none where it does not.
    """

    word: Word
    title: str
    reasons: Callable[[Evidence], Iterator[str]]


def _black(evidence: Evidence) -> Iterator[str]:
    if evidence.black > BLACK_LIMIT:
        yield f"{evidence.black:.0%} of the head is black in the result"


def _far_below(evidence: Evidence) -> Iterator[str]:
    for one in evidence.figures:
        if one.psnr_range and one.studies >= SURE and one.psnr_db < one.psnr_range.low - FAR_BELOW:
            yield _told(one, "PSNR", f"{one.psnr_db:.1f} dB", one.psnr_range)


def _unjudged(evidence: Evidence) -> Iterator[str]:
    if evidence.unjudged:
        yield evidence.unjudged


def standing(name: str, value: float, held: Range) -> Standing:
    """Tell whether a figure (PSNR, SSIM, sharpness) lies in the range of held-out studies, within the margin, or out.

    More than the range is no fault of PSNR and SSIM.
    """
    low, high = {
        "PSNR": (held.low - PSNR_MARGIN, inf),
        "SSIM": (held.low - SSIM_MARGIN, inf),
        "sharpness": (held.low / SHARPNESS_RATIO, held.high * SHARPNESS_RATIO),
    }[name]
    if not low <= value <= high:
        return "outside"
    return "in range" if held.low <= value and (value <= held.high or high == inf) else "near"


def _outside(evidence: Evidence) -> Iterator[str]:
    for figure in evidence.figures:
        for name, value, held in figure.values:
            if held and standing(name, value, held) == "outside":
                yield _told(figure, name, f"{value:.1f} dB" if name == "PSNR" else f"{value:.2f}", held)


def _told(figure: Figure, name: str, value: str, held: Range) -> str:
    return (
        f"{figure.contrast} predicted from {', '.join(figure.sources)}: {name} {value}, held-out studies "
        f"{held.low:.3g} to {held.high:.3g} (n = {figure.studies})"
    )


def _foreign(evidence: Evidence) -> Iterator[str]:
    if evidence.fit and evidence.fit.get("scanner") == "foreign":
        yield "the scanner is foreign: brightness will be off"


def _names(evidence: Evidence) -> Iterator[str]:
    if evidence.fit and evidence.fit.get("naming_gap", 0) > WARN_GAP:
        yield f"the series fit their names badly ({evidence.fit['naming_gap']:.2f}, over {WARN_GAP})"


def _information(evidence: Evidence) -> Iterator[str]:
    for one in map(Shared.of, (evidence.fit or {}).get("mutual_information", ())):
        if one.is_low:
            yield (
                f"{' and '.join(one.pair)} tell too little of each other (mutual information {one.found:.3f}, lowest "
                f"of the calibration's studies {one.lowest:.3f}, n = {one.studies})"
            )


RULES = (
    Rule(DO_NOT_USE, f"more than {BLACK_LIMIT:.0%} of the head is black in the result", _black),
    Rule(
        DO_NOT_USE,
        f"a series is predicted more than {FAR_BELOW:g} dB below the range of {SURE} or more held-out studies",
        _far_below,
    ),
    Rule(
        NOT_JUDGED,
        f"fewer than {MIN_SERIES} series, head with skull or below 0.3 litres, or no range for these weights",
        _unjudged,
    ),
    Rule(
        LOOK,
        f"a figure lies outside the range of held-out studies by more than {PSNR_MARGIN:g} dB, {SSIM_MARGIN:g} SSIM "
        f"or a factor of {SHARPNESS_RATIO:g} in sharpness",
        _outside,
    ),
    Rule(LOOK, "the scanner is foreign to the studies that were learnt from", _foreign),
    Rule(LOOK, f"other names would fit the series better (gap over {WARN_GAP})", _names),
    Rule(
        LOOK, f"two series tell of each other below {LEAST_SHARE} of the least in a calibration's studies", _information
    ),
    Rule(AS_EXPECTED, "none of these", lambda _evidence: iter(())),
)
"""The first row that finds a reason gives the word; the reasons of later rows are told too."""


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict: the word of the first rule that holds, and the reasons of all that do."""
    found = [(rule.word, reason) for rule in RULES for reason in rule.reasons(evidence)]
    word = found[0][0] if found else AS_EXPECTED
    return Verdict(word=word, reasons=tuple(dict.fromkeys(reason for _, reason in found)), figures=evidence.figures)
