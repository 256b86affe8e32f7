"""DICOM folder → Study: which series is which contrast, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyAmbiguous, StudyRefused, UsageError
from mrimpute.io.dicom.headers import Facts, read_headers
from mrimpute.io.dicom.series import Broken, DicomSeries, assemble, parallel
from mrimpute.io.nifti import MIN_SLICES
from mrimpute.study.evidence import Evidence
from mrimpute.study.identify import agent_evidence, agent_tells, evidence, set_aside
from mrimpute.study.model import NotUsed, Series, Study, agreed
from mrimpute.study.names import make_naming

CLEARLY = 1.2
"""A series is clearly thinner, or covers clearly more, by this factor."""


def find_dicom(folder: Path, overrides: Mapping[Contrast, Path], also: Sequence[NotUsed] = ()) -> Study:
    """Identify the DICOM series below a folder.

    Args:
        folder: the study.
        overrides: the user's word: contrast → a file of the series, or a folder with one series.
        also: what else lies in the folder and is no source.

    Raises:
        StudyRefused: a file is damaged, or a series that is needed forms no volume.
        StudyAmbiguous: two series for one contrast, or evidence that contradicts itself.
        UsageError: an override names no series, or more than one.
    """
    found = read_headers(folder)
    for path, seen in found.damaged:
        raise StudyRefused(f"{path}: {seen}", "copy the study again; or move the file away if it is no image")
    groups = assemble(found.slices)
    chosen = {contrast: _named(path, folder, groups, contrast) for contrast, path in overrides.items()}
    if len({id(group) for group in chosen.values()}) < len(chosen):
        raise UsageError("one series was named for two contrasts", "name each series once")
    users = {id(group): contrast for contrast, group in chosen.items()}
    tells = agent_tells([group.facts for group in groups if not set_aside(group.facts, len(group.slices), 1)])

    series: list[Series] = []
    broken: list[tuple[Contrast, Broken]] = []
    aside = [*also, *(NotUsed(path, "a DICOM object without an image") for path in found.others)]
    unidentified: list[NotUsed] = []
    for group in groups:
        outcome = _identified(group, users.get(id(group)), tells, set(overrides))
        if isinstance(outcome, NotUsed):
            (aside if outcome.recognised else unidentified).append(outcome)
        elif isinstance(group, Broken):
            broken.append((outcome.contrast, group))
        else:
            series.append(Series(outcome.contrast, group.path, outcome.evidence, group.grid, dicom=group))
    kept, left = _one_each(series, set(overrides))
    _check_one_visit(folder, kept)
    _check_whole(kept, groups)
    left += _not_needed(broken, {item.contrast for item in kept})
    name = folder.resolve().name or "study"
    highest = max((group.facts.number for group in groups if not group.facts.synthetic), default=0)
    return Study(folder, name, tuple(kept), make_naming(name, []), tuple(aside + left), tuple(unidentified), highest)


@dataclass(frozen=True)
class _Identified:
    contrast: Contrast
    evidence: tuple[Evidence, ...]


def _identified(
    group: DicomSeries | Broken, user: Contrast | None, tells: bool, overruled: set[Contrast]
) -> _Identified | NotUsed:
    """Return the contrast of a series, or why it is no source."""
    outcome = _judged(group, user, tells)
    if isinstance(outcome, NotUsed):
        return outcome
    try:
        return _Identified(agreed(group.path, list(outcome)), tuple(outcome))
    except StudyAmbiguous:
        if not {item.contrast for item in outcome} <= overruled:
            raise
        return NotUsed(group.path, "its contrasts were named by the user")


def _not_needed(broken: Sequence[tuple[Contrast, Broken]], present: set[Contrast]) -> list[NotUsed]:
    """Return the series that form no volume, each beside a whole one of its contrast.

    Raises:
        StudyRefused: one has no other.
    """
    left = []
    for contrast, group in broken:
        if contrast not in present:
            raise StudyRefused(
                f"{contrast} in {group.path.parent} ({len(group.slices)} slices): {group.defect.seen}",
                group.defect.remedy,
            )
        left.append(NotUsed(group.path, f"{group.defect.seen}; another {contrast} is there"))
    return left


def _check_one_visit(folder: Path, series: Sequence[Series]) -> None:
    """Refuse series of different patients or studies.

    Raises:
        StudyAmbiguous: headers tell of more than one.
    """
    firsts = [item.dicom.slices[0] for item in series if item.dicom]
    for what, told in (
        ("patients", {item.patient for item in firsts}),
        ("studies", {item.study for item in firsts}),
    ):
        if len(told) > 1:
            raise StudyAmbiguous(f"{folder} holds DICOM series of {len(told)} {what}", "give one study at a time")


def _check_whole(series: Sequence[Series], groups: Sequence[DicomSeries | Broken]) -> None:
    """Refuse a series some of whose slices do not fit with the rest, so that none is lost silently.

    Raises:
        StudyRefused: a few slices of the same series and size stand apart without being another kind.
    """
    for item in series:
        whole = item.dicom
        assert whole is not None
        first = whole.slices[0]
        for group in groups:
            other = group.slices[0]
            alike = (other.series, other.rows, other.columns) == (first.series, first.rows, first.columns)
            fragment = isinstance(group, Broken) or len(group.slices) < MIN_SLICES
            if group is whole or not alike or not fragment or not parallel(first, other):
                continue
            if set_aside(group.facts, MIN_SLICES, MIN_SLICES) is None:
                seen = group.defect.seen if isinstance(group, Broken) else "another echo time or Image Type"
                where = f"{item.contrast} in {item.path.parent}"
                raise StudyRefused(
                    f"{where}: {len(group.slices)} slices of the series do not fit: {seen}",
                    "export the series again, or move those files away",
                )


def _named(
    path: Path, folder: Path, groups: Sequence[DicomSeries | Broken], contrast: Contrast
) -> DicomSeries | Broken:
    """Return the series that the user means by a file of it or by its folder."""
    for candidate in (path, folder / path):
        place = candidate.resolve()
        inside = [
            group
            for group in groups
            if any(place in (item.file.resolve(), *item.file.resolve().parents) for item in group.slices)
        ]
        if len(inside) == 1:
            return inside[0]
        if inside:
            raise UsageError(f"--{contrast} {path}: {len(inside)} series lie there", "name one file of the series")
    raise UsageError(f"--{contrast} {path}: no DICOM series of this study")


def _judged(group: DicomSeries | Broken, user: Contrast | None, tells: bool) -> Sequence[Evidence] | NotUsed:
    """Weigh the evidence for one series."""
    facts = group.facts
    if user:
        if facts.synthetic:
            raise StudyRefused(f"{group.path} is synthetic", "name an acquired series")
        if isinstance(group, Broken):
            raise StudyRefused(f"--{user} {group.path}: {group.defect.seen}", group.defect.remedy)
        return [Evidence(user, f"named by the user with --{user}", 1.0)]
    if reason := set_aside(facts, len(group.slices), MIN_SLICES):
        likely = next((item.contrast for item in evidence(facts)), None) if not facts.synthetic else None
        return NotUsed(group.path, reason, likely=likely)
    items = evidence(facts)
    if no_source := next((item for item in items if item.contrast is None), None):
        return NotUsed(group.path, no_source.reason)
    if not items:
        return NotUsed(group.path, "nothing in its header says what it is", recognised=False)
    if any(item.contrast is Contrast.T1 for item in items):
        agents = agent_evidence(facts, tells)
        if len({item.contrast for item in agents}) > 1:
            raise StudyAmbiguous(
                f"{group.path}: {agents[0].reason}, but {agents[1].reason}",
                f"settle it with --t1 {group.path} or --t1c {group.path}",
            )
        items += agents
    return items


def _one_each(series: list[Series], overruled: set[Contrast]) -> tuple[list[Series], list[NotUsed]]:
    """Return one series per contrast, and those that a better one replaces.

    Raises:
        StudyAmbiguous: two candidates of equal worth for one contrast.
    """
    kept: list[Series] = []
    left: list[NotUsed] = []
    for contrast in Contrast:
        candidates = [item for item in series if item.contrast is contrast]
        if not candidates:
            continue
        best = max(candidates, key=lambda item: item.confidence) if contrast in overruled else candidates[0]
        for other in candidates:
            if other is best:
                continue
            if contrast in overruled:
                left.append(NotUsed(other.path, f"overruled by --{contrast}"))
                continue
            if contrast is Contrast.T1 and not any(item.contrast is Contrast.T1C for item in series):
                raise StudyAmbiguous(
                    f"t1 found twice ({best.path}, {other.path}), and nothing tells which one has a contrast agent",
                    f"name them with --t1 {best.path} and --t1c PATH",
                )
            reason = _why_better(best, other)
            if reason is None and (reason := _why_better(other, best)) is not None:
                best, other = other, best
            if reason is None:
                raise StudyAmbiguous(
                    f"{contrast} found twice ({best.path}, {other.path}) and nothing prefers one",
                    f"name one with --{contrast} {best.path}",
                )
            left.append(NotUsed(other.path, f"{contrast} too; {best.path.name} is {reason}"))
        kept.append(best)
    return kept, left


def _why_better(one: Series, other: Series) -> str | None:
    """Return why one series of a contrast is preferred, None where it is not."""
    first, second = _facts(one), _facts(other)
    if first.volumetric != second.volumetric:
        return "a 3-D acquisition" if first.volumetric else None
    thickness, thickness_other = max(one.grid.spacing), max(other.grid.spacing)
    if max(thickness, thickness_other) > CLEARLY * min(thickness, thickness_other):
        return "thinner" if thickness < thickness_other else None
    extent, extent_other = _field_of_view(one), _field_of_view(other)
    if max(extent, extent_other) > CLEARLY * min(extent, extent_other):
        return "larger" if extent > extent_other else None
    original, original_other = ("ORIGINAL" in facts.image_type[:1] for facts in (first, second))
    if original != original_other:
        return "the original" if original else None
    if (
        one.contrast is not Contrast.T1
        and first.words == second.words
        and first.time
        and second.time
        and first.time != second.time
    ):
        return "a later repeat" if first.time > second.time else None
    return None


def _facts(series: Series) -> Facts:
    assert series.dicom is not None
    return series.dicom.facts


def _field_of_view(series: Series) -> float:
    x, y, z = (n * spacing for n, spacing in zip(series.grid.shape, series.grid.spacing, strict=True))
    return x * y * z / 1e6
