"""A synthetic volume → the objects of a derived DICOM series, labelled by every means of the standard.

Attribute by attribute after DICOM PS3.3 (edition 2026b), sections A.4, A.36 and C.7 to C.8. Nothing that a scanner
measured is carried over, and nothing private.
"""

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from mrimpute.io.dicom.headers import quiet_pydicom
from mrimpute.volume import FloatArray
from mrimpute.write.dicom.classic import classic_image
from mrimpute.write.dicom.derivation import Derivation
from mrimpute.write.dicom.enhanced import enhanced_image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


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
            return [enhanced_image(stored, derivation)]
        return [classic_image(stored, index, derivation) for index in range(stored.shape[2])]


def encode(objects: list["Dataset"]) -> list[bytes]:
    """Return the files' bytes."""
    encoded = []
    with quiet_pydicom():
        for data in objects:
            buffer = BytesIO()
            data.save_as(buffer, enforce_file_format=True)
            encoded.append(buffer.getvalue())
    return encoded
