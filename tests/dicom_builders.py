"""DICOM series built in code: an oblique head, one change at a time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from mrimpute.contrasts import Contrast
from tests.conftest import head_voxels

MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"
TURN = np.array([[0.98, -0.17, 0.1], [0.16, 0.98, 0.11], [-0.117, -0.092, 0.989]])
"""Nearly a rotation; its columns are made orthonormal below."""
ROTATION = np.linalg.qr(TURN)[0] * np.sign(np.diag(np.linalg.qr(TURN)[1]))
SPACING = (2.1, 2.1)
GAP = 9.0

PHYSICS = {
    Contrast.T1: {"ScanningSequence": "SE", "EchoTime": 12, "RepetitionTime": 500, "SeriesDescription": "T1 SE"},
    Contrast.T1C: {
        "ScanningSequence": "SE",
        "EchoTime": 12,
        "RepetitionTime": 500,
        "SeriesDescription": "T1 SE post Gd",
    },
    Contrast.T2: {"ScanningSequence": "SE", "EchoTime": 98, "RepetitionTime": 4500, "SeriesDescription": "T2 TSE"},
    Contrast.FLAIR: {
        "ScanningSequence": ["SE", "IR"],
        "EchoTime": 120,
        "RepetitionTime": 9000,
        "InversionTime": 2500,
        "SeriesDescription": "T2 FLAIR",
    },
    Contrast.PD: {"ScanningSequence": "SE", "EchoTime": 22, "RepetitionTime": 2300, "SeriesDescription": "FSE PD"},
}

Change = Callable[[Dataset, int], None]


def slice_of(
    contrast: Contrast, index: int, uids: dict[str, str], shape: tuple[int, int, int] = (40, 48, 9), number: int = 1
) -> Dataset:
    """Return one classic MR slice."""
    voxels = head_voxels(contrast, shape)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = MR
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Modality = "MR"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    data.StudyInstanceUID, data.SeriesInstanceUID = uids["study"], uids["series"]
    data.FrameOfReferenceUID = uids["space"]
    data.SeriesNumber, data.InstanceNumber = number, index + 1
    data.SequenceVariant, data.MRAcquisitionType = "SK", "2D"
    data.update({})
    for keyword, value in PHYSICS[contrast].items():
        setattr(data, keyword, value)
    data.StudyDate, data.StudyTime = "20260101", "101010"
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "Doe^Jo", "ID7", "19700101", "F"
    data.StudyID, data.AccessionNumber, data.ReferringPhysicianName, data.PatientPosition = "S1", "A1", "", "HFS"
    data.Manufacturer = "ACME"
    data.SliceThickness = GAP
    data.PixelSpacing = list(SPACING)
    data.ImageOrientationPatient = [round(float(v), 10) for v in (*ROTATION[:, 0], *ROTATION[:, 1])]
    position = np.array([-20.0, -25.0, 5.0]) + index * GAP * ROTATION[:, 2]
    data.ImagePositionPatient = [round(float(v), 10) for v in position]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = shape[1], shape[0]
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.PixelData = np.ascontiguousarray(voxels[:, :, index].T).tobytes()
    return data


def write_series(
    folder: Path,
    contrast: Contrast = Contrast.T1,
    uids: dict[str, str] | None = None,
    change: Change | None = None,
    count: int = 9,
    number: int = 1,
    suffix: str = ".dcm",
) -> Path:
    """Write a series of 9 slices into a folder, after `change(slice, index)`; `uids` are of study and space."""
    folder.mkdir(parents=True, exist_ok=True)
    uids = {"study": generate_uid(), "space": generate_uid(), **(uids or {}), "series": generate_uid()}
    for index in range(count):
        data = slice_of(contrast, index, uids, (40, 48, count), number)
        if change:
            change(data, index)
        data.save_as(folder / f"im{index:03d}{suffix}", enforce_file_format=True)
    return folder


Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Write a series of 9 slices into study/NAME, after `change(slice, index)`."""
    study = {"study": generate_uid(), "space": generate_uid()}

    def make(
        contrast: Contrast = Contrast.T1,
        name: str | None = None,
        change: Change | None = None,
        count: int = 9,
        number: int = 1,
        suffix: str = ".dcm",
        root: str = "study",
    ) -> Path:
        return write_series(tmp_path / root / (name or str(contrast)), contrast, study, change, count, number, suffix)

    return make


def enhance(folder: Path) -> Path:
    """Replace a folder of classic slices by one enhanced multi-frame file, frames in reverse."""
    paths = sorted(folder.iterdir())
    slices = [dcmread(path) for path in paths]
    data = slices[0]
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = ENHANCED
    data.PixelData = b"".join(item.PixelData for item in reversed(slices))
    data.NumberOfFrames = len(slices)
    shared, plane, measures = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = data.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = data.PixelSpacing, data.SliceThickness
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    frames = []
    for item in reversed(slices):
        frame, place, scale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = item.ImagePositionPatient
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 2.0, 0.0, "US"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [scale]
        frames.append(frame)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(data, name)
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], frames
    for path in paths:
        path.unlink()
    data.save_as(folder / "multi.dcm", enforce_file_format=True)
    return folder / "multi.dcm"
