"""Is this file one of ours? The marks that every image of mrimpute carries, and how they are read."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrimpute import io
from mrimpute.errors import ImageDamaged, StudyAmbiguous
from mrimpute.files import read_json, sha256_of

SIDECAR_SCHEMA = "mrimpute.sidecar/1"
DESCRIPTION_MARK = "SYNTHETIC"
MODEL = "mrimpute"
"""Manufacturer's model name of a DICOM series of ours."""
IMPLEMENTATION = "2.25.305019302870116245421394731573284651713"
"""Implementation Class UID of mrimpute, made once."""
_FULL_MARK = re.compile(r"SYNTHETIC (\S+ made by mrimpute |brain mask, not acquired)")
"""How `descrip` begins in an image, and in a brain mask, of ours: other programs write the first word too."""


def is_synthetic(path: Path, sidecar: Mapping[str, Any]) -> bool:
    """Tell whether an image was made by mrimpute: by its `descrip` or `aux_file` field (where dcm2niix leaves the
    comment of our DICOM series) or by its sidecar, ours or the one that dcm2niix writes.

    Raises:
        StudyAmbiguous: a sidecar of mrimpute names this file, but describes another image.
    """
    if any(text.startswith(DESCRIPTION_MARK) for text in _texts(path).values()):
        return True
    told = [sidecar.get("SeriesDescription"), sidecar.get("ManufacturersModelName"), sidecar.get("ImageType")]
    if any(word in str(value).upper() for value in told for word in (DESCRIPTION_MARK, "MRIMPUTE")):
        return True  # a DICOM series of ours, converted
    image = sidecar.get("image")
    if sidecar.get("schema") != SIDECAR_SCHEMA or not isinstance(image, dict) or image.get("file") != path.name:
        return False
    if not path.is_file() or image.get("sha256") == sha256_of(path):
        return True
    raise StudyAmbiguous(
        f"{path} is not the synthetic image that its sidecar describes",
        f"remove {path.name} if it is synthetic, or its .json if it was acquired",
    )


def bears_full_mark(path: Path) -> bool:
    """Tell whether a NIfTI file says in full that mrimpute made it: only such a file may be replaced."""
    return _FULL_MARK.match(_texts(path).get("descrip", "")) is not None


def _texts(path: Path) -> dict[str, str]:
    """Return the text fields of an image's header; none where it cannot be read."""
    try:
        return io.read_texts(path)
    except ImageDamaged:
        return {}


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return a sidecar of ours, or {} where there is none."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    ours = content.get("schema") == SIDECAR_SCHEMA and isinstance(content.get("image"), dict)
    return content if ours else {}
