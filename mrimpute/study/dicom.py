"""DICOM folder → Study: which series is which contrast, and why."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused, UsageError
from mrimpute.files import real_path
from mrimpute.io.dicom.headers import read_headers
from mrimpute.io.dicom.series import Broken, DicomSeries, assemble, parallel
from mrimpute.io.nifti import MIN_SLICES
from mrimpute.study.candidate import Candidate, sort_out
from mrimpute.study.cases import refused
from mrimpute.study.judge import Verdict, after_agent, agent_tells, heard, judge, names_head, set_aside
from mrimpute.study.model import NotUsed, Problem, Series, Study
from mrimpute.study.names import make_naming
from mrimpute.study.settle import Settled, settle


def find_dicom(folder: Path, overrides: Mapping[Contrast, Path], also: Sequence[NotUsed] = ()) -> Study:
    """Identify the DICOM series below a folder; what stands in the way of using them is in the study's problems.

    Args:
        folder: the study.
        overrides: the user's word: contrast → a file of the series, or a folder with one series.
        also: what else lies in the folder and is no source.

    Raises:
        StudyRefused: too many files, or an override names a series that is damaged or synthetic.
        UsageError: an override names no series, or more than one.
    """
    headers = read_headers(folder)
    hint = "copy the study again; or move the file away if it is no image"
    problems = [
        Problem(f"{path}: {seen}", hint, (path,), (), StudyRefused, broken=True) for path, seen in headers.damaged
    ]
    groups = assemble(headers.slices)
    users = _users(folder, groups, overrides)
    usable = [group.facts for group in groups if not set_aside(group.facts, len(group.slices), 1)]
    tells = len(usable) == 1 or agent_tells(usable)
    head = names_head(group.facts for group in groups)
    candidates = [_candidate(group, users.get(id(group)), tells, head) for group in groups]
    found = sort_out(candidates, "nothing in its header says what it is")
    settled = settle(found.usable, found.others, set(overrides))
    series = [settled.kept[contrast] for contrast in Contrast if contrast in settled.kept]
    if mixed := _several_visits(folder, found.usable):
        problems.append(mixed)
        settled.open += refused(series)
        series = []
    problems += settled.problems
    series = _whole(series, groups, problems, settled)
    name = real_path(folder).name or "study"
    reports = [NotUsed(path, "a DICOM object without an image") for path in headers.others]
    return Study(
        folder,
        name,
        tuple(series),
        make_naming(name, []),
        (*also, *reports, *found.aside, *settled.left),
        (*found.unknown, *settled.open, *_out_of_reach(headers.links)),
        max((group.facts.number for group in groups if not group.facts.synthetic), default=0),
        tuple(problems),
        {item.path: item.about for item in candidates},
    )


def _out_of_reach(links: Sequence[Path]) -> list[NotUsed]:
    """Return what to tell of links that lead out of the study, as git-annex and DataLad make them."""
    if not links:
        return []
    count = "a link" if len(links) == 1 else f"{len(links)} links"
    return [NotUsed(links[0], f"{count} out of the study or to nowhere, not followed", recognised=False, broken=True)]


def _users(
    folder: Path, groups: Sequence[DicomSeries | Broken], overrides: Mapping[Contrast, Path]
) -> dict[int, Contrast]:
    """Return which series the user named, by identity.

    Raises:
        UsageError: an override names no series, more than one, or one that was named already.
    """
    chosen = {contrast: _named(path, folder, groups, contrast) for contrast, path in overrides.items()}
    users = {id(group): contrast for contrast, group in chosen.items()}
    if len(users) < len(chosen):
        raise UsageError("one series was named for two contrasts", "name each series once")
    return users


def _candidate(group: DicomSeries | Broken, user: Contrast | None, tells: bool, head: bool) -> Candidate:
    """Judge one series by its header."""
    facts = heard(group.facts, tells, head)
    defect = None
    if isinstance(group, Broken):
        seen = f"({len(group.slices)} slices): {group.defect.seen}"
        defect = StudyRefused(f"{group.path.parent} {seen}", group.defect.remedy)
    if user:
        if facts.synthetic:
            raise StudyRefused(f"{group.path} is synthetic", "name an acquired series")
        if isinstance(group, Broken):
            raise StudyRefused(f"--{user} {group.path}: {group.defect.seen}", group.defect.remedy)
    verdict = Verdict() if user else judge(facts, (), len(group.slices), MIN_SLICES)
    if defect and verdict.contrast:
        defect = StudyRefused(f"{verdict.contrast} in {defect.text}", defect.hint)
    return Candidate(
        group.path,
        verdict,
        group.facts,
        None if isinstance(group, Broken) else group.grid,
        number=group.facts.number,
        user=user,
        defect=defect,
        dicom=None if isinstance(group, Broken) else group,
        after_agent=after_agent(facts, (), verdict, tells),
        visit=(group.slices[0].patient, group.slices[0].study),
    )


def _several_visits(folder: Path, candidates: Sequence[Candidate]) -> Problem | None:
    """Return that headers tell of more than one patient or study."""
    for place, what in enumerate(("patients", "studies")):
        told = {item.visit[place]: item.path for item in candidates}
        if len(told) > 1:
            text = (
                f"{folder} holds DICOM series of {len(told)} {what} ({', '.join(str(path) for path in told.values())})"
            )
            return Problem(text, "give one study at a time", tuple(told.values()))
    return None


def _whole(
    series: Sequence[Series], groups: Sequence[DicomSeries | Broken], problems: list[Problem], settled: Settled
) -> list[Series]:
    """Return the series without those some of whose slices do not fit with the rest, so that none is lost silently."""
    whole = []
    for item in series:
        fragment = next((group for group in groups if _is_fragment(item, group)), None)
        if fragment is None:
            whole.append(item)
            continue
        seen = fragment.defect.seen if isinstance(fragment, Broken) else "another echo time or Image Type"
        text = f"{len(fragment.slices)} slices of the series do not fit: {seen}"
        where = f"{item.contrast} in {item.path.parent}"
        hint = "export the series again, or move those files away"
        problems.append(Problem(f"{where}: {text}", hint, (item.path,), (), StudyRefused, broken=True))
        settled.open.append(NotUsed(item.path, text, may_be=(item.contrast,), evidence=item.evidence))
    return whole


def _is_fragment(item: Series, group: DicomSeries | Broken) -> bool:
    """Tell whether a few slices of the same series and size stand apart without being another kind."""
    own = item.dicom
    assert own is not None
    first, other = own.slices[0], group.slices[0]
    alike = (other.series, other.rows, other.columns) == (first.series, first.rows, first.columns)
    few = isinstance(group, Broken) or len(group.slices) < MIN_SLICES
    if group is own or not alike or not few or not parallel(first, other):
        return False
    return set_aside(group.facts, MIN_SLICES, MIN_SLICES) is None


def _named(
    path: Path, folder: Path, groups: Sequence[DicomSeries | Broken], contrast: Contrast
) -> DicomSeries | Broken:
    """Return the series that the user means by a file of it or by its folder."""
    for candidate in (path, folder / path):
        place = real_path(candidate)
        inside = [
            group
            for group in groups
            if any(place in (real_path(item.file), *real_path(item.file).parents) for item in group.slices)
        ]
        if len(inside) == 1:
            return inside[0]
        if inside:
            raise UsageError(f"--{contrast} {path}: {len(inside)} series lie there", "name one file of the series")
    raise UsageError(f"--{contrast} {path}: no DICOM series of this study")
