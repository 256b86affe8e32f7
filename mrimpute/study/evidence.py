"""Evidence for a contrast, and what the times of a series say of it. Times are milliseconds.

The limits lie between the values seen in practice: spin-echo T1 TR 400 to 865 and TE 7 to 21, T2 TR 1000 to 7000 and
TE 61 to 388, gradient-echo T1 TE 2 to 4, T2* TE above 15, STIR TI below 300, FLAIR TI above 1500.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mrimpute.contrasts import Contrast

_AGENT_DENIED = re.compile(
    r"(no|none|nil|nein|non|n|na|n/a|0|pre|without|w/o|ohne|sans|sin|senza|sem|zonder|utan|uten|uden|bez|nie|nej|nao|não"
    r"|ei|hayir|hayır|nativ\w*|nee|net|нет|не|без|无|無|なし|false|not|no contrast|kein\w*|aucune?|nessun\w*|ningun\w*"
    r"|nenhum\w*|brak|geen|inge[nt]|yok|nothing|nocontrast|plain|wo|pas|sine|s/c|unenhanced|null)([ :,./'-].*)?"
)
_AGENT_UNTOLD = re.compile(
    r"\?+|x+|k\.?\s?a\.?|nd|other|default|select\w*|undefined|unspecified|unknown|unbekannt|inconnu|sconosciuto"
    r"|desconocido|desconhecido|tbd|per os|saline|nacl|water|oral( contrast)?( agent)?"
    r"|(?:not|non|no|nicht|nie|keine) ?"
    r"(?:specified|stated|known|recorded|documented|available|angegeben|angabe|bekannt)"
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
    echo: float | None,
    repetition: float | None,
    inversion: float | None,
    gradient: bool,
    inverted: bool = False,
    signed: bool = True,
) -> Evidence | None:
    """Judge a series by its times.

    Args:
        echo, repetition, inversion: TE, TR and TI in ms, None where unknown.
        gradient: whether it is a gradient-echo sequence.
        inverted: whether it is an inversion recovery, also where no TI is recorded.
        signed: whether something else says that it is T1-weighted: a gradient echo with a short TE may be
            a calibration, an angiography or a balanced sequence as well.

    Returns:
        The evidence, or None where the times do not decide.
    """
    if echo is None or repetition is None or echo > repetition:
        return None  # a TE beyond the TR is a converter's mistake
    times = f"TR {repetition:.0f}, TE {echo:.3g}"
    if inversion and not (gradient and inversion < 300):  # some scanners write the time of a fat pulse
        return _inversion_recovery(echo, repetition, inversion, gradient, f"({times}, TI {inversion:.0f} ms)")
    if gradient:
        return _gradient_echo(echo, signed, f"({times} ms)")
    return None if inverted else _spin_echo(echo, repetition, f"({times} ms)")


def _inversion_recovery(
    echo: float, repetition: float, inversion: float, gradient: bool, times: str
) -> Evidence | None:
    """Judge a series with a known TI."""
    short, medium = echo < 40, 300 <= inversion < 1500
    rules = (
        (inversion >= 1400 and repetition >= 3500 and echo >= 60, Contrast.FLAIR, "inversion recovery of fluid", 0.95),
        (inversion >= 1500 and short, Contrast.T1, "T1-FLAIR", 0.85),
        (medium and gradient, Contrast.T1, "prepared gradient echo", 0.95),
        (medium and short, Contrast.T1, "inversion recovery, medium TI", 0.85),
        (medium and echo < 60 and repetition < 3500, Contrast.T1, "inversion recovery, medium TI and TE", 0.7),
        (inversion < 300, None, "fat suppression by inversion, STIR", 0.9),
    )
    return _first_that_holds(rules, times)


def _gradient_echo(echo: float, signed: bool, times: str) -> Evidence | None:
    """Judge a gradient echo without inversion."""
    rules = (
        (echo < 10 and signed, Contrast.T1, "gradient echo, short TE", 0.85),
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


def denies_agent(agent: str) -> bool:
    """Tell whether what stands in an agent's field says that none was given."""
    return _AGENT_DENIED.fullmatch(agent.strip().lower()) is not None and not leaves_agent_open(agent)


def leaves_agent_open(agent: str) -> bool:
    """Tell whether what stands in an agent's field says neither that one was given nor that none was: 'unknown',
    'other', an agent that is drunk."""
    return _AGENT_UNTOLD.fullmatch(agent.strip().lower()) is not None


def compatible(one: Contrast, other: Contrast) -> bool:
    """Tell whether two pieces of evidence can both be true: t1c is a t1 with an agent."""
    return one is other or {one, other} == {Contrast.T1, Contrast.T1C}
