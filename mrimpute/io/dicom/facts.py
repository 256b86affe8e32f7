"""What the header of one DICOM slice tells: how it came to be, where it lies, how its pixels are scaled.

No text of a tag leaves this package: identification turns it into words of our own.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mrimpute.volume import FloatArray


class Defect(Exception):
    """What makes a slice or a series unusable: what was seen, and the remedy."""

    def __init__(self, seen: str, remedy: str = "export the series again") -> None:
        super().__init__(seen)
        self.seen = seen
        self.remedy = remedy


@dataclass(frozen=True)
class Facts:
    """What the scanner recorded about how a slice came to be; times in ms.

    Attributes:
        modality, family: DICOM modality; 'classic', 'enhanced', or '' for what is no MR image.
        image_type: values of Image Type, upper case.
        words: series description, protocol and sequence names, lower case, never shown.
        sequence: values of Scanning Sequence and Sequence Variant.
        echo, repetition, inversion, b_value: None where not recorded.
        volumetric: whether it was acquired in 3-D.
        agent: what is recorded of a contrast agent: its name, '' where the field is empty.
        agent_given: whether volume, dose, route, rate or start time of an agent is recorded.
        synthetic: whether it says that it was not acquired.
        number: series number, 0 where there is none.
        time: acquisition date and time, '' where not recorded.
        grey: whether it has one grey value per pixel.
        coded: the coded contrast, Acquisition Contrast (0008,9209), upper case.
        nucleus: Imaged Nucleus (0018,0085), upper case.
        body: Body Part Examined (0018,0015), lower case, never shown.
    """

    modality: str = ""
    family: str = ""
    image_type: tuple[str, ...] = ()
    words: tuple[str, ...] = field(default=(), repr=False)
    sequence: tuple[str, ...] = ()
    echo: float | None = None
    repetition: float | None = None
    inversion: float | None = None
    b_value: float | None = None
    volumetric: bool = False
    agent: str = field(default="", repr=False)
    agent_given: bool = False
    synthetic: bool = False
    number: int = 0
    time: str = field(default="", repr=False)
    grey: bool = True
    coded: str = ""
    nucleus: str = ""
    body: str = field(default="", repr=False)


@dataclass(frozen=True)
class Slice:
    """One slice: a file, or one frame of a file.

    Attributes:
        file: where it lies.
        frame: index in a multi-frame file, None for a single-frame one.
        study, series, space, instance: UIDs of study, series, frame of reference and instance.
        patient: digest of what names the patient.
        facts: how it came to be.
        rows, columns: pixels.
        geometry: position (3), row and column direction (6), spacing between rows and between
            columns (2), all LPS and mm; a Defect where that cannot be told.
        rescale: slope and intercept of the stored values.
        thickness: of the slice in mm, 0 where not recorded.
        window: lowest and highest rescaled grey value that a viewer is told to show, None where not recorded.
        padding: lowest and highest stored value that stands for no image, None where not recorded.
    """

    file: Path
    frame: int | None
    study: str = field(repr=False)
    patient: str = field(repr=False)
    series: str = field(repr=False)
    space: str = field(repr=False)
    instance: str = field(repr=False)
    facts: Facts
    rows: int
    columns: int
    geometry: FloatArray | Defect
    rescale: tuple[float, float] = (1.0, 0.0)
    thickness: float = 0.0
    window: tuple[float, float] | None = None
    padding: tuple[float, float] | None = None


def slice_of(
    path: Path, data: Any, frame: int | None, groups: list[Any], family: str, defect: Defect | None = None
) -> Slice:
    """Return one slice; what makes it unusable, a given defect or one of its own, stands for its geometry."""

    def find(keyword: str, *sequences: str) -> Any:
        return _find(groups, keyword, sequences)

    rescale, thickness = (1.0, 0.0), 0.0
    try:
        geometry: FloatArray | Defect = defect or _geometry(find)
        slope = _stated(find("RescaleSlope", "PixelValueTransformationSequence"), "a rescale slope", 1.0)
        intercept = _stated(find("RescaleIntercept", "PixelValueTransformationSequence"), "a rescale intercept", 0.0)
        if find("ModalityLUTSequence") is not None:
            raise Defect("grey values that are told by a table (Modality LUT)", "export the series without one")
        if slope == 0:
            raise Defect("a rescale slope of 0", "correct the header, or export the series again")
        rescale = slope, intercept
        thickness = _stated(find("SliceThickness", "PixelMeasuresSequence"), "a slice thickness", 0.0)
        if thickness < 0:
            raise Defect("a slice thickness below 0", "correct the header, or export the series again")
    except Defect as found:
        geometry = found
    return Slice(
        file=path,
        frame=frame,
        study=str(data.get("StudyInstanceUID", "")),
        patient=_digest(*(_text(data.get(name)) for name in ("PatientID", "PatientName", "PatientBirthDate"))),
        series=str(data.get("SeriesInstanceUID", "")),
        space=str(data.get("FrameOfReferenceUID", "")),
        instance=str(data.get("SOPInstanceUID", "")),
        facts=_facts(data, find, family),
        rows=int(data.Rows),
        columns=int(data.Columns),
        geometry=geometry,
        rescale=rescale,
        thickness=thickness,
        window=_window(find),
        padding=_padding(find),
    )


def _window(find: Callable[..., Any]) -> tuple[float, float] | None:
    """Return the first window of a slice or frame (DICOM PS3.3 C.11.2.1.2), None where there is none to be used."""
    centre = _number(find("WindowCenter", "FrameVOILUTSequence"))
    width = _number(find("WindowWidth", "FrameVOILUTSequence"))
    if centre is None or width is None or width <= 0:
        return None
    return centre - width / 2, centre + width / 2


def _padding(find: Callable[..., Any]) -> tuple[float, float] | None:
    """Return the stored values that stand for no image (DICOM PS3.3 C.7.5.1.1.2), as signed as the pixels are: some
    scanners write the value of signed pixels as an unsigned one. Of CT None: there 0 is water, and what they stand for
    lies below air as it is."""
    value = _number(find("PixelPaddingValue"))
    if value is None or find("Modality") == "CT":
        return None
    limit = _number(find("PixelPaddingRangeLimit"))
    count = 2.0 ** (_number(find("BitsAllocated")) or 16)
    least = -count / 2 if find("PixelRepresentation") == 1 else 0.0
    ends = [(one - least) % count + least for one in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _geometry(find: Callable[..., Any]) -> FloatArray:
    """Return position, orientation and spacing as 11 numbers.

    Raises:
        Defect: one is absent or no number.
    """
    parts: list[FloatArray] = []
    for keyword, sequence, count, name in (
        ("ImagePositionPatient", "PlanePositionSequence", 3, "a position"),
        ("ImageOrientationPatient", "PlaneOrientationSequence", 6, "an orientation"),
        ("PixelSpacing", "PixelMeasuresSequence", 2, "a pixel spacing"),
    ):
        try:
            value = find(keyword, sequence)
            numbers = np.array([float(str(item)) for item in value], np.float64) if value is not None else np.zeros(0)
        except (TypeError, ValueError, AttributeError):
            raise Defect(f"{name} that is no number", "correct the header, or export the series again") from None
        if len(numbers) != count or not np.isfinite(numbers).all():
            raise Defect(f"slices without {name}", "export the original series, not a reformatted copy")
        parts.append(numbers)
    position, orientation, spacing = parts
    row, column = orientation[:3], orientation[3:]
    frame = np.array([row, column])
    if np.abs(frame @ frame.T - np.eye(2)).max() > 1e-3:
        raise Defect("row and column directions that are not perpendicular unit vectors", "correct the header")
    if not (spacing > 0).all():
        raise Defect("a pixel spacing of 0", "correct the header, or export the series again")
    return np.concatenate([position, orientation, spacing])


def _facts(data: Any, find: Callable[..., Any], family: str) -> Facts:
    image_type = data.get("ImageType") or find("FrameType", "MRImageFrameTypeSequence") or ()
    return Facts(
        modality=_text(data.get("Modality")).upper(),
        family=family,
        image_type=tuple(_text(item).upper() for item in _listed(image_type)),
        words=tuple(
            _text(data.get(keyword)).lower()
            for keyword in ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
        ),
        sequence=tuple(
            _text(item).upper()
            for keyword in _PULSES
            for item in _listed(data.get(keyword) if keyword in data else find(keyword, *_PULSE_GROUPS))
        ),
        echo=_number(find("EffectiveEchoTime", "MREchoSequence")) or _number(data.get("EchoTime")),
        repetition=_number(find("RepetitionTime", "MRTimingAndRelatedParametersSequence")),
        inversion=_number(find("InversionTime")) or _number(find("InversionTimes", "MRModifierSequence")),
        b_value=_number(find("DiffusionBValue", "MRDiffusionSequence")),
        volumetric=_text(data.get("MRAcquisitionType")).upper() == "3D",
        agent=_agent(data),
        agent_given=any(recorded(data.get(keyword)) for keyword in AGENT_FIELDS),
        synthetic=_text(data.get("SyntheticData")).upper() == "YES"
        or _text(data.get("ManufacturerModelName")) == "mrimpute"
        or _SYNTHETIC.search(_text(data.get("SeriesDescription")).lower()) is not None
        or any("SYNTHETIC" in _text(item).upper() for item in _listed(image_type))
        or any(
            _text(first_item(first_item(item, "PurposeOfReferenceCodeSequence"), "CodeValue", plain=True)) == "109100"
            for item in data.get("ContributingEquipmentSequence") or ()
        ),
        number=int(_number(data.get("SeriesNumber")) or 0),
        time=_text(data.get("AcquisitionDateTime"))
        or _text(data.get("AcquisitionDate")) + _text(data.get("AcquisitionTime")),
        grey=int(data.get("SamplesPerPixel") or 1) == 1
        and _text(data.get("PhotometricInterpretation")).upper() in ("MONOCHROME1", "MONOCHROME2"),
        coded=_text(find("AcquisitionContrast", "MRImageFrameTypeSequence")).upper(),
        nucleus=_text(data.get("ImagedNucleus")).upper(),
        body=_text(data.get("BodyPartExamined")).lower(),
    )


_SYNTHETIC = re.compile(r"synthetic|\bsyn ?mr\b|symri|\bmagic\b")
"""Descriptions of images that scanners compute from maps."""
AGENT_FIELDS = (
    *("ContrastBolusVolume", "ContrastBolusTotalDose", "ContrastBolusRoute"),
    *("ContrastBolusStartTime", "ContrastFlowRate"),
)
"""What is recorded of an injection."""
_PULSES = ("ScanningSequence", "SequenceVariant", "EchoPulseSequence", "InversionRecovery", "MagnetizationTransfer")
_PULSE_GROUPS = ("MRTimingAndRelatedParametersSequence", "MRModifierSequence", "MREchoSequence")


def recorded(value: Any) -> bool:
    """Tell whether a field about an injection holds something: no 0, which some scanners write where none was made."""
    text = agent_text(value)
    digits = {letter for letter in text if letter.isdigit()}
    return bool(text) and digits != {"0"} and text not in ("none", "no", "n/a", "na", "unknown")


def _agent(data: Any) -> str:
    name = _text(data.get("ContrastBolusAgent"))
    for item in data.get("ContrastBolusAgentSequence") or ():
        name = name or _text(item.get("CodeMeaning")) or "stated by code"
    return agent_text(name)


def agent_text(value: Any) -> str:
    """Return what stands in an agent's field, lower case; '' where that is only a sign for an empty one."""
    text = _text(value).lower()
    return "" if text in ("null", "empty") or re.fullmatch(r"[-_.,:;*# ]*", text) else text


def _find(groups: list[Any], keyword: str, sequences: tuple[str, ...]) -> Any:
    """Return an attribute from per-frame groups, shared groups or the top level, whichever has it."""
    for group in groups:
        if group is None:
            continue
        for sequence in sequences:
            item = first_item(group, sequence)
            if item is not None and item.get(keyword) is not None:
                return item.get(keyword)
        if group.get(keyword) is not None:
            return group.get(keyword)
    return None


def first_item(data: Any, keyword: str, plain: bool = False) -> Any:
    """Return the first item of a sequence (or a plain value), None where there is none."""
    value = data.get(keyword) if data is not None else None
    if plain or value is None:
        return value
    return value[0] if len(value) else None


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()


def _listed(value: Any) -> list[Any]:
    """Return the values of an element, however many it has."""
    if value is None:
        return []
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _stated(value: Any, name: str, default: float) -> float:
    """Return a number that decides pixels or geometry; the default where it is absent or empty.

    Raises:
        Defect: it is there and no finite number: a guess would change values without a word.
    """
    listed = [text for text in map(_text, _listed(value)) if text]
    if not listed:
        return default
    number = _number(listed[0]) if len(listed) == 1 else None
    if number is None:
        raise Defect(f"{name} that is no number", "correct the header, or export the series again")
    return number


def _number(value: Any) -> float | None:
    """Return the first number of a value; None where there is none."""
    for item in _listed(value):
        try:
            number = float(str(item))
        except ValueError:
            return None
        return number if np.isfinite(number) else None
    return None
