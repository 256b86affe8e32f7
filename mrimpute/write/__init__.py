"""Where a result goes and how it gets there: whole or not at all, labelled, never over acquired data."""

from mrimpute.write.dicom.series import write_series
from mrimpute.write.nifti import write_volume
from mrimpute.write.result import Output, Result

__all__ = ["Output", "Result", "write"]


def write(result: Result, as_dicom: bool, scaled: bool) -> Output:
    """Write a target as a DICOM series of its reference's geometry, or as NIfTI file.

    Args:
        result: the target.
        as_dicom: which of them; a reference that is no DICOM series gives a file.
        scaled: of a file: grey values on the study's scale, else in [0, 1].

    Raises:
        OutputRefused, ResourcesExhausted: the folder refuses, or the disk is full.
    """
    reference = result.sources.reference.dicom if as_dicom else None
    return write_series(result, reference) if reference is not None else write_volume(result, scaled)
