"""A word without borders → the known words it is made of: BRAINSTRYKERT1SAGGAD; and which of them are believed."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from mrimpute.study.asides import ASIDE_ENDINGS, ASIDE_STEMS, BLEEDING, BLEEDING_STEMS, BODY_STEMS, FIELDS, INFLECTIONS
from mrimpute.study.neutral import COMPOUND_ENDS, ENDING, HEAD_PARTS, LONG_ENDING, LONG_STEM, NEUTRAL_STEMS
from mrimpute.study.words import (
    AGENT_ENDS,
    AGENT_STEMS,
    BY_STEM,
    DENIED_STEMS,
    LETTERS,
    TIME_STEMS,
    WORDS,
    Kind,
    Meaning,
)

LONGEST = max(len(word) for word in WORDS)
LONGEST_FORM = 5
"""Letters of what may be a short form of an agent's name (gdx); what is longer is another word."""
TRUSTED_LENGTH = 5
"""A known word at least this long is believed inside an unknown one."""
UNMISTAKABLE = 7
"""One that denies an agent must be this long: Basaldella is not basal."""
TRUSTED_STEM = 6
"""Letters of a stem that may be followed by any number of others: Natividad is not nativ."""
SHORT_PIECE = 4
"""Letters up to which a word about agent may be a part of anything."""
FIRST_IDEOGRAPH = "\u3040"
TRUSTED_SIGNS = 2
"""So is one of this many signs of a script that writes words without spaces."""

_APART = (Kind.WITH, Kind.UNTIL, Kind.WITHOUT, Kind.RELATION, Kind.EVENT)
_GLUED = frozenset({"s", "w", "wo", "with", "without", "no", "non", "mit", "ohne", "sans", "avec", "reg"})
"""Those that are: WGAD, NONGAD, reg2mni; and the S before the names of one vendor (sT1W)."""
_WHOLE = frozenset({"et", "og", "och", "ja", "ga", "rm", "ge", "air", "ai", "eg", "ev", "pra", "prae"})
"""Words that are never a part of another: Et1 is an echo of a T1."""
_SHORTENED = frozenset({"contr", "kontr", "agent"})
"""Known words that are parts of many others: Contreras, Magenta."""

_NUMBER = re.compile(r"\d+(?:mm|ch|ml|cc|mmol|h|nsa|nex|sl|ms|t|deg|avg|min|mins|x\d+|p\d+|i\d+)?(?![a-z])")

Cut = tuple[int, int, Meaning]
"""Start, end, meaning."""
Piece = tuple[int, int, Meaning, bool]
"""The same, and whether it looks like an agent's word but stands inside an unknown one."""
_NAMED_ALIKE = (Kind.ASIDE, Kind.GRADIENT, Kind.DUAL)
"""Kinds of words that names of persons and places hold by chance."""
_ABOUT_AGENT = (Kind.AGENT, Kind.WEAK_AGENT, Kind.GIVEN, Kind.DENIED, Kind.AFTER, Kind.BEFORE)
_ANCHORS = (
    *(Kind.CONTRAST, Kind.T1_SEQUENCE, Kind.DARK_FLUID, Kind.GRADIENT, Kind.PLANE, Kind.VOLUME, Kind.NUMBER),
    *(Kind.ASIDE, Kind.COPY, Kind.AGENT, Kind.GIVEN, Kind.DENIED, Kind.AFTER, Kind.BEFORE),
)
"""Kinds of pieces that make a word an imaging term."""
_LINKS = frozenset({"and", "mr", "mri"})
"""Short words that link a part of the body to another, or to the technique."""
_PREPOSITIONS = (Kind.WITH, Kind.WITHOUT, Kind.UNTIL)
_TECHNIQUES = frozenset(
    {"se", "tse", "fse", "fs", "ir", "vibe", "tfe", "mpr", "ffe", "scan", "head", "sat", "gw", "weighted"}
)
"""Short words that do so too."""


@lru_cache(maxsize=8192)
def pieces_of(word: str, camel: frozenset[int]) -> tuple[Piece, ...]:
    """Cut a word into known pieces and what is left between them, by least cost."""
    if word not in WORDS and (family := _family(word)):
        return ((0, len(word), family, False),)
    best: list[tuple[float, int, Meaning]] = [(0.0, 0, (Kind.UNKNOWN, ""))]
    for end in range(1, len(word) + 1):
        cost, start = best[end - 1][0] + (1.2 if best[end - 1][2][0] is Kind.UNKNOWN and end > 1 else 2.2), end - 1
        options = [(cost, start, (Kind.UNKNOWN, ""))]
        options += [(best[start][0] + cost, start, meaning) for start, cost, meaning in _ends(word, end)]
        best.append(min(options, key=lambda option: option[0]))
    cuts: list[Cut] = []
    end = len(word)
    while end:
        _, start, meaning = best[end]
        if meaning[0] is Kind.UNKNOWN and cuts and cuts[-1][2][0] is Kind.UNKNOWN and cuts[-1][0] == end:
            cuts[-1] = (start, cuts[-1][1], meaning)
        else:
            cuts.append((start, end, meaning))
        end = start
    return tuple(_with_families(word, _believed(word, cuts[::-1], camel)))


def _with_families(word: str, pieces: list[Piece]) -> Iterator[Piece]:
    """Return the pieces, an unknown one by what it begins or ends with: T1LUMBAR."""
    plain = all(meaning[0] in (Kind.UNKNOWN, Kind.FILLER) and not hint for _, _, meaning, hint in pieces)
    if len(pieces) > 1 and plain and any(piece[2][0] is Kind.UNKNOWN for piece in pieces) and _neutral(word):
        yield 0, len(word), (Kind.FILLER, BY_STEM), False
        return
    for start, end, meaning, hint in pieces:
        unknown = meaning[0] is Kind.UNKNOWN and not hint and len(pieces) > 1
        family = _family(word[start:end]) if unknown else None
        if family is None and meaning[0] is Kind.UNKNOWN and not hint and _neutral(word[start:end]):
            family = Kind.FILLER, BY_STEM
        yield start, end, family or meaning, hint


def _neutral(word: str) -> bool:
    """Tell whether an unknown word is one of the anatomy or diseases of the head, or of technique, by its stem."""
    stems = [stem for stem in NEUTRAL_STEMS if word.startswith(stem)]
    ended = any(len(word) - len(stem) <= (LONG_ENDING if len(stem) >= LONG_STEM else ENDING) for stem in stems)
    parts = [part for part in HEAD_PARTS if word.startswith(part)]
    return (ended and not word.endswith((*AGENT_ENDS, "ks", "kl", "ce", "inj"))) or any(
        word[len(part) :] in COMPOUND_ENDS for part in parts
    )


def _family(word: str) -> Meaning | None:
    """Return what a word means that no table has, by how it begins or ends; None where that tells nothing."""
    if word.startswith(AGENT_STEMS):
        return Kind.AGENT, "agent"
    if any(
        word.startswith(stem) and (len(stem) >= TRUSTED_STEM or len(word) <= len(stem) + 3) for stem in DENIED_STEMS
    ):
        return Kind.DENIED, "denied"
    if word.startswith(TIME_STEMS):
        return Kind.TIME, "time"
    if word.startswith(BLEEDING_STEMS):
        return Kind.ASIDE, BLEEDING
    reason = next((reason for stem, reason in ASIDE_STEMS.items() if word.startswith(stem)), "")
    reason = reason or _part_of_body(word) or _by_ending(word)
    return (Kind.ASIDE, reason) if reason else None


def _part_of_body(word: str) -> str:
    """Return that a word is an inflected one for a part of the body."""
    known = any(word[:cut] in BODY_STEMS and word[cut:] in INFLECTIONS for cut in range(4, len(word)))
    return "another part of the body" if known else ""


def _by_ending(word: str) -> str:
    """Return what a joined word is by its end: a brainmask; of what ends names of places too, a biasfield alone."""
    for ending, reason in ASIDE_ENDINGS.items():
        rest = word.removesuffix(ending)
        if rest != word and (rest in FIELDS if ending in ("field", "warp") else len(rest) > 2):
            return reason
    return ""


def _ends(word: str, end: int) -> Iterator[tuple[int, float, Meaning]]:
    """Return the known pieces that end at a place: start, cost, meaning."""
    for start in range(max(0, end - LONGEST), end):
        piece = word[start:end]
        if piece in WORDS:
            if not _may_be_glued(word, start, end):
                continue
            yield start, 1.0 + {1: 0.3, 2: 0.15}.get(len(piece), 0.0), WORDS[piece]
        elif _is_number(word, start, end):
            yield start, 0.6, (Kind.NUMBER, "")


def _may_be_glued(word: str, start: int, end: int) -> bool:
    """Tell whether a known word may be a piece of another one: no preposition, which would explain half of any name."""
    piece = word[start:end]
    if piece != word and (piece in _WHOLE or (WORDS[piece][0] in _APART and piece not in _GLUED)):
        return False
    return len(piece) > 1 or _single(word, start, end)


def _single(word: str, start: int, end: int) -> bool:
    """Tell whether a single letter may be a piece: alone, before the rest, or a C at the end or before a plane."""
    if len(word) == 1 or word[start] >= FIRST_IDEOGRAPH:
        return True
    if word[start:end] in LETTERS:
        return False
    if word[start:end] == "c":
        before_plane = start == 0 and WORDS.get(word[1:], (Kind.UNKNOWN, ""))[0] is Kind.PLANE
        return before_plane or end == len(word)
    return start == 0


def _believed(word: str, cuts: list[Cut], camel: frozenset[int]) -> list[Piece]:
    """Take back the meaning of short pieces that stand in the middle of an unknown word: Bagdad names no agent."""
    unknown = [meaning[0] is Kind.UNKNOWN for _, _, meaning in cuts]
    hints = [_may_be_agent(word, *cut) for cut in cuts]
    while (index := _doubtful(word, cuts, camel, unknown)) is not None:
        start, end, meaning = cuts[index]
        known_left = index > 0 and not unknown[index - 1]
        about = meaning[0] in (Kind.AGENT, Kind.GIVEN, Kind.AFTER) and end - start >= 2
        short_form = start == 0 and len(word) <= LONGEST_FORM
        hints[index] = about and (
            known_left or short_form or (end == len(word) and (end - start >= 3 or word.endswith(AGENT_ENDS)))
        )
        unknown[index] = True
    pieces: list[Piece] = []
    for index, (start, end, meaning) in enumerate(cuts):
        if unknown[index] and pieces and pieces[-1][2][0] is Kind.UNKNOWN:
            pieces[-1] = (pieces[-1][0], end, (Kind.UNKNOWN, ""), pieces[-1][3] or hints[index])
        else:
            pieces.append((start, end, (Kind.UNKNOWN, "") if unknown[index] else meaning, hints[index]))
    return pieces


def _unanchored(word: str, cuts: Sequence[Cut], camel: frozenset[int], index: int) -> bool:
    """Tell whether a short piece about agent, or one for what is no source, stands in a word that is no imaging term:
    Eklund, Pace, Paterno. A capital on either side is a border."""
    start, end, (kind, _) = cuts[index]
    others = [cut for cut in cuts if cut != cuts[index]]
    bordered = start in (0, *camel) and end in (len(word), *camel)
    if not others or bordered or word[start] >= FIRST_IDEOGRAPH or any(cut[2][0] is Kind.CONTRAST for cut in others):
        return False
    if kind in _NAMED_ALIKE:
        return not all(_anchors(word, cut, SHORT_PIECE) or word[cut[0] : cut[1]] in _LINKS for cut in others)
    anchors = [_anchors(word, cut, TRUSTED_LENGTH) for cut in others]
    if len(others) == 1:
        anchors.append(others[0][2][0] in _PREPOSITIONS and word[others[0][0] : others[0][1]] != "s")
    return kind in _ABOUT_AGENT and end - start <= SHORT_PIECE and not any(anchors)


def _anchors(word: str, cut: Cut, least: int) -> bool:
    """Tell whether a piece makes its word an imaging term; one that is no more than known, from so many letters on."""
    start, end, (kind, _) = cut
    known = kind in _ANCHORS or word[start:end] in _TECHNIQUES
    return known or (kind is Kind.FILLER and end - start >= least)


def _doubtful(word: str, cuts: Sequence[Cut], camel: frozenset[int], unknown: list[bool]) -> int | None:
    """Return the first piece that is not believed for what stands beside it, None where all are."""
    for index, (start, end, meaning) in enumerate(cuts):
        if unknown[index] or meaning[0] is Kind.NUMBER:
            continue
        left = index > 0 and unknown[index - 1] and start not in camel
        behind = cuts[index + 1 : index + 2]
        right = bool(behind) and unknown[index + 1] and end not in camel
        known_right = bool(behind) and not unknown[index + 1] and behind[0][2][0] is not Kind.NUMBER
        imaged = any(kind is Kind.CONTRAST for _, _, (kind, _) in cuts)
        stands = not (left or right) or _stands(word[start:end], meaning[0], left, known_right, imaged)
        if not stands or _unanchored(word, cuts, camel, index):
            return index
    return None


def _stands(piece: str, kind: Kind, left: bool, known_right: bool, imaged: bool) -> bool:
    """Tell whether a known piece beside an unknown one is believed: where the same word names no contrast none for what
    is no source, as many names of persons and places hold one (Manchester, Oliver)."""
    if kind in _NAMED_ALIKE and piece[0] < FIRST_IDEOGRAPH and not imaged:
        return False
    if kind is Kind.DENIED and piece[0] < FIRST_IDEOGRAPH:
        return len(piece) >= UNMISTAKABLE
    if any(character.isdigit() for character in piece):
        return not left or known_right
    if piece in _SHORTENED:
        return False  # Contreras, Kontrolle
    return len(piece) >= (TRUSTED_SIGNS if piece[0] >= FIRST_IDEOGRAPH else TRUSTED_LENGTH)


def _may_be_agent(word: str, start: int, end: int, meaning: Meaning) -> bool:
    """Tell whether an unknown piece may be the C of an agent with more letters: FC, HC."""
    piece = word[start:end]
    short = meaning[0] is Kind.UNKNOWN and len(piece) <= 3 and piece.endswith("c") and piece.isascii()
    return short and (start > 0 or len(piece) == 2) and end == len(word)


def _is_number(word: str, start: int, end: int) -> bool:
    """Tell whether a part of a word is a whole number, with its unit."""
    whole = not word[end : end + 1].isdigit() and not word[max(0, start - 1) : start].isdigit()
    return whole and word[start].isdigit() and _NUMBER.fullmatch(word[start:end]) is not None
