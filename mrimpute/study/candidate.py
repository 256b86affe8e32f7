"""One series that may be used, with what is known of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.io.dicom.facts import Facts
from mrimpute.io.dicom.series import DicomSeries
from mrimpute.study.judge import FEW_SLICES, Verdict
from mrimpute.study.model import About, NotUsed
from mrimpute.study.names import NameReading
from mrimpute.volume import Grid

SHORT_ECHO = 10.0
"""TE in ms below which a gradient echo may be T1-weighted."""
_SEQUENCES = (
    ({"GR", "IR"}, "inversion-prepared gradient echo"),
    ({"IR"}, "inversion recovery"),
    ({"EP"}, "echo-planar imaging"),
    ({"GR"}, "gradient echo"),
    ({"SE"}, "spin echo"),
)
"""Values of Scanning Sequence (0018,0020) → a person's words; the first that are all there."""
FLAT = 1.5
"""Slices this many times thicker than the rows are wide make a plane."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One series that may be used.

    Attributes:
        path: its file, or the first one.
        verdict: what it is by itself.
        facts: of its header or sidecar.
        grid: where its voxels lie; None where they form no volume.
        number: series number, by header or name; 0 where there is none.
        user: the contrast that the user named it for.
        defect: what is wrong with a series that forms no volume, and the remedy.
        warnings, reading, dicom: as in `Series`.
        after_agent: whether it says that an agent was in the body: by words, by header, or as a perfusion.
        visit: digest of the patient and UID of the study, where a header tells them.
    """

    path: Path
    verdict: Verdict
    facts: Facts = field(default_factory=Facts)
    grid: Grid | None = None
    number: int = 0
    user: Contrast | None = None
    defect: StudyRefused | None = None
    warnings: tuple[str, ...] = ()
    reading: NameReading = field(default_factory=NameReading)
    dicom: DicomSeries | None = None
    after_agent: bool = False
    visit: tuple[str, str] = ("", "")

    @property
    def contrast(self) -> Contrast | None:
        """T1 also where an agent was given."""
        return self.verdict.contrast

    @property
    def agent(self) -> str:
        """'given', 'denied', 'both' or '' where nothing says."""
        said = {item.contrast for item in self.verdict.agents}
        if len(said) > 1:
            return "both"
        return "given" if Contrast.T1C in said else "denied" if said else ""

    @property
    def may_be(self) -> tuple[Contrast, ...]:
        """What it may be where that is not settled."""
        contrasts = self.verdict.others or ((self.contrast,) if self.contrast else ())
        if Contrast.T1 in contrasts and self.agent != "denied":
            return tuple(dict.fromkeys((*contrasts, Contrast.T1C)))
        return contrasts

    @property
    def unsigned(self) -> bool:
        """Whether it is a gradient echo with a short TE and no sign of T1."""
        return "GR" in self.facts.sequence and self.facts.echo is not None and self.facts.echo < SHORT_ECHO

    @property
    def plane(self) -> str:
        """Axial, sagittal, coronal by word or by the shape of its voxels, '' where neither tells."""
        return self.verdict.plane or (_plane_of(self.grid) if self.grid else "")

    @property
    def about(self) -> About:
        """What a person is shown of it."""
        return About(self.number, self._kind, self.plane, self._slices, self.grid)

    @property
    def _kind(self) -> str:
        sequence = self.facts.sequence
        kind = next((words for values, words in _SEQUENCES if values <= set(sequence)), "")
        volumetric = kind and (self.facts.volumetric or self.verdict.volume)
        return f"3-D {kind}" if volumetric else kind

    @property
    def _slices(self) -> int:
        if self.dicom:
            return len(self.dicom.slices)
        return self.grid.shape[self.grid.spacing.index(max(self.grid.spacing))] if self.grid else 0


@dataclass
class Sorted:
    """The series of a study by what becomes of them.

    Attributes:
        usable: those that may be a source.
        others: those that are set aside or unknown; they still tell where an agent was given.
        aside: why those are set aside that are.
        unknown: those that nothing identifies.
    """

    usable: list[Candidate] = field(default_factory=list)
    others: list[Candidate] = field(default_factory=list)
    aside: list[NotUsed] = field(default_factory=list)
    unknown: list[NotUsed] = field(default_factory=list)


def sort_out(candidates: Iterable[Candidate], unknown: str) -> Sorted:
    """Part the series that may be used from the others.

    Args:
        candidates: every series.
        unknown: what to say of one that nothing identifies.
    """
    found = Sorted()
    for item in candidates:
        verdict = item.verdict
        if not item.user and verdict.aside:
            likely = verdict.others[0] if verdict.others and not item.facts.synthetic else None
            cut = verdict.aside.endswith(FEW_SLICES) and likely is not None
            may_be = verdict.others
            if cut and Contrast.T1 in may_be:
                may_be = tuple(dict.fromkeys((*may_be, Contrast.T1C)))
            found.aside.append(NotUsed(item.path, verdict.aside, True, likely, may_be, verdict.evidence, cut))
            found.others.append(item)
        elif item.user or verdict.contrast:
            found.usable.append(item)
        else:
            found.unknown.append(NotUsed(item.path, _UNSIGNED if item.unsigned else unknown, recognised=False))
            found.others.append(item)
    return found


_UNSIGNED = "a gradient echo with a short TE, which nothing says is T1-weighted"


def acquisitions(items: Iterable[Candidate]) -> list[Candidate]:
    """Return one of each acquisition: its reconstructions have one time, its processed variants one name."""
    found: dict[object, Candidate] = {}
    for item in items:
        found.setdefault(item.facts.time or untwinned(item.path), item)
    return list(found.values())


def untwinned(path: Path) -> str:
    """Return a path without the words that mark a processed variant of the same scan."""
    text = str(path)
    for word in ("_bias", "_unstripped"):
        text = text.replace(word, "")
    return text


def _plane_of(grid: Grid) -> str:
    """Return the plane of thick slices, '' for voxels of nearly one length."""
    thick = max(grid.spacing)
    if thick < FLAT * sorted(grid.spacing)[1]:
        return ""
    code = grid.orientation[grid.spacing.index(thick)]
    return {"L": "sagittal", "R": "sagittal", "A": "coronal", "P": "coronal"}.get(code, "axial")
