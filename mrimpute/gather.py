"""The sources of one target, read and brought to lie on one reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.errors import MrimputeError, StudyRefused, UsageError
from mrimpute.prepare import choose_reference
from mrimpute.register import Alignment, settle
from mrimpute.series import Series, Study
from mrimpute.skull import BrainMask
from mrimpute.study import find_series
from mrimpute.volume import Volume


@dataclass(frozen=True)
class Gathered:
    """What one target is made from.

    Attributes:
        reference: the series whose grid the result gets.
        onto: its volume.
        volumes: the sources by contrast, as they lie on the reference.
        alignments: how each source but the reference was found to lie.
        mask: the user's brain mask, in the reference's space.
    """

    reference: Series
    onto: Volume
    volumes: dict[Contrast, Volume]
    alignments: dict[Contrast, Alignment]
    mask: BrainMask | None = None

    @property
    def moved(self) -> dict[Contrast, Alignment]:
        """The sources that were registered."""
        return {contrast: one for contrast, one in self.alignments.items() if one.moved}


def find_reference(study: Study, word: Contrast | Path | None) -> tuple[Series, int] | None:
    """Return the series that the user wants results to lie on, and the highest series number beside it.

    Args:
        study: the study.
        word: one of its contrasts, or a folder that holds one DICOM series; None for no wish.

    Raises:
        UsageError: the study has no such series, or the folder not exactly one.
    """
    if word is None:
        return None
    if isinstance(word, Contrast):
        if word not in study.present:
            raise UsageError(f"--reference {word}: {study.folder} has no {word}", "name a contrast that was acquired")
        return study.get(word), study.highest_number
    try:
        other = find_series(word)
    except MrimputeError as error:
        raise UsageError(f"--reference {word}: {error.text}", "name a contrast, or a folder of one series") from error
    if len(other.series) != 1:
        raise UsageError(
            f"--reference {word} holds {len(other.series)} series that are identified, not one",
            "name a contrast of the study, or a folder of one series",
        )
    return other.series[0], other.highest_number


def gather(
    sources: Sequence[Series],
    reference: Series | None,
    volumes: Mapping[Path, Volume],
    register: bool,
    mask: BrainMask | None,
) -> Gathered:
    """Choose the reference of one target and check that its sources lie on it.

    Args:
        sources: in the generator's order.
        reference: the user's choice; None for the thinnest slices.
        volumes: of all these series, by their path.
        register: whether sources may be moved.
        mask: the user's brain mask.

    Raises:
        StudyRefused: sources are out of register.
    """
    read = {series.contrast: volumes[series.path] for series in sources}
    chosen = reference or next(series for series in sources if series.contrast is choose_reference(read))
    spaces = {item.dicom.slices[0].space for item in (*sources, chosen) if item.dicom} - {""}
    if len(spaces) > 1 and not register:
        raise StudyRefused(
            f"the series {', '.join(read)} have different frames of reference: their positions do not compare",
            "add --register, or register them first and give NIfTI",
        )
    onto = volumes[chosen.path]
    settled, alignments = settle(onto, read, register)
    if mask is not None:
        drawn_on = [c for c, volume in read.items() if mask.grid.same_as(volume.grid) and settled[c] is not volume]
        if drawn_on and not mask.grid.same_as(onto.grid):
            mask = replace(mask, grid=settled[drawn_on[0]].grid)
    return Gathered(chosen, onto, settled, alignments, mask)
