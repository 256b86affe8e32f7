"""DICOM files → the series that they are, with the marks that all files of one share."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mrimpute.errors import ImageDamaged
from mrimpute.files import content_of, real_path
from mrimpute.io.dicom.headers import read_header
from mrimpute.verify.marks import dicom_marks
from mrimpute.verify.model import Candidate, Maker
from mrimpute.verify.sidecar import read_sidecar

Header = tuple[str, tuple[str, ...], Maker | None]
"""Series UID, marks, and what they say made it."""


def whole_series(folder: Path, shown: Path | None = None) -> Candidate | None:
    """Return the series in a folder whose sidecar lies beside it; None where there is no such sidecar.

    All that lies in the folder is the image, as it was when it was written, but for what operating systems leave there.

    Args:
        folder: of the series.
        shown: one of its files, where the user gave that.
    """
    place = folder if folder.name not in ("", "..") else real_path(folder)
    sidecar = place.with_name(f"{place.name}.json")
    try:
        if read_sidecar(sidecar) is None:
            return None
    except ImageDamaged:  # said where it is wanted
        pass
    files = tuple(content_of(folder))
    path = shown or folder
    if not files or not all(file.is_file() for file in files):
        return Candidate(path, (), sidecar, damage="its folder is empty, or holds more than files")
    try:
        _, marks, maker = _header_of(shown or files[0])
    except ImageDamaged as error:
        return Candidate(path, files, sidecar, damage=error.text)
    return Candidate(path, files, sidecar, marks, maker)


def series_of(files: Iterable[Path]) -> Iterator[Candidate]:
    """Yield the series that DICOM files are, and every file that cannot be read."""
    groups: dict[str, dict[Path, Header]] = {}
    for file in files:
        try:
            header = _header_of(file)
        except ImageDamaged as error:
            yield Candidate(file, (file,), damage=error.text)
        else:
            groups.setdefault(header[0], {})[file] = header
    for group in groups.values():
        yield _series(group)


def _series(group: dict[Path, Header]) -> Candidate:
    """Return a series without sidecar, under its first file's name."""
    first = min(group)
    _, _, maker = group[first]
    every = [set(marks) for _, marks, _ in group.values()]
    shared = tuple(mark for mark in group[first][1] if all(mark in marks for marks in every))
    bare = sum(not marks for marks in every)
    note = f"{bare} of its {len(group)} files bear no mark" if bare and bare < len(group) else ""
    marks = shared or tuple(sorted(set().union(*every)))
    return Candidate(first, tuple(sorted(group)), None, marks, maker, note=note)


def _header_of(file: Path) -> Header:
    """Return what a file's header tells.

    Raises:
        ImageDamaged: it cannot be read.
    """
    data = read_header(file)
    marks, maker = dicom_marks(data)
    return str(data.get("SeriesInstanceUID") or file), marks, maker
