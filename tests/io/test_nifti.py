"""Defects that NIfTI files have: each is read right or refused with one line."""

import gzip
import os
import struct
import time
import zlib

import nibabel as nib
import numpy as np
import pytest

from mrimpute import device, io
from mrimpute.errors import ImageDamaged
from mrimpute.io import nifti
from mrimpute.volume import Grid
from tests.conftest import FINE, OBLIQUE, head_voxels, write_nifti

AFFINE = np.diag([-1.0, -1.0, 1.2, 1.0])
VOXELS = head_voxels("t1", (20, 22, 18))


@pytest.fixture
def good(tmp_path):
    return write_nifti(tmp_path / "good.nii", VOXELS, AFFINE)


def patched(good, offset, layout, *values):
    """Return a file in which header fields at a byte offset have other values."""
    raw = bytearray(good.read_bytes())
    struct.pack_into("<" + layout, raw, offset, *values)
    path = good.with_name("bad.nii")
    path.write_bytes(raw)
    return path


def image(tmp_path, voxels, affine=AFFINE, name="x.nii.gz", kind=nib.Nifti1Image, **form):
    picture = kind(voxels, affine)
    picture.set_sform(affine, code=form.get("sform", 1))
    picture.set_qform(form.get("q_affine", affine), code=form.get("qform", 1))
    picture.to_filename(tmp_path / name)
    return tmp_path / name


HEADER_DEFECTS = {
    "negative dimension": (40, "8h", (3, -20, 22, 18, 1, 1, 1, 1), "not a 3-D volume"),
    "zero dimension": (40, "8h", (3, 20, 0, 18, 1, 1, 1, 1), "not a 3-D volume"),
    "no dimensions": (40, "8h", (0, 20, 22, 18, 1, 1, 1, 1), "not a 3-D volume"),
    "nine dimensions": (40, "8h", (9, 20, 22, 18, 1, 1, 1, 1), "not a 3-D volume"),
    "70 terabytes": (40, "8h", (3, 32767, 32767, 32767, 1, 1, 1, 1), "over the limit"),
    "more slices than data": (40, "8h", (3, 20, 22, 200, 1, 1, 1, 1), "truncated"),
    "several volumes": (40, "8h", (4, 20, 11, 18, 2, 1, 1, 1), "split it into one 3-D file per contrast"),
    "few slices": (40, "8h", (3, 20, 22, 2, 1, 1, 1, 1), "only 2 slices"),
    "unknown type": (70, "h", (999,), "not a real number"),
    "complex": (70, "h", (32,), "not a real number"),
    "RGB": (70, "h", (128,), "not a real number"),
    "offset 0": (108, "f", (0.0,), "points into the header"),
    "offset past the end": (108, "f", (1e6,), "truncated"),
    "offset NaN": (108, "f", (float("nan"),), "points into the header"),
    "voxel size 0": (80, "3f", (0.0, 1.0, 1.2), "is not valid"),
    "voxel size NaN": (80, "3f", (1.0, float("nan"), 1.2), "is not valid"),
    "sform NaN": (280, "f", (float("nan"),), "not a valid position"),
    "sform all zero": (280, "12f", (0.0,) * 12, "not a valid position"),
    "no form codes": (252, "2h", (0, 0), "does not state its orientation"),
    "micrometres": (123, "b", (3,), "not in millimetres"),
    "sform and qform 10 mm apart": (268, "f", (10.0,), "contradict each other"),
    "sform mirrored": (280, "f", (1.0,), "contradict each other"),
    "pair magic": (344, "4s", (b"ni1\0",), "wrong magic"),
    "bad magic": (344, "4s", (b"abcd",), "wrong magic"),
    "header size": (0, "i", (77,), "not a NIfTI image"),
    "huge voxels": (280, "12f", (-50.0, 0, 0, 0, 0, -50.0, 0, 0, 0, 0, 50.0, 0), ""),
}


@pytest.mark.parametrize("name", HEADER_DEFECTS)
def test_a_wrong_header_is_refused_with_one_line(good, name):
    offset, layout, values, message = HEADER_DEFECTS[name]
    path = patched(good, offset, layout, *values)
    with pytest.raises(ImageDamaged) as caught:
        io.read_volume(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_gzip_is_refused(good):
    whole = gzip.compress(good.read_bytes())
    for length in (len(whole) // 2, len(whole) - 4, 300, 12):
        path = good.with_name("cut.nii.gz")
        path.write_bytes(whole[:length])
        with pytest.raises(ImageDamaged, match=r"truncated|not a|ends early"):
            io.read_volume(path)


def test_a_wrong_check_sum_is_refused(good):
    whole = bytearray(gzip.compress(good.read_bytes()))
    whole[-6] ^= 0xFF
    path = good.with_name("crc.nii.gz")
    path.write_bytes(whole)
    with pytest.raises(ImageDamaged, match="corrupt"):
        io.read_volume(path)


@pytest.mark.parametrize("length", [0, 10, 348, 352, 2000])
def test_a_cut_plain_file_is_refused(good, length):
    path = good.with_name("cut.nii")
    path.write_bytes(good.read_bytes()[:length])
    with pytest.raises(ImageDamaged):
        io.read_volume(path)


def test_a_gzip_bomb_is_refused_before_unpacking(good):
    header = bytearray(good.read_bytes()[:352])
    struct.pack_into("<8h", header, 40, 3, 2000, 2000, 1000, 1, 1, 1, 1)
    path = good.with_name("bomb.nii.gz")
    path.write_bytes(gzip.compress(bytes(header) + bytes(10**7)))
    with pytest.raises(ImageDamaged, match="over the limit"):
        io.read_info(path)


def test_more_data_than_declared_is_refused(good):
    path = good.with_name("more.nii.gz")
    path.write_bytes(gzip.compress(good.read_bytes() + bytes(3 * 2**20)))
    with pytest.raises(ImageDamaged, match="more data"):
        io.read_volume(path)


def test_an_image_that_lost_a_dimension_is_refused(good):
    """Before, up to 1 MiB too much was taken for padding: 48 slices read as 40."""
    raw = bytearray(good.read_bytes())
    for axis in (1, 2, 3):
        (length,) = struct.unpack_from("<h", raw, 40 + 2 * axis)
        changed = bytearray(raw)
        struct.pack_into("<h", changed, 40 + 2 * axis, length - 1)
        for name, content in (("less.nii", bytes(changed)), ("less.nii.gz", gzip.compress(changed))):
            path = good.with_name(name)
            path.write_bytes(content)
            with pytest.raises(ImageDamaged, match="more data"):
                io.read_volume(path)


def test_a_qform_that_is_no_rotation_is_refused_in_these_words_where_it_is_stated(good):
    raw = bytearray(good.read_bytes())
    struct.pack_into("<f", raw, 256, 5.0)  # quatern_b
    path = good.with_name("turned.nii")
    for code in (0, 1):
        struct.pack_into("<h", raw, 252, code)
        path.write_bytes(raw)
        if code:
            with pytest.raises(ImageDamaged, match="its qform is no rotation"):
                io.read_info(path)
        else:
            assert io.read_info(path).grid.same_as(io.read_info(good).grid)


def test_a_form_code_that_the_standard_does_not_know_is_refused(good):
    """Before: five lines of nibabel after all the computing, and "check that disk"."""
    for offset in (252, 254):
        raw = bytearray(good.read_bytes())
        struct.pack_into("<h", raw, offset, 99)
        path = good.with_name("codes.nii")
        path.write_bytes(raw)
        with pytest.raises(ImageDamaged, match="form codes"):
            io.read_info(path)


def test_a_file_of_very_many_gzip_members_does_not_hang(good):
    """Before: 31 s for 2 MB, and more than a minute for 8 MB."""
    path = good.with_name("members.nii.gz")
    raw = good.read_bytes()
    path.write_bytes(gzip.compress(raw) + gzip.compress(b"") * 40_000)
    began = time.monotonic()
    assert np.array_equal(io.read_volume(path).voxels, io.read_volume(good).voxels)
    path.write_bytes(gzip.compress(raw) + gzip.compress(b"") * 400_000)
    with pytest.raises(ImageDamaged, match="more data"):
        io.read_volume(path)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("packed", [False, True])
def test_a_huge_file_is_refused_by_its_size(good, packed):
    """Before, 60 GB were read before any look at the header's size."""
    path = good.with_name("huge.nii")
    path.write_bytes(gzip.compress(good.read_bytes()) if packed else good.read_bytes())
    os.truncate(path, 60 * 2**30)
    with pytest.raises(ImageDamaged, match="more data"):
        io.read_volume(path)


def test_more_voxels_than_a_head_has_are_refused_by_the_header(good):
    """1.9 MB that unpack to 1000 x 1000 x 1000 zeros took more than 90 s."""
    raw = bytearray(good.read_bytes()[:352])
    struct.pack_into("<8h", raw, 40, 3, 1000, 1000, 1000, 1, 1, 1, 1)
    path = good.with_name("zeros.nii")
    path.write_bytes(raw)
    with pytest.raises(ImageDamaged, match="512x512x512"):
        io.read_info(path)


@pytest.mark.parametrize("name", ["plain.nii.gz", "packed.nii", "padded.nii.gz", "two-members.nii.gz"])
def test_harmless_wrappings_are_read_right(good, name):
    raw = good.read_bytes()
    content = {
        "plain.nii.gz": raw,
        "packed.nii": gzip.compress(raw),
        "padded.nii.gz": gzip.compress(raw) + bytes(100),
        "two-members.nii.gz": gzip.compress(raw[:5000]) + gzip.compress(raw[5000:]),
    }[name]
    path = good.with_name(name)
    path.write_bytes(content)
    np.testing.assert_array_equal(io.read_volume(path).voxels, VOXELS)


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.where(VOXELS > 0, np.nan, 1.0).astype(np.float32), "NaN or infinite"),
        (np.where(VOXELS.max() == VOXELS, np.inf, VOXELS).astype(np.float32), "NaN or infinite"),
        (np.zeros(VOXELS.shape, np.int16), "empty"),
        (np.full(VOXELS.shape, 7, np.int16), "empty"),
        ((VOXELS > 0).astype(np.uint8), "two values only"),
        (VOXELS.astype(np.float64) * 1e300, "float32"),
    ],
)
def test_voxels_that_are_no_image_are_refused(tmp_path, voxels, message):
    with pytest.raises(ImageDamaged, match=message):
        io.read_volume(image(tmp_path, voxels))


def test_an_almost_empty_image_is_refused(tmp_path):
    voxels = np.zeros((40, 40, 40), np.int16)
    voxels[:3, :3, :3] = np.arange(27).reshape(3, 3, 3)
    with pytest.raises(ImageDamaged, match="almost empty"):
        io.read_volume(image(tmp_path, voxels))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_every_number_type_is_read_exactly(tmp_path, dtype, kind):
    values = (VOXELS % 250).astype(dtype)
    picture = kind(values, AFFINE, dtype=dtype)
    picture.set_sform(AFFINE, code=2)
    picture.to_filename(tmp_path / "x.nii.gz")
    volume = io.read_volume(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(volume.voxels, values)
    np.testing.assert_allclose(volume.grid.affine, AFFINE)


def test_big_endian_scaled_and_single_volume_4d_files_are_read(tmp_path):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    header.set_sform(AFFINE, code=1)
    header.set_slope_inter(2.0, 5.0)
    picture = nib.Nifti1Image(VOXELS[..., None], None, header)
    picture.header.set_slope_inter(2.0, 5.0)
    picture.to_filename(tmp_path / "x.nii")
    volume = io.read_volume(tmp_path / "x.nii")
    assert volume.voxels.shape == VOXELS.shape
    np.testing.assert_array_equal(volume.voxels, VOXELS * 2.0 + 5.0)


@pytest.mark.parametrize("slope", [0.0, float("nan"), float("inf")])
def test_a_meaningless_slope_is_taken_as_none(good, slope):
    volume = io.read_volume(patched(good, 112, "f", slope))
    np.testing.assert_array_equal(volume.voxels, VOXELS)


def test_a_slight_shear_is_kept_with_a_warning_and_more_is_refused(tmp_path):
    for shear, fate in ((1e-5, "silent"), (5e-3, "warned"), (9e-3, "warned"), (2e-2, "refused")):
        affine = FINE.copy()
        affine[:3, 1] += shear * affine[:3, 0]
        path = write_nifti(tmp_path / f"{shear}.nii.gz", VOXELS, affine)
        if fate == "refused":
            with pytest.raises(ImageDamaged, match="sheared"):
                io.read_info(path)
            continue
        info = io.read_info(path)
        assert any("shear" in warning for warning in info.warnings) == (fate == "warned")
        np.testing.assert_allclose(info.grid.affine, affine, atol=1e-5)


def test_forms_with_different_codes_are_read_with_a_warning(tmp_path):
    other = AFFINE.copy()
    other[:3, 3] += 10
    path = image(tmp_path, VOXELS, sform=4, q_affine=other)
    info = io.read_info(path)
    assert "different spaces" in info.warnings[0]
    np.testing.assert_allclose(info.grid.affine, AFFINE)


def test_encoding_keeps_codes_units_and_grid_and_drops_free_text(tmp_path):
    picture = nib.Nifti1Image(VOXELS[..., None], OBLIQUE)
    picture.set_sform(OBLIQUE, code=4)
    picture.set_qform(OBLIQUE, code=2)
    picture.header.set_xyzt_units("mm", "sec")
    picture.header["descrip"] = b"SMITH^JOHN"
    picture.header["aux_file"] = b"SMITH"
    picture.header["db_name"] = b"SMITH"
    picture.header["intent_name"] = b"SMITH"
    picture.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"SMITH^JOHN"))
    picture.to_filename(tmp_path / "source.nii.gz")
    source = io.read_volume(tmp_path / "source.nii.gz")
    voxels = np.linspace(0, 1, VOXELS.size, dtype=np.float32).reshape(VOXELS.shape)
    content = nifti.encode(voxels, source.grid, source.header, "SYNTHETIC flair")
    assert content == nifti.encode(voxels, source.grid, source.header, "SYNTHETIC flair")
    assert b"SMITH" not in gzip.decompress(content)
    (tmp_path / "made.nii.gz").write_bytes(content)
    made, before = nib.load(tmp_path / "made.nii.gz"), nib.load(tmp_path / "source.nii.gz")
    assert made.shape == before.shape
    np.testing.assert_array_equal(made.affine, before.affine)
    for field in ("sform_code", "qform_code", "xyzt_units", "quatern_b", "quatern_c", "quatern_d", "pixdim"):
        np.testing.assert_array_equal(made.header[field], before.header[field])
    assert made.get_data_dtype() == np.float32
    assert made.header["descrip"].item().startswith(b"SYNTHETIC")
    np.testing.assert_array_equal(made.get_fdata(dtype=np.float32)[..., 0], voxels)


def test_encoding_without_a_header_states_the_grid(tmp_path):
    grid = Grid((20, 22, 18), OBLIQUE)
    (tmp_path / "x.nii.gz").write_bytes(nifti.encode(VOXELS.astype(np.float32), grid, None, "SYNTHETIC t2"))
    info = io.read_info(tmp_path / "x.nii.gz")
    np.testing.assert_allclose(info.grid.affine, OBLIQUE, atol=1e-5)


def test_fuzzed_headers_never_escape_as_another_error(good):
    raw = good.read_bytes()
    draw = np.random.default_rng(11)
    refused = 0
    for _ in range(400):
        mutated = bytearray(raw)
        for _ in range(int(draw.integers(1, 6))):
            mutated[int(draw.integers(352))] = int(draw.integers(256))
        path = good.with_name("fuzz.nii")
        path.write_bytes(mutated)
        try:
            volume = io.read_volume(path)
        except ImageDamaged:
            refused += 1
        else:
            assert np.isfinite(volume.voxels).all()
            assert volume.grid.shear <= nifti.SHEAR_LIMIT
    assert 50 < refused < 400


def test_a_file_packed_in_parts_is_one_gzip_member_whatever_the_cpus(good, monkeypatch):
    volume = nifti.read(good)
    monkeypatch.setattr(nifti, "PART", 1000)
    packed = nifti.encode(volume.voxels, volume.grid, volume.header, "parts")
    stream = zlib.decompressobj(wbits=31)
    content = stream.decompress(packed)
    assert stream.eof
    assert not stream.unused_data
    assert content[352:] == volume.voxels.astype(np.float32).tobytes(order="F")
    monkeypatch.setattr(device, "allowed_cpus", lambda: 1)
    assert nifti.encode(volume.voxels, volume.grid, volume.header, "parts") == packed


@pytest.mark.parametrize("lowest", [-3.0, -2.99, -50.0])
def test_an_exact_0_stays_0_where_an_intercept_leaves_no_whole_number_for_it(tmp_path, lowest):
    stripped = np.where(VOXELS > 0, VOXELS * 0.7, 0.0).astype(np.float32)
    stripped[9, 9, 9] = lowest  # a resampled image overshoots
    picture = nib.Nifti1Image(stripped, AFFINE)
    picture.set_data_dtype(np.int16)
    picture.set_qform(AFFINE, code=1)
    picture.to_filename(tmp_path / "x.nii")
    stored = nib.load(tmp_path / "x.nii").dataobj
    assert stored.inter != 0
    volume = io.read_volume(tmp_path / "x.nii")
    np.testing.assert_array_equal(volume.voxels == 0, stripped == 0)
    np.testing.assert_allclose(volume.voxels, stripped, atol=stored.slope)
