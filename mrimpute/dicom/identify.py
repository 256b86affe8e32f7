"""DICOM series → contrast with its evidence, or why it is no source (research/usability.md section 3.2).

Reasons are told in words of our own: what matched, never what the tag says.
"""

import re
from collections.abc import Sequence

from mrimpute.contrasts import Contrast
from mrimpute.dicom.headers import Facts
from mrimpute.evidence import AGENT_DENIED, Evidence, physics_evidence

_DERIVED = {
    "MIP": "a projection",
    "MINIP": "a projection",
    "PROJECTION IMAGE": "a projection",
    "PROJECTION": "a projection",
    "MPR": "a reformatted copy",
    "ADC": "a diffusion map",
    "FA": "a diffusion map",
    "TRACEW": "a diffusion map",
    "TENSOR": "a diffusion map",
    "EXP": "a diffusion map",
    "SUBTRACT": "a subtraction",
    "SUBTRACTION": "a subtraction",
    "SUB": "a subtraction",
    "SCREEN SAVE": "a screen capture",
    "PASTED": "a screen capture",
}
"""Values of Image Type of what a scanner computed."""

_KINDS = {
    "LOCALIZER": "a localizer",
    "PHASE": "a phase image",
    "PHASE MAP": "a phase image",
    "P": "a phase image",
    "REAL": "a part of a complex image",
    "IMAGINARY": "a part of a complex image",
    "DIFFUSION": "diffusion",
    "PERFUSION": "perfusion",
    "ASL": "perfusion",
    "FMRI": "functional",
    "SWI": "susceptibility",
    "T2_STAR": "susceptibility",
    "ANGIO": "angiography",
    "ANGIO_TIME": "angiography",
    "TOF": "angiography",
    "PCA": "angiography",
}
"""Values of Image Type of acquisitions that are no source."""

_NO_SOURCE = (
    (r"local[iy]|scout|survey|3 plane|3plane|aahead|plan scan", "a localizer"),
    (r"\bdwi\b|\bdti\b|diffusion|\badc\b|\btrace|\bep2d diff", "diffusion"),
    (r"\bperf|\basl\b|\bpcasl\b|\bdsc\b|\bdce\b|\bcbf\b|\brelcbf\b", "perfusion"),
    (r"\bbold\b|\bfmri\b|resting", "functional"),
    (r"\bswi\b|swan\b|\bgre field|field ?map|\bb0 ?map|\bb1 ?map", "susceptibility or field map"),
    (r"\btof\b|angio|\bmra\b|\bmrv\b|venogra", "angiography"),
    (r"\bmip\b|\bmpr\b|\bmnip\b|screen|\bsub(traction)?\b", "a reformatted or computed copy"),
    (r"\bstir\b", "fat suppression by inversion (STIR)"),
)
"""Words of descriptions that tell what is no source, after _normalised."""

_VENDOR = (
    (r"spcir|\btir|dark ?fluid|cube ?t2 ?flair|\*?tse.*ir\b", Contrast.FLAIR),
    (r"\btfl|mp ?2? ?rage|bravo|\bffe\b|\btfe\b|flash|spgr|\bvibe\b|\bfspgr\b", Contrast.T1),
    (r"\bspc|tse vfl|\bcube\b|\bvista\b", Contrast.T2),
)
"""Sequence names of the vendors; the first that matches counts."""

_DESCRIBED = (
    (r"t1 ?(w )?(tse |se )?flair", Contrast.T1),
    (r"flair|dark ?fluid|\btirm\b", Contrast.FLAIR),
    (r"\bt1|mp ?2? ?rage|bravo|\bspgr\b", Contrast.T1),
    (r"\bpd\b|\bpdw?\b|proton", Contrast.PD),
    (r"\bt2", Contrast.T2),
)
"""Words of descriptions; the first that matches counts, so FLAIR comes before T2."""

_WITHOUT_AGENT = (
    r"\bpre\b|\bpre ?contrast|without|\bw ?/ ?o\b|\bnative?\b|\bnativ\b|\bohne\b|\bsans\b|-c\b|\bnon ?contrast"
)
_WITH_AGENT = r"\bpost\b|\+ ?c\b|\+ ?gd\b|\+ ?k\b|\bgad|\bgd\b|\bkm\b|\bce\b|\bt1 ?ce\b|\bcontrast\b|\bt1c\b|\bwith c\b"


def set_aside(facts: Facts, slices: int, least: int) -> str | None:
    """Return why a series is no source, None where it may be one."""
    if facts.synthetic:
        return "synthetic, not acquired"
    if facts.modality == "CT":
        return "CT"
    if not facts.family:
        return "no MR image"
    kinds = {name for value in facts.image_type for name in (value, *value.split("_"))}
    for kind, reason in _KINDS.items():
        if kind in facts.image_type[2:] or (kind in ("LOCALIZER", "DIFFUSION") and kind in kinds):
            return f"{reason} (Image Type)"
    if facts.image_type[:1] == ("DERIVED",):
        for kind, reason in _DERIVED.items():
            if kind in facts.image_type[2:]:
                return f"{reason} (Image Type)"
    if facts.image_type[1:2] == ("SECONDARY",) and facts.image_type[:1] == ("DERIVED",):
        return "computed from other series (Image Type)"
    if facts.b_value:
        return "diffusion (it states a b-value)"
    if slices < least:
        return f"{slices} slices only"
    text = _normalised(facts.words)
    for pattern, reason in _NO_SOURCE:
        if found := re.search(pattern, text):
            return f"{reason} ('{found.group().strip()}' in its description)"
    return None


def evidence(facts: Facts) -> list[Evidence]:
    """Return what speaks for a contrast: physics, vendor's sequence, description; strongest first.

    A contrast of None says that the series is no source.
    """
    gradient = "GR" in facts.sequence or "GRADIENT" in facts.sequence
    found = []
    if physics := physics_evidence(facts.echo, facts.repetition, facts.inversion, gradient):
        found.append(physics)
    for words, patterns, where, confidence in (
        (facts.words[2:], _VENDOR, "sequence name", 0.85),
        (facts.words[:2], _DESCRIBED, "description", 0.8),
    ):
        text = _normalised(words)
        matches = [(match, contrast) for pattern, contrast in patterns if (match := re.search(pattern, text))]
        if {Contrast.PD, Contrast.T2} <= {contrast for _, contrast in matches}:
            continue  # a double echo, of which the times tell
        for match, contrast in matches[:1]:
            found.append(Evidence(contrast, f"'{match.group().strip()}' in its {where}", confidence))
    return found


def agent_evidence(facts: Facts, tells: bool) -> list[Evidence]:
    """Return what says that a T1 was acquired with a contrast agent (t1c), or without (t1).

    Args:
        facts: of a series that is a T1.
        tells: whether the agent's field differs between the series of the study; where all state
            one, it says nothing.
    """
    stated = []
    if facts.agent in AGENT_DENIED:
        stated.append(Evidence(Contrast.T1, "states that no contrast agent was given", 0.9))
    elif facts.agent and tells:
        stated.append(Evidence(Contrast.T1C, "names a contrast agent", 0.9))
    elif facts.agent_given and tells:
        stated.append(Evidence(Contrast.T1C, "states how a contrast agent was given", 0.8))
    text = _normalised(facts.words[:2])
    for pattern, contrast in ((_WITHOUT_AGENT, Contrast.T1), (_WITH_AGENT, Contrast.T1C)):
        if found := re.search(pattern, text):
            stated.append(Evidence(contrast, f"'{found.group().strip()}' in its description", 0.8))
            break
    return stated


def agent_tells(all_facts: Sequence[Facts]) -> bool:
    """Tell whether the agent's fields differ between the series of a study."""
    return len({bool(facts.agent and facts.agent not in AGENT_DENIED) or facts.agent_given for facts in all_facts}) > 1


def _normalised(words: Sequence[str]) -> str:
    """Return words with one kind of separator; '+' and a '-' before C, K or Gd are kept."""
    text = " ".join(words).lower()
    return re.sub(r"\s+", " ", re.sub(r"[_:;,.()\[\]*]|-(?!c\b)", " ", text)).strip()
