"""The digests of given files and folders, as sidecars record those of sources."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from mrimpute.errors import ImageDamaged
from mrimpute.files import sha256_of, sha256_of_all
from mrimpute.io import split_suffix
from mrimpute.io.dicom.headers import is_dicom, read_headers
from mrimpute.io.dicom.series import Broken, DicomSeries, assemble
from mrimpute.verify.walk import files_below


def digests_of(paths: Iterable[Path]) -> dict[str, Path]:
    """Return digest → path of all images and DICOM series that are given, or lie below a given folder.

    Raises:
        ImageDamaged: a path is absent, no file and no folder, or a folder that cannot be listed.
        StudyRefused: a folder holds too many files for a study.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            found |= _of_folder(path)
        elif path.is_file():
            found |= _of_series(path.parent, path) if is_dicom(path) else {sha256_of(path): path}
        else:
            raise ImageDamaged(f"cannot read the source {path}", "give a file, or a folder")
    return found


def _of_folder(folder: Path) -> dict[str, Path]:
    files = files_below(folder, _refuse)
    images = {sha256_of(file): file for file in files if split_suffix(file.name)[1] and file.is_file()}
    return images | _of_series(folder)


def _refuse(error: OSError) -> None:
    raise ImageDamaged(
        f"cannot list {error.filename} ({error.strerror})", "make it readable, or give another"
    ) from error


def _of_series(folder: Path, member: Path | None = None) -> dict[str, Path]:
    """Return digest → first file of the DICOM series below a folder, perhaps only of that which a file belongs to."""
    series = [item for item in assemble(read_headers(folder).slices) if not isinstance(item, Broken)]
    return {_digest(item): item.path for item in series if member is None or member in item.files}


def _digest(series: DicomSeries) -> str:
    """Return the digest of a series' bytes in the order of its slices, as it is read."""
    return sha256_of_all(file for file, _ in groupby(item.file for item in series.slices))
