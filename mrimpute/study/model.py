"""What a study is: series that were identified, and what was left aside."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mrimpute import io
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import StudyAmbiguous, StudyRefused
from mrimpute.io.dicom.series import DicomSeries
from mrimpute.study.evidence import Evidence
from mrimpute.study.names import NameReading, Naming
from mrimpute.volume import Grid, Volume


@dataclass(frozen=True)
class Series:
    """One image volume of a study that was identified.

    Attributes:
        contrast: what it shows.
        path: its file, as the user gave it; of a DICOM series the first one.
        evidence: why, what decided first.
        grid: where its voxels lie.
        warnings: what its header makes one say.
        reading: what its name told.
        dicom: its slices; None for a single file.
    """

    contrast: Contrast
    path: Path
    evidence: tuple[Evidence, ...]
    grid: Grid
    warnings: tuple[str, ...] = ()
    reading: NameReading = field(default_factory=NameReading, repr=False)
    dicom: DicomSeries | None = field(default=None, repr=False)

    def read(self) -> Volume:
        """Read its voxels.

        Raises:
            ImageDamaged: they cannot be used.
        """
        if self.dicom is None:
            return io.read_volume(self.path)
        from mrimpute.io.dicom.pixels import read_volume

        return io.checked(read_volume(self.dicom))

    @property
    def confidence(self) -> float:
        """Confidence of the decision, 0 to 1: of the evidence that stands first."""
        return self.evidence[0].confidence


@dataclass(frozen=True)
class About:
    """What a person is shown of a series, whatever becomes of it.

    Attributes:
        number: series number, by header or name; 0 where there is none.
        kind: of sequence, in words of our own; '' where nothing tells.
        plane: axial, sagittal or coronal; '' for voxels of nearly one length.
        slices: how many; 0 where that was not read.
        grid: where its voxels lie; None where they form no volume or were not read.
    """

    number: int = 0
    kind: str = ""
    plane: str = ""
    slices: int = 0
    grid: Grid | None = None


@dataclass(frozen=True)
class NotUsed:
    """A file that is no source.

    Attributes:
        path: the file.
        reason: why it is not used.
        recognised: whether something says what it is; otherwise nothing identifies it.
        likely: the contrast that it would be, but for the reason.
        may_be: every contrast that it may be.
        evidence: what speaks for these.
        broken: whether it would be a source, or hide one, but for damage; `may_be` is then what it may be, empty
            for anything.
    """

    path: Path
    reason: str
    recognised: bool = True
    likely: Contrast | None = None
    may_be: tuple[Contrast, ...] = ()
    evidence: tuple[Evidence, ...] = field(default=(), repr=False)
    broken: bool = False


@dataclass(frozen=True)
class Problem:
    """Why a study cannot be used as it is, and what would settle it.

    Attributes:
        text: what was seen.
        hint: what the user can do.
        paths: the series concerned.
        options: options of the command line that would settle it, the likeliest first.
        error: the kind of refusal.
        broken: whether something is damaged, without which one could go on.
    """

    text: str
    hint: str
    paths: tuple[Path, ...] = ()
    options: tuple[str, ...] = ()
    error: type[StudyRefused] = StudyAmbiguous
    broken: bool = False

    def refusal(self) -> StudyRefused:
        """Return it as the error that `fill` raises."""
        return self.error(self.text, self.hint)


@dataclass(frozen=True)
class Study:
    """One visit of one subject.

    Attributes:
        folder: as the user gave it.
        name: short name for messages and output folders.
        series: the identified series, one per contrast, in the order of `Contrast`.
        naming: how a new image of this study is called.
        set_aside: images that are recognised as no source (masks, maps, synthetic …).
        unidentified: images that nothing identifies, or whose evidence leaves a question; never used.
        problems: why the study cannot be used as it is; none where it can.
        about: path → what a person is shown of each series, used or not.
        highest_number: highest series number of a DICOM study.
    """

    folder: Path
    name: str
    series: tuple[Series, ...]
    naming: Naming
    set_aside: tuple[NotUsed, ...] = ()
    unidentified: tuple[NotUsed, ...] = ()
    highest_number: int = 0
    problems: tuple[Problem, ...] = ()
    about: Mapping[Path, About] = field(default_factory=dict, repr=False)

    @property
    def present(self) -> tuple[Contrast, ...]:
        """The contrasts that were acquired."""
        return tuple(series.contrast for series in self.series)

    @property
    def is_dicom(self) -> bool:
        """Whether its series are DICOM."""
        return any(series.dicom for series in self.series)

    @property
    def broken(self) -> tuple[NotUsed, ...]:
        """What would be a source, or hides one, but for damage."""
        return tuple(item for item in (*self.set_aside, *self.unidentified) if item.broken)

    @property
    def without_broken(self) -> "Study":
        """The study as it is for who goes on without what is damaged."""
        return replace(self, problems=tuple(problem for problem in self.problems if not problem.broken))

    def without(self, contrast: Contrast) -> "Study":
        """Return the study as if a contrast had not been acquired."""
        return replace(self, series=tuple(series for series in self.series if series.contrast is not contrast))

    @property
    def missing(self) -> tuple[Contrast, ...]:
        """Those of t1, t1c, t2, flair that were not acquired."""
        return tuple(contrast for contrast in BRATS_FOUR if contrast not in self.present)

    def get(self, contrast: Contrast) -> Series:
        """Return the series of a contrast (KeyError where there is none)."""
        for series in self.series:
            if series.contrast is contrast:
                return series
        raise KeyError(contrast)
