"""Do the sources lie on each other? Measured always, mended only when asked."""

from collections.abc import Mapping
from typing import Literal

from mrimpute.contrasts import Contrast
from mrimpute.device import side_by_side
from mrimpute.errors import StudyRefused
from mrimpute.prepare.rigid import STARTS, Alignment, measure, mirrored_information, registered
from mrimpute.volume import Volume

WORTH = 0.01
"""Least gain for which a source that is in register by its header is moved."""
MIRRORED_SHARE = 1.1
"""An image that fits this much better with left and right swapped is mirrored."""
STRANGER_SHARE = 0.95
"""One that fits nearly as well with left and right swapped shows another head: a mirrored brain is one. Measured,
mutual information of the mirrored image over that of the true one: 0.49 to 0.87 in 39 pairs of one patient (9 studies,
with and without skull), 0.98 to 1.04 in 15 pairs of two patients."""
QUESTION_MM = 8.0
"""No patient moves so far within one frame of reference: another patient, or a wrong header."""
Frame = Literal["own", "shared", "foreign"]
"""Whether a series states a frame of reference of its own, the reference's, in which no patient moves QUESTION_MM, or
one whose positions do not compare with the reference's, so that it is always moved."""


def align(
    reference: Volume,
    sources: Mapping[Contrast, Volume],
    register: bool,
    frames: Mapping[Contrast, Frame] | None = None,
) -> tuple[dict[Contrast, Volume], dict[Contrast, Alignment]]:
    """Check that all sources lie on the reference; move those that do not, if asked.

    A source that is in register stays as it is even then, if it is on the reference's own grid or
    moving it would gain next to nothing. One whose left and right are swapped is never moved.

    Args:
        reference: what they should lie on.
        sources: by contrast; one that is the reference itself is passed through.
        register: whether sources may be moved.
        frames: how the frame of reference of each compares with the reference's; 'own' where it is not told.

    Returns:
        The sources, and how each was found to lie (those of which it could be measured).

    Raises:
        StudyRefused: sources are mirrored, are out of register and must not be, or cannot be, moved; all are named.
    """
    placed, found = dict(sources), {}
    refusals: list[StudyRefused] = []
    others = [contrast for contrast, volume in sources.items() if volume is not reference]

    def aligned(contrast: Contrast) -> tuple[Volume, Alignment | None] | StudyRefused:
        frame = (frames or {}).get(contrast, "own")
        try:
            return _aligned(reference, contrast, sources[contrast], register, frame)
        except StudyRefused as refusal:
            return refusal

    for contrast, outcome in zip(others, side_by_side(aligned, others), strict=True):
        if isinstance(outcome, StudyRefused):
            refusals.append(outcome)
            continue
        placed[contrast], alignment = outcome
        if alignment is not None:
            found[contrast] = alignment
    if refusals:
        hints = dict.fromkeys(refusal.hint for refusal in refusals)
        raise StudyRefused("; ".join(refusal.text for refusal in refusals), ", or ".join(hints))
    return placed, found


def _aligned(
    reference: Volume, contrast: Contrast, volume: Volume, register: bool, frame: Frame
) -> tuple[Volume, Alignment | None]:
    """Return one source as it should lie, and how it was found to.

    Raises:
        StudyRefused: see `align`.
    """
    alignment = measure(reference, volume)
    foreign = frame == "foreign"
    if alignment is None and not foreign:
        return volume, None
    if alignment is not None:
        _check_alignment(reference, contrast, volume, alignment, register, frame)
    must = foreign or alignment is None or alignment.off
    if not register or not (must or not volume.grid.same_as(reference.grid)):
        return volume, alignment
    moved, motion, agreeing = registered(reference, volume)
    rest = measure(reference, moved)
    worth = motion.gain >= (0 if foreign else WORTH)
    if agreeing > 1 and worth and rest is not None and not rest.off:
        return moved, motion
    if must:
        raise StudyRefused(
            f"{contrast} ({volume.path}) is out of register and cannot be registered to {reference.path} "
            f"with certainty ({agreeing} of {len(STARTS)} attempts agree)",
            "register the study by other means, name another series with --reference, or leave that series out",
        )
    return volume, alignment


def check_pair(reference: Volume, contrast: Contrast, volume: Volume, register: bool, frame: Frame) -> None:
    """Check that one series shows the head of another, without moving it.

    Args:
        reference: the other's volume.
        contrast, volume: what is checked.
        register: whether the patient may have moved between them.
        frame: how their frames of reference compare; of 'foreign' ones nothing can be told.

    Raises:
        StudyRefused: it is mirrored, out of register, or too far off for one patient.
    """
    alignment = None if frame == "foreign" else measure(reference, volume)
    if alignment is not None:
        _check_alignment(reference, contrast, volume, alignment, register, frame)


def _check_alignment(
    reference: Volume, contrast: Contrast, volume: Volume, alignment: Alignment, register: bool, frame: Frame
) -> None:
    """Check that what was measured is a motion of the patient, if it is one, and that it may be undone.

    Raises:
        StudyRefused: it is not, or may not.
    """
    share = mirrored_share(reference, volume, alignment.information)
    if share > MIRRORED_SHARE:
        raise StudyRefused(
            f"{contrast} ({volume.path}) looks mirrored: it fits {reference.path} better with left and right swapped",
            "correct its header, or leave that series out",
        )
    if share > STRANGER_SHARE:
        raise StudyRefused(
            f"{contrast} ({volume.path}) fits {reference.path} no better than a mirrored head would: another patient, "
            "or no image of a head",
            "check that both show the same patient, or leave one of them out",
        )
    if alignment.off and frame == "shared" and alignment.mean_mm > QUESTION_MM:
        raise StudyRefused(
            f"{contrast} ({volume.path}) lies {alignment.mean_mm:.1f} mm off {reference.path} though its header puts "
            f"both in one space: another patient, or a wrong header",
            "check that both show the same patient, or leave one of them out",
        )
    if alignment.off and not register:
        raise StudyRefused(
            f"{contrast} ({volume.path}) is out of register: {alignment.mean_mm:.1f} mm off {reference.path} on "
            f"average, {alignment.largest_mm:.1f} mm at most",
            "add --register to move it, or register the study first",
        )


def mirrored_share(reference: Volume, other: Volume, information: float) -> float:
    """Return how well an image fits with its left and right swapped, as a share of how it fits as it is.

    Args:
        reference, other: the pair.
        information: mutual information of the pair as it is, once brought together.
    """
    return mirrored_information(reference, other) / max(information, 1e-6)
