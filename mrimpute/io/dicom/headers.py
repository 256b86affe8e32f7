"""DICOM files below a folder → one record per slice; headers only, no voxel is decoded.

No text of a tag leaves this package: identification turns it into words of our own.
"""

import io
import os
import threading
import warnings
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mrimpute.errors import ImageDamaged, StudyRefused
from mrimpute.io.dicom.facts import Defect, Slice, first_item, slice_of

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
BARE_STARTS = FIRST_GROUPS[:2]
"""First group of a file without preamble: file meta information, or the data set itself."""
MR_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4": "classic",
    "1.2.840.10008.5.1.4.1.1.4.1": "enhanced",
    "1.2.840.10008.5.1.4.1.1.4.4": "enhanced",
}
"""MR image SOP classes: classic, enhanced, legacy converted enhanced."""


@dataclass(frozen=True)
class Found:
    """What lies in a folder.

    Attributes:
        slices: of every readable DICOM image.
        damaged: files that promise DICOM and cannot be read, and folders that cannot be listed, with what was seen.
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
    unlisted: list[OSError] = []
    with quiet_pydicom():
        for path in _files(folder, links, unlisted):
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
    damaged += [(Path(error.filename), f"a folder that cannot be listed ({error.strerror})") for error in unlisted]
    return Found(tuple(slices), tuple(damaged), tuple(others), tuple(links))


def holds_dicom(folder: Path) -> bool:
    """Tell whether some file below a folder, of the first MAX_LOOKED, is DICOM or promises to be."""
    links: list[Path] = []
    looked = islice(_files(folder, links, []), MAX_LOOKED)
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


def _files(folder: Path, links: list[Path], unlisted: list[OSError]) -> Iterator[Path]:
    """Yield the files below a folder; added to lists are links to DICOM that lead out of it, or nowhere, and the errors
    of folders that cannot be listed."""
    root = os.path.realpath(folder)
    seen = 0
    for place, folders, names in os.walk(folder, onerror=unlisted.append):
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
    shared = first_item(data, "SharedFunctionalGroupsSequence")
    frames = list(data.get("PerFrameFunctionalGroupsSequence") or [])
    if not frames:
        count = int(data.get("NumberOfFrames") or 1)
        defect = Defect(f"{count} frames, and only one is described") if count > 1 and family else None
        return [slice_of(path, data, None, [data], family, defect)]
    stated = int(data.get("NumberOfFrames") or 0)
    if stated != len(frames):
        raise Defect(f"{len(frames)} frames described where {stated} are stored")
    return [slice_of(path, data, index, [frame, shared, data], family) for index, frame in enumerate(frames)]


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
