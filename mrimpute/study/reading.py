"""A text → what it states: a contrast, why it is no source, what it says about agent, the plane."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from mrimpute.contrasts import Contrast
from mrimpute.study.agent import Said, said_of_agent
from mrimpute.study.asides import (
    ASIDE_LAST_WORDS,
    ASIDE_PAIRS,
    BLEEDING,
    DIXON_PARTS,
    FACILITIES,
    FIELDS,
    HEAD,
    NECK,
    NOT_FAT,
    PERSONS,
)
from mrimpute.study.exams import join_exams
from mrimpute.study.pieces import FIRST_IDEOGRAPH
from mrimpute.study.text import Token, tokens_of
from mrimpute.study.words import SEVERAL_ECHOES, Kind

_WEAK = frozenset({"ct", "fl", "fla", "pd", "dp"})
"""Spellings that are also initials: they count only as words of their own, beside no other contrast."""
_T2_STAR = "susceptibility"
_SPIN_ECHO = frozenset({"tse", "fse", "frfse", "se", "fsexl", "space", "cube", "vista", "blade", "propeller", "haste"})
"""Techniques of a T2 that is no T2*."""
_AFTER_PERFUSION = frozenset({"perf", "perfusion", "pwi"})
_ABOUT_AGENT = (Kind.AGENT, Kind.WEAK_AGENT, Kind.GIVEN, Kind.DENIED, Kind.AFTER, Kind.BEFORE)
_OF_AGENT = (
    *(Kind.AGENT, Kind.WEAK_AGENT, Kind.GIVEN, Kind.AFTER, Kind.BEFORE),
    *(Kind.WITH, Kind.UNTIL, Kind.WITHOUT),
)
_IMAGED = (Kind.CONTRAST, Kind.T1_SEQUENCE, Kind.PLANE, Kind.VOLUME)
_COMMON = (Kind.UNKNOWN, Kind.FILLER, Kind.NUMBER, Kind.TIME, Kind.EVENT, Kind.EXAM)


@dataclass(frozen=True)
class Reading:
    """What one text states.

    Attributes:
        contrast: t1 (with or without agent), t2, flair, pd or ct; None where it states none.
        stated: whether a word for the contrast says so, and not only the name of a sequence.
        others: further contrasts that the text states as well, which is a contradiction.
        aside: why the series is no source ('' where it may be one).
        dual: whether it tells of two echoes, of which only the times can tell.
        said: what it says about agent.
        taken_away: words about agent that every name of the study has.
        plane: axial, sagittal, coronal or ''.
        volume: whether it tells of a 3-D acquisition.
        copy: whether it tells of a processed reconstruction.
        bolus: whether it tells of a perfusion with an agent.
        head: whether it names the head.
        start, end: where the words for contrast and agent stand.
    """

    contrast: Contrast | None = None
    stated: bool = True
    others: tuple[Contrast, ...] = ()
    aside: str = ""
    dual: bool = False
    said: Said = field(default_factory=Said)
    taken_away: tuple[str, ...] = ()
    plane: str = ""
    volume: bool = False
    copy: bool = False
    bolus: bool = False
    head: bool = False
    start: int = 0
    end: int = 0


@lru_cache(maxsize=4096)
def read_text(text: str, common: frozenset[str] = frozenset()) -> Reading:
    """Return what a text states.

    Args:
        text: a file's stem, a description, a folder's name.
        common: words that every name of the study has, folded: they tell nothing of this series.
    """
    everything = _without_surname(join_exams(tokens_of(text)), text)
    tokens = [token for token in everything if not _is_common(token, common, everything)]
    contrast, stated, others = _contrast(tokens)
    said = _without_common(said_of_agent(tokens), common)
    if contrast is None and _is_gado(tokens):
        contrast = Contrast.T1
    start, end = _span(tokens, said if contrast is Contrast.T1 else Said())
    return Reading(
        contrast,
        stated,
        others,
        _aside(tokens, contrast),
        _dual(tokens, contrast) or {Contrast.PD, Contrast.T2} == {contrast, *others},
        said,
        tuple(token.text for token in everything if token not in tokens and token.kind in _ABOUT_AGENT),
        next((token.value for token in tokens if token.kind is Kind.PLANE), ""),
        any(_tells_3d(token) for token in tokens),
        _has(tokens, Kind.COPY),
        any(token.kind is Kind.ASIDE and token.value == "perfusion" for token in tokens),
        any(token.text in HEAD for token in everything),
        start,
        end,
    )


def _without_surname(tokens: list[Token], text: str) -> list[Token]:
    """Return the words of a name without a person's before the contrast that is a technique's too: capitalised, and no
    part is named."""
    if any(token.text in DIXON_PARTS for token in tokens):
        return tokens
    imaged = next((token.start for token in tokens if token.kind is Kind.CONTRAST), 0)
    return [
        token
        for token in tokens
        if token.text not in PERSONS or token.start > imaged or not text[token.start : token.end].istitle()
    ]


def _without_common(said: Said, common: frozenset[str]) -> Said:
    """Return what is said, in doubt where only a 'post' says it that stands behind the contrast in every name."""
    if said.given and set(said.given) <= common & {"post"}:
        return Said([], said.denied, [*said.unclear, *said.given])
    return said


def _has(tokens: Sequence[Token], kind: Kind) -> bool:
    return any(token.kind is kind for token in tokens)


def _dual(tokens: Sequence[Token], contrast: Contrast | None) -> bool:
    """Tell whether words tell of several echoes, of which only the times can tell; of a T1 more are combined."""
    echoes = {token.value for token in tokens if token.kind is Kind.DUAL}
    return bool(echoes - ({SEVERAL_ECHOES} if contrast is Contrast.T1 else set()))


def _span(tokens: Sequence[Token], said: Said) -> tuple[int, int]:
    """Return where the words for contrast and agent stand."""
    words = (*said.given, *said.denied)
    kinds = (Kind.CONTRAST, Kind.T1_SEQUENCE, Kind.DARK_FLUID)
    role = [token for token in tokens if token.kind in kinds or token.text in words]
    return min((token.start for token in role), default=0), max((token.end for token in role), default=0)


def _tells_3d(token: Token) -> bool:
    by_design = token.kind is Kind.T1_SEQUENCE and token.text.endswith(("rage", "bravo", "3d", "3d1"))
    return token.kind is Kind.VOLUME or by_design or token.text.startswith("3d")


def _is_common(token: Token, common: frozenset[str], tokens: Sequence[Token]) -> bool:
    """Tell whether a word is taken away: of every name, and of those about agent only before what was imaged."""
    if token.text not in common:
        return False
    if token.kind in _OF_AGENT:
        imaged = [other.start for other in tokens if other.kind in (Kind.CONTRAST, Kind.T1_SEQUENCE, Kind.DARK_FLUID)]
        return not imaged or token.start < min(imaged)
    return token.kind in _COMMON


def _is_gado(tokens: Sequence[Token]) -> bool:
    """Tell whether a name is the agent's and nothing else: GADO_preprocessed of the MS challenges."""
    return bool(tokens) and tokens[0].text == "gado" and all(token.kind is Kind.TIME for token in tokens[1:])


def _contrast(tokens: Sequence[Token]) -> tuple[Contrast | None, bool, tuple[Contrast, ...]]:
    """Return the contrast that words state, whether a contrast's own word does, and what contradicts it."""
    named = [token for token in tokens if token.kind is Kind.CONTRAST and not _initials(token, tokens)]
    found = _named(named, tokens)
    dark = _has(tokens, Kind.DARK_FLUID)
    if not found and dark:
        return Contrast.FLAIR, True, ()
    if not found:
        return (Contrast.T1, False, ()) if _has(tokens, Kind.T1_SEQUENCE) else (None, True, ())
    fluid = dark or Contrast.FLAIR in found
    if fluid and not _related(tokens, named) and (one := _of_fluid(set(found))):
        return one, True, ()
    if Contrast.PD in found and set(found) - {Contrast.PD, Contrast.T2}:
        found.remove(Contrast.PD)  # the initials of a disease
    return found[-1], True, tuple(found[:-1])


def _named(named: Sequence[Token], tokens: Sequence[Token]) -> list[Contrast]:
    """Return the contrasts that words name, once each; weak spellings only where no other word names one, or where
    the image is said to lie in another's space: CT_to_T1."""
    behind = {id(token): after.kind for token, after in pairwise(tokens)}
    strong = [token for token in named if token.text not in _WEAK or behind.get(id(token)) is Kind.RELATION]
    counted = [token for token in named if token in strong or not strong or token.value == "pd"]
    return list(dict.fromkeys(Contrast("t1" if token.value == "t1c" else token.value) for token in counted))


def _of_fluid(found: set[Contrast]) -> Contrast | None:
    """Return what an inversion recovery of fluid is: a T1-FLAIR beside a T1, a FLAIR beside a T2 or alone."""
    if Contrast.T1 in found:
        return Contrast.T1 if Contrast.T2 not in found else None
    return Contrast.FLAIR if Contrast.PD not in found else None


def _initials(token: Token, tokens: Sequence[Token]) -> bool:
    """Tell whether a weak spelling is only a part of a longer word."""
    glued = any(other.word == token.word and other is not token and other.kind is Kind.UNKNOWN for other in tokens)
    only_letters = token.text in ("ct", "fl", "fla") and any(o.word == token.word and o is not token for o in tokens)
    return token.text in _WEAK and (glued or only_letters)


def _related(tokens: Sequence[Token], named: Sequence[Token]) -> bool:
    """Tell whether one contrast is said to lie in the space of another."""
    if len(named) < 2:
        return False
    first, last = named[0].start, named[-1].start
    return any(token.kind is Kind.RELATION and first < token.start < last for token in tokens)


def _aside(tokens: Sequence[Token], contrast: Contrast | None) -> str:
    """Return why the words say that the series is no source."""
    reasons = [
        token.value
        for before, token, after in zip((None, *tokens), tokens, (*tokens[1:], None), strict=False)
        if _is_aside(before, token, tokens) and not _harmless(token, after, tokens, contrast)
    ]
    if reasons:
        return next((reason for reason in reasons if reason != "echo-planar imaging"), reasons[0])
    for one, other in pairwise(tokens):
        if one.text in FIELDS and other.text in ("field", "warp"):
            return "a deformation field" if other.text == "warp" else "a field map"
        reason = ASIDE_PAIRS.get((one.text, other.text), "")
        if reason and not (contrast is Contrast.FLAIR and other.text == "prep"):  # a FLAIR may be prepared by T2
            return reason
    if contrast is Contrast.T2 and any(t.kind is Kind.GRADIENT or t.text in ("spgr", "fspgr") for t in tokens):
        return _T2_STAR
    return _difference(tokens) or _last_word(tokens) or _fat(tokens)


def _difference(tokens: Sequence[Token]) -> str:
    """Return why a name is no source that takes one image from another: post minus pre, w/o minus w, SUB AX T1."""
    sides = (*_ABOUT_AGENT, Kind.WITH, Kind.WITHOUT, Kind.CONTRAST, Kind.DARK_FLUID)
    minus = any(
        one.kind in sides and sign.text == "minus" and other.kind in sides
        for one, sign, other in zip(tokens, tokens[1:], tokens[2:], strict=False)
    )
    words = [token for token in tokens if token.kind is not Kind.NUMBER]
    first = len(words) > 1 and words[0].text in ("sub", "delta") and words[1].kind in (*_IMAGED, *_ABOUT_AGENT)
    return "a difference image" if minus or first else ""


def _is_aside(before: Token | None, token: Token, tokens: Sequence[Token]) -> bool:
    short = len(token.text) < 3 and token.text[0] < FIRST_IDEOGRAPH
    if token.kind is not Kind.ASIDE or (short and not _whole(token, tokens)):
        return False
    after_it = before is not None and (before.kind is Kind.AFTER or before.text in ("after", "nach", "apres", "dopo"))
    return not (after_it and token.text in _AFTER_PERFUSION)


def _harmless(token: Token, after: Token | None, tokens: Sequence[Token], contrast: Contrast | None) -> bool:
    """Tell whether a word for what is no source says nothing here: bleeding in a series that is no T2*, the neck beside
    the head, a hospital's name."""
    texts = {other.text for other in tokens}
    if token.value == BLEEDING:
        turbo = contrast is Contrast.T2 and bool(texts & _SPIN_ECHO)
        return (turbo or contrast in (Contrast.T1, Contrast.FLAIR)) and not _has(tokens, Kind.GRADIENT)
    hospital = after is not None and after.text in FACILITIES
    return bool(texts & HEAD) and (token.text in NECK or hospital)


def _last_word(tokens: Sequence[Token]) -> str:
    """Return why a name's last word says that it is no source; 'sub' and 'delta' say so behind the contrast, too."""
    words = [token for token in tokens if token.kind is not Kind.NUMBER and _whole(token, tokens)]
    imaged = min((token.start for token in tokens if token.kind is Kind.CONTRAST), default=None)
    behind = [
        token for token in words if token.text in ("sub", "delta") and imaged is not None and token.start > imaged
    ]
    last = [*behind, *words[-1:]]
    return ASIDE_LAST_WORDS.get(last[0].text, "") if last else ""


def _whole(token: Token, tokens: Sequence[Token]) -> bool:
    return not any(other.word == token.word and other is not token and other.word for other in tokens)


def _fat(tokens: Sequence[Token]) -> str:
    """Return why a name that shows fat, or one of the two phases, is no source."""
    texts = [token.text for token in tokens]
    for index, text in enumerate(texts):
        around = {*texts[max(0, index - 1) : index], *texts[index + 1 : index + 2]}
        glued = any(o.word == tokens[index].word and o is not tokens[index] for o in tokens)
        if text in ("fat", "water") and not around & NOT_FAT and not glued and index == 0:
            return "a part of a Dixon scan"
        if (
            text in DIXON_PARTS
            and any(other in ("ideal", "lava", "flex") for other in texts)
            and index == len(texts) - 1
        ):
            return "a part of a Dixon scan"
    return ""


_BIDS = re.compile(r"(?P<entities>sub-[A-Za-z0-9+]+(?:_[A-Za-z]+-[A-Za-z0-9+]+)*)_(?P<suffix>[A-Za-z0-9]+)")
_BIDS_SUFFIXES = {
    "t1w": Contrast.T1,
    "t2w": Contrast.T2,
    "flair": Contrast.FLAIR,
    "pdw": Contrast.PD,
    "ct": Contrast.CT,
}
_BIDS_NATIVE = re.compile(r"no.*|pre.*|without.*|native?|nativ|0|non.*|unenhanced", re.IGNORECASE)


@dataclass(frozen=True)
class BidsName:
    """A BIDS name, taken apart.

    Attributes:
        entities: all before the suffix.
        suffix: as written.
        reading: what suffix and entities state.
        doubt: how they contradict each other ('' where they do not).
    """

    entities: str
    suffix: str
    reading: Reading
    doubt: str = ""


def read_bids(stem: str) -> BidsName | None:
    """Return a BIDS name, taken apart; None where it is none (BIDS 1.9, anatomy imaging)."""
    match = _BIDS.fullmatch(stem)
    if match is None:
        return None
    entities, suffix = match["entities"], match["suffix"]
    if suffix.lower() not in _BIDS_SUFFIXES:
        return BidsName(entities, suffix, Reading(aside=f"BIDS suffix '{suffix}' is not a source"))
    contrast = _BIDS_SUFFIXES[suffix.lower()]
    values = dict(part.split("-", 1) for part in entities.split("_"))
    told: dict[str, Reading] = {key: read_text(values[key]) for key in ("acq", "desc", "rec", "part") if key in values}
    aside = next((reading.aside for reading in told.values() if reading.aside), "")
    if aside:
        return BidsName(entities, suffix, Reading(contrast, aside=aside))
    said = Said()
    if "ce" in values:
        (said.denied if _BIDS_NATIVE.fullmatch(values["ce"]) else said.given).append(f"ce-{values['ce']}")
    elif values.get("acq", "").lower() == "pre":
        said.denied.append("acq-pre")
    return BidsName(entities, suffix, Reading(contrast, said=said), _bids_doubt(contrast, told, values, said))


def _bids_doubt(contrast: Contrast, told: dict[str, Reading], values: dict[str, str], said: Said) -> str:
    """Return how the entities of a BIDS name contradict its suffix."""
    for key, reading in told.items():
        word = f"{key}-{values[key]}"
        other = reading.contrast
        fluid = contrast is Contrast.FLAIR and other is Contrast.T2
        if other and other is not contrast and not fluid and reading.stated:
            return f"its name states both {contrast} and, by '{word}', {other}"
        if contrast is Contrast.T1 and (reading.said.given or reading.said.unclear) and not said.given:
            return f"its name states both t1 and, by '{word}', a contrast agent"
    return ""
