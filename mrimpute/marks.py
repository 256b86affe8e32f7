"""Is this file one of ours? The marks that every image of mrimpute carries, and how they are read."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrimpute import io
from mrimpute.errors import ImageDamaged, StudyAmbiguous
from mrimpute.files import read_small, sha256_of

SIDECAR_SCHEMA = "mrimpute.sidecar/1"
DESCRIPTION_MARK = "SYNTHETIC"
MODEL = "mrimpute"
"""Manufacturer's model name of a DICOM series of ours."""
IMPLEMENTATION = "2.25.305019302870116245421394731573284651713"
"""Implementation Class UID of mrimpute, made once."""
_FULL_MARK = re.compile(rb"SYNTHETIC (\S+ made by mrimpute |brain mask, not acquired)")
"""How `descrip` begins in an image, and in a brain mask, of ours: other programs write the first word too."""


def is_synthetic(path: Path, sidecar: Mapping[str, Any]) -> bool:
    """Tell whether an image was made by mrimpute: by its `descrip` field or by its sidecar, ours or
    the one that dcm2niix writes of our DICOM series.

    Raises:
        StudyAmbiguous: a sidecar of mrimpute names this file, but describes another image.
    """
    if _description(path).startswith(DESCRIPTION_MARK.encode()):
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
    return _FULL_MARK.match(_description(path)) is not None


def _description(path: Path) -> bytes:
    """Return the `descrip` field of an image, empty where it has none."""
    try:
        header = io.read_info(path).header
    except ImageDamaged:
        return b""
    return b"" if header is None else bytes(header["descrip"].item())


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return a sidecar of ours, or {} where there is none."""
    try:
        content = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError):
        return {}
    ours = isinstance(content, dict) and content.get("schema") == SIDECAR_SCHEMA
    return content if ours and isinstance(content.get("image"), dict) else {}
