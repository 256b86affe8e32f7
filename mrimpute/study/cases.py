"""Are all series of a folder of one patient and one visit? What their names, folders and sidecars tell."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrimpute import io
from mrimpute.study.model import NotUsed, Problem, Series
from mrimpute.study.names import nnunet_channel, read_name
from mrimpute.study.text import Token, tokens_of
from mrimpute.study.words import Kind

_CASE = re.compile(
    r"sub-[a-z0-9+]+(?:_ses-[a-z0-9+]+)?|brats[-_a-z]*\d*[-_](?:[a-z]+_)*\d+(?:-\d+)?|upenn-gbm-\d+_\d+|ucsf-pdgm-\d+"
    r"|ixi\d+|training\d+_\d+|.*_timepoint_\d+",
    re.IGNORECASE,
)
"""Subject and visit in names of known schemes."""
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d\d\d(?!\d))")
_VISIT = re.compile(
    r"(?<![a-z])(visit|ses|session|timepoint|tp|week|month|day|year|visite|besuch|fu|bl|baseline|followup"
    r"|pre-?op|post-?op|pre-?rt|post-?rt|intra-?op)[-_ ]?(\d*)(?![a-z0-9])",
    re.IGNORECASE,
)
_IDENTITY = ("PatientID", "StudyInstanceUID")
_HINT = "give one study at a time, or name the series with --t1, --t1c, --t2, --flair"
_SUBJECT = frozenset({"patient", "subject", "subj", "sub", "pat", "case", "fall", "study", "exam", "p"})
"""Words that a subject's name or number follows."""
_RECORD_NUMBER = 7
"""Digits from which on a number at the beginning of a name is a patient's or an examination's."""
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
        or _by_folder(folder, series)
    )
    return Problem(text, _HINT, tuple(stems)) if text else None


def _by_scheme(folder: Path, stems: Mapping[Path, str]) -> str:
    cases = sorted({case for stem in stems.values() if (case := case_of(stem))})
    return f"{folder} holds series of several cases ({', '.join(cases)})" if len(cases) > 1 else ""


def _by_header(folder: Path, paths: Sequence[Path], sidecars: Mapping[Path, Mapping[str, Any]]) -> str:
    """Compare what sidecars tell of patient and study; the values are not shown."""
    for key, what in zip(_IDENTITY, ("patients", "studies"), strict=True):
        told = {path: str(sidecars.get(path, {}).get(key)) for path in paths if sidecars.get(path, {}).get(key)}
        if len(set(told.values())) > 1:
            one, other = _two_of(told)
            return f"{folder} holds series of several {what} by their sidecars ({one.name}, {other.name})"
    return ""


def _two_of(told: Mapping[Path, str]) -> tuple[Path, Path]:
    one = next(iter(told))
    return one, next(path for path, value in told.items() if value != told[one])


def _by_time(folder: Path, stems: Mapping[Path, str]) -> str:
    """Compare dates and visits."""
    dates = {path: _date(stem) for path, stem in stems.items()}
    visits = {path: _visit(stem) for path, stem in stems.items()}
    return _differ(folder, "dates", dates) or _differ(folder, "visits", visits)


def _by_lead(
    folder: Path, own: Mapping[Path, str], stems: Mapping[Path, str], sidecars: Mapping[Path, Mapping[str, Any]]
) -> str:
    """Compare what stands before the contrast in the chosen names, and behind it in all of them, where sidecars do not
    say that it is one study."""
    studies = [sidecars.get(path, {}).get("StudyInstanceUID") for path in own]
    if studies and all(studies):
        return ""
    leads = {path: _lead(stem) for path, stem in own.items()}
    tails = {path: _tail(stem) for path, stem in stems.items()}
    return _differ(folder, "subjects", leads) or _differ(folder, "subjects", tails)


def _differ(folder: Path, what: str, told: Mapping[Path, str]) -> str:
    known = {path: value for path, value in told.items() if value}
    if len(set(known.values())) < 2:
        return ""
    one, other = _two_of(known)
    return f"{folder} holds series whose names tell of several cases: {what} differ ({one.name}, {other.name})"


def _date(stem: str) -> str:
    match = _DATE.search(stem)
    return "".join(match.groups()) if match else ""


def _visit(stem: str) -> str:
    """Return the words for a time point: a number belongs to all of them but 'pre-op' and the like."""
    found = []
    for match in _VISIT.finditer(stem):
        word, number = match.group(1).lower().replace("-", ""), match.group(2)
        alone = word in ("baseline", "followup", "bl", "fu")
        if word.endswith(("op", "rt")):
            found.append(word)
        elif number or alone:
            found.append(word + number)
    return "+".join(found)


def _lead(stem: str) -> str:
    """Return what a name begins with where that looks like a subject: unknown words, with their numbers, before the
    contrast; '' where the name begins with a series number, or with words that are known."""
    if channel := nnunet_channel(stem):
        return channel[0]
    words = _before_contrast(stem)
    if not words or (words[0].kind is Kind.NUMBER and len(words[0].text) <= 5):
        return ""
    first = _subject(words)
    if not first:
        return ""
    numbers = [token.text for token in words[len(first) :] if token.kind is Kind.NUMBER and token.text.isdigit()]
    padded = [number for number in numbers if len(number) >= 4 or number.startswith("0")]
    return "-".join(["".join(token.text for token in first), *padded])


def _subject(words: list[Token]) -> list[Token]:
    """Return the first word where it is unknown, a time point or a long number, or a word for a subject with what
    follows it: sub-A."""
    first = [token for token in words if token.word == words[0].word]
    if any(token.kind in (Kind.UNKNOWN, Kind.TIME) for token in first) or _is_record_number(first[0].text):
        return first
    behind = words[len(first) : len(first) + 1]
    if first[0].text not in _SUBJECT or (len(first) < 2 and not behind):
        return []
    named = behind and behind[0].kind in (Kind.UNKNOWN, Kind.NUMBER, Kind.FILLER)
    return [*first, *behind] if named else first


def _is_record_number(text: str) -> bool:
    """Tell whether a number is longer than those of series and times of day, and no date."""
    return text.isdigit() and len(text) >= _RECORD_NUMBER and not _DATE.match(text)


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
