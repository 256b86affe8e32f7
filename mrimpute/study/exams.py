"""Names of examinations inside a text: 'with and without contrast', 'vor und nach KM' say nothing of one series."""

from collections.abc import Sequence

from mrimpute.study.text import Token
from mrimpute.study.words import SPELLED_OUT, Kind

ABOUT_AGENT = (Kind.AGENT, Kind.WEAK_AGENT, Kind.GIVEN)
_MEDIUM = """
    the of any iv i e de di do da del della dello des du den det le la el los το του την της het een a
    agent agente agens medium media medio mezzo mittel meio moyen gabe madde materiale material
    produit produits produto producto prodotto liquido sostanza
    substance substanta srodka srodku srodkiem hmoty latky latce חומר
"""
_ARTICLES = frozenset(_MEDIUM.split())
"""Words between a preposition and the agent it belongs to: articles, and what stands for 'medium'."""
_AND = frozenset(
    {"and", "und", "u", "et", "e", "y", "i", "en", "og", "och", "ve", "a", "ja", "si", "ou", "oder", "or", "и", "και"}
) | {"puis", "dann", "poi", "luego"}
_PLAIN_DENIALS = frozenset({"no", "not", "non", "none", "minus", "kein", "keine", "keinem", "keinen"})
"""Denials that follow a 'with' in one phrase: with no contrast."""


def is_article(tokens: Sequence[Token], index: int) -> bool:
    """Tell whether a word stands between a preposition and its noun; an O does only behind one (com o contraste)."""
    text = tokens[index].text
    behind = index > 0 and tokens[index - 1].kind in (Kind.WITH, Kind.UNTIL, Kind.WITHOUT)
    return (text in _ARTICLES and tokens[index].kind is not Kind.UNTIL) or (text == "o" and behind)


def join_exams(tokens: Sequence[Token]) -> list[Token]:
    """Return the words with each 'with and without', 'before and after' and its agent made one: they are the name of
    an examination, and say nothing of one series."""
    joined: list[Token] = []
    index = 0
    while index < len(tokens):
        end = _end_of_exam(tokens, index)
        part = tokens[index:end]
        if len(part) == 1:
            joined.append(part[0])
        else:
            text = " ".join(token.text for token in part)
            joined.append(Token(text, Kind.EXAM, SPELLED_OUT, part[0].start, part[-1].end, part[0].word))
        index = end
    return joined


def _end_of_exam(tokens: Sequence[Token], index: int) -> int:
    """Return where the name of an examination ends that begins here, or the next word where none does."""
    linked = index + 2 < len(tokens) and tokens[index + 1].text in _AND
    second = index + (2 if linked else 1)
    if second >= len(tokens) or not _two_sides(tokens[index], tokens[second], linked):
        return index + 1
    end = second + 1
    while end < len(tokens) and is_article(tokens, end):
        end += 1
    agent = end < len(tokens) and tokens[end].kind in ABOUT_AGENT
    return end + 1 if agent else second + 1


def _two_sides(one: Token, other: Token, linked: bool) -> bool:
    """Tell whether one word gives an agent and the other denies it; without an 'and' only 'with' and 'without'."""
    giving, denying = (one, other) if one.kind in (Kind.WITH, Kind.AFTER) else (other, one)
    if giving.value == "hint" or giving.kind not in (Kind.WITH, Kind.AFTER):
        return False
    if linked:
        return denying.kind in (Kind.WITHOUT, Kind.UNTIL, Kind.BEFORE)
    spelled = len(one.text) > 2 and len(other.text) > 2 and giving.kind is Kind.WITH
    plain = denying.text in _PLAIN_DENIALS or (one is denying and denying.value == "without")
    return spelled and denying.kind is Kind.WITHOUT and not plain
