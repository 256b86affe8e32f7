"""A path that the user gives → the images that it stands for."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mrimpute import io
from mrimpute.errors import ImageDamaged
from mrimpute.io import NIFTI_SUFFIXES, split_suffix
from mrimpute.io.dicom.headers import is_dicom
from mrimpute.verify.dicom import series_of, whole_series
from mrimpute.verify.marks import converted_marks, header_marks, is_mask
from mrimpute.verify.model import Candidate, Maker
from mrimpute.verify.sidecar import read_beside, read_sidecar
from mrimpute.verify.walk import files_below


def images_at(path: Path) -> list[Candidate]:
    """Return what a path stands for: of a folder every marked or unreadable image below it, saved brain masks not.

    What is no image, is absent, or holds none, is one candidate with the damage said.
    """
    try:
        return _images_at(path)
    except OSError as error:
        return [Candidate(path, damage=f"it cannot be read: {error.strerror or error}")]


def _images_at(path: Path) -> list[Candidate]:
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        return [Candidate(path, damage=_what_it_is(path))]
    if path.suffix.lower() == ".json":
        return [_of_sidecar(path)]
    if split_suffix(path.name)[1]:
        return [_of_image(path)]
    if is_dicom(path):
        return [whole_series(path.parent, shown=path) or next(iter(series_of([path])))]
    return [Candidate(path, damage="it is no NIfTI image, DICOM file or sidecar")]


def _what_it_is(path: Path) -> str:
    return "it is no regular file" if path.exists() else "it is not there"


def _of_image(path: Path) -> Candidate:
    """Return an image file, with what its header and the sidecar of its stem say."""
    sidecar = path.with_name(split_suffix(path.name)[0] + ".json")
    try:
        marks, maker = header_marks(io.read_texts(path))
    except ImageDamaged as error:
        return Candidate(path, (path,), sidecar, damage=error.text)
    except OSError as error:
        return Candidate(path, (path,), sidecar, damage=f"it cannot be read: {error.strerror}")
    told, by = _told_by_converter(sidecar)
    return Candidate(path, (path,), sidecar, marks + told, maker or by)


def _told_by_converter(sidecar: Path) -> tuple[tuple[str, ...], Maker | None]:
    try:
        return converted_marks(read_beside(sidecar))
    except ImageDamaged:  # said where the sidecar is wanted
        return (), None


def _of_sidecar(path: Path) -> Candidate:
    """Return the image that a sidecar, of ours or of dcm2niix, lies beside."""
    try:
        record = read_sidecar(path)
    except ImageDamaged as error:
        return Candidate(path, damage=error.text)
    named = [record.image_beside(path)] if record else []
    alike = [path.with_name(path.stem + suffix) for suffix in (*NIFTI_SUFFIXES, "")]
    for image in [*named, *alike]:
        if image.is_file() and split_suffix(image.name)[1]:
            return _of_image(image)
        if image.is_dir() and (series := whole_series(image)):
            return series
    if record is None:
        marks, maker = _told_by_converter(path)
        return Candidate(path, (), None, marks, maker)
    return Candidate(path, (), path, ("sidecar",), record.maker, note="the image that it describes is not beside it")


def _of_folder(folder: Path) -> list[Candidate]:
    found: dict[Path, Candidate] = {}
    dicom: list[Path] = []
    unlisted: list[OSError] = []
    images = 0
    for file in files_below(folder, unlisted.append):
        if file.suffix.lower() == ".json":
            found |= {item.path: item for item in _by_sidecar(file)}
        elif split_suffix(file.name)[1]:
            images += 1
            found |= {item.path: item for item in _worth_telling([_of_file(file)])}
        elif file.is_file() and is_dicom(file):
            dicom.append(file)
    found |= {item.path: item for item in _worth_telling(_all_series(dicom))}
    found |= {item.path: item for item in map(_unlisted, unlisted)}
    if found:
        return [found[path] for path in sorted(found)]
    return [Candidate(folder, damage="" if images or dicom else "it holds no image")]


def _unlisted(error: OSError) -> Candidate:
    return Candidate(Path(error.filename), damage=f"it cannot be listed: {error.strerror}")


def _of_file(path: Path) -> Candidate:
    return _of_image(path) if path.is_file() else Candidate(path, damage=_what_it_is(path))


def _by_sidecar(path: Path) -> Iterator[Candidate]:
    """Yield the image of a sidecar of ours; nothing of any other JSON file."""
    try:
        ours = read_sidecar(path) is not None
    except ImageDamaged:  # the image that it belongs to, if there is one, is found by its own marks
        ours = False
    if ours:
        yield _of_sidecar(path)


def _all_series(files: list[Path]) -> Iterator[Candidate]:
    """Yield the DICOM series that files are: whole folders where a sidecar describes them, else by their UID."""
    folders = {folder: whole_series(folder) for folder in dict.fromkeys(file.parent for file in files)}
    yield from (series for series in folders.values() if series)
    yield from series_of([file for file in files if not folders[file.parent]])


def _worth_telling(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """Yield what is marked, described by a sidecar of ours, or unreadable; a brain mask has no digest to check."""
    for item in candidates:
        if (item.marks and not is_mask(item.maker)) or item.damage:
            yield item
