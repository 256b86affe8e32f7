"""A picture to look at: acquired, synthetic and their difference in three planes."""

from pathlib import Path

import numpy as np

from mrimpute.errors import OutputRefused
from mrimpute.evaluate import Evaluation
from mrimpute.prepare.geometry import Reorient
from mrimpute.volume import FloatArray

DIFFERENCE_GAIN = 2.0
"""Differences are drawn this much brighter, around middle grey."""
_GAP = 4
RADIOLOGICAL = "LAS"
"""Axes of a picture as radiologists look at it: the patient's left on the right, front and top up."""


def write_picture(evaluations: list[Evaluation], file: Path) -> None:
    """Write a PNG: one row per evaluation and plane; columns acquired, synthetic, difference.

    Args:
        evaluations: with their images, (X, Y, Z) in [0, 1].
        file: ends in .png.

    Raises:
        OutputRefused: the file cannot be written.
    """
    import SimpleITK as sitk

    rows = []
    for item in evaluations:
        turn = Reorient(item.grid, RADIOLOGICAL)
        made, acquired = (turn.apply(image) for image in item.images)
        rows += [_row(made, acquired, plane) for plane in range(3)]
    width = max(row.shape[1] for row in rows)
    sheet = np.vstack([np.pad(row, ((0, _GAP), (0, width - row.shape[1]))) for row in rows])
    try:
        sitk.WriteImage(sitk.GetImageFromArray((np.clip(sheet, 0, 1) * 255).astype(np.uint8)), str(file))
    except RuntimeError as error:
        raise OutputRefused(f"cannot write {file}", "give a .png in a writable folder") from error
    if not file.is_file() or not file.stat().st_size:
        raise OutputRefused(f"cannot write {file}", "check the free space")


def _row(made: FloatArray, acquired: FloatArray, plane: int) -> FloatArray:
    """Return one plane through the middle of the head, three images side by side."""
    filled = np.argwhere(acquired > 0)
    centre = (filled.min(axis=0) + filled.max(axis=0)) // 2 if filled.size else np.array(acquired.shape) // 2
    axis = 2 - plane
    truth, guess = (np.rot90(np.take(image, int(centre[axis]), axis)) for image in (acquired, made))
    difference = 0.5 + DIFFERENCE_GAIN * (guess - truth) / 2
    return np.hstack([np.pad(image, ((0, 0), (0, _GAP))) for image in (truth, guess, difference)])
