"""Images inside a page, as WebP in data: URIs: all axial slices of a volume in one sheet, and single slices."""

import base64
from collections.abc import Sequence
from io import BytesIO
from math import ceil, sqrt

import numpy as np

from mrimpute.volume import FloatArray

QUALITIES = (75, 55, 35, 20)
"""Of WebP, the best first."""
UPRIGHT = "LPS"
"""Axes in which `planes` cuts: those of the frame of calibrations."""


def sheet(volume: FloatArray, across: int, quality: int) -> str:
    """Return all axial slices (X, Y, Z) of a volume in [0, 1] as one image, `across` side by side, as data: URI."""
    x, y, z = volume.shape
    tiles = np.zeros((ceil(z / across) * across, y, x), np.uint8)
    tiles[:z] = _bytes(volume).transpose(2, 1, 0)
    rows = tiles.reshape(-1, across, y, x).transpose(0, 2, 1, 3)
    return webp(rows.reshape(-1, across * x), quality)


def across_of(count: int) -> int:
    """Return how many slices stand side by side in a sheet that is about square."""
    return ceil(sqrt(count))


def webp(image: FloatArray, quality: int = QUALITIES[0]) -> str:
    """Return an image (rows, columns), bytes or values in [0, 1], as data: URI."""
    from PIL import Image

    held = BytesIO()
    grey = image if image.dtype == np.uint8 else _bytes(image)
    Image.fromarray(np.ascontiguousarray(grey)).save(held, "WEBP", quality=quality, method=2)
    return f"data:image/webp;base64,{base64.b64encode(held.getvalue()).decode()}"


def _bytes(image: FloatArray) -> FloatArray:
    grey: FloatArray = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return grey


def planes(volume: FloatArray, at: Sequence[int]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the axial, coronal and sagittal slice of an UPRIGHT volume (X, Y, Z) through a voxel.

    The patient's left is on the right, front and top are up; of the sagittal slice the front is on the left.
    """
    x, y, z = at
    return volume[:, :, z].T, volume[:, y, ::-1].T, volume[x, :, ::-1].T


def sized(slices: Sequence[FloatArray], spacing: Sequence[float], longest: int) -> list[FloatArray]:
    """Return three planes scaled alike, pixels square, so that the longest side of all has `longest` pixels.

    Args:
        slices: from `planes`.
        spacing: of the volume, in mm.
        longest: pixels.
    """
    from PIL import Image

    steps = ((spacing[0], spacing[1]), (spacing[0], spacing[2]), (spacing[1], spacing[2]))
    lengths = [
        (plane.shape[1] * across, plane.shape[0] * down) for plane, (across, down) in zip(slices, steps, strict=True)
    ]
    scale = longest / max(max(pair) for pair in lengths)
    return [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(
                (max(1, round(across * scale)), max(1, round(down * scale))), Image.Resampling.BILINEAR
            )
        )
        for plane, (across, down) in zip(slices, lengths, strict=True)
    ]
