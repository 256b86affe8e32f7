"""A text → its words and what each one means: names such as `BRAINSTRYKERT1SAGGAD` are cut where words are known."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from mrimpute.study.pieces import pieces_of
from mrimpute.study.words import MAY_DENY, SEVERAL_ECHOES, SPELLED_OUT, Kind

MAX_TEXT = 300
"""Characters of a text that are looked at; file names cannot be longer."""
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
    (r"\+[\s_]?[/_][\s_]?-|-[\s_]?[/_][\s_]?\+|\+-|-\+", Kind.EXAM, "+/-"),
    (r"(?<![a-z])([sc])[/_]c[\s_]*(?:[-+&/,ye]|and|und)?[\s_]*(?!\1)[sc][/_]c(?![a-z])", Kind.EXAM, "s/c c/c"),
    (rf"(?<!{_LETTER})c[/_]s(?!{_LETTER})", Kind.EXAM, "c/s"),  # con o sin, or the cervical spine
    (rf"(?<!{_LETTER})n/c(?!{_LETTER})", Kind.DENIED, "denied"),
    (rf"(?<!{_LETTER})pg(?![^\W_])", Kind.UNKNOWN, "agent?"),
    (rf"\+[\s_]?(?:к|с|ку|кв)(?!{_LETTER})|(?<!{_LETTER})(?:к|с|ку|кв)[\s_]?\+(?!{_LETTER})", Kind.GIVEN, "given"),
    (rf"(?<!{_LETTER})do(?=[\s_-]+(?:kontr(?!ol)|k\.?[uv](?![a-z])|vved))", Kind.UNTIL, "without agent"),
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
    (r"(?<![a-z0-9])(?:w[\s_]?[-/\\._\s]?\s?o(?:ut)?|with[\s_.-]out)\.?(?![a-z])", Kind.WITHOUT, "without"),
    (r"(?<![a-z0-9])w\s?/", Kind.WITH, "with"),
    (rf"\+[\s_]?(?:{_AGENT})(?![a-z])", Kind.GIVEN, "given"),
    (rf"(?<![a-z])(?:{_AGENT}|kl|ks|kv|iv)[\s_]?\+(?![a-z-]|[\s_]?[/_][\s_]?-)", Kind.GIVEN, "given"),
    (rf"(?:^|(?<=[\s_(/]))-[\s_]?(?:{_AGENT})(?![a-z0-9])", Kind.DENIED, "denied"),
    (rf"(?<![a-z0-9])(?:{_AGENT})-(?![a-z0-9])", Kind.DENIED, "denied"),
    (r"(?<=t1)[-+](?:c(?![a-z0-9])|(?=$))|(?<=t1w)[-+](?:c(?![a-z0-9])|(?=$))", Kind.UNKNOWN, "agent?"),
    (r"(?:(?<=t1)|(?<=t1w)|(?<![a-z0-9+])[a-z]{0,2})\++(?=[\s_)\]]|$)", Kind.UNKNOWN, "agent?"),
    (r"t2w?[\s_]?\*", Kind.ASIDE, "susceptibility"),
    (r"(?<![a-z])(?:m\.d\.c|k\.m|k\.l|c\.m|[ie]\.v)(?![a-z])\.?", Kind.AGENT, "agent"),
    (r"(?<![a-z])(?:me[\s_-]?)?mp[\s_-]?rage(?:s?)(?![a-z2])", Kind.T1_SEQUENCE, "t1"),
    (r"mp[\s_-]?2[\s_-]?rage", Kind.ASIDE, "a part of an MP2RAGE"),
    (r"(?:dark|black)[\s_-]?blood", Kind.FILLER, ""),
    (r"(?:head|brain|h)[\s_-]*(?:and|und|&|\+)?[\s_-]*neck", Kind.FILLER, ""),
    (r"(?:sacred[\s_-]*heart|sacro[\s_-]*cuore|sacre[\s_-]*coeur|sagrado[\s_-]*corazon)(?![a-z])", Kind.FILLER, ""),
    (r"(?<![a-z])prior[\s_-]+to(?![a-z])", Kind.UNTIL, "until"),
    (r"(?<![a-z])non[\s_-]?con(?:trast)?(?![a-z])", Kind.DENIED, "denied"),
    (r"^(?:m?[wr]+[cp]|c)[1-6](?=[a-z][a-z0-9])", Kind.ASIDE, "a map"),
    (r"^mni152_t[12]_[0-9.]+mm", Kind.ASIDE, "a template"),
    (r"^phase(?=[\s_-]*t[12](?![a-z0-9]))", Kind.ASIDE, "a phase image"),
    (r"(?<![a-z])da[\s_-]fl(?![a-z])", Kind.DARK_FLUID, "flair"),
    (r"(?<![a-z])non[\s_-]fat", Kind.FILLER, ""),
    (r"(?:(?<=ct)|(?<=pet)|(?<=flair)|(?<=t[12]))2(?=(?:t[12]w?|flair|mni)(?![a-z0-9]))", Kind.RELATION, "relation"),
    (r"multi[\s_-]?echo(?:e?s)?(?![a-z])|(?<![a-z])(?:se[\s_]mc|me[\s_]t?se)(?![a-z])", Kind.DUAL, SEVERAL_ECHOES),
    (r"(?<!\d)\d\d?[\s_-]?echoes(?![a-z])", Kind.DUAL, SEVERAL_ECHOES),
    (
        r"(?<![a-z0-9])syn[\s_-]+(?=(?:ax|sag|cor|tra|3d|t[12]|flair|pd|stir)(?![a-z]))",
        Kind.ASIDE,
        "computed, not acquired",
    ),
    (r"(?<![a-z])stage[\s_-]+(?=(?:enhanced|t1w?|t1we)(?![a-z]))", Kind.ASIDE, "computed, not acquired"),
    (r"(?<![a-z0-9])3d[\s_-]?edge(?![a-z])", Kind.ASIDE, "another inversion recovery"),
    (r"(?<![a-z0-9])(?:23na|129xe)(?![a-z0-9])", Kind.ASIDE, "another nucleus"),
    (r"(?<![a-z0-9])(?:l[/-]s|t[/-]l|c[/-]t[/-]l)(?![a-z0-9])", Kind.ASIDE, "another part of the body"),
    (
        r"(?<![a-z0-9])(?:c[1-7]\s?[-/]\s?(?:c?[2-7]|t[3-9]|th\d)|th\d\d?\s?[-/]\s?(?:th|l)?\d\d?"
        r"|l[1-5]\s?[-/]\s?(?:l?[2-5]|s1)|l5_s1)(?![a-z0-9])",
        Kind.ASIDE,
        "another part of the body",
    ),
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
        for start, end, (kind, value), hint in pieces_of(match.group(), _camel(text, places, match)):
            first, last = places[match.start() + start], places[match.start() + end - 1] + 1
            found.append(Token(match.group()[start:end], kind, value, first, last, number, hint))
    return tuple(sorted(found, key=lambda token: token.start))


def _camel(text: str, places: list[int], match: re.Match[str]) -> frozenset[int]:
    """Return the offsets inside a word at which a capital follows a small letter."""
    where = range(match.start() + 1, match.end())
    return frozenset(
        index - match.start() for index in where if text[places[index]].isupper() and text[places[index - 1]].islower()
    )
