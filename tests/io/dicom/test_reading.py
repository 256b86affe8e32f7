"""Defects that DICOM exports have, rebuilt: what must be refused, and what must be read."""

import shutil

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from mrimpute.contrasts import Contrast
from mrimpute.errors import ImageDamaged, MrimputeError, StudyAmbiguous, StudyRefused
from mrimpute.io.dicom.headers import quiet_pydicom, read_headers
from mrimpute.io.dicom.pixels import read_volume
from mrimpute.io.dicom.series import assemble
from mrimpute.study import find_series
from tests.conftest import head_voxels, tree
from tests.dicom_builders import GAP, ROTATION, SPACING, enhance

T1, T2 = Contrast.T1, Contrast.T2


def expected_affine():
    lps = np.eye(4)
    lps[:3, :3] = ROTATION * [SPACING[1], SPACING[0], GAP]
    lps[:3, 3] = [-20.0, -25.0, 5.0]
    return np.diag([-1, -1, 1, 1]) @ lps


def check_whole(folder):
    """The series below a folder is the head that was written, voxel for voxel."""
    series = find_series(folder.parent).get(T1)
    volume = series.read()
    assert np.array_equal(volume.voxels, head_voxels(T1, (40, 48, 9)))
    np.testing.assert_allclose(volume.grid.affine, expected_affine(), atol=1e-6)
    return volume


def remove(name):
    return lambda data, index: delattr(data, name)


def put(**values):
    def change(data, _index):
        for name, value in values.items():
            setattr(data, name, value)

    return change


def on(which, change):
    return lambda data, index: change(data, index) if index == which else None


def moved(by):
    """Move slices by `by(index)` mm along the normal."""

    def change(data, index):
        data.ImagePositionPatient = [
            round(float(p + by(index) * n), 10) for p, n in zip(data.ImagePositionPatient, ROTATION[:, 2], strict=True)
        ]

    return change


def leaning(data, index):
    shifted = np.array(data.ImagePositionPatient, float) + 0.4 * index * ROTATION[:, 0]
    data.ImagePositionPatient = [round(float(p), 10) for p in shifted]


def _cut(path):
    data = dcmread(path, stop_before_pixels=True)
    for keyword in ("Rows", "Columns"):
        delattr(data, keyword)
    data.save_as(path)


REFUSED = {
    "missing middle slice": (lambda build: (build() / "im004.dcm").unlink(), r"apart, but 18\.00 mm .*1 missing"),
    "duplicate position": (
        lambda build: build(change=on(5, moved(lambda _: -GAP))),
        "1 slices at a position that another one has",
    ),
    "one gap doubled": (lambda build: build(change=moved(lambda i: GAP * (i > 4))), "1 missing"),
    "one gap 1.4 times": (lambda build: build(change=moved(lambda i: 3.6 * (i > 4))), r"but 12\.60 mm"),
    "jitter of 0.2 mm": (lambda build: build(change=moved(lambda i: 0.2 * (-1) ** i)), "apart, but"),
    "gantry tilt": (lambda build: build(change=leaning), r"leans by 3\.2 mm \(gantry tilt\)"),
    "no position": (lambda build: build(change=remove("ImagePositionPatient")), "without a position"),
    "no orientation": (lambda build: build(change=remove("ImageOrientationPatient")), "without an orientation"),
    "no pixel spacing": (lambda build: build(change=remove("PixelSpacing")), "without a pixel spacing"),
    "pixel spacing 0": (lambda build: build(change=put(PixelSpacing=[0, 0])), "a pixel spacing of 0"),
    "directions not unit": (
        lambda build: build(change=put(ImageOrientationPatient=[1, 0, 0, 0, 2, 0])),
        "not perpendicular unit vectors",
    ),
    "empty file": (lambda build: (build() / "im009.dcm").write_bytes(b""), r"im009\.dcm: empty file"),
    "noise called dcm": (lambda build: (build() / "im009.dcm").write_bytes(b"\x93" * 900), r"im009\.dcm: "),
    "one instance twice": (
        lambda build: build(change=lambda data, index: setattr(data, "SOPInstanceUID", "1.2.3") if index < 2 else None),
        "two different files with one instance UID",
    ),
    "last slice without position": (
        lambda build: build(change=on(8, remove("ImagePositionPatient"))),
        "1 slices of the series do not fit: slices without a position",
    ),
    "last slice of another type": (
        lambda build: build(change=on(8, put(ImageType=["ORIGINAL", "PRIMARY", "M"]))),
        "1 slices of the series do not fit: another echo time or Image Type",
    ),
    "header cut": (lambda build: _cut(build() / "im008.dcm"), "an MR image without its size|unreadable"),
    "no study": (lambda build: build(change=remove("StudyInstanceUID")), "without study or series UID"),
    "frames described and stored": (
        lambda build: _rewritten(enhance(build()), NumberOfFrames=8),
        "9 frames described where 8 are stored",
    ),
    "colour": (
        lambda build: build(change=put(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)),
        "colour pixels",
    ),
    "grey values by a table": (
        lambda build: build(change=put(ModalityLUTSequence=[Dataset()])),
        r"told by a table \(Modality LUT\)",
    ),
    "different pixel spacings": (
        lambda build: build(change=on(3, put(PixelSpacing=[0.8, 0.9]))),
        "different pixel spacings",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_must_be_refused_is_refused_in_one_sentence(build, tmp_path, name):
    spoil, told = REFUSED[name]
    spoil(build)
    before = tree(tmp_path)
    with pytest.raises(StudyRefused, match=told) as caught:
        find_series(tmp_path / "study")
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert tree(tmp_path) == before


def test_a_decimal_comma_is_refused(build):
    folder = build()
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"2.1\\2.1", b"2,1\\2,1"))
    with pytest.raises(StudyRefused, match="a pixel spacing that is no number"):
        find_series(folder.parent)


def _restored(path, old, new):
    """Change bytes, as a scanner of another vendor would have written them."""
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


DAMAGED = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-500]), "is truncated"),
    "rows lie": (lambda path: _rewritten(path, Rows=3000, Columns=3000), r"truncated: 3840 of 18000000 bytes"),
    "rows lie much": (lambda path: _rewritten(path, Rows=40000, Columns=40000), "40000x40000x9 voxels, over the limit"),
    "private syntax": (lambda path: _restored(path, b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0"), "one vendor"),
    "negative bits": (lambda path: _rewritten(path, BitsStored=40), "does not say how its pixels are stored"),
    "no pixels": (lambda path: _rewritten(path, PixelData=None), "holds no pixels"),
    "no bits": (lambda path: _rewritten(path, BitsAllocated=None), "does not say how its pixels are stored"),
    "inverted": (lambda path: _rewritten(path, PhotometricInterpretation="MONOCHROME1"), "stored inverted"),
}


def _rewritten(path, **values):
    data = dcmread(path)
    for name, value in values.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(path)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_slice_is_never_read_as_something_else(build, name):
    folder = build()
    spoil, told = DAMAGED[name]
    for path in folder.iterdir() if name in ("rows lie", "rows lie much", "inverted") else [folder / "im004.dcm"]:
        spoil(path)
    with pytest.raises(MrimputeError, match=told) as caught:
        find_series(folder.parent).get(T1).read()
    assert isinstance(caught.value, ImageDamaged | StudyRefused)


def compressed(syntax):
    def change(folder):
        for path in folder.iterdir():
            data = dcmread(path)
            data.compress(syntax)
            data.save_as(path)

    return change


def rewritten_as(syntax, little, implicit):
    def change(folder):
        for path in folder.iterdir():
            read, data = dcmread(path), Dataset()
            for element in read:
                data.add(element)
            data.file_meta = read.file_meta
            if not little:
                data.PixelData = np.frombuffer(data.PixelData, "<i2").astype(">i2").tobytes()
            data.file_meta.TransferSyntaxUID = syntax
            dcmwrite(path, data, little_endian=little, implicit_vr=implicit, enforce_file_format=True)

    return change


def bare(folder):
    for path in folder.iterdir():
        data = dcmread(path)
        del data.file_meta
        data.preamble = None
        data.save_as(path, implicit_vr=True, little_endian=True)


def without_preamble(folder):
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])


def clutter(folder):
    (folder / "notes.txt").write_text("no image")
    (folder / "empty").write_bytes(b"")
    (folder / "archive.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    report = Dataset()
    report.file_meta = dcmread(next(folder.glob("im*"))).file_meta
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.22", generate_uid()
    report.Modality = "SR"
    report.save_as(folder / "report.dcm", enforce_file_format=True)


def reversed_names(folder):
    paths = sorted(folder.iterdir())
    for path in paths:
        path.rename(path.with_suffix(".tmp"))
    for path, name in zip(paths, reversed(paths), strict=True):
        path.with_suffix(".tmp").rename(name.with_suffix(""))


def renumbered(folder):
    for path in folder.iterdir():
        _rewritten(path, InstanceNumber=1)


def jitter(by):
    def change(folder):
        for index, path in enumerate(sorted(folder.iterdir())):
            data = dcmread(path)
            moved(lambda i: by * (-1) ** i)(data, index)
            data.save_as(path)

    return change


def turned(folder):
    for index, path in enumerate(sorted(folder.iterdir())):
        data = dcmread(path)
        data.ImageOrientationPatient = [float(v) + 1e-5 * index for v in data.ImageOrientationPatient]
        data.save_as(path)


def copied(folder):
    shutil.copy(folder / "im002.dcm", folder / "copy.dcm")


def looped(folder):
    (folder / "loop").symlink_to(folder.parent, target_is_directory=True)
    (folder / "outside").symlink_to("/etc/hostname")


def hostile(folder):
    for path in folder.iterdir():
        _rewritten(path, SeriesDescription="../../T1", PatientID="/etc/passwd", ProtocolName="..\\..")


ACCEPTED = {
    "plain": lambda folder: None,
    "RLE": compressed(RLELossless),
    "JPEG 2000": compressed(JPEG2000Lossless),
    "JPEG-LS": compressed(JPEGLSLossless),
    "implicit VR": rewritten_as(ImplicitVRLittleEndian, True, True),
    "big-endian": rewritten_as(ExplicitVRBigEndian, False, False),
    "deflated": rewritten_as(DeflatedExplicitVRLittleEndian, True, False),
    "bare data set": bare,
    "no preamble, meta kept": without_preamble,
    "clutter beside": clutter,
    "reversed names without extension": reversed_names,
    "all instance numbers 1": renumbered,
    "exact copy of a file": copied,
    "symlink loop": looped,
    "path traversal in tags": hostile,
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_must_be_read_is_read_exactly(build, name):
    folder = build()
    ACCEPTED[name](folder)
    check_whole(folder)


@pytest.mark.parametrize("change", [jitter(0.0005), jitter(0.04), turned])
def test_small_irregularities_are_read(build, change):
    folder = build()
    change(folder)
    volume = find_series(folder.parent).get(T1).read()
    assert np.array_equal(volume.voxels, head_voxels(T1, (40, 48, 9)))
    np.testing.assert_allclose(volume.grid.affine, expected_affine(), atol=0.05)


def test_echo_times_that_drift_a_little_are_one_echo(build):
    check_whole(build(change=lambda data, index: setattr(data, "EchoTime", 12 + 0.01 * (index > 6))))


def test_few_slices_named_by_the_user_are_checked_too(build):
    folder = build(count=5)
    (folder / "im002.dcm").unlink()
    with pytest.raises(StudyRefused, match="apart"):
        find_series(folder.parent, {T1: folder})


def test_each_slice_has_its_own_rescaling(build):
    folder = build(change=lambda data, index: put(RescaleSlope=0.5 + index, RescaleIntercept=index)(data, index))
    voxels = find_series(folder.parent).get(T1).read().voxels
    expected = head_voxels(T1, (40, 48, 9)) * (0.5 + np.arange(9)) + np.arange(9)
    np.testing.assert_allclose(voxels, expected, rtol=1e-6)


def test_padding_is_no_tissue(build):
    """Pixels are signed here; the value of the padding is written as an unsigned one, as some scanners do."""

    def padded(data, index):
        stored = data.pixel_array
        stored[:3], stored[3, :5] = -2000, -1999
        put(PixelData=stored.tobytes(), RescaleSlope=2, RescaleIntercept=7)(data, index)
        data.add_new("PixelPaddingValue", "US", 65536 - 2000)
        data.add_new("PixelPaddingRangeLimit", "SS", -1999)

    voxels = find_series(build(change=padded).parent).get(T1).read().voxels
    expected = head_voxels(T1, (40, 48, 9)) * 2.0 + 7
    expected[:, :3] = expected[:5, 3] = 0
    np.testing.assert_array_equal(voxels, expected)


def test_padding_of_a_ct_stays_below_air(build):
    def padded(data, index):
        put(Modality="CT", RescaleSlope=1, RescaleIntercept=-1024, PixelPaddingValue=-2000)(data, index)
        stored = data.pixel_array
        stored[:3] = -2000
        data.PixelData = stored.tobytes()

    (series,) = assemble(read_headers(build(change=padded)).slices)
    assert series.slices[0].padding is None
    assert (read_volume(series).voxels[:, :3] == -3024).all()


SPLIT = {
    "localizer in the series": lambda data, index: (
        put(ImageOrientationPatient=[1, 0, 0, 0, 0, -1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])(data, index)
        if index > 8
        else None
    ),
    "b-value in the series": lambda data, index: put(DiffusionBValue=1000.0)(data, index) if index > 8 else None,
    "matrix of another size": lambda data, index: (
        put(Rows=24, PixelData=data.PixelData[: len(data.PixelData) // 2])(data, index) if index > 8 else None
    ),
}


@pytest.mark.parametrize("name", SPLIT)
def test_foreign_slices_in_a_series_are_split_off(build, name):
    folder = build(change=SPLIT[name], count=12)
    study = find_series(folder.parent)
    assert study.get(T1).grid.shape == (40, 48, 9)
    assert len(study.set_aside) == 1


def test_two_echoes_in_one_series_are_two_images(build):
    def two(data, index):
        data.SeriesDescription = "PD+T2 TSE"
        if index >= 9:
            data.EchoTime = 90
            moved(lambda _: -9 * GAP)(data, index)

    folder = build(Contrast.PD, "dual", two, count=18)
    study = find_series(folder.parent)
    assert set(study.present) == {Contrast.PD, T2}
    assert study.get(T2).grid.shape == study.get(Contrast.PD).grid.shape == (40, 48, 9)


def test_two_frames_of_reference_are_two_series_and_one_must_be_named(build):
    space = generate_uid()

    def two(data, index):
        if index >= 9:
            data.FrameOfReferenceUID = space
            moved(lambda _: -9 * GAP)(data, index)

    folder = build(change=two, count=18)
    with pytest.raises(StudyAmbiguous, match="t1 found twice"):
        find_series(folder.parent)
    assert find_series(folder.parent, {T1: folder / "im010.dcm"}).get(T1).path == folder / "im009.dcm"


def test_slices_without_a_common_series_and_lone_slices_are_set_aside(build):
    folder = build(change=lambda data, _index: setattr(data, "SeriesInstanceUID", generate_uid()))
    study = find_series(folder.parent)
    assert study.present == ()
    assert [item.reason for item in study.set_aside] == ["1 slice only"] * 9


def test_two_series_in_one_folder_are_two(build):
    build(T1, "all")
    folder = build(T2, "all", count=9, number=2, suffix="b.dcm")
    study = find_series(folder.parent)
    assert study.present == (T1, T2)


def test_an_enhanced_multi_frame_file_is_read(build):
    folder = build()
    enhance(folder)
    volume = find_series(folder.parent).get(T1).read()
    assert np.array_equal(volume.voxels, head_voxels(T1, (40, 48, 9)) * 2.0)
    np.testing.assert_allclose(volume.grid.affine, expected_affine(), atol=1e-6)


def test_an_absent_decoder_is_named_with_the_way_out(build, monkeypatch):
    from pydicom.pixels.decoders import JPEGLSLosslessDecoder

    folder = build()
    compressed(JPEGLSLossless)(folder)
    series = find_series(folder.parent).get(T1)
    monkeypatch.setattr(JPEGLSLosslessDecoder, "_available", {})
    with pytest.raises(ImageDamaged, match=r"compressed as JPEG-LS Lossless.*mrimpute\[codecs\]"):
        series.read()


def test_nifti_and_dicom_in_one_folder_are_ambiguous(build, make_study):
    folder = build().parent
    nifti = make_study("study")
    assert nifti == folder
    shutil.copy(folder / "t1" / "im000.dcm", folder / "im000.dcm")
    with pytest.raises(StudyAmbiguous, match=r"both study-.* and DICOM files"):
        find_series(folder)


def test_real_studies_are_read(shared):
    scanned = {
        "ge-signa-pd": {Contrast.PD: (256, 256, 20)},
        "siemens-trio-t1-t2": {T1: (192, 192, 176), T2: (384, 512, 56)},
    }
    for name, expected in scanned.items():
        study = find_series(shared / "data" / "dicom" / name)
        assert {item.contrast: item.grid.shape for item in study.series} == expected
    pd = find_series(shared / "data" / "dicom" / "ge-signa-pd").get(Contrast.PD)
    assert pd.grid.spacing[2] == pytest.approx(7.0, abs=0.02)  # its SpacingBetweenSlices says 2
    reference = pd.read().voxels
    for syntax in ("jpeg2000", "jpeg-ls", "rle"):
        again = find_series(shared / "data" / "dicom" / "ge-signa-pd-compressed" / syntax).get(Contrast.PD)
        assert np.array_equal(again.read().voxels, reference)


def test_pydicom_stays_quiet_until_the_last_thread_is_done():
    from pydicom import config

    before = config.settings.reading_validation_mode
    first, second = quiet_pydicom(), quiet_pydicom()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert config.settings.reading_validation_mode == config.IGNORE
    assert config.logger.disabled
    second.__exit__(None, None, None)
    assert config.settings.reading_validation_mode == before
    assert not config.logger.disabled


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data, _: setattr(data, "PixelSpacing", [0.05, 0.05]), "pixels outside 0.2 to 10 mm"),
        (lambda data, _: setattr(data, "PixelSpacing", [30, 30]), "pixels outside 0.2 to 10 mm"),
        (
            lambda data, index: setattr(
                data, "ImagePositionPatient", [float(v) for v in index * 25.0 * ROTATION[:, 2]]
            ),
            "slices 25.0 mm apart",
        ),
    ],
)
def test_spacing_out_of_bounds_is_refused(build, change, message):
    found = assemble(read_headers(build(change=change)).slices)
    assert message in found[0].defect.seen
