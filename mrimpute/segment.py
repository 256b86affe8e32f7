"""What a segmenter makes of a complete case, and of the same case with one contrast synthetic.

Any command will do: it is called with the folder of a case and an empty folder for its labels. What is compared are its
own two answers; where the study has a segmentation of its own, both are compared with that one too.
"""

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrimpute import io
from mrimpute.errors import ImageDamaged, MrimputeError, ResourcesExhausted, UsageError
from mrimpute.io import nifti
from mrimpute.prepare import Image
from mrimpute.programs import last_words, run_program
from mrimpute.registry import Checkpoint
from mrimpute.study import Study
from mrimpute.volume import BoolArray, Grid
from mrimpute.write.copies import complete_case
from mrimpute.write.layout import Layout, check_complete
from mrimpute.write.nifti import encoded

WORDS = ("{case}", "{out}")


@dataclass(frozen=True)
class Segmenter:
    """A command that segments cases.

    Attributes:
        words: of the command, in which {case} and {out} stand for folders.
        layout: how it wants a case to be named.
        seconds: after which one call is given up.
    """

    words: tuple[str, ...]
    layout: Layout
    seconds: float


@dataclass(frozen=True)
class Labelled:
    """Labels of one case, (X, Y, Z) int64, 0 for none, and where they lie."""

    labels: NDArray[np.int64]
    grid: Grid


@dataclass(frozen=True)
class Agreement:
    """What became of one label.

    Attributes:
        label: its number.
        dice: overlap of the labels of the two cases, 0 to 1; None where neither has this label.
        complete_ml, synthetic_ml: its volume in the labels of each case.
        complete_truth, synthetic_truth: Dice of each with the study's own segmentation; None where it has none with
            this label, or the case's labels lack it too.
    """

    label: int
    dice: float | None
    complete_ml: float
    synthetic_ml: float
    complete_truth: float | None = None
    synthetic_truth: float | None = None


@dataclass(frozen=True)
class Segmented:
    """What a segmenter made of one synthetic contrast: the agreement of each label, or why there is none."""

    labels: tuple[Agreement, ...] = ()
    error: MrimputeError | None = None


def parse_segmenter(command: str, layout: Layout, minutes: float) -> Segmenter:
    """Return the segmenter that a user's words mean.

    Raises:
        UsageError: the words do not hold {case} and {out}, are no words, or the layout is not one folder.
        ResourcesExhausted: there is no such program.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"--segmenter {command!r} cannot be split into words ({error})", "close its quotes") from error
    absent = [word for word in WORDS if not any(word in one for one in words)]
    if absent:
        raise UsageError(
            f"--segmenter {command!r} lacks {' and '.join(absent)}",
            "say where its case and its labels go, as in --segmenter 'nnUNetv2_predict -i {case} -o {out} -d 1 -c 2d'",
        )
    if layout.name == "bids":
        raise UsageError("a BIDS case lies in several folders", "use --layout brats21, brats23 or nnunet:DATASET_JSON")
    if shutil.which(words[0]) is None:
        raise ResourcesExhausted(f"--segmenter: {words[0]} is not on PATH", "install it, or give its path")
    return Segmenter(words, layout, 60 * minutes)


class CompleteCase:
    """A complete case, segmented once, with which cases that hold a synthetic contrast are compared.

    Raises:
        StudyRefused: the study's images make no complete case, or its own segmentation holds no labels.
    """

    def __init__(self, segmenter: Segmenter, study: Study, truth: Path | None) -> None:
        check_complete(study, segmenter.layout, ())
        self.segmenter, self.study = segmenter, study
        self.truth = read_labels(truth, io.read_info(truth).grid) if truth else None
        self._labels: Labelled | None = None

    def beside(self, image: Image, checkpoint: Checkpoint) -> Segmented:
        """Return how the case with one synthetic contrast is segmented beside this one.

        Args:
            image: the synthetic one; the case holds it as `fill` would write it, and not the acquired one.
            checkpoint: what made it.
        """
        study, target, layout = self.study, image.target, self.segmenter.layout
        content = encoded(image, checkpoint, scaled=True).content

        def lay(out: Path) -> None:
            complete_case(study.without(target), layout, out, (), bids=False)
            layout.image(study, target, out, synthetic=True).write_bytes(content)

        try:
            if self._labels is None:
                self._labels = _segmented(
                    self.segmenter, study, lambda out: complete_case(study, layout, out, (), bids=False)
                )
            return Segmented(agreement(self._labels, _segmented(self.segmenter, study, lay), self.truth))
        except ResourcesExhausted as error:
            return Segmented(error=error)


def _segmented(segmenter: Segmenter, study: Study, lay: Callable[[Path], Any]) -> Labelled:
    """Lay out a case in a temporary folder, run the segmenter on it and read its labels."""
    with tempfile.TemporaryDirectory(prefix="mrimpute-") as scratch:
        cases, out = Path(scratch, "cases"), Path(scratch, "labels")
        cases.mkdir()
        out.mkdir()
        lay(cases)
        first = segmenter.layout.image(study, segmenter.layout.needs[0], cases, synthetic=False)
        _run(segmenter, first.parent, out, study)
        return _read_labels(out, io.read_info(first).grid, study)


def _run(segmenter: Segmenter, case: Path, out: Path, study: Study) -> None:
    """Call the command.

    Raises:
        ResourcesExhausted: it cannot be run, fails, or takes too long.
    """
    words = [word.replace("{case}", str(case)).replace("{out}", str(out)) for word in segmenter.words]
    hint = "run it by hand on a case that `mrimpute fill --layout` makes"
    name = Path(words[0]).name
    try:
        done = run_program(words, seconds=segmenter.seconds)
    except OSError as error:
        raise ResourcesExhausted(f"{name} cannot be run ({error.strerror})", "install it anew") from error
    except subprocess.TimeoutExpired as error:
        limit = f"{segmenter.seconds / 60:g} minutes"
        raise ResourcesExhausted(f"{name} took over {limit} for {study.folder}", "raise --segmenter-minutes") from error
    if done.returncode:
        raise ResourcesExhausted(f"{name} could not segment {study.folder} ({last_words(done)})", hint)


def _read_labels(out: Path, grid: Grid, study: Study) -> Labelled:
    """Read the one label image that a segmenter left.

    Raises:
        ResourcesExhausted: there is none, there are several, or it is no label image of the case.
    """
    found = sorted(path for path in out.rglob("*") if io.split_suffix(path.name)[1].lower() in io.NIFTI_SUFFIXES)
    if len(found) != 1:
        raise ResourcesExhausted(
            f"the segmenter left {len(found)} NIfTI files in {{out}} for {study.folder}", "it must leave one, of labels"
        )
    try:
        return read_labels(found[0], grid)
    except MrimputeError as error:
        raise ResourcesExhausted(
            f"what the segmenter left for {study.folder} is no label image of the case ({error.text})",
            "let it write whole numbers on the case's grid",
        ) from error


def read_labels(path: Path, grid: Grid) -> Labelled:
    """Read a label image that lies on a grid.

    Raises:
        ImageDamaged: it cannot be read, lies elsewhere, or holds no whole numbers from 0 on.
    """
    volume = nifti.read(path)
    if not volume.grid.same_as(grid):
        raise ImageDamaged(f"{path.name} lies on another grid than its case")
    labels = np.rint(volume.voxels)
    if not np.array_equal(labels, volume.voxels) or labels.min() < 0:
        raise ImageDamaged(f"{path.name} holds values that are no labels")
    return Labelled(labels.astype(np.int64), volume.grid)


def agreement(complete: Labelled, synthetic: Labelled, truth: Labelled | None) -> tuple[Agreement, ...]:
    """Compare the labels of a complete case with those of the case with one contrast synthetic.

    Args:
        complete, synthetic: on one grid.
        truth: the study's own segmentation, on the same grid; None where it has none.

    Returns:
        One entry per label that any of them has, in rising order.
    """
    given = [one.labels for one in (complete, synthetic, truth) if one is not None]
    numbers = sorted({int(label) for labels in given for label in np.unique(labels)} - {0})
    voxel_ml = complete.grid.voxel_ml
    found = []
    for label in numbers:
        one, other = complete.labels == label, synthetic.labels == label
        own = truth.labels == label if truth is not None else None
        found.append(
            Agreement(
                label,
                dice(one, other),
                float(one.sum() * voxel_ml),
                float(other.sum() * voxel_ml),
                None if own is None else dice(one, own),
                None if own is None else dice(other, own),
            )
        )
    return tuple(found)


def dice(one: BoolArray, other: BoolArray) -> float | None:
    """Return the overlap of two masks, 0 to 1 (Dice 1945); None where both are empty."""
    both = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / both if both else None
