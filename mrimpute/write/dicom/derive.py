"""A synthetic volume → the objects of a derived DICOM series, labelled by every means of the standard.

Attribute by attribute: research/reliability.md 1.1 to 1.4 (DICOM PS3.3, edition 2026b). Nothing that a scanner
measured is carried over, and nothing private.
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mrimpute import __version__
from mrimpute.contrasts import Contrast
from mrimpute.io.dicom.headers import Slice, quiet_pydicom
from mrimpute.io.dicom.series import DicomSeries
from mrimpute.volume import LPS, FloatArray

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

CLASSIC_MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
IMPLEMENTATION = "2.25.305019302870116245421394731573284651713"
"""Implementation Class UID of mrimpute, made once."""
MAKER = "The mrimpute founders"
"""Manufacturer; not beginning with 'MR', which dcm2niix takes for a scanner's maker."""
MODEL = "mrimpute"
FULL_RANGE = 4095
"""Stored value of the network's 1 where the study's own scale is too coarse or too large for it."""
USUAL_RANGE = (500.0, 30_000.0)
SERIES_OFFSET = 9000

PATIENT_AND_STUDY = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "LongitudinalTemporalInformationModified",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "PatientPosition",
    "TimezoneOffsetFromUTC",
)
"""Copied from the reference series as they are."""
REQUIRED_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
    "PatientPosition",
)
"""Type 2: present, empty where the reference has none."""
FLAVOUR = {
    Contrast.FLAIR: "FLUID_ATTENUATED",
    Contrast.T1: "T1",
    Contrast.T1C: "T1",
    Contrast.T2: "T2",
    Contrast.PD: "PROTON_DENSITY",
}
"""Value 3 of Image Type and Acquisition Contrast of an enhanced image."""


@dataclass(frozen=True)
class Derivation:
    """What a derived series tells about itself.

    Attributes:
        target: contrast made.
        reference: the series whose grid it has, and whose patient and study it belongs to.
        sources: every DICOM series that went in; where the images were NIfTI, none.
        motions: (4, 4) from the reference's space to that of a source that was registered, RAS mm.
        identity: what decides the voxels, as text: equal identities give equal UIDs.
        description: how it was made, for people.
        series_number: of the new series.
        made_at: when.
    """

    target: Contrast
    reference: DicomSeries
    sources: Mapping[Contrast, DicomSeries]
    motions: Mapping[Contrast, FloatArray]
    identity: str
    description: str
    series_number: int
    made_at: datetime

    def uid(self, *words: object) -> str:
        """Return a UID that follows from the sources, the recipe and the words alone (2.25 root)."""
        seeds = [self.identity, *sorted(series.slices[0].series for series in self.sources.values()), *map(str, words)]
        digest = hashlib.sha256("\0".join(seeds).encode()).digest()
        return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"


def stored_range(scale: float) -> float:
    """Return the stored integer that the network's 1 becomes: the study's scale where that is usual
    for MR, else FULL_RANGE."""
    return float(round(scale)) if USUAL_RANGE[0] <= scale <= USUAL_RANGE[1] else float(FULL_RANGE)


def series_number(reference: DicomSeries, highest: int) -> int:
    """Return a number for the new series, above the study's highest."""
    return max(reference.facts.number + SERIES_OFFSET, highest + 1)


def derive(voxels: FloatArray, one: float, derivation: Derivation) -> list["Dataset"]:
    """Return the objects of the derived series, of the reference's SOP class family.

    Args:
        voxels: (columns, rows, slices) in [0, 1] on the reference's grid.
        one: stored value of 1.
        derivation: what it is.
    """
    stored = np.clip(np.rint(np.asarray(voxels, np.float64) * one), 0, 65_535).astype("<u2")
    with quiet_pydicom():
        if derivation.reference.facts.family == "enhanced":
            return [_enhanced(stored, derivation)]
        return [_classic(stored, index, derivation) for index in range(stored.shape[2])]


def encode(objects: list["Dataset"]) -> list[bytes]:
    """Return the files' bytes."""
    encoded = []
    with quiet_pydicom():
        for data in objects:
            buffer = BytesIO()
            data.save_as(buffer, enforce_file_format=True)
            encoded.append(buffer.getvalue())
    return encoded


def _common(derivation: Derivation, stored: Any, source: Any, instance: str, sop_class: str) -> "Dataset":
    """Return what classic and enhanced objects share: patient, study, equipment, marks, pixels."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    data.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    data.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE_ENDIAN)
    data.file_meta.ImplementationClassUID = UID(IMPLEMENTATION)
    for keyword in PATIENT_AND_STUDY:
        if keyword in source:
            data[keyword] = source[keyword]
    for keyword in REQUIRED_EMPTY:
        if keyword not in data:
            setattr(data, keyword, "")
    if "FrameOfReferenceUID" not in data:
        data.FrameOfReferenceUID = derivation.uid("space")
    day, clock = derivation.made_at.strftime("%Y%m%d"), derivation.made_at.strftime("%H%M%S")
    data.SOPClassUID, data.SOPInstanceUID = sop_class, instance
    data.SeriesInstanceUID = derivation.uid("series")
    data.Modality = "MR"
    data.SeriesNumber = derivation.series_number
    data.SeriesDescription = f"SYNTHETIC {derivation.target} (mrimpute)"
    data.SeriesDate = data.ContentDate = data.InstanceCreationDate = day
    data.SeriesTime = data.ContentTime = data.InstanceCreationTime = clock
    data.Manufacturer, data.ManufacturerModelName = MAKER, MODEL
    data.SoftwareVersions = __version__
    data.SyntheticData = "YES"
    data.ContentQualification = "RESEARCH"
    data.BurnedInAnnotation = "NO"
    data.LossyImageCompression = "00"
    data.ContributingEquipmentSequence = _equipment(derivation, source)
    if derivation.sources:
        data.ReferencedSeriesSequence = _listed(derivation, "ReferencedInstanceSequence")
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.Columns, data.Rows = stored.shape[:2]
    return data


def _classic(stored: Any, index: int, derivation: Derivation) -> "Dataset":
    """Return one MR Image (research/reliability.md 1.2, 1.3)."""
    item = derivation.reference.slices[index]
    source = _header(item)
    plane = np.ascontiguousarray(stored[:, :, index].T)
    data = _common(derivation, stored, source, derivation.uid("slice", index), CLASSIC_MR)
    data.ImageType = ["DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"]
    data.DerivationDescription = derivation.description[:1024]
    data.ImageComments = "SYNTHETIC: computed, not acquired. Not for diagnosis."
    data.QualityControlImage = "NO"
    data.BodyPartExamined = "BRAIN"
    data.AnatomicRegionSequence = [_code("12738006", "SCT", "Brain")]
    data.ScanningSequence, data.SequenceVariant = "RM", "NONE"
    for keyword in ("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength", "RepetitionTime"):
        setattr(data, keyword, None)
    data.InstanceNumber = index + 1
    position, orientation, spacing = _geometry(derivation.reference, index)
    data.ImagePositionPatient, data.ImageOrientationPatient = _decimals(position), _decimals(orientation)
    data.PixelSpacing = _decimals(spacing[:2])
    data.SliceThickness = _decimals([item.thickness or spacing[2]])[0]
    data.SpacingBetweenSlices = _decimals(spacing[2:])[0]
    if derivation.sources:
        data.SourceImageSequence = _sources_of(position, derivation)
    low, high = _window(stored)
    data.WindowCenter, data.WindowWidth = _decimals([(low + high) / 2])[0], _decimals([max(1.0, high - low)])[0]
    data.SmallestImagePixelValue, data.LargestImagePixelValue = int(plane.min()), int(plane.max())
    data["SmallestImagePixelValue"].VR = data["LargestImagePixelValue"].VR = "US"
    data.PixelData = plane.tobytes()
    data["PixelData"].VR = "OW"
    return data


def _enhanced(stored: Any, derivation: Derivation) -> "Dataset":
    """Return one Enhanced MR Image (research/reliability.md 1.4)."""
    from pydicom.dataset import Dataset

    reference = derivation.reference
    source = _header(reference.slices[0])
    instance = derivation.uid("object")
    data = _common(derivation, stored, source, instance, ENHANCED_MR)
    flavour = FLAVOUR[derivation.target]
    image_type = ["DERIVED", "PRIMARY", flavour, "NONE"]
    data.ImageType = image_type
    data.DeviceSerialNumber = MODEL
    data.InstanceNumber = 1
    data.AcquisitionContextSequence = []
    data.ApplicableSafetyStandardAgency = "IEC"
    data.PixelPresentation, data.VolumetricProperties = "MONOCHROME", "VOLUME"
    data.VolumeBasedCalculationTechnique, data.ComplexImageComponent = "NONE", "MAGNITUDE"
    data.AcquisitionContrast = flavour
    data.PresentationLUTShape = "IDENTITY"
    if derivation.sources:
        data.SourceImageEvidenceSequence = _evidence(derivation)
    data.NumberOfFrames = stored.shape[2]
    dimension = derivation.uid("dimension")
    organisation = Dataset()
    organisation.DimensionOrganizationUID = dimension
    data.DimensionOrganizationSequence = [organisation]
    index = Dataset()
    index.DimensionOrganizationUID = dimension
    index.DimensionIndexPointer, index.FunctionalGroupPointer = 0x00200032, 0x00209113
    data.DimensionIndexSequence = [index]

    _, orientation, spacing = _geometry(reference, 0)
    shared, measures, plane, anatomy, kind, scale, view = (Dataset() for _ in range(7))
    measures.PixelSpacing = _decimals(spacing[:2])
    measures.SliceThickness = _decimals([reference.slices[0].thickness or spacing[2]])[0]
    measures.SpacingBetweenSlices = _decimals(spacing[2:])[0]
    plane.ImageOrientationPatient = _decimals(orientation)
    anatomy.AnatomicRegionSequence = [_code("12738006", "SCT", "Brain")]
    anatomy.FrameLaterality = "U"
    kind.FrameType = image_type
    kind.PixelPresentation, kind.VolumetricProperties = "MONOCHROME", "VOLUME"
    kind.VolumeBasedCalculationTechnique, kind.ComplexImageComponent = "NONE", "MAGNITUDE"
    kind.AcquisitionContrast = flavour
    scale.RescaleIntercept, scale.RescaleSlope, scale.RescaleType = "0", "1", "US"
    low, high = _window(stored)
    view.WindowCenter, view.WindowWidth = _decimals([(low + high) / 2])[0], _decimals([max(1.0, high - low)])[0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.FrameAnatomySequence, shared.MRImageFrameTypeSequence = [anatomy], [kind]
    shared.PixelValueTransformationSequence, shared.FrameVOILUTSequence = [scale], [view]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = [_frame(number, derivation) for number in range(stored.shape[2])]
    data.PixelData = np.ascontiguousarray(stored.transpose(2, 1, 0)).tobytes()
    data["PixelData"].VR = "OW"
    return data


def _frame(number: int, derivation: Derivation) -> "Dataset":
    from pydicom.dataset import Dataset

    frame, content, place, origin = (Dataset() for _ in range(4))
    position, _, _ = _geometry(derivation.reference, number)
    content.DimensionIndexValues = [number + 1]
    content.StackID, content.InStackPositionNumber = "1", number + 1
    place.ImagePositionPatient = _decimals(position)
    origin.DerivationDescription = derivation.description[:1024]
    origin.DerivationCodeSequence = [_code("113085", "DCM", "Spatial resampling")]
    origin.SourceImageSequence = _sources_of(position, derivation)
    frame.FrameContentSequence, frame.PlanePositionSequence = [content], [place]
    frame.DerivationImageSequence = [origin]
    return frame


def _geometry(series: DicomSeries, index: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return position (3), orientation (6) and spacing (rows, columns, slices) of a slice, LPS and mm."""
    affine = LPS @ series.grid.affine
    between_columns, between_rows, between_slices = series.grid.spacing
    position = affine[:3, 3] + index * affine[:3, 2]
    orientation = np.concatenate([affine[:3, 0] / between_columns, affine[:3, 1] / between_rows])
    return position, orientation, np.array([between_rows, between_columns, between_slices])


def _decimals(values: Sequence[float] | FloatArray) -> list[Any]:
    """Return decimal strings of at most 16 characters, which pydicom does not see to by itself."""
    from pydicom.valuerep import DSfloat

    return [DSfloat(float(value), auto_format=True) for value in values]


def _window(stored: Any) -> tuple[float, float]:
    """Return the grey values between which a viewer should begin: 1 and 99.5 % in the head."""
    head = stored[stored > 0]
    low, high = np.percentile(head, [1, 99.5]) if head.size else (0.0, 1.0)
    return float(low), float(high)


def _equipment(derivation: Derivation, source: Any) -> list[Any]:
    """Return who acquired and who synthesised."""
    from pydicom.dataset import Dataset

    scanner, maker = Dataset(), Dataset()
    scanner.Manufacturer = source.get("Manufacturer", "")
    if source.get("ManufacturerModelName"):
        scanner.ManufacturerModelName = source.ManufacturerModelName
    scanner.PurposeOfReferenceCodeSequence = [_code("109101", "DCM", "Acquisition Equipment")]
    maker.Manufacturer, maker.ManufacturerModelName = MAKER, MODEL
    maker.SoftwareVersions = __version__
    maker.ContributionDateTime = derivation.made_at.strftime("%Y%m%d%H%M%S")
    maker.ContributionDescription = f"Synthesised {derivation.target}"
    maker.PurposeOfReferenceCodeSequence = [_code("109100", "DCM", "Synthesizing Equipment")]
    return [scanner, maker] if scanner.Manufacturer else [maker]


def _evidence(derivation: Derivation) -> list[Any]:
    """Return every source by study and series, as enhanced objects want it."""
    from pydicom.dataset import Dataset

    study = Dataset()
    study.StudyInstanceUID = _header(derivation.reference.slices[0]).StudyInstanceUID
    study.ReferencedSeriesSequence = _listed(derivation, "ReferencedSOPSequence")
    return [study]


def _listed(derivation: Derivation, keyword: str) -> list[Any]:
    """Return every slice of every source by series, the slices in the sequence of that name."""
    from pydicom.dataset import Dataset

    listed = []
    for series in derivation.sources.values():
        entry = Dataset()
        entry.SeriesInstanceUID = series.slices[0].series
        instances = dict.fromkeys((_sop_class(series), item.instance) for item in series.slices)
        setattr(entry, keyword, [_reference(*instance) for instance in instances])
        listed.append(entry)
    return listed


def _sources_of(position: FloatArray, derivation: Derivation) -> list[Any]:
    """Return the slice of each source that lies nearest to a position."""
    found = []
    for contrast, series in derivation.sources.items():
        motion = derivation.motions.get(contrast)
        sought = position if motion is None else (LPS @ motion @ LPS @ [*position, 1.0])[:3]
        places = np.array([item.geometry[:3] for item in series.slices if not isinstance(item.geometry, Exception)])
        nearest = series.slices[int(np.linalg.norm(places - sought, axis=1).argmin())]
        entry = _reference(_sop_class(series), nearest.instance)
        if nearest.frame is not None:
            entry.ReferencedFrameNumber = nearest.frame + 1
        entry.PurposeOfReferenceCodeSequence = [_code("121322", "DCM", "Source image for image processing operation")]
        stayed = motion is None and series.grid.same_as(derivation.reference.grid)
        entry.SpatialLocationsPreserved = "YES" if stayed else "NO"
        found.append(entry)
    return found


def _sop_class(series: DicomSeries) -> str:
    return ENHANCED_MR if series.facts.family == "enhanced" else CLASSIC_MR


def _reference(sop_class: str, instance: str) -> Any:
    from pydicom.dataset import Dataset

    entry = Dataset()
    entry.ReferencedSOPClassUID, entry.ReferencedSOPInstanceUID = sop_class, instance
    return entry


def _code(value: str, scheme: str, meaning: str) -> Any:
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _header(item: Slice) -> Any:
    from pydicom import dcmread

    return dcmread(Path(item.file), stop_before_pixels=True, force=True)
