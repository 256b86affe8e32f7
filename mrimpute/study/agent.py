"""What the words of a text say about a contrast agent: given, not given, or something that is not explained.

Each word is judged by what stands next to it: 'post gado' names an agent, 'post op' a time point, 'w/ GRAPPA' nothing;
a denial counts only for the agent word it belongs to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase

from mrimpute.study.exams import ABOUT_AGENT, is_article
from mrimpute.study.text import Token
from mrimpute.study.words import AGENT_ENDS, INITIALS, LETTERS, MAY_DENY, SPELLED_OUT, Kind

_BARE = frozenset({"o", "s", "ss", "b", "0"})
"""Signs for 'without' in one language, which mean 'with', or nothing, in another."""
_SAYING_WITH = frozenset({"m", "n", "p", "c", "w", "z", "x"})
"""Letters before an agent for 'with' or 'after', or for how much of it: 2x Gd."""
_SLAVIC = ("em", "om", "kl", "k.l", "k.l.")
"""How an agent ends that an S before it means 'with' for."""
_NO_AGENT = frozenset(
    {"phase", "high", "hi", "tissue", "mt", "soft", "multi", "low", "inversion", "white", "dual", "image"}
)
"""What stands before 'contrast' where it means the contrast of an image."""
_BEHIND = frozenset({"oncesi", "once", "nelkul", "elott", "olmadan", "前", "전", "없이", "なし"})
"""Postpositions: before, without."""
_REFUSED = frozenset({"no", "none", "neg", "negative", "negativ", "nein", "kein", "keine", "keines", "minus", "not"})
"""What denies an agent also behind it, where it ends the text: GAD NO."""
_ASKING = """
    with mit avec con com met med nach apres apos pos na ile dengan tras
    after dopo depois despues efter etter po posle poslije nakon
    dupa setelah selepas lepas після след amb после μετα με עם אחרי לאחר بعد مع sonrasi jalkeen utana 後 后 후
"""
_AFTERWARDS = frozenset(_ASKING.split())
"""Words of giving that ask for an agent: where an unknown word stands next to them, it may be one."""
_POSTPOSED = frozenset({"sonrasi", "jalkeen", "utana", "後", "后", "후"})
"""Those of them that stand behind what they belong to."""
_NONE_OF = ("non", "no", "wo", "without", "pre", "sans", "sin", "ohne")
"""How a denial begins that may deny the word of giving behind it."""
_NAMES = frozenset({"blanco", "blanca"})
"""Words for native that are names of persons at the beginning."""
_IMAGE = (Kind.CONTRAST, Kind.T1_SEQUENCE, Kind.PLANE, Kind.VOLUME)
_NAME = 4
"""Letters of the shortest name of a person."""
_SHORT = 2
"""Letters from which on an unknown word may be one about agent that the tables lack."""


@dataclass
class Said:
    """What a text says about agent.

    Attributes:
        given: words that say that one was given, as they stand folded.
        denied: words that say that none was given.
        unclear: words about agent that nothing explains.
        strange: words behind a T1 that no table has: one of another language may be about agent.
    """

    given: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    @property
    def silent(self) -> bool:
        """Whether the text says nothing about agent."""
        return not (self.given or self.denied or self.unclear)


@dataclass(frozen=True)
class _Place:
    """A word with what stands around it."""

    tokens: Sequence[Token]
    index: int

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def near(self, step: int) -> Token | None:
        """Return the word before (-1) or after (1), past articles."""
        index = self.index + step
        while 0 <= index < len(self.tokens):
            if not is_article(self.tokens, index):
                return self.tokens[index]
            index += step
        return None

    def kind(self, step: int) -> Kind | None:
        near = self.near(step)
        return near.kind if near else None

    @property
    def word(self) -> str:
        """The separated word that the token is part of."""
        return "".join(token.text for token in self.tokens if token.word == self.token.word)

    @property
    def before(self) -> Sequence[Token]:
        return self.tokens[: self.index]

    @property
    def behind(self) -> Sequence[Token]:
        return self.tokens[self.index + 1 :]


def said_of_agent(tokens: Sequence[Token]) -> Said:
    """Return what the words of one text say about agent."""
    said = Said()
    for index, token in enumerate(tokens):
        place = _Place(tokens, index)
        if rule := _RULES.get(token.kind):
            _add(said, token, rule(place))
        elif token.hint and (_imaged(place) or not _like_a_name(place.word)):
            said.unclear.append(token.text)
        elif token.text == "t1n":
            said.denied.append(token.text)
        elif token.kind is Kind.CONTRAST and token.value == "t1c":
            said.given.append(token.text)
        elif _strange(place):
            said.strange.append(token.text)
    return said


def _strange(place: _Place) -> bool:
    """Tell whether a word behind a T1 is unknown."""
    return _imaged(place) and _unknown(place.token)


def _like_a_name(text: str) -> bool:
    """Tell whether letters that resemble an agent's may be a person's name: Klein, Celine, Magenta."""
    vowel = any(letter in "aeiouy" for letter in text)
    return text.isalpha() and len(text) >= _NAME and vowel and not text.endswith(AGENT_ENDS)


def _unknown(token: Token | None) -> bool:
    return token is not None and token.kind is Kind.UNKNOWN and token.text.isalpha() and len(token.text) >= _SHORT


def _add(said: Said, token: Token, meaning: str) -> None:
    if meaning:
        getattr(said, meaning).append(token.text)


def _denial_before(place: _Place) -> bool:
    """Tell whether an agent is denied: by what stands before it and its synonyms, or behind it."""
    near = place.near(1)
    if near is not None and (near.text in _BEHIND or (near.text in _REFUSED and near is place.tokens[-1])):
        return True
    before = [token for index, token in enumerate(place.before) if not is_article(place.tokens, index)]
    while before and before[-1].kind in ABOUT_AGENT and before[-1].text[0] != "+":
        before.pop()
    return bool(before) and before[-1].kind in (Kind.WITHOUT, Kind.BEFORE, Kind.UNTIL)


def _unexplained(place: _Place) -> bool:
    """Tell whether an unknown word behind the contrast, or a lone letter, stands before an agent's, or a last unknown
    word or a 'not' behind it, or the agent's belongs to the name of an examination with and without it: each may deny
    it."""
    behind = place.near(1)
    answer = behind is not None and (behind.text in _REFUSED or (behind is place.tokens[-1] and _unknown(behind)))
    if place.kind(1) is Kind.EXAM or (_imaged(place) and answer):
        return True
    near = place.near(-1)
    if near is None:
        return False
    if near.word == place.token.word:  # a compound: Hochkontrast, Bildkontrast
        return _unknown(near) and place.token.text.startswith(("kontr", "contr"))
    if near.value == MAY_DENY:
        return True
    if near.text in _BARE:
        return near.text != "s" or not place.token.text.endswith(_SLAVIC)
    if near.text in ascii_lowercase and near.kind is Kind.UNKNOWN and len(place.token.text) > 1:
        return near.text not in _SAYING_WITH
    return near.kind is Kind.EXAM or (_imaged(place) and _unknown(near))


def _agent(place: _Place) -> str:
    if _denial_before(place):
        return "denied"
    if _unexplained(place):
        return "unclear"
    first = not any(token.kind is not Kind.NUMBER for token in place.before)
    if first and place.token.text in INITIALS and place.behind:
        return "unclear"
    return "given"


def _weak(place: _Place) -> str:
    """Judge 'contrast' or a lone C by its place."""
    if place.token.text == "agent" and place.kind(-1) in (*ABOUT_AGENT, Kind.DENIED):
        return ""  # one phrase: 'no contrast agent'
    if _denial_before(place):
        return "denied"
    if place.token.text == "pc":
        return "given" if place.kind(-1) in (Kind.WITH, Kind.AFTER) else _unless(place, "ac")
    if _unexplained(place):
        return "unclear"
    if place.kind(-1) in (Kind.WITH, Kind.AFTER, Kind.AGENT, Kind.GIVEN) or place.kind(1) is Kind.GIVEN:
        return "given"
    if place.token.text in LETTERS:
        return "unclear" if _imaged(place) else ""
    return _lone_c(place) if place.token.text == "c" else _contrast(place)


def _imaged(place: _Place) -> bool:
    """Tell whether a T1, or another contrast, stands before a word."""
    return any(token.kind in (Kind.CONTRAST, Kind.T1_SEQUENCE) for token in place.before)


def _unless(place: _Place, before: str) -> str:
    """Return that a word is unclear, but where it stands behind another one: AC PC."""
    near = place.near(-1)
    return "" if near and near.text == before else "unclear"


def _contrast(place: _Place) -> str:
    near, behind = place.near(-1), place.near(1)
    if (near and near.text in _NO_AGENT) or (behind and behind.kind is Kind.RELATION):
        return ""
    return "given" if _imaged(place) else "unclear"


def _lone_c(place: _Place) -> str:
    """Judge a C: +C where it ends the name or follows what was imaged, or begins it; an N before it may deny it."""
    near = place.near(-1)
    if near and near.text == "n":
        return "unclear"  # N/C in a file's name
    image_before = place.kind(-1) in (*_IMAGE, Kind.FILLER, Kind.NUMBER, Kind.UNKNOWN)
    ends = all(token.kind in (Kind.NUMBER, Kind.COPY) for token in place.behind)
    stated = any(token.kind in _IMAGE for token in place.before)
    begins = all(token.kind is Kind.NUMBER for token in place.before) and place.kind(1) in (*_IMAGE, Kind.NUMBER)
    if (ends and stated and image_before) or begins or place.kind(-1) in _IMAGE:
        return "given"
    return "unclear"


def _given(place: _Place) -> str:
    before = place.near(-1)
    if before and before.kind is Kind.DENIED and before.text.startswith(_NONE_OF) and "+" not in place.token.text:
        return ""  # one phrase: 'non-contrast enhanced'
    if _denial_before(place):
        return "denied"
    return "unclear" if _unexplained(place) else "given"


def _denied(place: _Place) -> str:
    near = place.near(1)
    if place.token.text in _NAMES and not any(token.kind is not Kind.NUMBER for token in place.before):
        return ""
    near = place.near(1)
    if near is not None and near.text.startswith("gangli"):
        return ""  # basal ganglia
    in_space = place.token.text == "native" and near is not None and near.text == "space"
    return "" if in_space else "denied"


def _post(place: _Place) -> str:
    near = place.near(1)
    if near and near.kind in (Kind.EVENT, Kind.TIME):
        return ""
    return "unclear" if _unknown(near) else "given"


def _pre(place: _Place) -> str:
    near = place.near(1)
    if near and near.kind in (Kind.EVENT, Kind.TIME):
        return ""
    return "unclear" if _unknown(near) else "denied"


def _with(place: _Place) -> str:
    near = place.near(1)
    if place.token.value == "hint":
        return "" if near and near.kind in ABOUT_AGENT else "unclear"
    if place.token.text not in _AFTERWARDS:
        return ""
    if place.token.value != "with":
        near = place.near(-1) if place.token.text in _POSTPOSED else near
        return "unclear" if near is None or _unknown(near) else ""
    if near and (near.kind in ABOUT_AGENT or near.kind in (Kind.FILLER, Kind.COPY, Kind.WITHOUT, Kind.ASIDE)):
        return ""
    return "unclear"


def _without(place: _Place) -> str:
    """Judge 'without' and 'w/o', which deny an agent also where none is named."""
    if place.token.value != "without":
        return ""
    alone = place.kind(1) in (None, *_IMAGE, Kind.NUMBER, Kind.WITH)
    return "denied" if alone else ""


def _exam(place: _Place) -> str:
    """Judge 'with and without': behind a T1 it may be said of the series; before it, it is what the examination is
    called, which leaves a lone T1 open."""
    return "unclear" if _imaged(place) else "strange" if place.token.value == SPELLED_OUT else ""


_RULES: dict[Kind, Callable[[_Place], str]] = {
    Kind.AGENT: _agent,
    Kind.WEAK_AGENT: _weak,
    Kind.GIVEN: _given,
    Kind.DENIED: _denied,
    Kind.AFTER: _post,
    Kind.BEFORE: _pre,
    Kind.WITH: _with,
    Kind.WITHOUT: _without,
    Kind.EXAM: _exam,
}
"""Kind of word → which of `Said`'s lists it belongs to, '' where it says nothing."""
