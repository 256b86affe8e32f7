"""The one Enhanced MR Image of a derived series (DICOM PS3.3 A.36)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.marks import MODEL
from mrimpute.write.dicom.derivation import (
    COSINE_DIGITS,
    Derivation,
    code_of,
    common_part,
    decimals,
    evidence_of,
    geometry_of,
    header_of,
    nearest_sources,
    window_of,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


FLAVOUR = {
    Contrast.FLAIR: "FLUID_ATTENUATED",
    Contrast.T1: "T1",
    Contrast.T1C: "T1",
    Contrast.T2: "T2",
    Contrast.PD: "PROTON_DENSITY",
}
"""Value 3 of Image Type and Acquisition Contrast of an enhanced image."""


def enhanced_image(stored: Any, derivation: Derivation) -> "Dataset":
    """Return one Enhanced MR Image (DICOM PS3.3 A.36)."""
    from pydicom.dataset import Dataset
    from pydicom.uid import EnhancedMRImageStorage

    reference = derivation.reference
    source = header_of(reference.slices[0])
    instance = derivation.uid("object")
    data = common_part(derivation, stored, source, instance, str(EnhancedMRImageStorage))
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
        data.SourceImageEvidenceSequence = evidence_of(derivation)
    data.NumberOfFrames = stored.shape[2]
    dimension = derivation.uid("dimension")
    organisation = Dataset()
    organisation.DimensionOrganizationUID = dimension
    data.DimensionOrganizationSequence = [organisation]
    index = Dataset()
    index.DimensionOrganizationUID = dimension
    index.DimensionIndexPointer, index.FunctionalGroupPointer = 0x00200032, 0x00209113
    data.DimensionIndexSequence = [index]

    _, orientation, spacing = geometry_of(reference, 0)
    shared, measures, plane, anatomy, kind, scale, view = (Dataset() for _ in range(7))
    measures.PixelSpacing = decimals(spacing[:2])
    measures.SliceThickness = decimals([reference.slices[0].thickness or spacing[2]])[0]
    measures.SpacingBetweenSlices = decimals(spacing[2:])[0]
    plane.ImageOrientationPatient = decimals(orientation, COSINE_DIGITS)
    anatomy.AnatomicRegionSequence = [code_of("SCT", "Brain")]
    anatomy.FrameLaterality = "U"
    kind.FrameType = image_type
    kind.PixelPresentation, kind.VolumetricProperties = "MONOCHROME", "VOLUME"
    kind.VolumeBasedCalculationTechnique, kind.ComplexImageComponent = "NONE", "MAGNITUDE"
    kind.AcquisitionContrast = flavour
    scale.RescaleIntercept, scale.RescaleSlope, scale.RescaleType = "0", "1", "US"
    for keyword, value in window_of(stored, derivation.shown).items():
        setattr(view, keyword, value)
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
    position, _, _ = geometry_of(derivation.reference, number)
    content.DimensionIndexValues = [number + 1]
    content.StackID, content.InStackPositionNumber = "1", number + 1
    place.ImagePositionPatient = decimals(position)
    origin.DerivationDescription = derivation.description[:1024]
    origin.DerivationCodeSequence = [code_of("DCM", "SpatialResampling")]
    origin.SourceImageSequence = nearest_sources(position, derivation)
    frame.FrameContentSequence, frame.PlanePositionSequence = [content], [place]
    frame.DerivationImageSequence = [origin]
    return frame
