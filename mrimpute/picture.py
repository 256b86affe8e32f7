"""A sheet to look at: images of a head side by side in three planes, to scale, what is synthetic marked in the picture.

Axial and coronal pictures are as radiologists look at them, the patient's right on the left; the letters say so.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mrimpute.errors import OutputRefused, UsageError
from mrimpute.files import sha256_of, write_whole
from mrimpute.prepare.geometry import Reorient
from mrimpute.volume import BoolArray, FloatArray, Grid

if TYPE_CHECKING:
    from PIL.Image import Image

PIXELS_PER_MM = 1.5
RADIOLOGICAL = "LAS"
"""Axes of a picture as radiologists look at it: the patient's left on the right, front and top up."""
PLANES = (("axial", 2, "R", "L"), ("coronal", 1, "R", "L"), ("sagittal", 0, "A", "P"))
"""Plane, the axis of a RADIOLOGICAL array that it cuts, the letters at its left and right edge."""
CAPTION = (
    "What is marked SYNTHETIC was computed, not acquired. It may lack findings or show false ones. Not for diagnosis."
)
_MARK = "SYNTHETIC"
_WHITE, _AMBER, _BLACK = (255, 255, 255), (255, 191, 0), (0, 0, 0)
_GAP, _TEXT, _LINE, _LEAST_WIDTH = 6, 14, 20, 220
_SOFTWARE = "mrimpute"
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Panel:
    """One image of a sheet.

    Attributes:
        title: what it is, in words that name no patient.
        image: (X, Y, Z), 0 is black and 1 is white.
        grid: where it lies.
        synthetic: whether it was computed; that is written into the picture.
    """

    title: str
    image: FloatArray
    grid: Grid
    synthetic: bool = False


@dataclass(frozen=True)
class Row:
    """Images of one head, in the three planes through one point.

    Attributes:
        panels: from left to right.
        point: (3,) RAS mm; see `middle_of` and `most_of`.
    """

    panels: tuple[Panel, ...]
    point: FloatArray


@dataclass(frozen=True)
class Strip:
    """A row that is drawn: small, so that the images of many heads need not be held together.

    Attributes:
        lines: a tile per panel, for each of PLANES.
        titles, synthetic: of the panels.
    """

    lines: tuple[tuple["Image", ...], ...]
    titles: tuple[str, ...]
    synthetic: tuple[bool, ...]


def middle_voxel(mask: BoolArray) -> tuple[int, int, int]:
    """Return the voxel in the middle of a mask (X, Y, Z); of an empty one that of the volume."""
    places = np.argwhere(mask) if mask.any() else np.array([(0, 0, 0), mask.shape])
    x, y, z = (places.min(axis=0) + places.max(axis=0)) // 2
    return int(x), int(y), int(z)


def middle_of(image: FloatArray, grid: Grid) -> FloatArray:
    """Return the middle of what is not zero, (3,) RAS mm; of an empty image that of the grid."""
    return np.asarray((grid.affine @ [*middle_voxel(image > 0), 1.0])[:3])


def most_of(mask: BoolArray, grid: Grid) -> FloatArray:
    """Return the point whose three slices hold most of a mask that is not empty, (3,) RAS mm."""
    others = ((1, 2), (0, 2), (0, 1))
    index = [int(np.count_nonzero(mask, axis=axes).argmax()) for axes in others]
    return np.asarray((grid.affine @ [*index, 1.0])[:3])


def check_picture(file: Path) -> None:
    """Check, before anything is computed for it, that a sheet may be written to a place.

    Raises:
        UsageError: its name does not end in .png.
        OutputRefused: there is no such folder, or another file than a sheet of ours stands there.
    """
    if file.suffix.lower() != ".png":
        raise UsageError(f"a picture is written as PNG, and {file} does not end in .png", "give a name in .png")
    if not file.parent.is_dir():
        raise OutputRefused(f"cannot write {file}: there is no such folder", "give a .png in a folder that is there")
    if file.exists() and not _is_ours(file):
        raise OutputRefused(f"{file} exists and is no picture by mrimpute", "give another name")


def write_sheet(strips: Sequence[Strip], file: Path, digest: str = "") -> None:
    """Write a PNG: each row in an axial, a coronal and a sagittal line, all columns of one width.

    Args:
        strips: at least one; see `drawn`.
        file: ends in .png; an earlier sheet of ours is replaced.
        digest: of the image that it is a picture of, which the file then names.

    Raises:
        UsageError, OutputRefused: see `check_picture`, or the folder refuses.
        ResourcesExhausted: the disk is full.
    """
    from PIL.PngImagePlugin import PngInfo

    check_picture(file)
    told = PngInfo()
    told.add_text("Software", _SOFTWARE)
    told.add_text("Comment", CAPTION)
    if digest:
        told.add_text("Source", digest)
    content = io.BytesIO()
    sheet_of(strips).save(content, "PNG", pnginfo=told)
    write_whole(file, content.getvalue(), sha256_of(file) if file.exists() else None)


def drawn(row: Row) -> Strip:
    """Draw a row in the three planes."""
    lines = tuple(tuple(_tile(panel, row.point, *plane) for panel in row.panels) for plane in PLANES)
    return Strip(lines, tuple(one.title for one in row.panels), tuple(one.synthetic for one in row.panels))


def sheet_of(strips: Sequence[Strip]) -> "Image":
    """Return drawn rows as one picture."""
    from PIL import Image

    lines = [line for strip in strips for line in strip.lines]
    width = max(_LEAST_WIDTH, *(tile.width for line in lines for tile in line))
    heights = [max(tile.height for tile in line) for line in lines]
    columns = max(len(line) for line in lines)
    synthetic = any(any(strip.synthetic) for strip in strips)
    across = columns * (width + _GAP) - _GAP
    caption = _wrapped(CAPTION, across - 2 * _GAP) if synthetic else []
    down = sum(heights) + len(lines) * _GAP + len(caption) * _LINE
    sheet = Image.new("RGB", (across, down), _BLACK)
    top = 0
    for number, (line, height) in enumerate(zip(lines, heights, strict=True)):
        strip, plane = strips[number // len(PLANES)], PLANES[number % len(PLANES)]
        for column, (tile, title, computed) in enumerate(zip(line, strip.titles, strip.synthetic, strict=True)):
            left = column * (width + _GAP)
            sheet.paste(tile, (left + (width - tile.width) // 2, top + (height - tile.height) // 2))
            _label(sheet, title, computed, plane, (left, top, left + width, top + height))
        top += height + _GAP
    for number, words in enumerate(caption):
        _write(sheet, (_GAP, top + number * _LINE), words, _AMBER)
    return sheet


def _tile(panel: Panel, point: FloatArray, _plane: str, axis: int, _left: str, _right: str) -> "Image":
    """Draw the slice of an image through a point, so that a millimetre is as long in both directions."""
    from PIL import Image

    turn = Reorient(panel.grid, RADIOLOGICAL)
    image, grid = turn.apply(panel.image), turn.grid
    index = np.rint(np.linalg.inv(grid.affine) @ [*point, 1.0])[:3].astype(int)
    cut = np.rot90(np.take(image, int(np.clip(index[axis], 0, image.shape[axis] - 1)), axis))
    if axis == 0:
        cut = cut[:, ::-1]  # the front on the left
    across, down = [spacing for number, spacing in enumerate(grid.spacing) if number != axis]
    size = (_pixels(cut.shape[1] * across), _pixels(cut.shape[0] * down))
    grey = Image.fromarray((np.clip(cut, 0, 1) * 255).astype(np.uint8))
    return grey.resize(size, Image.Resampling.BILINEAR).convert("RGB")


def _pixels(millimetres: float) -> int:
    return max(1, round(millimetres * PIXELS_PER_MM))


def _label(
    sheet: "Image", title: str, computed: bool, plane: tuple[str, int, str, str], cell: tuple[int, int, int, int]
) -> None:
    """Write title, sides and, on a computed image, the mark into its cell (left, top, right, bottom)."""
    left, top, right, bottom = cell
    name, _axis, at_left, at_right = plane
    middle = (top + bottom) // 2
    _write(sheet, (left + 2, top + 2), f"{title}, {name}", _WHITE)
    _write(sheet, (left + 2, middle), at_left, _WHITE)
    _write(sheet, (right - 2, middle), at_right, _WHITE, "ra")
    if computed:
        _write(sheet, ((left + right) // 2, bottom - 2), _MARK, _AMBER, "md")


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text as lines that are at most so many pixels wide, but for a longer word."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if _font().getlength(longer) <= width else [*filter(None, lines), word]
    return lines


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(_TEXT)


def _write(sheet: "Image", place: tuple[int, int], text: str, colour: tuple[int, int, int], anchor: str = "la") -> None:
    """Write on a dark edge, so that it can be read on black and on white."""
    from PIL import ImageDraw

    ImageDraw.Draw(sheet).text(place, text, colour, _font(), anchor, stroke_width=2, stroke_fill=_BLACK)


def _is_ours(file: Path) -> bool:
    """Tell whether a file is a PNG whose first text says that mrimpute wrote it."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        begin = opened.read(4096)
    return begin.startswith(_PNG) and b"Software\0" + _SOFTWARE.encode() in begin
