"""DICOM files below a folder → one record per slice; headers only, no voxel is decoded.

No text of a tag leaves this package: identification turns it into words of our own.
"""

import hashlib
import io
import os
import re
import threading
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mrimpute.errors import ImageDamaged, StudyRefused
from mrimpute.volume import FloatArray

MAX_FILES = 50_000
MAX_LOOKED = 20_000
DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
"""Names that promise DICOM: such a file that cannot be read is damage, not clutter."""
MAX_FILE_BYTES = 2 * 2**30
MAX_READS = 1_000_000
"""Most reads of a header, some three per element; one of 5000 frames takes half as many."""
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")
"""What a file, or what follows its preamble, begins with, in either byte order."""
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Float, double float and integer pixels."""
PREAMBLE = 128
BARE_STARTS = (b"\x02\x00", b"\x08\x00")
"""First group of a file without preamble: file meta information, or the data set itself."""
MR_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4": "classic",
    "1.2.840.10008.5.1.4.1.1.4.1": "enhanced",
    "1.2.840.10008.5.1.4.1.1.4.4": "enhanced",
}
"""MR image SOP classes: classic, enhanced, legacy converted enhanced."""


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
        agent_given: whether volume, route or start time of an agent is recorded.
        synthetic: whether it says that it was not acquired.
        number: series number, 0 where there is none.
        time: acquisition date and time, '' where not recorded.
        grey: whether it has one grey value per pixel.
        coded: the coded contrast, Acquisition Contrast (0008,9209), upper case.
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


@dataclass(frozen=True)
class Found:
    """What lies in a folder.

    Attributes:
        slices: of every readable DICOM image.
        damaged: files that promise DICOM and cannot be read, with what was seen.
        others: DICOM objects without pixels (reports, directories).
        links: to DICOM files outside the folder, or to nowhere; they are not followed.
    """

    slices: tuple[Slice, ...]
    damaged: tuple[tuple[Path, str], ...]
    others: tuple[Path, ...]
    links: tuple[Path, ...] = ()


class _Quiet:
    """How many threads want pydicom quiet, and what undoes it."""

    lock = threading.Lock()
    users = 0
    undo = ExitStack()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from telling tag values in warnings and logs, until the last thread that wants so is done.

    Its settings and Python's warning filters belong to the whole process.
    """
    from pydicom import config

    with _Quiet.lock:
        if not _Quiet.users:
            mode = config.settings.reading_validation_mode
            _Quiet.undo.callback(setattr, config.settings, "reading_validation_mode", mode)
            _Quiet.undo.callback(setattr, config.logger, "disabled", config.logger.disabled)
            _Quiet.undo.enter_context(warnings.catch_warnings())
            config.settings.reading_validation_mode = config.IGNORE
            config.logger.disabled = True
            warnings.simplefilter("ignore")
        _Quiet.users += 1
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.users -= 1
            if not _Quiet.users:
                _Quiet.undo.close()


def read_headers(folder: Path) -> Found:
    """Read the headers of all DICOM files below a folder, whatever their names.

    Links are followed only where they stay inside the folder; hidden names, DICOMDIR and archives
    are left alone.

    Raises:
        StudyRefused: more than MAX_FILES files.
    """
    slices: list[Slice] = []
    damaged: list[tuple[Path, str]] = []
    others: list[Path] = []
    links: list[Path] = []
    with quiet_pydicom():
        for path in _files(folder, links):
            if not _promises(path) and not _looks_like_dicom(path):
                continue
            try:
                found = _read(path)
            except Defect as defect:
                damaged.append((path, defect.seen))
            except Exception as error:  # pydicom raises a dozen unrelated kinds on damaged files
                damaged.append((path, f"unreadable ({type(error).__name__})"))
            else:
                slices += found
                if not found:
                    others.append(path)
    return Found(tuple(slices), tuple(damaged), tuple(others), tuple(links))


def holds_dicom(folder: Path) -> bool:
    """Tell whether some file below a folder, of the first MAX_LOOKED, is DICOM or promises to be."""
    links: list[Path] = []
    looked = islice(_files(folder, links), MAX_LOOKED)
    return any(_promises(path) or _looks_like_dicom(path) for path in looked) or bool(links)


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM, or promises to be by its name."""
    return _promises(path) or _looks_like_dicom(path)


def read_header(path: Path) -> Any:
    """Return the data set of one file up to its pixels.

    Raises:
        ImageDamaged: absent, unreadable or no DICOM object.
    """
    try:
        with quiet_pydicom():
            data = _header(path)
    except MemoryError:
        raise
    except Exception as error:  # pydicom raises a dozen unrelated kinds on damaged files
        raise ImageDamaged(f"cannot read {path}: no whole DICOM file ({type(error).__name__})") from error
    if "SOPClassUID" not in data:
        raise ImageDamaged(f"cannot read {path}: no DICOM object")
    return data


def lies_beside_dicom(images: Collection[Path]) -> bool:
    """Tell whether a folder of images holds DICOM files too."""
    for folder in dict.fromkeys(path.parent for path in images):
        for path in sorted(folder.iterdir()):
            if path not in images and path.is_file() and _looks_like_dicom(path):
                return True
    return False


def _promises(path: Path) -> bool:
    return path.suffix.lower() in DICOM_SUFFIXES


def _files(folder: Path, links: list[Path]) -> Iterator[Path]:
    """Yield the files below a folder; links to DICOM that lead out of it, or nowhere, are added to a list."""
    root = os.path.realpath(folder)
    seen = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            seen += 1
            if seen > MAX_FILES:
                raise StudyRefused(f"{folder} holds more than {MAX_FILES} files", "give one study's folder")
            if name.startswith(".") or name.upper() == "DICOMDIR":
                continue
            if path.is_symlink() and not (path.is_file() and Path(os.path.realpath(path)).is_relative_to(root)):
                if _promises(path) or (path.is_file() and _looks_like_dicom(path)):
                    links.append(path)
            elif path.is_file():
                yield path


def _looks_like_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(PREAMBLE + 4)
    except OSError:
        return True  # reading it will tell why not
    return start[PREAMBLE:] == b"DICM" or (not path.suffix and start[:2] in BARE_STARTS and start[4:6].isalpha())


def _read(path: Path) -> list[Slice]:
    """Return the slices of one file; none of an object without pixels."""
    size = path.stat().st_size
    if size == 0:
        raise Defect("empty file")
    if size > MAX_FILE_BYTES:
        raise Defect(f"a file of {size / 2**30:.0f} GiB, over the limit of 2 GiB")
    data = _header(path)
    if "SOPClassUID" not in data:
        raise Defect("no DICOM object")
    family = MR_CLASSES.get(str(data.SOPClassUID), "")
    if "Rows" not in data:
        if family:
            raise Defect("an MR image without its size")
        return []
    if family and not (data.get("StudyInstanceUID") and data.get("SeriesInstanceUID")):
        raise Defect("an MR image without study or series UID")
    shared = _first(data, "SharedFunctionalGroupsSequence")
    frames = list(data.get("PerFrameFunctionalGroupsSequence") or [])
    if not frames:
        count = int(data.get("NumberOfFrames") or 1)
        defect = Defect(f"{count} frames, and only one is described") if count > 1 and family else None
        return [_slice(path, data, None, [data], family, defect)]
    stated = int(data.get("NumberOfFrames") or 0)
    if stated != len(frames):
        raise Defect(f"{len(frames)} frames described where {stated} are stored")
    return [_slice(path, data, index, [frame, shared, data], family) for index, frame in enumerate(frames)]


class _Braked(io.BufferedReader):
    """A file that ends a reader which goes on and on: zeros, for instance, are empty elements without end."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise Defect("no DICOM object")
        return super().read(size)


def _header(path: Path) -> Any:
    """Return the data set of a file up to its pixels.

    Raises:
        Defect: it does not begin as DICOM does, or has more elements than any image.
    """
    from pydicom.filereader import read_partial

    def at_pixels(tag: int, _representation: str | None, _length: int) -> bool:
        return tag in PIXEL_TAGS

    with _Braked(io.FileIO(path)) as file:
        start = file.read(PREAMBLE + 6)
        first = start[PREAMBLE + 4 :] if start[PREAMBLE : PREAMBLE + 4] == b"DICM" else start[:2]
        if first not in FIRST_GROUPS:
            raise Defect("no DICOM object")
        file.seek(0)
        return read_partial(file, stop_when=at_pixels, force=True)


def _slice(
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
    )


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
            for keyword in ("ScanningSequence", "SequenceVariant", "EchoPulseSequence", "InversionRecovery")
            for item in _listed(data.get(keyword) if keyword in data else find(keyword, *_PULSE_GROUPS))
        ),
        echo=_number(find("EffectiveEchoTime", "MREchoSequence")) or _number(data.get("EchoTime")),
        repetition=_number(find("RepetitionTime", "MRTimingAndRelatedParametersSequence")),
        inversion=_number(find("InversionTime")) or _number(find("InversionTimes", "MRModifierSequence")),
        b_value=_number(find("DiffusionBValue", "MRDiffusionSequence")),
        volumetric=_text(data.get("MRAcquisitionType")).upper() == "3D",
        agent=_agent(data),
        agent_given=any(
            keyword in data and _text(data.get(keyword))
            for keyword in ("ContrastBolusVolume", "ContrastBolusRoute", "ContrastBolusStartTime")
        ),
        synthetic=_text(data.get("SyntheticData")).upper() == "YES"
        or _text(data.get("ManufacturerModelName")) == "mrimpute"
        or _SYNTHETIC.search(_text(data.get("SeriesDescription")).lower()) is not None
        or any("SYNTHETIC" in _text(item).upper() for item in _listed(image_type))
        or any(
            _text(_first(_first(item, "PurposeOfReferenceCodeSequence"), "CodeValue", plain=True)) == "109100"
            for item in data.get("ContributingEquipmentSequence") or ()
        ),
        number=int(_number(data.get("SeriesNumber")) or 0),
        time=_text(data.get("AcquisitionDateTime"))
        or _text(data.get("AcquisitionDate")) + _text(data.get("AcquisitionTime")),
        grey=int(data.get("SamplesPerPixel") or 1) == 1
        and _text(data.get("PhotometricInterpretation")).upper() in ("MONOCHROME1", "MONOCHROME2"),
        coded=_text(find("AcquisitionContrast", "MRImageFrameTypeSequence")).upper(),
    )


_SYNTHETIC = re.compile(r"synthetic|\bsyn ?mr\b|symri|\bmagic\b")
"""Descriptions of images that scanners compute from maps."""
_PULSE_GROUPS = ("MRTimingAndRelatedParametersSequence", "MRModifierSequence", "MREchoSequence")


def _agent(data: Any) -> str:
    name = _text(data.get("ContrastBolusAgent"))
    for item in data.get("ContrastBolusAgentSequence") or ():
        name = name or _text(item.get("CodeMeaning")) or "stated by code"
    return name.lower()


def _find(groups: list[Any], keyword: str, sequences: tuple[str, ...]) -> Any:
    """Return an attribute from per-frame groups, shared groups or the top level, whichever has it."""
    for group in groups:
        if group is None:
            continue
        for sequence in sequences:
            item = _first(group, sequence)
            if item is not None and item.get(keyword) is not None:
                return item.get(keyword)
        if group.get(keyword) is not None:
            return group.get(keyword)
    return None


def _first(data: Any, keyword: str, plain: bool = False) -> Any:
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
