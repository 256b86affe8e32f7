"""One MR Image of a derived series (DICOM PS3.3 A.4)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mrimpute.write.dicom.derivation import (
    COSINE_DIGITS,
    Derivation,
    code_of,
    common_part,
    decimals,
    geometry_of,
    header_of,
    nearest_sources,
    window_of,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def classic_image(stored: Any, index: int, derivation: Derivation) -> "Dataset":
    """Return one MR Image (DICOM PS3.3 A.4)."""
    from pydicom.uid import MRImageStorage

    item = derivation.reference.slices[index]
    source = header_of(item)
    plane = np.ascontiguousarray(stored[:, :, index].T)
    data = common_part(derivation, stored, source, derivation.uid("slice", index), str(MRImageStorage))
    data.ImageType = ["DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"]
    data.DerivationDescription = derivation.description[:1024]
    data.QualityControlImage = "NO"
    data.BodyPartExamined = "BRAIN"
    data.AnatomicRegionSequence = [code_of("SCT", "Brain")]
    data.ScanningSequence, data.SequenceVariant = "RM", "NONE"
    for keyword in ("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength", "RepetitionTime"):
        setattr(data, keyword, None)
    data.InstanceNumber = index + 1
    position, orientation, spacing = geometry_of(derivation.reference, index)
    data.ImagePositionPatient, data.ImageOrientationPatient = decimals(position), decimals(orientation, COSINE_DIGITS)
    data.PixelSpacing = decimals(spacing[:2])
    data.SliceThickness = decimals([item.thickness or spacing[2]])[0]
    data.SpacingBetweenSlices = decimals(spacing[2:])[0]
    if derivation.sources:
        data.SourceImageSequence = nearest_sources(position, derivation)
    for keyword, value in window_of(stored, derivation.shown).items():
        setattr(data, keyword, value)
    data.SmallestImagePixelValue, data.LargestImagePixelValue = int(plane.min()), int(plane.max())
    data["SmallestImagePixelValue"].VR = data["LargestImagePixelValue"].VR = "US"
    data.PixelData = plane.tobytes()
    data["PixelData"].VR = "OW"
    return data
