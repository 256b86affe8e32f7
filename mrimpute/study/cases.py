"""Are all series of a folder of one patient and one visit? What their names, folders and sidecars tell."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import combinations, takewhile
from pathlib import Path
from typing import Any

from mrimpute import io
from mrimpute.contrasts import Contrast
from mrimpute.study.asides import PERSONS
from mrimpute.study.model import NotUsed, Problem, Series
from mrimpute.study.names import nnunet_channel, read_name
from mrimpute.study.text import Token, tokens_of
from mrimpute.study.times import date_of, day_of, sides_of, visit_of
from mrimpute.study.words import BY_STEM, Kind

_CASE = re.compile(
    r"sub-[a-z0-9+]+(?:_ses-[a-z0-9+]+)?|brats[-_a-z]*\d*[-_](?:[a-z]+_)*\d+(?:-\d+)?|upenn-gbm-\d+_\d+|ucsf-pdgm-\d+"
    r"|ixi\d+|training\d+_\d+|.*_timepoint_\d+",
    re.IGNORECASE,
)
"""Subject and visit in names of known schemes."""
_IDENTITY = {
    "PatientID": "patients",
    "PatientName": "patients",
    "PatientBirthDate": "patients",
    "PatientSex": "patients",
    "PatientAge": "patients",
    "StudyInstanceUID": "studies",
}
_NIGHT = timedelta(days=1)
"""An examination may go on past midnight."""
_HINT = "give one study at a time, or name the series with --t1, --t1c, --t2, --flair"
_SUBJECT = frozenset({"patient", "subject", "subj", "sub", "pat", "case", "fall", "study", "exam", "p"})
"""Words that a subject's name or number follows."""
_RECORD = re.compile(r"(?<!\d\.)(?<!\d)\d{7,12}(?!\d)(?!\.\d)")
"""Numbers of a patient or an examination: longer than those of series and times of day, and no part of a UID."""
_DAY_AND_TIME = 12
"""Digits of a date with hours and minutes."""
_NAME = 4
"""Letters from which on an unknown word behind the contrast may be a person's name."""
_COUNTS = (
    re.compile(r"^([^\W\d_]{1,3}[-_ ]?|(?=0))(\d{1,6})(?=[-_. ])"),
    re.compile(r"(?<=[-_ ])()(0\d{2,5}|\d{6})$"),
)
"""Numbers that names begin with, behind letters or zeros, unlike a series' own, or end with."""
_ECHOES = frozenset({Contrast.PD, Contrast.T2})
_IMAGED = (Kind.CONTRAST, Kind.T1_SEQUENCE, Kind.DARK_FLUID)


def case_of(stem: str) -> str:
    """Return the subject and visit that a name of a known scheme states; '' where it states none."""
    match = _CASE.match(stem)
    return match.group().lower() if match else ""


def one_case(
    folder: Path, series: Sequence[Series], also: Sequence[Path], sidecars: Mapping[Path, Mapping[str, Any]]
) -> Problem | None:
    """Return why series belong to different subjects or visits, None where nothing tells so.

    Args:
        folder: of the study.
        series: those that were chosen.
        also: those that were not, but may be a source: dates and visits count for them too.
        sidecars: path → sidecar.
    """
    paths = tuple(item.path for item in series)
    stems = {path: io.split_suffix(path.name)[0] for path in (*paths, *also)}
    own = {path: stems[path] for path in paths}
    text = (
        _by_scheme(folder, stems)
        or _by_header(folder, tuple(stems), sidecars)
        or _by_time(folder, stems)
        or _by_lead(folder, own, stems, sidecars)
        or _by_count(folder, {item.path: item.contrast for item in series}, sidecars)
        or _by_folder(folder, series)
    )
    return Problem(text, _HINT, tuple(stems)) if text else None


def _by_scheme(folder: Path, stems: Mapping[Path, str]) -> str:
    cases = sorted({case for stem in stems.values() if (case := case_of(stem))})
    return f"{folder} holds series of several cases ({', '.join(cases)})" if len(cases) > 1 else ""


def _by_header(folder: Path, paths: Sequence[Path], sidecars: Mapping[Path, Mapping[str, Any]]) -> str:
    """Compare what sidecars tell of patient and study; the values are not shown."""
    for key, what in _IDENTITY.items():
        told = {path: _plain(sidecars[path][key]) for path in paths if sidecars.get(path, {}).get(key)}
        if len(set(told.values())) > 1:
            one, other = _two_of(told)
            return f"{folder} holds series of several {what} by their sidecars ({one.name}, {other.name})"
    days = {path: day for path in paths if (day := day_of(sidecars.get(path, {})))}
    if days and max(days.values()) - min(days.values()) > _NIGHT:
        first, last = min(days, key=lambda path: days[path]), max(days, key=lambda path: days[path])
        return f"{folder} holds series of several visits by their sidecars ({first.name}, {last.name})"
    return ""


def _plain(value: Any) -> str:
    """Return a value of a sidecar without what differs between writers of one value."""
    return re.sub(r"[\s^,]+", " ", str(value)).strip().casefold()


def _two_of(told: Mapping[Path, str]) -> tuple[Path, Path]:
    one = next(iter(told))
    return one, next(path for path, value in told.items() if value != told[one])


def _by_time(folder: Path, stems: Mapping[Path, str]) -> str:
    """Compare dates, visits, and what is told to be before or after an operation."""
    dates = {path: date_of(stem) for path, stem in stems.items()}
    visits = {path: visit_of(stem) for path, stem in stems.items()}
    sides = {path: sides_of(stem) for path, stem in stems.items()}
    events = sorted({event for told in sides.values() for event in told})
    around = (
        _differ(folder, "visits", {path: told.get(event, "") for path, told in sides.items()}) for event in events
    )
    return _differ(folder, "dates", dates) or _differ(folder, "visits", visits) or next(filter(None, around), "")


def _by_lead(
    folder: Path, own: Mapping[Path, str], stems: Mapping[Path, str], sidecars: Mapping[Path, Mapping[str, Any]]
) -> str:
    """Compare what stands before the contrast in the chosen names, and behind it in all of them, and long numbers,
    where sidecars do not say that it is one study."""
    if _one_study(own, sidecars):
        return ""
    leads = {path: _lead(stem) for path, stem in own.items()}
    tails = {path: _tail(stem) for path, stem in stems.items()}
    ends = {path: _end(stem) for path, stem in stems.items()}
    records = {path: _records(stem) for path, stem in own.items()}
    return (
        _differ(folder, "subjects", leads)
        or _differ(folder, "subjects", tails)
        or (_differ(folder, "subjects", ends) if all(ends.values()) else "")
        or _differ(folder, "numbers", records)
    )


def _one_study(paths: Iterable[Path], sidecars: Mapping[Path, Mapping[str, Any]]) -> bool:
    """Tell whether sidecars say of all series which study they are of; that it is one is seen elsewhere."""
    studies = [sidecars.get(path, {}).get("StudyInstanceUID") for path in paths]
    return bool(studies) and all(studies)


def _by_count(folder: Path, contrasts: Mapping[Path, Contrast], sidecars: Mapping[Path, Mapping[str, Any]]) -> str:
    """Compare numbers that names begin or end with, where two contrasts share one: that is no number of a series, but
    for the two echoes of one (01_T1, 01_FLAIR, 02_T2)."""
    if _one_study(contrasts, sidecars):
        return ""
    for pattern in _COUNTS:
        found = {path: pattern.search(io.split_suffix(path.name)[0]) for path in contrasts}
        counts = {path: match.groups() for path, match in found.items() if match and _counts(match)}
        if len(counts) < len(contrasts) or len({letters for letters, _ in counts.values()}) > 1:
            continue
        sharing = [{contrasts[path] for path in counts if counts[path] == count} for count in set(counts.values())]
        if any(len(shared) > 1 and not shared <= _ECHOES for shared in sharing):
            return _differ(folder, "numbers", {path: "".join(count) for path, count in counts.items()})
    return ""


def _counts(match: re.Match[str]) -> bool:
    """Tell whether letters with a number are no contrast, as T1 is."""
    return not any(token.kind in _IMAGED for token in tokens_of(match.group()))


def _differ(folder: Path, what: str, told: Mapping[Path, str]) -> str:
    """Return that values differ; a name that goes on where another ends does not differ (Rossi, Rossi Anna)."""
    known = [(path, value) for path, value in told.items() if value]
    for (one, first), (other, second) in combinations(known, 2):
        if first != second and not f"{first} ".startswith(f"{second} ") and not f"{second} ".startswith(f"{first} "):
            return f"{folder} holds series whose names tell of several cases: {what} differ ({one.name}, {other.name})"
    return ""


def _records(stem: str) -> str:
    """Return the long numbers of a name that are no date."""
    numbers = [number for number in _RECORD.findall(stem) if not date_of(number)]
    return " ".join(number for number in numbers if len(number) < _DAY_AND_TIME)


def _lead(stem: str) -> str:
    """Return what a name begins with where that looks like a subject: unknown words, with their numbers, before the
    contrast; '' where the name begins with words that are known, or with a series number and less than two that are
    not."""
    if channel := nnunet_channel(stem):
        return channel[0]
    words = _before_contrast(stem)
    if not words:
        return ""
    if words[0].kind is Kind.NUMBER and len(words[0].text) <= 5:
        names = _unknown_run(words[1:])
        return " ".join(names) if len(names) > 1 else ""
    first = _subject(words)
    if not first:
        return ""
    rest = words[len(first) :]
    numbers = [token.text for token in rest if token.kind is Kind.NUMBER and token.text.isdigit()]
    padded = [number for number in numbers if len(number) >= 4 or number.startswith("0")]
    person = " ".join(["".join(token.text for token in first), *_unknown_run(rest)])
    return "-".join([person, *padded])


def _unknown_run(words: Sequence[Token]) -> list[str]:
    """Return the unknown words of letters that a list of words begins with: given names and surnames."""
    return [token.text for token in takewhile(_is_person, words)]


def _is_person(token: Token) -> bool:
    return _may_be_name(token) and token.text.isalpha() and len(token.text) > 1


def _may_be_name(token: Token) -> bool:
    """Tell whether a word before the contrast may be a person's name: unknown, or neutral by its beginning only."""
    return token.kind is Kind.UNKNOWN or token.value == BY_STEM or token.text in PERSONS


def _subject(words: list[Token]) -> list[Token]:
    """Return the first word where it is unknown, a time point or a long number, or a word for a subject with what
    follows it: sub-A."""
    first = [token for token in words if token.word == words[0].word]
    if any(_may_be_name(token) or token.kind is Kind.TIME for token in first) or _is_record_number(first[0].text):
        return first
    behind = words[len(first) : len(first) + 1]
    if first[0].text not in _SUBJECT or (len(first) < 2 and not behind):
        return []
    named = behind and behind[0].kind in (Kind.UNKNOWN, Kind.NUMBER, Kind.FILLER)
    return [*first, *behind] if named else first


def _is_record_number(text: str) -> bool:
    """Tell whether a number is longer than those of series and times of day, and no date."""
    return _RECORD.fullmatch(text) is not None and not date_of(text)


def _before_contrast(stem: str) -> list[Token]:
    words: list[Token] = []
    for token in tokens_of(stem):
        if token.kind in _IMAGED:
            break
        words.append(token)
    return words


def _tail(stem: str) -> str:
    """Return what follows the contrast in a name of nothing else, where that looks like a person: T1_Smith."""
    tokens = tokens_of(stem)
    rest = [token for token in tokens if token.kind not in _IMAGED]
    begins = bool(tokens) and tokens[0].kind in _IMAGED
    person = any(token.kind is Kind.UNKNOWN and len(token.text) >= 4 for token in rest)
    if begins and len(rest) == 2 and rest[0].text in _SUBJECT and rest[1].text.startswith("0"):
        return "".join(token.text for token in rest)
    if begins and person and all(token.kind in (Kind.UNKNOWN, Kind.NUMBER) for token in rest):
        return "".join(token.text for token in rest)
    return ""


def _end(stem: str) -> str:
    """Return the unknown words that a name ends with which begins with its contrast: T1_tra_Smith."""
    tokens = tokens_of(stem)
    if not tokens or tokens[0].kind not in _IMAGED:
        return ""
    last = takewhile(lambda token: token.kind is Kind.UNKNOWN and token.text.isalpha(), reversed(tokens))
    return " ".join(reversed([token.text for token in last if len(token.text) >= _NAME]))


def _by_folder(folder: Path, series: Sequence[Series]) -> str:
    """Refuse series in several folders, but where each has one of its own that is named after its contrast."""
    places = [item.path.parent for item in series]
    one_each = len(set(places)) == len(places) and all(read_name(place.name).contrast for place in places)
    if len(set(places)) < 2 or one_each or any(case_of(item.path.name) for item in series):
        return ""
    return f"{folder} holds series in several folders ({', '.join(sorted({str(place) for place in places}))})"


def refused(series: Sequence[Series]) -> list[NotUsed]:
    """Return series of several cases as images that are not used."""
    return [
        NotUsed(item.path, "of one of several cases", may_be=(item.contrast,), evidence=item.evidence)
        for item in series
    ]
