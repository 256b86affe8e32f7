"""The sources of one target, brought to lie on one reference."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.device import side_by_side
from mrimpute.errors import MrimputeError, StudyRefused, UsageError
from mrimpute.prepare.extent import unseen_shares
from mrimpute.prepare.frame import choose_reference
from mrimpute.prepare.register import Frame, align, check_pair
from mrimpute.prepare.rigid import MIN_LITRES, Alignment, measure
from mrimpute.prepare.skull import BrainMask, with_skull
from mrimpute.study import find_series
from mrimpute.study.model import Series, Study
from mrimpute.volume import Volume

MIN_SHARE = 0.6
"""Share of a brain mask that must lie on voxels of the reference that are not zero; a reference
may be a slab."""


@dataclass(frozen=True)
class Sources:
    """What one target is made from.

    Attributes:
        reference: the series whose grid the result gets.
        onto: its volume.
        volumes: the sources by contrast, as they lie on the reference.
        beside: other series of the study that a regression takes too, as they lie on the reference.
        alignments: how each of all these but the reference was found to lie.
        mask: the user's brain mask, in the reference's space.
        highest_number: highest series number beside the reference.
        with_skull: the sources that are not skull-stripped.
        notes: what the user should know about all this.
    """

    reference: Series
    onto: Volume
    volumes: dict[Contrast, Volume]
    alignments: dict[Contrast, Alignment]
    mask: BrainMask | None = None
    highest_number: int = 0
    with_skull: tuple[Contrast, ...] = ()
    notes: tuple[str, ...] = ()
    beside: dict[Contrast, Volume] = field(default_factory=dict)

    @property
    def everything(self) -> dict[Contrast, Volume]:
        """The sources, and what a regression takes beside them."""
        return self.volumes | self.beside

    @property
    def digests(self) -> list[str]:
        """Digests of the voxels of all these, by which a study is known again in a calibration."""
        return side_by_side(attrgetter("voxel_digest"), self.everything.values())

    def with_beside(self, taken: Collection[Contrast]) -> "Sources":
        """Return them with those series beside the sources alone that a regression takes; the others are told of."""
        passed_over = [contrast for contrast in self.beside if contrast not in taken]
        notes = (
            f"{contrast} was not used beside the sources: the regression has no coefficients with it"
            for contrast in passed_over
        )
        kept = {contrast: volume for contrast, volume in self.beside.items() if contrast in taken}
        lying = {contrast: one for contrast, one in self.alignments.items() if contrast not in passed_over}
        return replace(self, beside=kept, alignments=lying, notes=(*self.notes, *notes))

    @property
    def moved(self) -> dict[Contrast, Alignment]:
        """The sources that were registered."""
        return {contrast: one for contrast, one in self.alignments.items() if one.moved}


@dataclass(frozen=True)
class Reference:
    """The series that the user wants results to lie on.

    Attributes:
        series: the series.
        highest_number: highest series number beside it.
        trusted: where the user's word alone says that it shows the study's patient: its folder.
    """

    series: Series
    highest_number: int
    trusted: Path | None = None


def frame_of(one: Series, other: Series) -> Frame:
    """Tell how the frames of reference of two series compare."""
    if _frames_differ(one, other):
        return "foreign"
    return "shared" if _frames_shared(one, other) else "own"


def find_reference(study: Study, word: Contrast | Path | None) -> Reference | None:
    """Return the series that the user wants results to lie on.

    Args:
        study: the study.
        word: one of its contrasts, or a folder that holds one DICOM series; None for no wish.

    Raises:
        UsageError: the study has no such series, or the folder not exactly one DICOM series.
        StudyRefused: the folder's series is of another patient or study than the study's own.
    """
    if word is None:
        return None
    if isinstance(word, Contrast):
        if word not in study.present:
            raise UsageError(f"--reference {word}: {study.folder} has no {word}", "name a contrast that was acquired")
        return Reference(study.get(word), study.highest_number)
    try:
        other = find_series(word)
    except MrimputeError as error:
        raise UsageError(f"--reference {word}: {error.text}", "name a contrast, or a folder of one series") from error
    if len(other.series) != 1 or other.series[0].dicom is None:
        raise UsageError(
            f"--reference {word} holds {len(other.series)} series that are identified, not one DICOM series",
            "name a contrast of the study, or a folder of one DICOM series",
        )
    first = other.series[0].dicom.slices[0]
    own = [item.dicom.slices[0] for item in study.series if item.dicom]
    if any((item.patient, item.study) != (first.patient, first.study) for item in own):
        raise StudyRefused(
            f"--reference {word} is of another patient or another study than {study.folder}",
            "name a series of the same study",
        )
    return Reference(other.series[0], other.highest_number, None if own else word)


def choose_sources(
    sources: Sequence[Series],
    reference: Reference | None,
    volumes: Mapping[Path, Volume],
    register: bool,
    mask: BrainMask | None,
    regressed: Sequence[Series] = (),
) -> Sources:
    """Choose the reference of one target and check that its sources lie on it.

    Args:
        sources: in the generator's order.
        reference: the user's choice; None for the thinnest slices.
        volumes: of all these series, by their path.
        register: whether sources may be moved.
        mask: the user's brain mask.
        regressed: series that a regression takes beside the sources; one that is not among the volumes, or lies
            off the reference and may not be moved, is passed over.

    Raises:
        StudyRefused: sources are out of register, or the mask does not fit; a series is mirrored or of another patient.
    """
    read = {series.contrast: volumes[series.path] for series in sources}
    best = agreed_reference(read) if register else choose_reference(read)
    own = next(series for series in sources if series.contrast is best)
    chosen = reference.series if reference else own
    if any(_frames_differ(item, chosen) for item in sources) and not register:
        raise StudyRefused(
            f"the series {', '.join(read)} have different frames of reference: their positions do not compare",
            "add --register, or register them first and give NIfTI",
        )
    onto = volumes[chosen.path]
    frames = {item.contrast: frame_of(item, chosen) for item in sources}
    settled, alignments = align(onto, read, register, frames)
    notes = [
        f"{contrast} was moved onto {chosen.contrast} by {one.mean_mm:.1f} mm on average, "
        f"{one.largest_mm:.1f} mm at most"
        for contrast, one in alignments.items()
        if one.moved
    ]
    unmeasured = [contrast for contrast, volume in read.items() if volume is not onto and contrast not in alignments]
    if unmeasured:
        notes.append(
            f"whether {', '.join(unmeasured)} lies on {chosen.contrast} was not measured: the head has less than "
            f"{MIN_LITRES} litres"
        )
    if reference and reference.trusted:
        notes.append(f"that {reference.trusted} shows the same patient is your word: NIfTI names nobody")
    beside, lying, passed_over = _all_beside(regressed, volumes, chosen, register)
    placed = _placed(mask, onto, read, settled) if mask else None
    unseen = unseen_shares(settled | beside, onto.grid, placed.on(onto.grid) if placed else None)
    notes += [*passed_over, *(_unseen_note(contrast, share, contrast in beside) for contrast, share in unseen.items())]
    beside = {contrast: volume for contrast, volume in beside.items() if contrast not in unseen}
    lying = {contrast: one for contrast, one in lying.items() if contrast in beside}
    highest = reference.highest_number if reference else 0
    full = tuple(with_skull(read.items()))
    return Sources(chosen, onto, settled, alignments | lying, placed, highest, full, tuple(notes), beside)


def _unseen_note(contrast: Contrast, share: float, beside: bool) -> str:
    """Return what to tell of a series that ends inside the head. Beside a network's sources it is not used: a
    regression would take nothing for a grey value there, and the result get a step."""
    ends = f"ends inside the head, {share:.0%} of which lies outside it"
    if beside:
        return f"{contrast} was not used beside the sources: it {ends}"
    return f"{contrast} {ends}; what is made there lacks {contrast} and is not to be trusted"


def _all_beside(
    regressed: Sequence[Series], volumes: Mapping[Path, Volume], chosen: Series, register: bool
) -> tuple[dict[Contrast, Volume], dict[Contrast, Alignment], list[str]]:
    """Bring what a regression takes onto the reference: the volumes, how each lay, and what to tell of the others.

    Raises:
        StudyRefused: one is mirrored, or of another patient.
    """
    beside: dict[Contrast, Volume] = {}
    alignments: dict[Contrast, Alignment] = {}
    notes: list[str] = []
    taken = [series for series in regressed if series.path in volumes]

    def brought(series: Series) -> tuple[dict[Contrast, Volume], dict[Contrast, Alignment], list[str]]:
        frame = frame_of(series, chosen)
        return _beside(series, volumes[series.path], volumes[chosen.path], frame, register)

    for volume, found, note in side_by_side(brought, taken):
        beside |= volume
        alignments |= found
        notes += note
    return beside, alignments, notes


def _beside(
    series: Series, volume: Volume, onto: Volume, frame: Frame, register: bool
) -> tuple[dict[Contrast, Volume], dict[Contrast, Alignment], list[str]]:
    """Bring one series that a regression takes onto the reference: its volume, how it lay, and what to tell of it.

    Raises:
        StudyRefused: it is mirrored, or of another patient.
    """
    contrast = series.contrast
    passed_over = f"{contrast} was not used beside the sources: "
    if frame == "foreign" and not register:
        return {}, {}, [f"{passed_over}its frame of reference is another, and --register was not given"]
    try:
        settled, alignments = align(onto, {contrast: volume}, register, {contrast: frame})
    except StudyRefused as refusal:
        check_pair(onto, contrast, volume, True, frame)
        return {}, {}, [passed_over + refusal.text]
    return settled, alignments, []


def agreed_reference(volumes: Mapping[Contrast, Volume]) -> Contrast:
    """Return the source that most others lie on; of equals, that with the thinnest slices."""
    usual = choose_reference(volumes)
    if len(volumes) < 3:
        return usual
    order = [usual, *(contrast for contrast in volumes if contrast is not usual)]
    off = {}
    for contrast in order:
        others = [volume for one, volume in volumes.items() if one is not contrast]
        off[contrast] = sum(side_by_side(partial(_is_off, volumes[contrast]), others))
        if not off[contrast]:
            return contrast
    return min(order, key=off.__getitem__)


def _is_off(reference: Volume, other: Volume) -> bool:
    alignment = measure(reference, other)
    return alignment is not None and alignment.off


def _frames_shared(one: Series, other: Series) -> bool:
    """Tell whether two series state one frame of reference: by its UID, or as files on one grid."""
    if one.dicom and other.dicom:
        return one.dicom.slices[0].space == other.dicom.slices[0].space != ""
    return not one.dicom and not other.dicom and one.grid.same_as(other.grid)


def _frames_differ(one: Series, other: Series) -> bool:
    """Tell whether two DICOM series have different frames of reference."""
    spaces = {item.dicom.slices[0].space for item in (one, other) if item.dicom} - {""}
    return len(spaces) > 1


def _placed(
    mask: BrainMask, onto: Volume, read: Mapping[Contrast, Volume], settled: Mapping[Contrast, Volume]
) -> BrainMask:
    """Bring a mask that was drawn on a source along with it, and check that it fits the reference.

    Raises:
        StudyRefused: it could belong to two series that moved differently, or does not cover tissue.
    """
    if not mask.grid.same_as(onto.grid):
        grids = [settled[contrast].grid for contrast, volume in read.items() if mask.grid.same_as(volume.grid)]
        if any(not grid.same_as(grids[0]) for grid in grids):
            raise StudyRefused(
                f"the brain mask {mask.origin} could belong to series that were moved differently",
                f"give a mask on the grid of {onto.path.name}",
            )
        mask = replace(mask, grid=grids[0]) if grids else mask
    inside = mask.on(onto.grid)
    share = onto.grid.litres(inside & (onto.voxels != 0)) / mask.litres
    if share < MIN_SHARE:
        raise StudyRefused(
            f"only {share:.0%} of the brain mask {mask.origin} lies on tissue of {onto.path}",
            "give a mask of this patient's brain in this space",
        )
    return mask
