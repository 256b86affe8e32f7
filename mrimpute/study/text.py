"""A text → its words and what each one means: names such as `BRAINSTRYKERT1SAGGAD` are cut where words are known."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mrimpute.study.asides import ASIDE_ENDINGS, ASIDE_STEMS
from mrimpute.study.words import AGENT_STEMS, DENIED_STEMS, LETTERS, MAY_DENY, SPELLED_OUT, WORDS, Kind, Meaning

MAX_TEXT = 300
"""Characters of a text that are looked at; file names cannot be longer."""
LONGEST = max(len(word) for word in WORDS)
LONGEST_FORM = 5
"""Letters of what may be a short form of an agent's name (gdx); what is longer is another word."""
TRUSTED_LENGTH = 5
"""A known word at least this long is believed inside an unknown one."""
FIRST_IDEOGRAPH = "\u3040"
TRUSTED_SIGNS = 2
"""So is one of this many signs of a script that writes words without spaces."""

_APART = (Kind.WITH, Kind.UNTIL, Kind.WITHOUT, Kind.RELATION, Kind.EVENT)
_GLUED = frozenset({"s", "w", "wo", "with", "without", "no", "non", "mit", "ohne", "sans", "avec"})
"""Those that are: WGAD, NONGAD; and the S before the names of one vendor (sT1W)."""
_SHORTENED = frozenset({"contr", "kontr"})
"""Known words that begin many others."""

_AGENT = "contraste?|kontrast|gado|gad|gd|km|mdc|ce|c|k"
_LETTER = r"[^\W\d_]"
_BEHIND = (
    r"(?:[ck]ontrast[a-z]*|gado[a-z]*|gad|gd|k\.?m|m\.?d\.?c|c\.?m|c\.?i\.?v|ks|k\.?l|kv|ce|mezzo|medio|meio|produit"
    rf"|inj[a-z]*|iny[a-z]*|iniez[a-z]*|iv|i\.v)\.?(?!{_LETTER})"
)
"""What stands for an agent behind an abbreviated preposition."""
_WITH = "m|mit|c|con|com|a|av|avec|z|s|med|met"
_WITHOUT = "o|ohne|s|ss|senza|sans|sin|sem|b|bez|u|uten|utan|uden|zonder"
_PHRASES: tuple[tuple[str, Kind, str], ...] = (
    (r"(?<![a-z0-9])w(?:ith)?[\s_/.]*(?:and|&|\+|/|_)?[\s_/.]*w(?:ith)?[\s_/.]*o(?:ut)?(?![a-z])", Kind.EXAM, "w/wo"),
    (r"(?<![a-z0-9])w[\s_/.]*o[\s_/.]*(?:and|&|\+|/|_)?[\s_/.]*w(?:ith)?(?![a-z])", Kind.EXAM, "wo/w"),
    (r"\+[\s_]?[/_][\s_]?-|-[\s_]?[/_][\s_]?\+", Kind.EXAM, "+/-"),
    (rf"(?<!{_LETTER})(?:{_WITH})\s?[/+&]\s?(?:{_WITHOUT})[\s_./]+{_BEHIND}", Kind.EXAM, SPELLED_OUT),
    (rf"(?<!{_LETTER})(?:{_WITHOUT})\s?[/+&]\s?(?:{_WITH})[\s_./]+{_BEHIND}", Kind.EXAM, SPELLED_OUT),
    (rf"(?<!{_LETTER})(?:o|s|ss|b)\s?[./][\s_]?(?={_BEHIND})", Kind.WITHOUT, "without agent"),
    (rf"(?<!{_LETTER})z\s?[./][\s_]?(?={_BEHIND})", Kind.UNKNOWN, MAY_DENY),  # Polish 'with', Dutch 'without'
    (rf"(?<!{_LETTER})б\s?[./]\s?к(?:у)?(?!{_LETTER})", Kind.DENIED, "denied"),
    (rf"(?<!{_LETTER})[бс]_к(?!{_LETTER})", Kind.UNKNOWN, "agent?"),
    (rf"(?<!{_LETTER})с\s?[./]\s?к(?:у)?(?!{_LETTER})", Kind.GIVEN, "given"),
    (rf"(?<!{_LETTER})[a-z]\.[\s_]?[kcg](?:\.|(?!{_LETTER}|[.]))(?!{_LETTER})", Kind.UNKNOWN, "agent?"),
    (rf"(?<!{_LETTER})(?:[mnps](?:km|gado?|gd|mdc)|o(?:km|gado?|gd))(?!{_LETTER})", Kind.UNKNOWN, "agent?"),
    (rf"(?<![a-z])(?:{_AGENT}|inj)[\s_]?\?", Kind.UNKNOWN, "agent?"),
    (r"(?:single|half|double|triple|full|[1-3]x)[\s_-]*dos(?:e|is)(?![a-z])", Kind.UNKNOWN, "agent?"),
    (r"\+[\s_]?\d+[\s_]?(?:min|m|sec|s|h|')(?![a-z])|(?<![a-z])sense[\s_-]+contrast(?![a-z])", Kind.UNKNOWN, "agent?"),
    (r"(?<![a-z0-9])w(?:ith)?[\s_/]*con(?![a-z])", Kind.GIVEN, "given"),
    (r"(?<![a-z])s\s?/\s?(?:contraste|gado|c)(?![a-z])|(?<![a-z])s_contraste(?![a-z])", Kind.DENIED, "denied"),
    (r"(?<![a-z])(?:m|c)\s?/\s?[ck](?![a-z])", Kind.GIVEN, "given"),
    (r"(?<![a-z])u[\s_/.]{1,2}(?=(?:kontrast|gado|gd|km|k)(?![a-z])|kontrast|gadol)", Kind.WITHOUT, "without agent"),
    (r"(?<![a-z])[smcu]_[ck](?![a-z.])|(?<![a-z])[odnp]_k(?![a-z.])", Kind.UNKNOWN, "agent?"),
    (r"(?<![a-z])pred(?=[\s_-]+(?:k\.?l|k\.?m|gd|gad|kontr|aplik|pod|inj|iv))", Kind.UNTIL, "without agent"),
    (r"(?<![a-z])(?:iv|i\.v\.?)-(?![a-z0-9])", Kind.DENIED, "denied"),
    (r"(?<![a-z0-9])w[\s_]?[/\\._]\s?o(?:ut)?\.?(?![a-z])", Kind.WITHOUT, "without"),
    (r"(?<![a-z0-9])w\s?/", Kind.WITH, "with"),
    (rf"\+[\s_]?(?:{_AGENT})(?![a-z])", Kind.GIVEN, "given"),
    (rf"(?<![a-z])(?:{_AGENT}|kl|ks|kv|iv)[\s_]?\+(?![a-z])", Kind.GIVEN, "given"),
    (rf"(?:^|(?<=[\s_(/]))-[\s_]?(?:{_AGENT})(?![a-z0-9])", Kind.DENIED, "denied"),
    (rf"(?<![a-z0-9])(?:{_AGENT})-(?![a-z0-9])", Kind.DENIED, "denied"),
    (r"(?<=t1)[-+](?:c(?![a-z0-9])|(?=$))|(?<=t1w)[-+](?:c(?![a-z0-9])|(?=$))", Kind.UNKNOWN, "agent?"),
    (r"(?:(?<=t1)|(?<=t1w)|(?<![a-z0-9+])[a-z]{0,2})\++(?=[\s_)\]]|$)", Kind.UNKNOWN, "agent?"),
    (r"t2w?[\s_]?\*", Kind.ASIDE, "susceptibility"),
    (r"(?<![a-z])(?:m\.d\.c|k\.m|k\.l|c\.m|i\.v)(?![a-z])\.?", Kind.AGENT, "agent"),
    (r"(?<![a-z])(?:me[\s_-]?)?mp[\s_-]?rage(?:s?)(?![a-z2])", Kind.T1_SEQUENCE, "t1"),
    (r"mp[\s_-]?2[\s_-]?rage", Kind.ASIDE, "a part of an MP2RAGE"),
    (r"(?:dark|black)[\s_-]?blood", Kind.FILLER, ""),
    (r"(?:head|brain|h)[\s_-]*(?:and|und|&|\+)?[\s_-]*neck", Kind.FILLER, ""),
    (r"(?<![a-z])non[\s_-]?con(?:trast)?(?![a-z])", Kind.DENIED, "denied"),
    (r"^(?:m?[wr]+[cp]|c)[1-6](?=[a-z][a-z0-9])", Kind.ASIDE, "a map"),
    (r"^mni152_t[12]_[0-9.]+mm", Kind.ASIDE, "a template"),
    (r"^phase(?=[\s_-]*t[12](?![a-z0-9]))", Kind.ASIDE, "a phase image"),
    (r"(?<![a-z])da[\s_-]fl(?![a-z])", Kind.DARK_FLUID, "flair"),
    (r"(?<![a-z])non[\s_-]fat", Kind.FILLER, ""),
    (r"dark[\s_-]?fluid|fluid[\s_-]?attenuated", Kind.DARK_FLUID, "flair"),
    (
        r"(?<![a-z0-9])[es]?b(?:0|[1-9]\d{1,3}|[\s_-](?:0|[1-9]000|[58]00|[12]500))i?(?![a-z0-9])|(?<![a-z])ebo(?![a-z])",
        Kind.ASIDE,
        "diffusion",
    ),
)
"""Signs and phrases that are more than one word, in the order they are tried."""

_PHRASE = re.compile("|".join(f"(?P<p{index}>{pattern})" for index, (pattern, _, _) in enumerate(_PHRASES)))
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+(?:mm|ml|cc|mmol|h|nsa|nex|sl|ms|t|deg|avg|min|mins|x\d+|p\d+|i\d+)?(?![a-z])")
_LETTERS = {"ł": "l", "ø": "o", "ß": "s", "æ": "a", "œ": "o", "đ": "d", "ı": "i", "ð": "d", "þ": "t"}


@dataclass(frozen=True)
class Token:
    """One word of a text.

    Attributes:
        text: folded.
        kind, value: what it means.
        start, end: where it stands in the text as written.
        word: number of the separated word it is part of.
        hint: whether it looks like an agent's word but stands inside an unknown one.
    """

    text: str
    kind: Kind
    value: str
    start: int
    end: int
    word: int
    hint: bool = False


def fold(text: str) -> tuple[str, list[int]]:
    """Return a text in lower case without accents, and where each of its characters stood."""
    folded: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text[:MAX_TEXT]):
        if unicodedata.combining(character):
            continue
        lower = character.lower()
        base = _LETTERS.get(lower[0]) or _base(lower[0])
        folded.append(base)
        places.append(place)
    return "".join(folded), places


def _base(character: str) -> str:
    """Return a Latin or Greek letter without its accent; signs of other scripts as they are."""
    parts = unicodedata.normalize("NFKD", character)
    return parts[0] if parts and (parts[0].isascii() or "\u0370" <= parts[0] <= "\u03ff") else character


@lru_cache(maxsize=4096)
def tokens_of(text: str) -> tuple[Token, ...]:
    """Return the words of a text, in order."""
    folded, places = fold(text)
    phrases = [match for match in _PHRASE.finditer(folded) if match.end() > match.start()]
    left = folded
    for match in phrases:
        left = left[: match.start()] + " " * (match.end() - match.start()) + left[match.end() :]
    found: list[Token] = []
    for match in phrases:
        _, kind, value = _PHRASES[int(str(match.lastgroup)[1:])]
        first, last = places[match.start()], places[match.end() - 1] + 1
        found.append(Token(match.group(), kind, value, first, last, 0, hint=value == "agent?"))
    for number, match in enumerate(_WORD.finditer(left), 1):
        for start, end, (kind, value), hint in _pieces(match.group(), _camel(text, places, match)):
            first, last = places[match.start() + start], places[match.start() + end - 1] + 1
            found.append(Token(match.group()[start:end], kind, value, first, last, number, hint))
    return tuple(sorted(found, key=lambda token: token.start))


def _camel(text: str, places: list[int], match: re.Match[str]) -> frozenset[int]:
    """Return the offsets inside a word at which a capital follows a small letter."""
    where = range(match.start() + 1, match.end())
    return frozenset(
        index - match.start() for index in where if text[places[index]].isupper() and text[places[index - 1]].islower()
    )


Piece = tuple[int, int, Meaning, bool]


@lru_cache(maxsize=8192)
def _pieces(word: str, camel: frozenset[int]) -> tuple[Piece, ...]:
    """Cut a word into known pieces and what is left between them, by least cost."""
    if word not in WORDS and (family := _family(word)):
        return ((0, len(word), family, False),)
    best: list[tuple[float, int, Meaning]] = [(0.0, 0, (Kind.UNKNOWN, ""))]
    for end in range(1, len(word) + 1):
        cost, start = best[end - 1][0] + (1.2 if best[end - 1][2][0] is Kind.UNKNOWN and end > 1 else 2.2), end - 1
        options = [(cost, start, (Kind.UNKNOWN, ""))]
        options += [(best[start][0] + cost, start, meaning) for start, cost, meaning in _ends(word, end)]
        best.append(min(options, key=lambda option: option[0]))
    cuts: list[tuple[int, int, Meaning]] = []
    end = len(word)
    while end:
        _, start, meaning = best[end]
        if meaning[0] is Kind.UNKNOWN and cuts and cuts[-1][2][0] is Kind.UNKNOWN and cuts[-1][0] == end:
            cuts[-1] = (start, cuts[-1][1], meaning)
        else:
            cuts.append((start, end, meaning))
        end = start
    return tuple(_believed(word, cuts[::-1], camel))


def _family(word: str) -> Meaning | None:
    """Return what a word means that no table has, by how it begins or ends; None where that tells nothing."""
    if word.startswith(AGENT_STEMS):
        return Kind.AGENT, "agent"
    if word.startswith(DENIED_STEMS):
        return Kind.DENIED, "denied"
    stem = next((reason for stem, reason in ASIDE_STEMS.items() if word.startswith(stem)), "")
    ending = next((reason for ending, reason in ASIDE_ENDINGS.items() if word.endswith(ending)), "")
    return (Kind.ASIDE, stem or ending) if stem or ending else None


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
    if piece != word and WORDS[piece][0] in _APART and piece not in _GLUED:
        return False
    return len(piece) > 1 or _single(word, start, end)


def _single(word: str, start: int, end: int) -> bool:
    """Tell whether a single letter may be a piece: alone, before the rest, or a C at the end or before a plane."""
    if len(word) == 1:
        return True
    if word[start:end] in LETTERS:
        return False
    if word[start:end] == "c":
        before_plane = start == 0 and WORDS.get(word[1:], (Kind.UNKNOWN, ""))[0] is Kind.PLANE
        return before_plane or end == len(word)
    return start == 0


def _believed(word: str, cuts: list[tuple[int, int, Meaning]], camel: frozenset[int]) -> list[Piece]:
    """Take back the meaning of short pieces that stand in the middle of an unknown word: Bagdad names no agent."""
    unknown = [meaning[0] is Kind.UNKNOWN for _, _, meaning in cuts]
    hints = [_may_be_agent(word, *cut) for cut in cuts]
    while (index := _doubtful(word, cuts, camel, unknown)) is not None:
        start, end, meaning = cuts[index]
        known_left = index > 0 and not unknown[index - 1]
        about = meaning[0] in (Kind.AGENT, Kind.GIVEN, Kind.AFTER) and end - start >= 2
        short_form = start == 0 and len(word) <= LONGEST_FORM
        hints[index] = about and (known_left or short_form or (end == len(word) and end - start >= 3))
        unknown[index] = True
    pieces: list[Piece] = []
    for index, (start, end, meaning) in enumerate(cuts):
        if unknown[index] and pieces and pieces[-1][2][0] is Kind.UNKNOWN:
            pieces[-1] = (pieces[-1][0], end, (Kind.UNKNOWN, ""), pieces[-1][3] or hints[index])
        else:
            pieces.append((start, end, (Kind.UNKNOWN, "") if unknown[index] else meaning, hints[index]))
    return pieces


def _doubtful(
    word: str, cuts: list[tuple[int, int, Meaning]], camel: frozenset[int], unknown: list[bool]
) -> int | None:
    """Return the first piece that is not believed beside an unknown one, None where all are."""
    for index, (start, end, meaning) in enumerate(cuts):
        if unknown[index] or meaning[0] is Kind.NUMBER:
            continue
        left = index > 0 and unknown[index - 1] and start not in camel
        behind = cuts[index + 1 : index + 2]
        right = bool(behind) and unknown[index + 1] and end not in camel
        known_right = bool(behind) and not unknown[index + 1] and behind[0][2][0] is not Kind.NUMBER
        if (left or right) and not _stands(word[start:end], left, known_right):
            return index
    return None


def _stands(piece: str, left: bool, known_right: bool) -> bool:
    """Tell whether a known piece beside an unknown one is believed."""
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
