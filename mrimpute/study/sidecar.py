"""A BIDS or dcm2niix sidecar → the same facts that a DICOM header gives; its times are seconds."""

import re
from collections.abc import Mapping
from typing import Any

from mrimpute.io.dicom.facts import AGENT_FIELDS, Facts, agent_text, recorded

_SEPARATORS = re.compile(r"[\\_/, ]+")


def facts_of(sidecar: Mapping[str, Any]) -> Facts:
    """Return what a sidecar records of how a series came to be; empty facts for an empty sidecar."""
    return Facts(
        modality=_text(sidecar.get("Modality")).upper() or "MR",
        family="classic",
        image_type=_image_type(sidecar.get("ImageType")) + _image_type(sidecar.get("ImageTypeText")),
        words=tuple(
            _text(sidecar.get(key)).lower()
            for key in (
                "SeriesDescription",
                "ProtocolName",
                "SequenceName",
                "PulseSequenceName",
                "PulseSequenceDetails",
            )
        ),
        sequence=_values(sidecar.get("ScanningSequence")) + _variant(sidecar),
        echo=_milliseconds(sidecar.get("EchoTime")),
        repetition=_milliseconds(sidecar.get("RepetitionTime")),
        inversion=_milliseconds(sidecar.get("InversionTime")),
        b_value=None,
        volumetric=_text(sidecar.get("MRAcquisitionType")).upper() == "3D",
        agent=_agent(sidecar),
        agent_given=any(recorded(sidecar.get(key)) for key in AGENT_FIELDS),
        number=int(_number(sidecar.get("SeriesNumber")) or 0),
        time=_text(sidecar.get("AcquisitionDateTime")) or _text(sidecar.get("AcquisitionTime")),
        coded=_text(sidecar.get("AcquisitionContrast")).upper(),
        nucleus=_text(sidecar.get("ImagedNucleus")).upper(),
        body=_text(sidecar.get("BodyPartExamined")).lower(),
    )


def _variant(sidecar: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the values of Sequence Variant; that for magnetisation transfer may stand in BIDS' own field."""
    transfer = ("MTC",) if sidecar.get("MTState") is True else ()
    return (*_values(sidecar.get("SequenceVariant")), *transfer)


def _agent(sidecar: Mapping[str, Any]) -> str:
    for key in ("ContrastBolusIngredient", "ContrastBolusAgent"):
        if text := agent_text(sidecar.get(key)):
            return text
    return ""


def _values(value: Any) -> tuple[str, ...]:
    """Return the values of a field that is a list, or a text with any separator."""
    parts = value if isinstance(value, list) else _SEPARATORS.split(_text(value))
    return tuple(str(part).strip().upper() for part in parts if str(part).strip())


def _image_type(value: Any) -> tuple[str, ...]:
    """Return Image Type; a list of single letters, as some converters write it, is one text."""
    if isinstance(value, list):
        parts = [str(part) for part in value]
        letters = len(parts) > 8 and all(len(part) == 1 for part in parts)
        return _image_type("".join(parts)) if letters else tuple(part.strip().upper() for part in parts)
    return tuple(part.strip().upper() for part in re.split(r"[\\/]+", _text(value)) if part.strip())


def _milliseconds(value: Any) -> float | None:
    number = _number(value)
    return None if number is None else number * 1000.0


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e9:
        return None
    return float(value)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else "" if value is None or isinstance(value, dict) else str(value)
