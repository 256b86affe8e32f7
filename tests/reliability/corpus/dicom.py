"""DICOM series that are damaged, lying, incomplete, or no images."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from mrimpute.contrasts import Contrast
from tests.dicom_builders import enhance, write_series
from tests.reliability.corpus.case import FILL, Case
from tests.study import test_broken

UIDS = {"study": "1.2.3.1", "space": "1.2.3.2"}
SERIES = ((Contrast.T1, 1), (Contrast.T1C, 2), (Contrast.T2, 3))


@cache
def _built() -> Path:
    folder = Path(mkdtemp(prefix="reliability-"))
    for contrast, number in SERIES:
        write_series(folder / contrast, contrast, UIDS, number=number)
    return folder


def plain(study: Path) -> None:
    """Write three whole series."""
    shutil.copytree(_built(), study, dirs_exist_ok=True)


def slices(study: Path) -> list[Path]:
    return sorted((study / "t2").iterdir())


def edit(path: Path, change: Callable[[Dataset], object]) -> None:
    data = dcmread(path)
    change(data)
    data.save_as(path)


def every(study: Path, change: Callable[[Dataset, int], object]) -> None:
    for index, path in enumerate(slices(study)):
        edit(path, partial(_at, change=change, index=index))


def _at(data: Dataset, change: Callable[[Dataset, int], object], index: int) -> None:
    change(data, index)


def first(study: Path, change: Callable[[Dataset], object]) -> None:
    edit(slices(study)[4], change)


def tag(keyword: str, value: object, vr: str | None = None) -> Callable[[Dataset, int], object]:
    """Return what gives a slice another value, whatever its kind."""

    def change(data: Dataset, _index: int) -> None:
        if value is None:
            data.pop(keyword, None)
        elif vr:
            data.add_new(keyword, vr, value)
        else:
            setattr(data, keyword, value)

    return change


def shifted(data: Dataset, index: int) -> None:
    data.ImagePositionPatient = [
        data.ImagePositionPatient[0] + (3.0 if index == 4 else 0),
        *data.ImagePositionPatient[1:],
    ]


def stretched(data: Dataset, index: int) -> None:
    if index > 4:
        data.ImagePositionPatient = [value + 4 for value in data.ImagePositionPatient]


def one_turned(data: Dataset, index: int) -> None:
    if index == 4:
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def at_one_place(data: Dataset, _index: int) -> None:
    data.ImagePositionPatient = [0, 0, 0]


def short_pixels(data: Dataset) -> None:
    data.PixelData = data.PixelData[:100]


def other_size(data: Dataset) -> None:
    data.Rows, data.Columns = 24, 80
    data.PixelData = bytes(24 * 80 * 2)


def missing_slice(study: Path) -> None:
    slices(study)[4].unlink()


def cut(study: Path, length: int) -> None:
    path = slices(study)[4]
    path.write_bytes(path.read_bytes()[:length])


def syntax(study: Path, uid: str) -> None:
    for path in slices(study):
        data = dcmread(path)
        data.file_meta.TransferSyntaxUID = UID(uid)
        content = path.read_bytes()
        old = b"1.2.840.10008.1.2.1\0"
        path.write_bytes(content.replace(old, uid.encode()[: len(old)].ljust(len(old), b"\0"), 1))


def zeros(study: Path) -> None:
    path = study / "zeros.dcm"
    path.write_bytes(bytes(128) + b"DICM")
    os.truncate(path, 2**28)


def bad_frames(study: Path) -> None:
    path = enhance(study / "t2")
    edit(path, lambda data: data.PerFrameFunctionalGroupsSequence.pop())


def frames_without_places(study: Path) -> None:
    path = enhance(study / "t2")
    edit(path, lambda data: [item.pop("PlanePositionSequence") for item in data.PerFrameFunctionalGroupsSequence])


EVERY = {
    "slope of nothing": tag("RescaleSlope", "0", "LO"),
    "slope NaN": tag("RescaleSlope", "nan", "LO"),
    "slope with a comma": tag("RescaleSlope", "0,5", "LO"),
    "two slopes": tag("RescaleSlope", ["1", "2"], "LO"),
    "intercept infinite": tag("RescaleIntercept", "inf", "LO"),
    "thickness below nothing": tag("SliceThickness", "-1", "LO"),
    "thickness in words": tag("SliceThickness", "thin", "LO"),
    "pixels of 100 mm": tag("PixelSpacing", [100, 100]),
    "pixels of a micrometre": tag("PixelSpacing", [0.001, 0.001]),
    "pixels of nothing": tag("PixelSpacing", [0, 0]),
    "pixels below nothing": tag("PixelSpacing", [-2.1, 2.1]),
    "one pixel spacing": tag("PixelSpacing", [2.1]),
    "no pixel spacing": tag("PixelSpacing", None),
    "no orientation": tag("ImageOrientationPatient", None),
    "orientation of zeros": tag("ImageOrientationPatient", [0, 0, 0, 0, 0, 0]),
    "orientation that is skew": tag("ImageOrientationPatient", [1, 0, 0, 0.5, 0.5, 0]),
    "orientation too short": tag("ImageOrientationPatient", [1, 0, 0]),
    "no position": tag("ImagePositionPatient", None),
    "position NaN": tag("ImagePositionPatient", ["nan", "0", "0"], "LO"),
    "one position for all": at_one_place,
    "one slice off its line": shifted,
    "a gap": stretched,
    "one slice turned": one_turned,
    "no rows": tag("Rows", None),
    "rows of nothing": tag("Rows", 0),
    "very many rows": tag("Rows", 65_535),
    "very many frames": tag("NumberOfFrames", 99_999),
    "bits that cannot be": tag("BitsStored", 40),
    "7 bits allocated": tag("BitsAllocated", 7),
    "high bit beyond": tag("HighBit", 30),
    "colour": tag("PhotometricInterpretation", "RGB"),
    "three samples": tag("SamplesPerPixel", 3),
    "no pixels": tag("PixelData", None),
    "no series UID": tag("SeriesInstanceUID", None),
}
ONE = {
    "a slice without pixels": lambda data: data.pop("PixelData"),
    "a slice of short pixels": short_pixels,
    "a slice of other size": other_size,
    "a slice of another patient": lambda data: setattr(data, "PatientID", "OTHER"),
    "pixels of a broken kind": lambda data: data.add_new("PixelData", "OW", b"\0"),
}
FILES = {
    "a slice is missing": missing_slice,
    **{f"a slice cut at {length}": partial(cut, length=length) for length in (0, 100, 140, 400, 900)},
    "GE's private syntax": partial(syntax, uid="1.2.840.113619.5.2"),
    "a syntax of nobody": partial(syntax, uid="1.2.3.4.5.6.7.8.9"),
    "JPEG that is none": partial(syntax, uid="1.2.840.10008.1.2.4.70"),
    "a video": partial(syntax, uid="1.2.840.10008.1.2.4.102"),
    "zeros that promise DICOM": zeros,
    "frames fewer than told": bad_frames,
    "frames without places": frames_without_places,
    **{spoil.__name__.replace("_", " "): spoil for spoil in test_broken.BROKEN},
}


def malformed() -> Iterator[Case]:
    """Yield studies of three series whose T2 is malformed."""
    for name, change in EVERY.items():
        yield _case(name, partial(every, change=change))
    for name, change in ONE.items():
        yield _case(name, partial(first, change=change))
    for name, spoil in FILES.items():
        yield _case(name, spoil)


def _case(name: str, spoil: Callable[[Path], object]) -> Case:
    def build(study: Path) -> None:
        plain(study)
        spoil(study)

    return Case(name, build, (), (3,), FILL)
