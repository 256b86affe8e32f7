"""The sources of one target, read and brought to lie on one reference."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.device import side_by_side
from mrimpute.errors import MrimputeError, StudyRefused, UsageError
from mrimpute.prepare.doubles import check_doubles
from mrimpute.prepare.extent import MIN_SPAN_MM, check_extent, spans_mm
from mrimpute.prepare.frame import choose_reference
from mrimpute.prepare.register import Frame, align, check_pair
from mrimpute.prepare.rigid import MIN_LITRES, Alignment, measure
from mrimpute.prepare.skull import BrainMask, read_brain_mask, with_skull
from mrimpute.progress import Tell, tell_nobody
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


@dataclass(frozen=True)
class Inputs:
    """The sources of all targets of a study, read.

    Attributes:
        digests: of each source, by contrast.
        sources: target → what it is made from.
        error: why they cannot be used; the digests of what was read are there.
        finished: whether nothing is to be made of them: every image stands. There are no sources then.
    """

    digests: dict[Contrast, str] = field(default_factory=dict)
    sources: dict[Contrast, Sources] = field(default_factory=dict)
    error: MrimputeError | None = None
    finished: bool = False


Stand = Callable[[Mapping[Path, Volume], BrainMask | None], bool]
"""Called with the volumes as read and the user's mask; tells whether every image that is wanted of them stands."""


def read_inputs(
    wanted: Mapping[Contrast, Sequence[Series]],
    beside: Sequence[Series],
    reference: Reference | None,
    register: bool,
    brain_mask: Path | None,
    regressed: Mapping[Contrast, Sequence[Series]] | None = None,
    tell: Tell = tell_nobody,
    all_stand: Stand = lambda _volumes, _mask: False,
) -> Inputs:
    """Read the sources of all targets, and check that they lie on each other.

    Args:
        wanted: target → series of its sources, in the generator's order.
        beside: the study's other series, which must show the same head.
        reference: the user's choice; None for the thinnest slices.
        register: whether sources may be moved.
        brain_mask: the user's file.
        regressed: target → series that its regression takes beside the sources; one that cannot be read is
            passed over, and so is a slab.
        tell: called with what begins.
        all_stand: asked before anything is compared or registered.

    Returns:
        The inputs, or why they are refused.
    """
    digests: dict[Contrast, str] = {}
    further = regressed or {}
    try:
        mask = read_brain_mask(brain_mask) if brain_mask and wanted else None
        volumes = read_volumes(wanted, reference, tell)
        digests = {series.contrast: volumes[series.path].sha256 for listed in wanted.values() for series in listed}
        check_extent({series.contrast: volumes[series.path] for listed in wanted.values() for series in listed})
        others = {series.path: series for listed in further.values() for series in listed}
        unread = [series for path, series in others.items() if path not in volumes]
        for series, volume in zip(unread, side_by_side(_whole, unread), strict=True):
            if volume is not None:
                volumes[series.path] = volume
                digests[series.contrast] = volume.sha256
        if all_stand(volumes, mask):
            return Inputs(digests, finished=True)
        compared = {series.contrast for path, series in others.items() if path in volumes}
        tell("comparing the series with each other")
        check_one_head(wanted, beside, volumes, register, compared)
        tell(f"{'registering' if register else 'comparing'} {_named(wanted)}")
        sources = {
            target: choose_sources(listed, reference, volumes, register, mask, further.get(target, ()))
            for target, listed in wanted.items()
        }
    except MrimputeError as error:
        return Inputs(digests, error=error)
    return Inputs(digests, sources)


def check_one_head(
    wanted: Mapping[Contrast, Sequence[Series]],
    beside: Sequence[Series],
    volumes: Mapping[Path, Volume],
    register: bool,
    compared_later: Collection[Contrast] = (),
) -> None:
    """Check that the series of a study show one head, and each its own image, whatever is made from which.

    The sources of one target are compared with each other when they are chosen; this compares those of
    different targets, and what no target needs.

    Args:
        wanted: target → series of its sources.
        beside: other series of the study; one that cannot be read is passed over.
        volumes: of the sources, and of others that were read, by their path.
        register: whether sources may be moved.
        compared_later: contrasts that `choose_sources` compares with the sources of some target.

    Raises:
        StudyRefused: two are one image, mirrored, out of register, or too far apart for one patient.
    """
    sources = {series.contrast: series for listed in wanted.values() for series in listed}
    found = {contrast: volumes[series.path] for contrast, series in sources.items()}
    read = side_by_side(lambda series: volumes.get(series.path) or _readable(series), beside)
    others = {series.contrast: volume for series, volume in zip(beside, read, strict=True) if volume is not None}
    check_doubles(found | others)
    together = any({series.contrast for series in listed} == set(sources) for listed in wanted.values())
    compared = others if together else found | others
    compared = {contrast: volume for contrast, volume in compared.items() if contrast not in compared_later}
    if not found or not compared:
        return
    listed = {**sources, **{series.contrast: series for series in beside}}
    chosen = choose_reference(found)

    def check(contrast: Contrast) -> None:
        frame = frame_of(listed[contrast], listed[chosen])
        check_pair(found[chosen], contrast, compared[contrast], register or contrast in others, frame)

    side_by_side(check, [contrast for contrast in compared if contrast is not chosen])


def _readable(series: Series) -> Volume | None:
    """Return a volume, or None where it cannot be used: nothing is made of it."""
    try:
        return series.read()
    except MrimputeError:
        return None


def _whole(series: Series) -> Volume | None:
    """Return a volume that a regression may take, or None where it cannot be used or is a slab."""
    volume = _readable(series)
    return volume if volume is not None and min(spans_mm(volume)) >= MIN_SPAN_MM else None


def frame_of(one: Series, other: Series) -> Frame:
    """Tell how the frames of reference of two series compare."""
    if _frames_differ(one, other):
        return "foreign"
    return "shared" if _frames_shared(one, other) else "own"


def read_volumes(
    wanted: Mapping[Contrast, Sequence[Series]], reference: Reference | None = None, tell: Tell = tell_nobody
) -> dict[Path, Volume]:
    """Read every series once, the reference's too; volumes by the path of their series.

    Raises:
        ImageDamaged: one cannot be used.
    """
    needed = {series.path: series for listed in wanted.values() for series in listed}
    if reference and wanted:
        needed.setdefault(reference.series.path, reference.series)
    for series in needed.values():
        tell(f"reading {series.contrast}")
    return dict(zip(needed, side_by_side(Series.read, needed.values()), strict=True))


def _named(wanted: Mapping[Contrast, Sequence[Series]]) -> str:
    return ", ".join(dict.fromkeys(series.contrast for listed in wanted.values() for series in listed))


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
    highest = reference.highest_number if reference else 0
    full = tuple(with_skull(read.items()))
    return Sources(chosen, onto, settled, alignments | lying, placed, highest, full, (*notes, *passed_over), beside)


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
