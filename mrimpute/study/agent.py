"""What the words of a text say about a contrast agent: given, not given, or something that is not explained.

Each word is judged by what stands next to it: 'post gado' names an agent, 'post op' a time point, 'w/ GRAPPA' nothing;
a denial counts only for the agent word it belongs to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mrimpute.study.text import Token
from mrimpute.study.words import INITIALS, Kind

_ABOUT_AGENT = (Kind.AGENT, Kind.WEAK_AGENT, Kind.GIVEN)
_SKIPPED = frozenset({"the", "of", "iv", "i", "e", "de", "agent", "medium", "media", "mittel", "agente", "meio", "any"})
"""Words between a preposition and the agent it belongs to."""
_NO_AGENT = frozenset(
    {"phase", "high", "hi", "tissue", "mt", "soft", "multi", "low", "inversion", "white", "dual", "image"}
)
"""What stands before 'contrast' where it means the contrast of an image."""
_BEHIND = frozenset({"oncesi", "once", "nelkul", "elott", "olmadan", "前", "전"})
"""Postpositions: before, without."""
_IMAGE = (Kind.CONTRAST, Kind.T1_SEQUENCE, Kind.PLANE, Kind.VOLUME)
_LONG = 4
"""Letters from which on an unknown word next to 'post' may be an event that the table lacks."""


@dataclass
class Said:
    """What a text says about agent.

    Attributes:
        given: words that say that one was given, as they stand folded.
        denied: words that say that none was given.
        unclear: words about agent that nothing explains.
    """

    given: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)

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
            if self.tokens[index].text not in _SKIPPED:
                return self.tokens[index]
            index += step
        return None

    def kind(self, step: int) -> Kind | None:
        near = self.near(step)
        return near.kind if near else None

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
        elif token.hint:
            said.unclear.append(token.text)
        elif token.text == "t1n":
            said.denied.append(token.text)
        elif token.kind is Kind.CONTRAST and token.value == "t1c":
            said.given.append(token.text)
    return said


def _add(said: Said, token: Token, meaning: str) -> None:
    if meaning:
        getattr(said, meaning).append(token.text)


def _denial_before(place: _Place) -> bool:
    near = place.near(1)
    return place.kind(-1) in (Kind.WITHOUT, Kind.BEFORE, Kind.UNTIL) or (near is not None and near.text in _BEHIND)


def _agent(place: _Place) -> str:
    if _denial_before(place):
        return "denied"
    first = not any(token.kind is not Kind.NUMBER for token in place.before)
    if first and place.token.text in INITIALS and place.behind:
        return "unclear"
    return "given"


def _weak(place: _Place) -> str:
    """Judge 'contrast' or a lone C by its place."""
    if place.token.text == "agent" and place.kind(-1) in (*_ABOUT_AGENT, Kind.DENIED):
        return ""  # one phrase: 'no contrast agent'
    if _denial_before(place):
        return "denied"
    if place.kind(-1) in (Kind.WITH, Kind.AFTER, Kind.AGENT, Kind.GIVEN) or place.kind(1) is Kind.GIVEN:
        return "given"
    return _lone_c(place) if place.token.text == "c" else _contrast(place)


def _contrast(place: _Place) -> str:
    near = place.near(-1)
    if near and near.text in _NO_AGENT:
        return ""
    stated = any(token.kind in (Kind.CONTRAST, Kind.T1_SEQUENCE) for token in place.before)
    return "given" if stated else "unclear"


def _lone_c(place: _Place) -> str:
    """Judge a C: +C where it ends the name or follows what was imaged, or begins it."""
    image_before = place.kind(-1) in (*_IMAGE, Kind.FILLER, Kind.NUMBER, Kind.UNKNOWN)
    ends = all(token.kind in (Kind.NUMBER, Kind.COPY) for token in place.behind)
    stated = any(token.kind in _IMAGE for token in place.before)
    begins = all(token.kind is Kind.NUMBER for token in place.before) and place.kind(1) in (*_IMAGE, Kind.NUMBER)
    if (ends and stated and image_before) or begins or place.kind(-1) in _IMAGE:
        return "given"
    return "unclear"


def _given(place: _Place) -> str:
    return "denied" if _denial_before(place) else "given"


def _denied(place: _Place) -> str:
    near = place.near(1)
    in_space = place.token.text == "native" and near is not None and near.text == "space"
    return "" if in_space else "denied"


def _post(place: _Place) -> str:
    near = place.near(1)
    if near and near.kind in (Kind.EVENT, Kind.TIME):
        return ""
    return "unclear" if near and _unknown_event(near) else "given"


def _pre(place: _Place) -> str:
    near = place.near(1)
    if near and near.kind in (Kind.EVENT, Kind.TIME):
        return ""
    return "unclear" if near and _unknown_event(near) else "denied"


def _unknown_event(near: Token) -> bool:
    return near.kind is Kind.UNKNOWN and len(near.text) >= _LONG


def _with(place: _Place) -> str:
    near = place.near(1)
    if place.token.value == "hint":
        return "" if near and near.kind in _ABOUT_AGENT else "unclear"
    if place.token.value != "with" or place.token.text == "w":
        return ""
    if near and (near.kind in _ABOUT_AGENT or near.kind in (Kind.FILLER, Kind.COPY, Kind.WITHOUT, Kind.ASIDE)):
        return ""
    return "unclear"


def _without(place: _Place) -> str:
    """Judge 'without' and 'w/o', which deny an agent also where none is named."""
    if place.token.value != "without":
        return ""
    alone = place.kind(1) in (None, *_IMAGE, Kind.NUMBER, Kind.WITH)
    return "denied" if alone else ""


_RULES: dict[Kind, Callable[[_Place], str]] = {
    Kind.AGENT: _agent,
    Kind.WEAK_AGENT: _weak,
    Kind.GIVEN: _given,
    Kind.DENIED: _denied,
    Kind.AFTER: _post,
    Kind.BEFORE: _pre,
    Kind.WITH: _with,
    Kind.WITHOUT: _without,
}
"""Kind of word → which of `Said`'s lists it belongs to, '' where it says nothing."""
