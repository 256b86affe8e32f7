"""Evidence for a contrast from what the scanner recorded, in JSON sidecars or DICOM.

Rules and figures: research/usability.md section 3.2, steps 2 and 5. Times are milliseconds.
"""

import re
from collections.abc import Mapping
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
        times += f", TI {inversion:.0f} ms"
        if inversion >= 1500 and repetition >= 3500 and echo >= 60:
            return Evidence(Contrast.FLAIR, f"inversion recovery of fluid ({times})", 0.95)
        if inversion >= 1500 and echo < 40:
            return Evidence(Contrast.T1, f"T1-FLAIR ({times})", 0.85)
        if 300 <= inversion < 1500 and gradient:
            return Evidence(Contrast.T1, f"prepared gradient echo ({times})", 0.95)
        if 300 <= inversion < 1500 and echo < 40:
            return Evidence(Contrast.T1, f"inversion recovery, medium TI ({times})", 0.85)
        if inversion < 300:
            return Evidence(None, f"fat suppression by inversion, STIR ({times})", 0.9)
        return None
    times += " ms"
    if gradient:
        if echo < 10:
            return Evidence(Contrast.T1, f"gradient echo, short TE ({times})", 0.85)
        return Evidence(None, f"T2*-weighted gradient echo ({times})", 0.8) if echo >= 15 else None
    if inverted:
        return None
    if repetition < 1200 and echo <= 30:
        return Evidence(Contrast.T1, f"spin echo, short TR and TE ({times})", 0.85)
    if repetition > 2000 and echo >= 60:
        return Evidence(Contrast.T2, f"spin echo, long TR and TE ({times})", 0.85)
    if repetition > 2000 and echo <= 40:
        return Evidence(Contrast.PD, f"spin echo, long TR, short TE ({times})", 0.8)
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
