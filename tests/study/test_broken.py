"""Nothing broken is left out without a word, nor where it may be a wanted source."""

import json
import os
import time

import numpy as np
import pytest
from pydicom import dcmread

from mrimpute import Contrast, Options
from mrimpute.errors import StudyRefused
from mrimpute.io.dicom import headers
from mrimpute.request import make_request
from mrimpute.study import find_series
from tests.conftest import refuse_to_list, tree

THREE = (Contrast.T1, Contrast.T1C, Contrast.T2)


@pytest.fixture
def dicom(build):
    def make():
        for number, contrast in enumerate(THREE, 1):
            folder = build(contrast, number=number)
        return folder.parent

    return make


def cut_short(study):
    for path in sorted((study / "t2").iterdir())[3:]:
        path.unlink()


def too_many_frames(study):
    for path in (study / "t2").iterdir():
        data = dcmread(path)
        data.NumberOfFrames = 99999
        data.save_as(path)


def links_out(study):
    outside = study.parent / "annex"
    (study / "t2").rename(outside)
    (study / "t2").mkdir()
    for path in outside.iterdir():
        (study / "t2" / path.name).symlink_to(path)


def links_to_nowhere(study):
    links_out(study)
    (study.parent / "annex").rename(study.parent / "elsewhere")


def link_loop(study):
    for path in (study / "t2").iterdir():
        path.unlink()
    (study / "t2" / "im000.dcm").symlink_to("im001.dcm")
    (study / "t2" / "im001.dcm").symlink_to("im000.dcm")


def no_number(study):
    for number, path in enumerate((study / "t2").iterdir()):
        data = dcmread(path)
        data.add_new("RescaleSlope", "LO", ["0,5", "1,0"][number % 2])
        data.save_as(path)


BROKEN = (cut_short, too_many_frames, links_out, links_to_nowhere, link_loop, no_number)


@pytest.mark.parametrize("spoil", BROKEN)
def test_a_broken_dicom_source_does_not_change_the_route_silently(cli, dicom, spoil):
    """Before: `flair by syndiff from t1`, stderr empty, exit 0."""
    study = dicom()
    spoil(study)
    before = tree(study)
    done = cli("fill", study, "--missing", "flair", "--dry-run")
    assert done.returncode == 3, done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert "t2/im0" in done.stderr or "/t2" in done.stderr
    assert tree(study) == before
    on = cli("fill", study, "--missing", "flair", "--dry-run", "--ignore-broken")
    assert on.returncode == 0, on.stderr
    assert "flair by syndiff from t1" in on.stdout
    assert "left out" in on.stderr
    record = json.loads(cli("fill", study, "--missing", "flair", "--dry-run", "--ignore-broken", "--json").stdout)
    assert any("left out" in warning["text"] for warning in record["warnings"])


@pytest.mark.parametrize("spoil", BROKEN)
def test_scan_ends_as_fill_does_and_takes_the_same_option(cli, dicom, spoil):
    """Before, `scan` ended with 0 where `fill` refused, and could not be told to go on."""
    study = dicom()
    spoil(study)
    done = cli("scan", study, "--json")
    assert done.returncode == json.loads(done.stdout)["exit"] == 3, done.stderr
    assert json.loads(done.stdout)["error"]["text"] in done.stderr
    assert len(done.stderr.splitlines()) == 1
    on = cli("scan", study, "--ignore-broken")
    assert on.returncode == 0, on.stderr
    assert "left out" in on.stderr
    assert "can be made   flair by" in on.stdout


def test_a_folder_that_cannot_be_listed_is_told_however_deep(cli, dicom, monkeypatch):
    """Before: `flair by syndiff from t1`, without a word on the folder of the t2."""
    study = dicom()
    deep = study / "export" / "1" / "2"
    deep.mkdir(parents=True)
    for name in ("t1", "t1c", "t2"):
        (study / name).rename(deep / name)
    refuse_to_list(monkeypatch, deep / "t2")
    done = cli("fill", study, "--missing", "flair", "--dry-run")
    assert done.returncode == 3, done.stdout
    assert f"{deep / 't2'}: a folder that cannot be listed (Permission denied)" in done.stderr
    on = cli("fill", study, "--missing", "flair", "--dry-run", "--ignore-broken")
    assert on.returncode == 0, on.stderr
    assert "left out" in on.stderr


def test_what_no_target_needs_may_be_broken_and_is_said(cli, dicom):
    study = dicom()
    cut_short(study)
    done = cli("fill", study, "--missing", "t2", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "3 slices only; left out" in done.stderr


def test_links_that_stay_inside_are_followed(dicom):
    study = dicom()
    (study / "t2").rename(study / ".t2")
    (study / "linked").mkdir()
    for path in (study / ".t2").iterdir():
        (study / "linked" / path.name).symlink_to(path)
    assert find_series(study).present == THREE


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_folder_or_pipe_in_the_place_of_an_image_is_said(cli, make_study, make):
    study = make_study()
    (study / "case-t1n.nii.gz").unlink()
    make(study / "case-t1n.nii.gz")
    done = cli("fill", study, "--missing", "flair", "--dry-run")
    assert done.returncode == 3, done.stderr
    assert "case-t1n.nii.gz" in done.stderr
    assert cli("fill", study, "--missing", "flair", "--dry-run", "--ignore-broken").returncode == 0


def test_folders_with_names_of_images_that_hold_them_are_no_fault(make_study):
    """As BraTS 2021 lies on Kaggle: case_t1.nii/00000057_brain_t1.nii."""
    study = make_study()
    for path in list(study.iterdir()):
        inside = path.with_name(path.name.removesuffix(".gz"))
        inside.mkdir()
        path.rename(inside / path.name)
    found = find_series(study)
    assert found.present == THREE
    assert found.broken == ()


@pytest.mark.parametrize("kind", ["pipe", "endless", "large"])
def test_a_sidecar_that_never_ends_is_not_read(cli, make_study, kind):
    """Before: a pipe hung for ever, and a link to /dev/zero took all memory."""
    study = make_study()
    sidecar = study / "case-t1n.json"
    if kind == "pipe":
        os.mkfifo(sidecar)
    elif kind == "endless":
        sidecar.symlink_to("/dev/zero")
    else:
        sidecar.write_bytes(b" " * 2**21 + b"{}")
    assert cli("fill", study, "--missing", "flair", "--dry-run").returncode == 0
    sidecar.rename(study / "case-t2f.json")  # where the result's sidecar belongs
    done = cli("fill", study, "--missing", "flair", "--weights", "builtin", "--device", "cpu")
    assert done.returncode == 6, done.stderr
    assert "was not made by mrimpute" in done.stderr


def test_a_series_cut_short_beside_a_whole_one_is_no_fault(build):
    for number, contrast in enumerate(THREE, 1):
        folder = build(contrast, number=number)
    build(Contrast.T2, name="again", number=4, count=3)
    assert not make_request(folder.parent, [Contrast.FLAIR], Options()).error


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        *(("RescaleSlope", value) for value in ("nan", "0", "CANARY", "1\\2")),
        *(("RescaleIntercept", value) for value in ("0,5", "inf")),
        *(("SliceThickness", value) for value in ("-1", "thin")),
    ],
)
def test_a_number_that_decides_pixels_is_a_number_or_refused(build, keyword, value):
    """Before, a slope that is no number was 1."""

    def change(data, _index):
        data.add_new(keyword, "LO", value.split("\\") if "\\" in value else value)

    folder = build(Contrast.T2, change=change)
    with pytest.raises(StudyRefused, match=r"rescale|thickness") as caught:
        find_series(folder.parent)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "word"),
    [({"PatientID": "OTHER"}, "patients"), ({"StudyInstanceUID": "1.2.3"}, "studies")],
)
def test_a_slice_of_another_patient_in_a_series_is_refused(cli, dicom, change, word):
    """Before: one slice of somebody else was taken with the rest, exit 0."""
    study = dicom()
    path = sorted((study / "t2").iterdir())[4]
    data = dcmread(path)
    for keyword, value in change.items():
        setattr(data, keyword, value)
    data.save_as(path)
    done = cli("fill", study, "--missing", "flair", "--dry-run")
    assert done.returncode == 3, done.stdout
    assert f"2 {word}" in done.stderr


@pytest.mark.parametrize("high", [30, 15, 7])
def test_bits_in_another_place_are_refused(build, high):
    """Before, the high bit was not looked at: of pixels stored to the left, values were 16 times too large."""

    def change(data, _index):
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, high, 0

    folder = build(Contrast.T2, change=change)
    with pytest.raises(StudyRefused, match="how its pixels are stored"):
        find_series(folder.parent).get(Contrast.T2).read()


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept", "SliceThickness"])
def test_a_number_that_is_absent_or_empty_has_its_default(build, keyword):
    folder = build(Contrast.T2, change=lambda data, index: setattr(data, keyword, None))
    plain = build(Contrast.T2, root="plain")
    first, second = (find_series(path.parent).series[0].read().voxels for path in (folder, plain))
    assert np.array_equal(first, second)


def test_pixels_that_cannot_be_are_refused_by_the_header(build):
    """Before: 100 mm hung for more than a minute, 0.001 mm ended with a text of ITK and code 1."""
    for spacing, gap in ((100, 1.5), (0.001, 1.5), (0.9, 0.02)):

        def change(data, index, spacing=spacing, gap=gap):
            data.PixelSpacing = [spacing, spacing]
            data.ImagePositionPatient = [0, 0, gap * index]
            data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]

        folder = build(Contrast.T2, change=change, root=f"study{spacing}-{gap}")
        with pytest.raises(StudyRefused, match=r"mm"):
            find_series(folder.parent)


@pytest.mark.parametrize("start", [b"", bytes(128) + b"DICM", bytes(128) + b"DICM\2\0\0\0UL\4\0\0\0\0\0"])
def test_a_file_of_zeros_that_promises_dicom_is_refused_soon(cli, dicom, monkeypatch, start):
    monkeypatch.setattr(headers, "MAX_READS", 50_000)
    study = dicom()
    (study / "zeros.dcm").write_bytes(start)
    os.truncate(study / "zeros.dcm", 2**30)
    began = time.monotonic()
    done = cli("fill", study, "--missing", "flair", "--dry-run")
    assert time.monotonic() - began < 20
    assert done.returncode == 3
    assert "zeros.dcm" in done.stderr


def test_an_image_that_is_a_loop_of_links_is_refused(cli, make_study):
    study = make_study()
    (study / "case-t1n.nii.gz").unlink()
    (study / "case-t1n.nii.gz").symlink_to("case-t1n.nii.gz")
    done = cli("fill", study, "--missing", "flair", "--dry-run")
    assert done.returncode == 3, done.stderr
    assert "case-t1n.nii.gz" in done.stderr
