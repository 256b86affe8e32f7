"""Derived series: conformance, labels, geometry, and that they are never taken for acquired."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.fill import Options, fill
from mrimpute.study import find_series
from tests.conftest import tree
from tests.dicom_builders import GAP, ROTATION, enhance

FLAIR = Contrast.FLAIR
AXIAL = np.eye(3)
SAGITTAL = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
CORONAL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
ORIENTATIONS = {"oblique": ROTATION, "axial": AXIAL, "sagittal": SAGITTAL, "coronal": CORONAL}
NEVER = (
    *("InversionTime", "SequenceName", "FlipAngle", "MagneticFieldStrength", "ImagingFrequency", "PixelBandwidth"),
    *("NumberOfAverages", "AcquisitionMatrix", "ReceiveCoilName", "SAR", "ProtocolName", "ContrastBolusAgent"),
    *("DiffusionBValue", "TriggerTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionNumber"),
    *("DeviceSerialNumber", "StationName", "InstitutionName", "RescaleSlope", "RescaleIntercept"),
    *("DerivationCodeSequence", "PixelPaddingValue", "Laterality"),
)
"""Attributes that no classic derived image may carry (reliability.md 1.2)."""


def turned(rotation):
    """Turn the stack, and add what a scanner records and a derived image must not repeat."""

    def change(data, index):
        data.ImageOrientationPatient = [float(v) for v in (*rotation[:, 0], *rotation[:, 1])]
        data.ImagePositionPatient = [
            round(float(v), 8) for v in np.array([-20.0, 5.0, 7.0]) + GAP * index * rotation[:, 2]
        ]
        data.FlipAngle, data.MagneticFieldStrength, data.ProtocolName = 90, 3, "private"
        data.AcquisitionDate, data.AcquisitionTime, data.AcquisitionNumber = "20260101", "101010", 4
        data.InstitutionName, data.StationName, data.PixelBandwidth = "Hospital", "MR1", 100
        data.private_block(0x0029, "ACME", create=True).add_new(1, "LO", "secret")

    return change


@pytest.fixture
def filled(build, tiny_weights, monkeypatch, tmp_path):
    """Fill a study of three classic series, or one enhanced file each, with a fourth."""

    def make(target=FLAIR, rotation=ROTATION, family="classic", change=None):
        turn = turned(rotation)

        def both(data, index):
            turn(data, index)
            if change:
                change(data, index)

        for number, contrast in enumerate(c for c in BRATS_FOUR if c is not target):
            folder = build(contrast, change=both, number=number + 3, root=f"{target}-{family}")
            if family == "enhanced":
                enhance(folder)
        monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "state"))
        options = Options(weights=(str(tiny_weights[target]),), device="cpu", threads=1)
        outcome = fill(folder.parent, options=options)
        assert [output.path for output in outcome.outputs] == [folder.parent / f"mrimpute_{target}"]
        return folder.parent, outcome.outputs[0].path

    return make


def complaints(tool_output):
    lines = tool_output.stderr.decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.startswith(("Error", "Warning"))]


def validate(files):
    """dciodvfy of the pip package; its exit status is no verdict, its lines are."""
    tool = Path(sys.executable).parent / "dciodvfy"
    found = []
    for file in files:
        found += complaints(subprocess.run([tool, file], capture_output=True, check=False))
    return found


@pytest.mark.parametrize("family", ["classic", "enhanced"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("target", [FLAIR, Contrast.T1, Contrast.T2])
def test_the_validator_has_nothing_to_say(filled, target, orientation, family):
    _, folder = filled(target, ORIENTATIONS[orientation], family)
    files = sorted(folder.iterdir())
    assert len(files) == (9 if family == "classic" else 1)
    assert validate(files[:: max(1, len(files) // 3)]) == []


@pytest.mark.parametrize("family", ["classic", "enhanced"])
def test_other_readers_find_the_same_place_and_integers(filled, family, tmp_path):
    import highdicom
    import nibabel as nib

    study, folder = filled(family=family)
    reference = find_series(study).get(Contrast.T1).grid
    files = sorted(folder.iterdir())
    stored = np.stack([dcmread(file).pixel_array for file in files])
    stored = stored[0] if family == "enhanced" else stored  # (slice, row, column)
    assert stored.std() > 0

    if family == "classic":
        image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
        volume = highdicom.get_volume_from_series([dcmread(file) for file in files])
    else:
        image = sitk.ReadImage(str(files[0]))
        volume = highdicom.imread(files[0]).get_volume()
    assert np.array_equal(sitk.GetArrayFromImage(image), stored)
    corners = np.array([[x, y, z] for x in (0, 39) for y in (0, 47) for z in (0, 8)])
    places = np.array([image.TransformIndexToPhysicalPoint([int(v) for v in corner]) for corner in corners])
    expected = corners @ reference.affine[:3, :3].T + reference.affine[:3, 3]
    assert np.abs(places * [-1, -1, 1] - expected).max() < 1e-4
    assert np.array_equal(np.sort(np.asarray(volume.array).ravel()), np.sort(stored.ravel()))
    assert np.abs(np.abs(np.linalg.det(volume.affine[:3, :3])) - np.abs(np.linalg.det(reference.affine[:3, :3]))) < 1e-4

    measures = next(item for item in dcmread(files[0]).iterall() if item.keyword == "PixelSpacing")
    assert [str(value) for value in measures.value] == ["2.1", "2.1"]  # no digits that differ between processors

    (tmp_path / "out").mkdir()
    tool = Path(sys.executable).parent / "dcm2niix"
    subprocess.run([tool, "-o", tmp_path / "out", "-f", "x", folder], check=True, capture_output=True)
    nifti = nib.load(next((tmp_path / "out").glob("*.nii")))
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in nifti.shape])).reshape(3, -1).T
    found = nib.affines.apply_affine(nifti.affine, ends)
    assert max(np.abs(found - place).max(axis=1).min() for place in expected) < 1e-4
    assert np.array_equal(np.sort(nifti.get_fdata().ravel()), np.sort(stored.ravel()))
    sidecar = json.loads(next((tmp_path / "out").glob("*.json")).read_text())
    assert "SYNTHETIC" in sidecar["SeriesDescription"]
    assert sidecar.get("Manufacturer") != "MRSolutions"


def test_every_mark_and_reference_is_there(filled):
    study, folder = filled()
    sources = {c: [dcmread(f) for f in sorted((study / c).iterdir())] for c in ("t1", "t1c", "t2")}
    known = {data.SOPInstanceUID for slices in sources.values() for data in slices}
    uids = set()
    for number, file in enumerate(sorted(folder.iterdir()), 1):
        data = dcmread(file)
        first = sources["t1"][0]
        assert data.SyntheticData == "YES"
        assert list(data.ImageType) == ["DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"]
        assert data.ContentQualification == "RESEARCH"
        assert data.SeriesDescription.startswith("SYNTHETIC")
        assert data.DerivationDescription.startswith("SYNTHETIC flair")
        purposes = [item.PurposeOfReferenceCodeSequence[0].CodeValue for item in data.ContributingEquipmentSequence]
        assert purposes == ["109101", "109100"]
        assert not data.Manufacturer.upper().startswith("MR")
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "PatientID", "PatientBirthDate"):
            assert data[keyword].value == first[keyword].value, keyword
        assert data.SeriesNumber == 9003
        assert data.InstanceNumber == number
        assert data.ScanningSequence == "RM"
        assert data["EchoTime"].is_empty
        assert data["RepetitionTime"].is_empty
        assert not [keyword for keyword in NEVER if keyword in data]
        assert not [element.tag for element in data.iterall() if element.tag.is_private]
        for element in data.iterall():
            if element.VR == "DS" and element.value not in (None, ""):
                values = element.value if element.VM > 1 else [element.value]
                assert all(len(str(value)) <= 16 for value in values), element.tag
        assert data.pixel_array.max() < 2**data.BitsStored
        referenced = {item.ReferencedSOPInstanceUID for item in data.SourceImageSequence}
        assert len(referenced) == 3
        assert referenced <= known
        every = {
            i.ReferencedSOPInstanceUID for s in data.ReferencedSeriesSequence for i in s.ReferencedInstanceSequence
        }
        assert every == known
        uids |= {data.SOPInstanceUID}
        assert len(data.SOPInstanceUID) <= 64
    assert len(uids) == 9
    assert not uids & known
    sidecar = json.loads(folder.with_suffix(".json").read_text())
    assert sidecar["Synthetic"] is True
    assert sidecar["image"]["file"] == "mrimpute_flair"


def test_series_number_is_above_the_studys_highest(filled):
    _, folder = filled(
        change=lambda data, _index: setattr(data, "SeriesNumber", data.SeriesNumber + 9500 * (data.SeriesNumber == 5))
    )
    assert dcmread(next(folder.iterdir())).SeriesNumber == 9506


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 100", "Müller^Jörg"), ("ISO_IR 192", "Łuczak^Ożarów"), ("GB18030", "王^小东")],
)
def test_names_survive_in_their_character_set(filled, charset, name):
    def change(data, _index):
        data.SpecificCharacterSet, data.PatientName = charset, name

    _, folder = filled(change=change)
    data = dcmread(next(folder.iterdir()))
    assert str(data.PatientName) == name
    assert data.SpecificCharacterSet == charset
    assert validate([next(folder.iterdir())]) == []


def test_a_rerun_makes_the_same_series_and_never_uses_it_as_a_source(filled, cli, tiny_weights):
    study, folder = filled()
    first = {file.name: dcmread(file) for file in folder.iterdir()}
    found = find_series(study)
    assert FLAIR not in found.present
    assert any("synthetic" in item.reason for item in found.set_aside)
    before = tree(study)
    words = ["fill", study, "--weights", tiny_weights[FLAIR], "--device", "cpu"]
    assert cli(*words).returncode == 0
    assert tree(study) == before  # skipped
    assert cli(*words, "--overwrite").returncode == 0
    for file in folder.iterdir():
        again = dcmread(file)
        assert again.SOPInstanceUID == first[file.name].SOPInstanceUID
        assert again.SeriesInstanceUID == first[file.name].SeriesInstanceUID
        assert again.PixelData == first[file.name].PixelData
    other = cli(*words, "--seed", 1)
    assert other.returncode == 6
    assert "made before by another recipe" in other.stderr
    assert cli(*words, "--seed", 1, "--overwrite").returncode == 0
    assert dcmread(next(folder.iterdir())).SeriesInstanceUID != first["0001.dcm"].SeriesInstanceUID
    assert not list(study.glob(".mrimpute*"))


def test_a_series_changed_since_is_not_overwritten(filled, cli, tiny_weights):
    study, folder = filled()
    (folder / "0001.dcm").write_bytes((study / "t1" / "im000.dcm").read_bytes())
    before = tree(study)
    done = cli("fill", study, "--weights", tiny_weights[FLAIR], "--device", "cpu", "--overwrite")
    assert done.returncode in (3, 6), done.stderr
    assert tree(study) == before


def test_different_frames_of_reference_are_refused(build, cli, tiny_weights):
    build(Contrast.T1, change=lambda data, _index: setattr(data, "FrameOfReferenceUID", "1.2.3"))
    build(Contrast.T1C, number=2)
    study = build(Contrast.T2, number=3).parent
    done = cli("fill", study, "--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu")
    assert done.returncode == 3
    assert "different frames of reference" in done.stderr


def test_a_foreign_folder_at_the_place_is_left_alone(build, cli, tiny_weights):
    for number, contrast in enumerate((Contrast.T1, Contrast.T1C, Contrast.T2)):
        study = build(contrast, number=number + 1).parent
    (study / "mrimpute_flair").mkdir()
    (study / "mrimpute_flair" / "mine.txt").write_text("mine")
    before = tree(study)
    done = cli("fill", study, "--weights", tiny_weights[FLAIR], "--device", "cpu", "--overwrite")
    assert done.returncode == 6
    assert "was not made by mrimpute" in done.stderr
    assert tree(study) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--intensity", "unit"], "DICOM stores whole numbers"),
        (["--missing", "ct"], "written as NIfTI only"),
    ],
)
def test_what_dicom_cannot_hold_is_refused_first(build, cli, words, told):
    for number, contrast in enumerate((Contrast.T1, Contrast.T1C, Contrast.T2)):
        study = build(contrast, number=number + 1).parent
    done = cli("fill", study, *words)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr


def test_a_nifti_study_has_no_series_to_go_by(cli, make_study):
    done = cli("fill", make_study(), "--format", "dicom")
    assert done.returncode == 2
    assert "no DICOM series to go by" in done.stderr


def shares_outside(voxels, centre, width):
    """Return which shares of the head a window leaves dark, and reaches."""
    head = voxels[voxels > 0]
    return float(np.mean(head < centre - width / 2)), float(np.mean(head <= centre + width / 2))


def window_in(folder):
    """Return centre and width that every file of a derived series has."""
    found = {
        tuple(float(item[keyword].value) for keyword in ("WindowCenter", "WindowWidth"))
        for file in folder.iterdir()
        for data in [dcmread(file)]
        for item in [data, *(group.FrameVOILUTSequence[0] for group in data.get("SharedFunctionalGroupsSequence", ()))]
        if "WindowCenter" in item
    }
    (window,) = found
    return window


def stored_in(folder):
    return np.stack([dcmread(file).pixel_array for file in sorted(folder.iterdir())])


def window_of_shares(folder, shares):
    """Return centre and width of the window that leaves these shares of a derived series dark, and reaches."""
    stored = stored_in(folder)
    low, high = np.quantile(stored[stored > 0], shares)
    return (low + high) / 2, high - low


@pytest.mark.parametrize(("family", "slope"), [("classic", 1), ("enhanced", 2)])
def test_a_viewer_begins_where_it_does_with_the_reference(filled, family, slope):
    def with_windows(data, index):
        data.WindowCenter, data.WindowWidth = [slope * (600 + index), 1], [slope * 600, 1]

    study, folder = filled(family=family, change=with_windows)
    # frames of an enhanced file share the first window, of slices the middle one is the median
    middle = slope * (604 if family == "classic" else 600)
    dark, reached = shares_outside(slope * stored_in(study / "t1"), middle, slope * 600)
    assert 0.01 < dark < 0.05  # followed, and not what is usual
    assert reached == 1.0
    assert window_in(folder) == pytest.approx(window_of_shares(folder, (dark, reached)), abs=1.5)


@pytest.mark.parametrize(
    ("window", "shares"),
    [((1e6, 10), (0.01, 1.0)), ((250, 0), (0.01, 0.995)), ((None, 100), (0.01, 0.995)), ((830, 20), (0.01, 0.995))],
    ids=["beyond all", "no width", "no centre", "half the head white"],
)
def test_a_window_is_followed_only_so_far_that_no_lesion_is_hidden(filled, window, shares):
    def with_window(data, _index):
        data.WindowCenter, data.WindowWidth = window

    _, folder = filled(change=with_window)
    assert window_in(folder) == pytest.approx(window_of_shares(folder, shares), abs=1.5)
