"""Which fields of a file call it synthetic, and what they say made it. No other tag's value leaves here."""

import re
from collections.abc import Mapping
from typing import Any

from mrimpute.marks import DESCRIPTION_MARK, IMPLEMENTATION, MODEL
from mrimpute.verify.model import Maker

HEADER_TEXTS = ("descrip", "aux_file")
"""Text fields of an image's header that call it synthetic, the fuller one first."""
_DESCRIPTION = re.compile(r"SYNTHETIC ([\w-]+) made by mrimpute ?(\S*?)(?:;|\0|$)")
_MASK = "SYNTHETIC brain mask"
_SERIES = re.compile(r"SYNTHETIC (\w+) \(mrimpute\)")
_DERIVATION = re.compile(
    r"SYNTHETIC (?P<target>\w+), computed from .{1,99} by mrimpute (?P<version>\S+), not acquired\. "
    r"Network (?P<checkpoint>.{1,199}) \((?P<generator>\w+), sha256 (?P<checkpoint_sha256>[0-9a-f]+)\)"
)
_SYNTHESISER = "109100"
"""Code of synthesising equipment (DICOM PS3.16, CID 7005)."""


def header_marks(texts: Mapping[str, str]) -> tuple[tuple[str, ...], Maker | None]:
    """Return the text fields of an image's header that call it synthetic, and what they say made it."""
    description = texts.get("descrip", "")
    marks = tuple(name for name, text in texts.items() if text.startswith(DESCRIPTION_MARK))
    full = _DESCRIPTION.match(description)
    if full:
        return marks, Maker(full[2], full[1])
    short = re.match(r"SYNTHETIC (\w+) made by", texts.get("aux_file", ""))
    ours = description.startswith(_MASK)
    return marks, Maker(target=short[1]) if short else Maker(target="brain mask") if ours else None


def is_mask(maker: Maker | None) -> bool:
    """Tell whether marks are those of a brain mask that was saved beside an image."""
    return maker is not None and maker.target == "brain mask"


def converted_marks(sidecar: Mapping[str, Any]) -> tuple[tuple[str, ...], Maker | None]:
    """Return the same of the sidecar that dcm2niix writes of a DICOM series."""
    description, model = str(sidecar.get("SeriesDescription")), str(sidecar.get("ManufacturersModelName"))
    tests = {
        "SeriesDescription": description.startswith(DESCRIPTION_MARK),
        "ManufacturersModelName": model == MODEL,
        "ImageType": DESCRIPTION_MARK in str(sidecar.get("ImageType")).upper(),
    }
    series = _SERIES.match(description)
    ours = model == MODEL or series is not None
    version = str(sidecar.get("SoftwareVersions") or "") if model == MODEL else ""
    marks = tuple(name for name, holds in tests.items() if holds)
    return marks, Maker(version, series[1] if series else "") if ours else None


def dicom_marks(data: Any) -> tuple[tuple[str, ...], Maker | None]:
    """Return the same of a DICOM data set."""
    derivation = _derivation(data)
    ours = {
        "ManufacturerModelName": _text(data.get("ManufacturerModelName")) == MODEL,
        "ContributingEquipmentSequence": any(_is_synthesiser(item) for item in _items(data, _EQUIPMENT)),
        "ImplementationClassUID": _text(data.file_meta.get("ImplementationClassUID")) == IMPLEMENTATION,
    }
    anyones = {
        "SyntheticData": _text(data.get("SyntheticData")).upper() == "YES",
        "ImageType": DESCRIPTION_MARK in _text(data.get("ImageType")).upper(),
        "SeriesDescription": _text(data.get("SeriesDescription")).startswith(DESCRIPTION_MARK),
        "DerivationDescription": derivation.startswith(DESCRIPTION_MARK),
        "ImageComments": _text(data.get("ImageComments")).startswith(DESCRIPTION_MARK),
    }
    marks = tuple(name for name, holds in (anyones | ours).items() if holds)
    return marks, _dicom_maker(data, derivation, any(ours.values()))


_EQUIPMENT = "ContributingEquipmentSequence"


def _dicom_maker(data: Any, derivation: str, ours: bool) -> Maker | None:
    told = _DERIVATION.match(derivation)
    if told:
        return Maker(**told.groupdict())
    series = _SERIES.match(_text(data.get("SeriesDescription")))
    if not ours and not series:
        return None
    version = data.get("SoftwareVersions") if _text(data.get("ManufacturerModelName")) == MODEL else ""
    return Maker(_text(version), series[1] if series else "")


def _derivation(data: Any) -> str:
    """Return the derivation description: of a classic image, or of an enhanced one's first frame."""
    if "DerivationDescription" in data:
        return _text(data.DerivationDescription)
    frames = _items(data, "PerFrameFunctionalGroupsSequence")[:1]
    origins = [item for frame in frames for item in _items(frame, "DerivationImageSequence")]
    return _text(origins[0].get("DerivationDescription")) if origins else ""


def _is_synthesiser(item: Any) -> bool:
    purposes = _items(item, "PurposeOfReferenceCodeSequence")
    synthesises = any(_text(purpose.get("CodeValue")) == _SYNTHESISER for purpose in purposes)
    return synthesises and _text(item.get("ManufacturerModelName")) == MODEL


def _items(data: Any, keyword: str) -> Any:
    """Return the items of a sequence; none where it is absent, or damaged into something else."""
    from pydicom.sequence import Sequence

    value = data.get(keyword)
    return value if isinstance(value, Sequence) else ()


def _text(value: Any) -> str:
    return "" if value is None else str(value)
