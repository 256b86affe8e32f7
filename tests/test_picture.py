"""Sheets to look at: true to scale, sides named, what is synthetic marked in the picture itself."""

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from mrimpute.errors import OutputRefused, UsageError
from mrimpute.picture import PIXELS_PER_MM, Panel, Row, check_picture, drawn, middle_of, most_of, sheet_of, write_sheet
from mrimpute.volume import Grid

THICK = Grid((120, 140, 20), nib.affines.from_matvec(np.diag([-1.5, 1.25, 7.0]), [90.0, -80.0, -60.0]))
"""Axial slices of 7 mm: 180 x 175 x 140 mm."""


def panel(image, synthetic=False):
    return Panel("flair", image, THICK, synthetic)


def bright(picture):
    """Return the bounding box of what is white, (left, top, right, bottom)."""
    return Image.fromarray((np.asarray(picture.convert("L")) > 127).astype(np.uint8)).getbbox()


@pytest.fixture
def lump():
    """A cube of 60 mm on the patient's right, in front, at the top."""
    image = np.zeros(THICK.shape)
    voxels = np.indices(THICK.shape).reshape(3, -1)
    places = nib.affines.apply_affine(THICK.affine, voxels.T).T
    inside = (abs(places - np.array([[45.0], [40.0], [20.0]])) < 30).all(axis=0)
    image[tuple(voxels[:, inside])] = 1.0
    return image


def planes_of(image, point, monkeypatch):
    """Return the three planes as drawn, without letters."""
    monkeypatch.setattr("mrimpute.picture._write", lambda *_words: None)
    sheet = sheet_of([drawn(Row((panel(image),), np.array(point)))])
    heights = [round(size * PIXELS_PER_MM) for size in (175, 140, 140)]
    tops = [0, heights[0] + 6, sum(heights[:2]) + 12]
    return [sheet.crop((0, top, sheet.width, top + height)) for top, height in zip(tops, heights, strict=True)]


def test_a_cube_is_square_in_every_plane_and_lies_on_its_side(lump, monkeypatch):
    axial, coronal, sagittal = planes_of(lump, (45.0, 40.0, 20.0), monkeypatch)
    for plane in (axial, coronal, sagittal):
        left, top, right, bottom = bright(plane)
        assert right - left == pytest.approx(90, abs=12) and bottom - top == pytest.approx(90, abs=12)
    for plane, upper in ((axial, True), (coronal, True), (sagittal, True)):
        left, top, right, bottom = bright(plane)
        assert (left + right) / 2 < plane.width / 2  # right of the patient, or the front, on the left
        assert ((top + bottom) / 2 < plane.height / 2) is upper


def test_slices_go_through_the_most_of_a_mask(lump):
    mask = lump > 0
    mask[5, 5, 5] = True
    found = most_of(mask, THICK)
    assert np.abs(found - [45, 40, 20]).max() <= 30
    assert np.abs(middle_of(lump, THICK) - [45, 40, 20]).max() <= 4


def test_the_mark_is_burned_into_what_is_synthetic_alone(lump):
    row = Row((panel(lump), panel(lump, synthetic=True)), np.array([45.0, 40.0, 20.0]))
    pixels = np.asarray(sheet_of([drawn(row)]))
    amber = (pixels == (255, 191, 0)).all(axis=-1)
    caption = amber[-40:].any(axis=0)  # two lines of it, which end before the edge
    assert caption[:20].any() and not caption[-4:].any() and amber[-20:].any() and amber[-40:-20].any()
    columns = np.flatnonzero(amber[:-40].any(axis=0))
    assert columns.min() > pixels.shape[1] // 2
    plain = np.asarray(sheet_of([drawn(Row((panel(lump),), np.zeros(3)))]))
    assert not (plain == (255, 191, 0)).all(axis=-1).any()


def test_columns_have_one_width_whatever_the_grids(lump):
    small = Panel("t2", np.ones((30, 20, 10)), Grid((30, 20, 10), np.diag([1.0, 1.0, 1.0, 1.0])))
    wide = sheet_of([drawn(Row((panel(lump), panel(lump), small), np.zeros(3)))]).width
    assert wide == 3 * 270 + 2 * 6


def test_a_sheet_replaces_only_one_of_ours(lump, tmp_path):
    file = tmp_path / "look.png"
    strips = [drawn(Row((panel(lump, synthetic=True),), np.zeros(3)))]
    write_sheet(strips, file)
    write_sheet(strips, file)
    assert "Not for diagnosis" in Image.open(file).text["Comment"]
    foreign = tmp_path / "foreign.png"
    Image.new("L", (4, 4)).save(foreign)
    before = foreign.read_bytes()
    with pytest.raises(OutputRefused, match="no picture by mrimpute"):
        write_sheet(strips, foreign)
    assert foreign.read_bytes() == before
    with pytest.raises(UsageError, match=r"does not end in \.png"):
        check_picture(tmp_path / "t1.nii.gz")
    with pytest.raises(OutputRefused, match="no such folder"):
        check_picture(tmp_path / "absent" / "look.png")
