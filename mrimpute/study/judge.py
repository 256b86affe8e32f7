"""What one series is: facts and texts → contrast with its evidence, or why it is no source.

The same rules judge NIfTI and DICOM. Reasons are told in words of our own: what matched, never what a tag says; only
file names are shown. A sign that a series is no source counts wherever it stands: name, description, Image Type,
sequence. What a protocol is called tells of the whole examination, so it counts only where all else is silent.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mrimpute.contrasts import Contrast
from mrimpute.io.dicom.facts import Facts
from mrimpute.study.asides import CODED, DERIVED, HEAD, KINDS, MAP
from mrimpute.study.evidence import Evidence, compatible, denies_agent, leaves_agent_open, physics_evidence
from mrimpute.study.reading import Reading, read_text
from mrimpute.study.text import tokens_of

_VENDOR_ASIDE = (
    (r"\bep(2d|se|fid|_)|\bepi|_ep2d|mbep|epi_", "echo-planar imaging"),
    (r"pcasl|\bpasl|\basl|grs3d|casl", "perfusion"),
    (r"\bfm2d|\bfm_r|field_?map|b1_?map", "a field map"),
    (r"\bci3d|\btfi|truf|fiesta|bffe|btfe|\bpsif", "balanced steady state"),
    (r"\btof|fl_tof|pc_?3d|fl_pc|tricks|twist|\bpca\b", "angiography"),
    (r"\bswi|\bswan|qswi|\bme2d|\bmedic", "susceptibility"),
    (r"\bsvs|\bcsi|press\b|slaser", "spectroscopy"),
)
"""Sequence names of the vendors of what is no source."""

_VENDOR = (
    (r"spcir|\btir|dark ?fluid|cube ?t2 ?flair", Contrast.FLAIR),
    (r"\btfl|mp ?2? ?rage|bravo|\bt1ffe|\bt1tfe|spgr|\bvibe\b|efgre3d", Contrast.T1),
    (r"\bspc|tse[_ ]vfl|\bcube\b|\bvista\b", Contrast.T2),
)
"""Sequence names of the vendors; the first that matches counts, where the times are silent."""

_CODED = {
    "T1": Contrast.T1,
    "T2": Contrast.T2,
    "FLUID_ATTENUATED": Contrast.FLAIR,
    "PROTON_DENSITY": Contrast.PD,
}
"""Acquisition Contrast (0008,9209) → contrast."""

FEW_SLICES = ("slice only", "slices only")
"""How the reason ends why a series that is cut short is no source."""
_PROTON = ("", "1H", "H1", "H", "PROTON")
_TRANSFER = frozenset({"MTC", "ON_RESONANCE", "OFF_RESONANCE"})
"""Values of Sequence Variant (0018,0021) and Magnetization Transfer (0018,9020) that tell of one."""
_SHORT_ECHO = 40.0
"""Diffusion has an echo time above this, in ms: a T1 'of a DTI protocol' with a shorter one is a T1."""
_BALANCED_TR = 20.0
_NO_SPIN_ECHO = 6.0


@dataclass(frozen=True)
class Told:
    """One text about a series.

    Attributes:
        where: 'name', 'channel', 'folder', 'description' or 'protocol'.
        reading: what it states.
        shown: its words for the contrast where they may be shown, as of a file name.
    """

    where: str
    reading: Reading
    shown: str = ""

    def states(self, contrast: Contrast) -> str:
        """Return in words that this text states a contrast."""
        if self.where == "folder":
            return f"in a folder called '{self.shown}'"
        if self.where == "channel":
            return self.shown
        return f"'{self.shown}' in its name" if self.shown else f"{contrast} by its {self.where}"


@dataclass(frozen=True)
class Verdict:
    """What one series is, before the others of the study are looked at.

    Attributes:
        contrast: t1 (agent or not), t2, flair, pd, ct; None where nothing says.
        aside: why it is no source ('' where it may be one).
        evidence: all that speaks, strongest first.
        agents: what speaks for an agent (t1c) or against one (t1).
        unclear: that a text holds words about agent that nothing explains.
        strange: that a text about a T1 holds a word that no table has.
        doubt: how the evidence contradicts itself ('' where it does not).
        plane, volume, copy: what texts and header say of the acquisition.
    """

    contrast: Contrast | None = None
    aside: str = ""
    evidence: tuple[Evidence, ...] = ()
    agents: tuple[Evidence, ...] = ()
    unclear: str = ""
    strange: str = ""
    doubt: str = ""
    plane: str = ""
    volume: bool = False
    copy: bool = False
    others: tuple[Contrast, ...] = field(default=())


def texts_of(facts: Facts) -> list[Told]:
    """Return what description and protocol of a series state."""
    words = (*facts.words, "", "")
    return [Told("description", read_text(words[0])), Told("protocol", read_text(words[1]))]


def judge(facts: Facts, names: Sequence[Told] = (), slices: int = 100, least: int = 1) -> Verdict:
    """Judge one series by its facts and the texts about it.

    Args:
        facts: of its header or sidecar.
        names: what file and folder are called.
        slices, least: how many it has, and how many it must have.
    """
    texts = [*names, *texts_of(facts)]
    items = evidence(facts, names)
    likely = tuple(dict.fromkeys(item.contrast for item in items if item.contrast))
    shape = _shape(facts, texts)
    if reason := set_aside(facts, slices, least, names) or _by_body(facts, names):
        return replace(shape, aside=reason, evidence=tuple(items), others=likely)
    if no_source := next((item for item in items if item.contrast is None), None):
        stated = [item for item in items if item.contrast]
        if not stated or _is_t2_star(no_source, stated):
            return replace(shape, aside=no_source.reason, evidence=tuple(items), others=likely)
    if not items:
        return shape
    contrast, doubt = _agree(items)
    doubt = doubt or _two_in_one([told for told in texts if told.where != "protocol"])
    agents = tuple(agent_evidence(facts, texts)) if contrast is Contrast.T1 else ()
    unclear = next((_unclear(told) for told in texts[: len(texts) - 1] if _unclear(told)), "")
    return replace(
        shape,
        contrast=contrast,
        evidence=tuple(items),
        agents=agents,
        unclear=unclear,
        strange=next((_strange(told) for told in texts[:-1] if _strange(told)), ""),
        doubt=doubt,
        others=likely,
    )


def _shape(facts: Facts, texts: Sequence[Told]) -> Verdict:
    own = [told for told in texts if told.where != "protocol"]
    plane = next((told.reading.plane for told in own if told.reading.plane), "")
    reformat = any(kind in facts.image_type[2:] for kind in ("MPR", "REFORMATTED", "CSA MPR", "PROJECTION IMAGE"))
    return Verdict(
        plane=plane,
        volume=facts.volumetric or any(told.reading.volume for told in own),
        copy=reformat or any(told.reading.copy for told in own),
    )


def _is_t2_star(no_source: Evidence, stated: Iterable[Evidence]) -> bool:
    """Tell whether a gradient echo contradicts nothing but the word T2, which also names T2*."""
    return "gradient" in no_source.reason and all(item.contrast is Contrast.T2 for item in stated)


def _two_in_one(texts: Sequence[Told]) -> str:
    for told in texts:
        if told.reading.others and not told.reading.dual:
            both = f"{told.reading.contrast} and {', '.join(told.reading.others)}"
            return f"its {told.where} states both {both}"
    return ""


def _unclear(told: Told) -> str:
    reading = told.reading
    if reading.contrast is Contrast.T1 or told.where in ("name", "description"):
        if reading.said.unclear and not reading.said.given and not reading.said.denied:
            return f"its {told.where} holds a word that may tell of a contrast agent"
        if reading.taken_away and reading.said.silent and told.where == "name" and _exam_with_agent(reading):
            return "every name holds a word for a contrast agent, so it may be the examination's"
    return ""


def _strange(told: Told) -> str:
    """Return that a name or description holds an unknown word; a description's is not shown."""
    words = told.reading.said.strange if told.where in ("name", "description") else []
    shown = f" ('{words[0]}')" if words and told.shown else ""
    return f"its {told.where} holds a word{shown} that may tell of one" if words else ""


def _exam_with_agent(reading: Reading) -> bool:
    return any(word not in ("post", "pre") for word in reading.taken_away)


def set_aside(facts: Facts, slices: int, least: int, names: Sequence[Told] = ()) -> str | None:
    """Return why a series is no source, None where it may be one."""
    if facts.synthetic:
        return "synthetic, not acquired"
    if facts.modality == "CT" and not names:
        return "CT"
    if not facts.family:
        return "no MR image"
    reason = _by_image_type(facts) or _by_sequence(facts)
    if reason:
        return reason
    by_words = _by_words(facts, names)
    return f"{slices} {FEW_SLICES[slices != 1]}" if slices < least and not by_words else by_words


def _by_image_type(facts: Facts) -> str | None:
    values = [form for value in facts.image_type[2:] for form in (value, value.replace("_", " "))]
    propeller = "PROPELLER" in facts.image_type
    parts = {part for value in facts.image_type for part in (value, *value.split("_"))}
    for kind, reason in KINDS.items():
        complex_part = kind in ("R", "REAL", "I") and propeller
        if (kind in values and not complex_part) or (kind in ("LOCALIZER", "DIFFUSION") and kind in parts):
            return f"{reason} (Image Type)"
    if any(value.endswith("MAP") for value in values):
        return f"{MAP} (Image Type)"
    if facts.image_type[:1] == ("DERIVED",):
        for kind, reason in DERIVED.items():
            if kind in values:
                return f"{reason} (Image Type)"
        if facts.image_type[1:2] == ("SECONDARY",):
            return "computed from other series (Image Type)"
    return None


def _by_sequence(facts: Facts) -> str | None:
    """Return what the nucleus, the coded contrast, the b-value or the kind of sequence says."""
    if facts.nucleus not in _PROTON:
        return "another nucleus than hydrogen"
    if facts.coded in CODED:
        return f"{CODED[facts.coded]} (coded contrast)"
    if facts.b_value:
        return "diffusion (it states a b-value)"
    if "EP" in facts.sequence or "EPI" in facts.sequence:
        return "echo-planar imaging (scanning sequence)"
    text = " ".join(facts.words[2:]).lower()
    for pattern, reason in _VENDOR_ASIDE:
        if re.search(pattern, text):
            return f"{reason} (by its sequence name)"
    return "magnetisation transfer (sequence variant)" if _TRANSFER & {*facts.sequence} else None


def _by_body(facts: Facts, names: Sequence[Told]) -> str | None:
    """Return that the header names another part of the body, where no word names the head and none a FLAIR, which is of
    the head."""
    readings = [told.reading for told in (*names, *texts_of(facts)[:1])]
    of_head = any(reading.head or reading.contrast is Contrast.FLAIR for reading in readings)
    return "another part of the body (by its header)" if elsewhere(facts) and not of_head else None


def elsewhere(facts: Facts) -> bool:
    """Tell whether the header of a series names another part of the body than the head."""
    return read_text(facts.body).aside.startswith("another part of the body")


def _by_words(facts: Facts, names: Sequence[Told]) -> str | None:
    """Return what name and description say; 'DTI' in the name of a T1 with a short echo says nothing."""
    for told in (*names, *texts_of(facts)[:1]):
        reason = told.reading.aside
        no_diffusion = facts.echo is not None and facts.echo < _SHORT_ECHO and told.reading.contrast is Contrast.T1
        if reason and not (reason == "diffusion" and no_diffusion):
            return reason if reason.startswith("BIDS") else f"{reason} (by its {told.where})"
    return None


def evidence(facts: Facts, names: Sequence[Told] = ()) -> list[Evidence]:
    """Return what speaks for a contrast: names, physics, vendor's sequence, description; strongest first.

    A contrast of None says that the series is no source.
    """
    if facts.modality == "CT" and names:
        return [Evidence(Contrast.CT, "sidecar: CT", 0.95)]
    named = _by_names(names)
    if facts.coded in _CODED:
        named.append(Evidence(_CODED[facts.coded], f"{_CODED[facts.coded]} by its coded contrast", 0.95))
    described = _by_description(facts)
    physics = _physics(facts, {item.contrast for item in (*named, *described)}, bool(names))
    vendor = _vendor(facts)
    agrees = vendor and all(item.contrast is vendor.contrast for item in (*named, *physics))
    told = [*named, *([vendor] if vendor and agrees else []), *described]
    found = [*named, *physics, *told[len(named) :]]
    if any(item.contrast is Contrast.FLAIR for item in told):
        return [item for item in found if item.contrast is not Contrast.T2]  # a FLAIR is often called a T2 as well
    return found


def _by_description(facts: Facts) -> list[Evidence]:
    """Return what the description says, or where it is silent the protocol."""
    for told in texts_of(facts):
        contrast = told.reading.contrast
        if contrast and not told.reading.dual and not told.reading.others:
            return [Evidence(contrast, told.states(contrast), 0.8 if told.reading.stated else 0.75)]
    return []


def _by_names(names: Sequence[Told]) -> list[Evidence]:
    """Return what the first name that states a contrast says."""
    for told in names:
        contrast = told.reading.contrast
        if contrast and not told.reading.dual:
            return [Evidence(contrast, told.states(contrast), 0.9 if told.reading.stated else 0.8)]
    return []


def _vendor(facts: Facts) -> Evidence | None:
    text = " ".join(facts.words[2:]).lower().replace("*", " ").replace("_", " ")
    named = [contrast for pattern, contrast in _VENDOR if re.search(pattern, text)]
    return Evidence(named[0], f"{named[0]} by its sequence name", 0.85) if named else None


def _physics(facts: Facts, stated: set[Contrast | None], sidecar: bool) -> list[Evidence]:
    """Return what times and kind of sequence say; without a word for T1 a short-TE gradient echo says nothing."""
    gradient = "GR" in facts.sequence or "GRADIENT" in facts.sequence
    inverted = "IR" in facts.sequence or "INVERSION" in facts.sequence or facts.coded == "FLUID_ATTENUATED"
    vendor = _vendor(facts)
    long = stated - {None}
    if gradient and long and long <= {Contrast.T2, Contrast.FLAIR} and not inverted and not facts.inversion:
        spin = {"SE", "SPIN", "MP"} & {*facts.sequence}
        return [] if spin else [Evidence(None, "a gradient echo without inversion", 0.8)]
    positive = inverted or "MP" in facts.sequence or (vendor is not None and vendor.contrast is Contrast.T1)
    signed = Contrast.T1 in stated or positive
    if not facts.sequence and facts.echo is not None and facts.echo < _NO_SPIN_ECHO:
        return []  # no spin echo is that short, and nothing says which other sequence it is
    item = physics_evidence(facts.echo, facts.repetition, facts.inversion, gradient, inverted, signed)
    if item is None:
        return _balanced(facts, gradient, signed)
    if item.contrast is Contrast.T2 and Contrast.FLAIR in stated and not facts.inversion:
        return []  # the inversion is not recorded
    reason = item.reason.split(" (")[0]
    alone = not (stated - {None}) and vendor is None and not facts.inversion
    confidence = min(item.confidence, 0.7) if alone and sidecar else item.confidence
    return [Evidence(item.contrast, f"sidecar: {reason}" if sidecar else reason, confidence)]


def _balanced(facts: Facts, gradient: bool, signed: bool) -> list[Evidence]:
    """Return that a gradient echo of short TR without spoiling is balanced, where nothing says T1."""
    short = facts.repetition is not None and facts.repetition < _BALANCED_TR
    if gradient and short and not signed and "SS" in facts.sequence and "SP" not in facts.sequence:
        return [Evidence(None, "a gradient echo in a balanced steady state", 0.8)]
    return []


def _agree(items: Sequence[Evidence]) -> tuple[Contrast | None, str]:
    """Return the contrast that all evidence allows, and how it contradicts itself."""
    first = items[0]
    for item in items[1:]:
        if first.contrast is None or item.contrast is None or not compatible(first.contrast, item.contrast):
            one, other = first.contrast or "none of them", item.contrast or "none of them"
            return first.contrast, f"{first.reason} says {one}, but {item.reason} says {other}"
    return first.contrast, ""


def agent_evidence(facts: Facts, texts: Sequence[Told]) -> list[Evidence]:
    """Return what the texts of a T1 and its header say of an agent: t1c where one was given, t1 where not.

    A header that names an agent is not heard against a text that denies one: some sites fill it for the whole
    examination. A header that denies one is.
    """
    given, absent = _words_on_agent(texts)
    if denies_agent(facts.agent):
        absent.insert(0, Evidence(Contrast.T1, "states that no contrast agent was given", 0.9))
    elif facts.agent and not leaves_agent_open(facts.agent) and not absent:
        given.append(Evidence(Contrast.T1C, "names a contrast agent", 0.7))
    elif facts.agent_given and not absent:
        given.append(Evidence(Contrast.T1C, "states how a contrast agent was given", 0.65))
    return given + absent


def _words_on_agent(texts: Sequence[Told]) -> tuple[list[Evidence], list[Evidence]]:
    given: list[Evidence] = []
    absent: list[Evidence] = []
    for told in texts:
        said = told.reading.said
        if told.where == "protocol" and (given or absent or (said.given and said.denied)):
            continue  # it names the whole examination
        strong = 0.9 if told.shown else 0.85 if told.where == "description" else 0.6
        shown = told.states(Contrast.T1C) if told.shown else f"an agent by its {told.where}"
        if said.given:
            given.append(Evidence(Contrast.T1C, shown, strong))
        shown = told.states(Contrast.T1) if told.shown else f"no agent by its {told.where}"
        if said.denied:
            absent.append(Evidence(Contrast.T1, shown, strong))
    return given, absent


def after_agent(facts: Facts, names: Sequence[Told], verdict: Verdict, tells: bool) -> bool:
    """Tell whether a series says that an agent was in the body: by words, as a perfusion, or by its header.

    Args:
        facts, names: of the series.
        verdict: what it is.
        tells: whether the header's field differs between the series of the study.
    """
    readings = [told.reading for told in (*names, *texts_of(facts)[:1])]
    if any(reading.bolus for reading in readings) or verdict.aside.startswith("perfusion"):
        return True
    denied = any(reading.said.denied for reading in readings)
    given = any(reading.said.given for reading in readings) or (tells and names_agent(facts))
    return given and not denied


def names_agent(facts: Facts) -> bool:
    """Tell whether the header of a series says that an agent was given."""
    if denies_agent(facts.agent):
        return False
    return bool(facts.agent and not leaves_agent_open(facts.agent)) or facts.agent_given


def may_name_agent(facts: Facts) -> bool:
    """Tell whether the header of a series says that an agent was given, or leaves it open in words."""
    return names_agent(facts) or leaves_agent_open(facts.agent)


def heard(facts: Facts, agent: bool, head: bool) -> Facts:
    """Return what is heard of a series' header, since some sites fill a field for the whole examination.

    Args:
        facts: of the series.
        agent: whether the agent's fields differ between the series of the study.
        head: whether a series of the study names the head: only then another part of the body is one.
    """
    if names_agent(facts) and not agent:
        facts = replace(facts, agent="", agent_given=False)
    return facts if head or not facts.body else replace(facts, body="")


def names_head(all_facts: Iterable[Facts]) -> bool:
    """Tell whether the header of a series of a study says that it is of the head."""
    return any(token.text in HEAD for facts in all_facts for token in tokens_of(facts.body))


def agent_tells(all_facts: Sequence[Facts]) -> bool:
    """Tell whether the agent's fields differ between the series of a study."""
    return len({names_agent(facts) for facts in all_facts}) > 1
