"""What is left of the marks after the tools that images pass through: the table of examples/verify.md, measured."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.uid import generate_uid

from mrimpute.contrasts import Contrast
from mrimpute.study import find_series
from tests.conftest import ROOT

PAGE = (ROOT / "examples" / "verify.md").read_text()


@pytest.fixture
def holds(cli):
    """Hold what `verify` says of a path against the row of that name in the page."""

    def check(path, row):
        done = cli("verify", path, "--json")
        [record] = [json.loads(line) for line in done.stdout.splitlines()]
        [cells] = re.findall(rf"^\| {re.escape(row)} \| (.+) \| (.+) \| (\w+), (\d) \|$", PAGE, re.M)
        marks = ", ".join(f"`{mark}`" for mark in record["marks"]) or "none"
        made_by = record["made_by"] or {}
        told = ["mrimpute"] * bool(made_by) + [n for n in ("version", "target", "checkpoint") if made_by.get(n)]
        assert cells == (marks, ", ".join(told) or "nothing", record["status"], str(done.returncode)), record

    return check


def test_bytes_copied_with_the_sidecar_survive_whole(made, holds, tmp_path):
    for name in ("case-t2f.nii.gz", "case-t2f.json"):
        shutil.copy(made.with_name(name), tmp_path / name.replace("case-t2f", "sub-01_FLAIR"))
    holds(tmp_path / "sub-01_FLAIR.nii.gz", "NIfTI and sidecar copied or renamed, as into BIDS")
    (tmp_path / "sub-01_FLAIR.json").unlink()
    holds(tmp_path / "sub-01_FLAIR.nii.gz", "NIfTI copied without its sidecar")


def test_what_itk_and_nibabel_leave(made, holds, tmp_path):
    image = sitk.ReadImage(str(made))
    sitk.WriteImage(image, str(tmp_path / "same.nii.gz"))
    holds(tmp_path / "same.nii.gz", "SimpleITK: read, written as NIfTI")
    sitk.WriteImage(image, str(tmp_path / "same.nrrd"))
    holds(tmp_path / "same.nrrd", "SimpleITK: read, written as NRRD or MetaImage")
    sitk.WriteImage(image, str(tmp_path / "same.mha"))
    holds(tmp_path / "same.mha", "SimpleITK: read, written as NRRD or MetaImage")
    sitk.WriteImage(sitk.Resample(image, image), str(tmp_path / "new.nii.gz"))
    holds(tmp_path / "new.nii.gz", "SimpleITK: any filter (resampled, cast, scaled), written")
    loaded = nib.load(made)
    nib.save(nib.Nifti1Image(loaded.get_fdata(), loaded.affine, loaded.header), tmp_path / "nib.nii")
    holds(tmp_path / "nib.nii", "nibabel: new voxels with the old header")
    nib.save(nib.Nifti1Image(loaded.get_fdata(), loaded.affine), tmp_path / "bare.nii")
    holds(tmp_path / "bare.nii", "nibabel: new voxels with a new header")


def convert(folder, out, *words):
    out.mkdir()
    tool = Path(sys.executable).parent / "dcm2niix"
    subprocess.run([tool, *words, "-o", out, "-f", "x", folder], check=True, capture_output=True)
    return out / "x.nii"


@pytest.mark.parametrize("family", ["classic", "enhanced"])
def test_what_dcm2niix_and_deidentification_leave(made_series, holds, tmp_path, family):
    folder = made_series(family)
    holds(folder, f"DICOM, {family}: as written")
    shutil.copytree(folder, tmp_path / "export")
    holds(tmp_path / "export", f"DICOM, {family}: exported without the sidecar")
    holds(convert(folder, tmp_path / "converted"), f"dcm2niix of {family}: NIfTI and JSON")
    holds(convert(folder, tmp_path / "alone", "-b", "n"), f"dcm2niix of {family}: NIfTI alone")
    deidentify(tmp_path / "export")
    holds(tmp_path / "export", f"DICOM, {family}: Basic Profile")
    holds(
        convert(tmp_path / "export", tmp_path / "both"), f"dcm2niix of {family} after the Basic Profile: NIfTI and JSON"
    )


REMOVED = (
    *("SeriesDescription", "DerivationDescription", "ImageComments", "ContributingEquipmentSequence"),
    *("ContributionDescription", "SoftwareVersions", "StudyDescription", "ReferencedSeriesSequence"),
    *("SourceImageSequence", "SourceImageEvidenceSequence", "PatientAge", "PatientWeight", "DeviceSerialNumber"),
    *("SeriesDate", "SeriesTime", "InstanceCreationDate", "InstanceCreationTime", "TimezoneOffsetFromUTC"),
)
"""What the Basic Application Level Confidentiality Profile (DICOM PS3.15 E.1-1) takes out of our objects, and what
some programs take out beyond it; options that retain descriptions, device or dates are not used."""
EMPTIED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "StudyDate")


def deidentify(folder):
    """Apply the profile as strictly as any program does: in every nesting, and with file meta information anew."""
    uids = {}
    for file in sorted(folder.iterdir()):
        data = dcmread(file)

        def clean(inner, element):
            if element.keyword in REMOVED:
                del inner[element.tag]
            elif element.keyword in EMPTIED:
                element.value = ""
            elif element.VR == "UI" and "Class" not in element.keyword:
                element.value = uids.setdefault(str(element.value), generate_uid())

        data.walk(clean)
        data.PatientIdentityRemoved, data.DeidentificationMethod = "YES", "Basic Application Confidentiality Profile"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        del data.file_meta.ImplementationClassUID
        data.save_as(file, enforce_file_format=True)


def test_itk_keeps_nothing_of_a_dicom_series(made_series, holds, tmp_path):
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(made_series()))
    sitk.WriteImage(sitk.ReadImage(names), str(tmp_path / "series.nii.gz"))
    holds(tmp_path / "series.nii.gz", "SimpleITK: DICOM series read, written as NIfTI")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_synthetic_image_in_another_format_is_no_source(made, suffix):
    made.with_name("case-t2f.json").unlink()
    sitk.WriteImage(sitk.ReadImage(str(made)), str(made.with_name(f"case-t2f{suffix}")))
    made.unlink()
    assert Contrast.FLAIR not in find_series(made.parent).present


@pytest.mark.parametrize("family", ["classic", "enhanced"])
def test_a_converted_series_without_json_is_no_source(made_series, family, tmp_path):
    image = convert(made_series(family), tmp_path / "alone", "-b", "n")
    image.rename(image.with_name("x_flair.nii"))
    study = find_series(tmp_path / "alone")
    assert Contrast.FLAIR not in study.present
    assert any("made by mrimpute" in item.reason for item in study.set_aside)
