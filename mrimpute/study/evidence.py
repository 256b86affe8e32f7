"""Evidence for a contrast from what the scanner recorded, in JSON sidecars or DICOM.

Times are milliseconds.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mrimpute.contrasts import Contrast

_AGENT_DENIED = re.compile(
    r"(no|none|nil|nein|non|n|na|n/a|0|pre|without|w/o|ohne|sans|not given|no contrast|kein\w*)([ :,.-].*)?"
)


@dataclass(frozen=True)
class Evidence:
    """One reason to take a series for a contrast.

    Attributes:
        contrast: what it points to; None where the series is no source at all.
        reason: in words, for the user.
        confidence: 0 to 1.
    """

    contrast: Contrast | None
    reason: str
    confidence: float


def physics_evidence(
    echo: float | None, repetition: float | None, inversion: float | None, gradient: bool, inverted: bool = False
) -> Evidence | None:
    """Judge a series by its times.

    Args:
        echo, repetition, inversion: TE, TR and TI in ms, None where unknown.
        gradient: whether it is a gradient-echo sequence.
        inverted: whether it is an inversion recovery, also where no TI is recorded.

    Returns:
        The evidence, or None where the times do not decide.
    """
    if echo is None or repetition is None:
        return None
    times = f"TR {repetition:.0f}, TE {echo:.3g}"
    if inversion:
        return _inversion_recovery(echo, repetition, inversion, gradient, f"({times}, TI {inversion:.0f} ms)")
    if gradient:
        return _gradient_echo(echo, f"({times} ms)")
    return None if inverted else _spin_echo(echo, repetition, f"({times} ms)")


def _inversion_recovery(
    echo: float, repetition: float, inversion: float, gradient: bool, times: str
) -> Evidence | None:
    """Judge a series with a known TI."""
    short, medium = echo < 40, 300 <= inversion < 1500
    rules = (
        (inversion >= 1500 and repetition >= 3500 and echo >= 60, Contrast.FLAIR, "inversion recovery of fluid", 0.95),
        (inversion >= 1500 and short, Contrast.T1, "T1-FLAIR", 0.85),
        (medium and gradient, Contrast.T1, "prepared gradient echo", 0.95),
        (medium and short, Contrast.T1, "inversion recovery, medium TI", 0.85),
        (inversion < 300, None, "fat suppression by inversion, STIR", 0.9),
    )
    return _first_that_holds(rules, times)


def _gradient_echo(echo: float, times: str) -> Evidence | None:
    """Judge a gradient echo without inversion."""
    rules = (
        (echo < 10, Contrast.T1, "gradient echo, short TE", 0.85),
        (echo >= 15, None, "T2*-weighted gradient echo", 0.8),
    )
    return _first_that_holds(rules, times)


def _spin_echo(echo: float, repetition: float, times: str) -> Evidence | None:
    """Judge a spin echo without inversion."""
    rules = (
        (repetition < 1200 and echo <= 30, Contrast.T1, "spin echo, short TR and TE", 0.85),
        (repetition > 2000 and echo >= 60, Contrast.T2, "spin echo, long TR and TE", 0.85),
        (repetition > 2000 and echo <= 40, Contrast.PD, "spin echo, long TR, short TE", 0.8),
    )
    return _first_that_holds(rules, times)


def _first_that_holds(rules: Sequence[tuple[bool, Contrast | None, str, float]], times: str) -> Evidence | None:
    for holds, contrast, reason, confidence in rules:
        if holds:
            return Evidence(contrast, f"{reason} {times}", confidence)
    return None


def sidecar_evidence(sidecar: Mapping[str, Any]) -> Evidence | None:
    """Judge a series by a BIDS or dcm2niix sidecar, whose times are seconds."""
    if str(sidecar.get("Modality", "MR")).upper() != "MR":
        return None
    echo, repetition, inversion = (
        _number(sidecar.get(key), 1000.0) for key in ("EchoTime", "RepetitionTime", "InversionTime")
    )
    sequence = sidecar.get("ScanningSequence", "")
    words = sequence if isinstance(sequence, list) else str(sequence).replace("\\", "_").split("_")
    return physics_evidence(echo, repetition, inversion, "GR" in [str(word).upper() for word in words])


def names_agent(sidecar: Mapping[str, Any]) -> bool:
    """Tell whether a sidecar names a contrast agent that was given."""
    agent = str(sidecar.get("ContrastBolusIngredient") or sidecar.get("ContrastBolusAgent") or "").strip()
    return bool(agent) and not denies_agent(agent)


def denies_agent(agent: str) -> bool:
    """Tell whether what stands in an agent's field says that none was given."""
    return _AGENT_DENIED.fullmatch(agent.strip().lower()) is not None


def compatible(one: Contrast, other: Contrast) -> bool:
    """Tell whether two pieces of evidence can both be true: t1c is a t1 with an agent."""
    return one is other or {one, other} == {Contrast.T1, Contrast.T1C}


def _number(value: Any, factor: float) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e9:
        return None
    return float(value) * factor
