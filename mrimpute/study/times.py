"""When was a series acquired? Dates and visits in names and sidecars: what must be one in a study."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from mrimpute.study.text import Token, fold, tokens_of
from mrimpute.study.words import Kind

_SEPARATOR = r"[-_. ]"
_MONTHS = (
    "jan|ene|gen|sty|oca|янв|feb|fev|lut|sub|фев|mar|mrz|maa|мар|apr|avr|abr|kwi|nis|апр|may|mai|maj|mag|mei|maggio|май"
    "|jun|jui|giu|cze|haz|июн|jul|lug|lip|tem|июл|aug|aou|ago|sie|авг|sep|set|wrz|eyl|сен|oct|okt|out|ott|paz|eki|окт"
    "|nov|lis|kas|ноя|dec|dez|dic|des|gru|ara|дек"
)
_DATES = (
    re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d\d\d(?!\d))"),
    re.compile(rf"(?<![\d.])([0-3]?\d)({_SEPARATOR})([0-3]?\d)\2((?:19|20)\d\d)(?!\d)"),
    re.compile(r"(?<!\d)(0[1-9]|[12]\d|3[01])(0[1-9]|1[0-2])((?:19|20)\d\d)(?!\d)"),
    re.compile(r"(?<![\d.])(0?[1-9]|[12]\d|3[01])\.(0?[1-9]|1[0-2])\.(\d\d)(?![\d.])"),
    re.compile(rf"(?<!\d)([0-3]?\d)?{_SEPARATOR}?({_MONTHS})[^\W\d_]{{0,7}}{_SEPARATOR}?((?:19|20)\d\d)(?!\d)"),
    re.compile(r"(?<=[^\d.])(20[12]\d)(?![\d.])"),
)
"""Dates, year first, day or month first, with the name of a month, or a year alone behind something else."""
_UNITS = (
    "day|days|tag|tage|tagen|jour|jours|giorno|giorni|dias|dag|dagen|dager|dni|gun|week|weeks|wks|woche|wochen"
    "|semaine|semaines|settimana|settimane|semana|semanas|uke|uker|vecka|veckor|tydzien|tygodni|hafta|month|months"
    "|mths|monat|monate|monaten|mois|mese|mesi|meses|maand|maanden|maned|maneder|manad|manader|miesiac"
    "|miesiace|miesiecy|mesic|mesice|mesicu|year|years|yrs|jahr|jahre|jahren|annee|anno|anni|anos|jaar|yil|день|дней|недель|недели|мес|месяц|месяца|месяцев|год|года|лет|天|周|週|个月|ヶ月|か月|年|개월|년"
)
_SHORT_UNITS = "dia|wk|mo|mon|mth|mes|ay|yr|an|ans|ano|ar|rok|lata|lat"
"""Words for units that mean something else where they stand apart from the number."""
_AGES = (
    re.compile(rf"(?<![^\W_])(\d{{1,3}})(?:[-_ ]?(?:{_UNITS})|{_SHORT_UNITS}|m|y|w|j)(?![^\W\d_])"),
    re.compile(rf"(?<![^\W_])(?:(?:{_UNITS})[-_ ]?|m|y|w|wk|mo|yr)(\d{{1,3}})(?![^\W_])"),
)
"""How long after something: 3Monate, M06."""
_VISIT = re.compile(
    r"(?<![^\W\d_])(?:(visit|ses|session|timepoint|tp|visite|visita|besuch|bezoek|wizyta|termin|kontroll\w*?|kontrol\w*?"
    r"|control\w*?|follow-?up|fu|exam|examen|esame|untersuchung|verlauf|v|baseline|bl)[-_ ]?(\d*))(?![^\W_])"
)
_LETTERED = re.compile(r"(?<![A-Za-z])(?:[Vv]isit|[Ss]ession|[Tt]ime[Pp]oint|[Tt][Pp])[-_ ]?([A-H])(?![A-Za-z0-9])")
"""Visits that are counted by capitals: visitA."""
_ALONE = frozenset({"baseline", "followup", "fu", "bl", "verlauf"})
"""Words for a visit that tell it without a number."""
_LATER_WORDS = """
    nach apres after dopo depois despues efter etter po posle poslije после nakon dupa tras apos pos na sonrasi jalkeen
    utana 后 後 후
"""
_LATER = frozenset(_LATER_WORDS.split())
"""Words before an event for after it."""
_RADIATION = ("rt", "radi", "irrad", "bestr", "gk", "gamma", "srs", "radio", "облуч")
"""How words for radiation begin; other events that split a course are an operation's."""
_FIELDS = ("StudyDate", "SeriesDate", "AcquisitionDate", "AcquisitionDateTime")


def date_of(stem: str) -> str:
    """Return the date in a name as one text, '' where there is none."""
    folded = fold(stem)[0]
    match = next((match for pattern in _DATES if (match := pattern.search(folded))), None)
    return "-".join(part.strip(" -_.") for part in match.groups() if part) if match else ""


def visit_of(stem: str) -> str:
    """Return the visit that a name tells by number or by how long after another it was, '' where it tells none."""
    folded = fold(stem)[0]
    ages = [str(int(match.group(1))) for pattern in _AGES for match in pattern.finditer(folded)]
    found = [f"+{age}" for age in ages] + _LETTERED.findall(stem)
    for match in _VISIT.finditer(folded):
        word, number = match.group(1).replace("-", ""), match.group(2)
        if number or word in _ALONE:
            found.append(word + number)
    return " ".join(found)


def sides_of(stem: str) -> dict[str, str]:
    """Return what a name tells of an operation or radiation: event → 'before', 'during' or 'after' it."""
    tokens = tokens_of(stem)
    sides = {}
    for index, token in enumerate(tokens):
        if token.kind is Kind.TIME and (side := _side(token.text)):
            sides[_event(token.text.removeprefix("post").removeprefix("pre"))] = side
        elif token.kind is Kind.EVENT and index and (side := _side_of_word(tokens[index - 1])):
            sides[_event(token.text)] = side
    return sides


def _side(text: str) -> str:
    """Return the side that a word of its own tells: preop, postoperativ, 术前."""
    if text.startswith(("posterior", "postproc", "preproc", "prem", "pren", "pret", "postp", "postn", "postm")):
        return ""
    if text.startswith(("intra", "peri")):
        return "during"
    before = text.startswith(("pre", "pra", "przed", "предо")) or text.endswith(("前", "전"))
    after = text.startswith(("post", "posop", "pooper", "после")) or text.endswith(("后", "後", "후"))
    return "before" if before else "after" if after else ""


def _side_of_word(token: Token) -> str:
    if token.kind in (Kind.BEFORE, Kind.UNTIL):
        return "before"
    return "after" if token.kind is Kind.AFTER or token.text in _LATER else ""


def _event(text: str) -> str:
    return "radiation" if text.startswith(_RADIATION) else "operation"


def day_of(sidecar: Mapping[str, Any]) -> date | None:
    """Return the day that a sidecar tells a series was acquired on, None where it tells none."""
    for key in _FIELDS:
        digits = re.sub(r"\D", "", str(sidecar.get(key) or ""))[:8]
        try:
            return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
        except ValueError:
            continue
    return None
