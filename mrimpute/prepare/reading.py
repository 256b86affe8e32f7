"""All series that a study's targets need, read once and compared with each other."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.device import side_by_side
from mrimpute.errors import MrimputeError
from mrimpute.prepare.doubles import check_doubles
from mrimpute.prepare.extent import MIN_SPAN_MM, check_extent, spans_mm
from mrimpute.prepare.frame import choose_reference
from mrimpute.prepare.register import check_pair
from mrimpute.prepare.skull import BrainMask, read_brain_mask
from mrimpute.prepare.sources import Reference, Sources, choose_sources, frame_of
from mrimpute.progress import Tell, tell_nobody
from mrimpute.study.model import Series
from mrimpute.volume import Volume


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
