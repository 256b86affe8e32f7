"""DICOM series → contrast with its evidence, or why it is no source.

Reasons are told in words of our own: what matched, never what the tag says.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from mrimpute.contrasts import Contrast
from mrimpute.io.dicom.headers import Facts
from mrimpute.study.evidence import Evidence, denies_agent, physics_evidence

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
    (r"local[iy]|scout|survey|3 ?plane|aahead|plan scan", "a localizer"),
    (r"\bdwi\b|\bdti\b|diffusion|\badc\b|\btrace|\bep2d diff", "diffusion"),
    (r"(?<!post )(?<!after )(?<!nach )\bperf|\basl\b|\bpcasl\b|\bdsc\b|\bdce\b|cbf\b", "perfusion"),
    (r"\bbold\b|\bfmri\b|resting", "functional"),
    (r"\bswi\b|swan\b|\bgre field|field ?map|\bb[01] ?map|t2(\*| ?star)", "susceptibility or field map"),
    (r"\bmap(s|ping)?\b", "a map"),
    (r"\btof\b|angio|\bmra\b|\bmrv\b|venogra", "angiography"),
    (r"\bmip\b|\bmnip\b|screen ?(save|shot|cap)|\bsub(traction)?\b", "a computed copy"),
    (r"\bstir\b", "fat suppression by inversion (STIR)"),
)
"""Words of descriptions and sequence names that tell what is no source, after _normalised."""

_VENDOR = (
    (r"spcir|\btir|dark ?fluid|cube ?t2 ?flair", Contrast.FLAIR),
    (r"\btfl|mp ?2? ?rage|bravo|\bffe\b|\btfe\b|flash|spgr|\bvibe\b", Contrast.T1),
    (r"\bspc|tse vfl|\bcube\b|\bvista\b", Contrast.T2),
)
"""Sequence names of the vendors; the first that matches counts, where the times are silent."""

_DESCRIBED = (
    (r"t1.*(flair|tirm|dark ?fluid)|(flair|tirm|dark ?fluid).*t1", Contrast.T1),
    (r"flair|dark ?fluid|\btirm\b", Contrast.FLAIR),
    (r"\bt1|mp ?2? ?rage|bravo|\bspgr\b", Contrast.T1),
    (r"\bpdw?\b|proton", Contrast.PD),
    (r"\bt2", Contrast.T2),
)
"""Words of descriptions; the first that matches counts, so FLAIR comes before T2."""

_AGENT = r"contrast\w*|kontrast\w*|km|gad\w*|gd|mdc|ce|c"
_WITHOUT_AGENT = (
    rf"((?<![a-z])pre(?! ?op)|without|w ?/ ?o|\bwo\b|\bohne\b|\bsans\b|\bsenza\b|\bnon?\b) ?({_AGENT})?\b"
    r"|nativ|unenhanced|(?<![a-z])-c\b"
)
_WITH_AGENT = (
    r"post(?! ?op| ?fossa|er)|c ?\+|\+ ?(c|k)\b|gad|gd|kontrast|contrast|\bkm\b|\bce\b|\bmdc\b|t1 ?ce?\b|avec"
    r"|\bwith\b|\bw ?(/|&|and|wo\b)"
)


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
    text = _normalised((facts.words[0], *facts.words[2:]))  # a protocol's name tells of the whole examination
    for pattern, reason in _NO_SOURCE:
        if re.search(pattern, text):
            return f"{reason} (by its description)"
    return None


def evidence(facts: Facts) -> list[Evidence]:
    """Return what speaks for a contrast: physics, vendor's sequence, description; strongest first.

    A contrast of None says that the series is no source.
    """
    gradient = "GR" in facts.sequence or "GRADIENT" in facts.sequence
    inverted = "IR" in facts.sequence or "INVERSION" in facts.sequence
    found = []
    if physics := physics_evidence(facts.echo, facts.repetition, facts.inversion, gradient, inverted):
        found.append(replace(physics, reason=physics.reason.split(" (")[0]))
    for words, patterns, where, confidence in (
        (facts.words[2:], _VENDOR, "sequence name", 0.85),
        (facts.words[:2], _DESCRIBED, "description", 0.8),
    ):
        text = _normalised(words)
        named = [contrast for pattern, contrast in patterns if re.search(pattern, text)]
        if {Contrast.PD, Contrast.T2} <= set(named):
            continue  # a double echo, of which the times tell
        if named and not (found and patterns is _VENDOR and found[0].contrast is not named[0]):
            found.append(Evidence(named[0], f"{named[0]} by its {where}", confidence))
    return found


def agent_evidence(facts: Facts, tells: bool) -> list[Evidence]:
    """Return what says that a T1 was acquired with a contrast agent (t1c), or without (t1); both
    where that cannot be told.

    Args:
        facts: of a series that is a T1.
        tells: whether the agent's field differs between the series of the study; where all state
            one, it says nothing.
    """
    given, absent = [], []
    if denies_agent(facts.agent):
        absent.append(Evidence(Contrast.T1, "states that no contrast agent was given", 0.9))
    elif facts.agent and tells:
        given.append(Evidence(Contrast.T1C, "names a contrast agent", 0.9))
    elif facts.agent_given and tells:
        given.append(Evidence(Contrast.T1C, "states how a contrast agent was given", 0.8))
    for words, where in ((facts.words[:1], "description"), (facts.words[1:2], "protocol")):
        without, rest = re.subn(_WITHOUT_AGENT, " ", _normalised(words))[::-1]
        with_agent = re.search(_WITH_AGENT, rest) is not None
        if with_agent and without and where == "protocol":
            break  # it names the whole examination
        if with_agent:
            given.append(Evidence(Contrast.T1C, f"an agent by its {where}", 0.8))
        if without:
            absent.append(Evidence(Contrast.T1, f"no agent by its {where}", 0.8))
        if with_agent or without:
            break
    if not given and not absent and not tells and (facts.agent or facts.agent_given):
        return [
            Evidence(Contrast.T1C, "it states a contrast agent", 0.5),
            Evidence(Contrast.T1, "so does every series of the study", 0.5),
        ]
    return given + absent


def agent_tells(all_facts: Sequence[Facts]) -> bool:
    """Tell whether the agent's fields differ between the series of a study."""
    return len({bool(facts.agent and not denies_agent(facts.agent)) or facts.agent_given for facts in all_facts}) > 1


def _normalised(words: Sequence[str]) -> str:
    """Return words with one kind of separator; '+' and a '-' before C, K or Gd are kept."""
    text = " ".join(words).lower()
    return re.sub(r"\s+", " ", re.sub(r"[_:;,.()\[\]]|-(?!c\b)", " ", text)).strip()
