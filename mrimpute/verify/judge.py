"""An image, its sidecar and given sources → what is found of it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mrimpute import io
from mrimpute.errors import ImageDamaged
from mrimpute.io import split_suffix
from mrimpute.verify.marks import is_mask
from mrimpute.verify.model import Candidate, Finding, Source, Status
from mrimpute.verify.sidecar import Sidecar, read_sidecar
from mrimpute.verify.voxels import same_voxels

_PIECE = 2**20


def judge(image: Candidate, given: Mapping[str, Path] | None = None) -> Finding:
    """Return what is found of an image.

    Args:
        image: the image.
        given: digest → path of what the user says are its sources; None where nothing is said.
    """
    try:
        record = read_sidecar(image.sidecar) if image.sidecar else None
    except ImageDamaged as error:
        return _without_record(image, error.text)
    if record is None or not _describes(record, image):
        return _without_record(image, "there is no sidecar of mrimpute beside it")
    return _against_record(image, record, given)


def _describes(record: Sidecar, image: Candidate) -> bool:
    """Tell whether a sidecar means this image: an image without marks and of another name it does not."""
    return bool(image.marks) or record.image.file in (image.path.name, image.sidecar.stem if image.sidecar else "")


def _without_record(image: Candidate, why: str) -> Finding:
    """Return what the image alone tells: synthetic perhaps, but nothing to compare it with."""
    damage = image.damage or (_damage_of(image) if image.marks else "")
    if damage:
        return Finding(image.path, Status.UNREADABLE, damage, image.marks, image.maker)
    if not image.marks:
        return Finding(image.path, Status.UNMARKED, "nothing marks it as synthetic")
    if image.maker is None:
        why = "nothing names mrimpute as what made it"
    elif is_mask(image.maker):
        why = "no digest of a brain mask is recorded"
    text = "; ".join(filter(None, [f"marked as synthetic, but {why}", image.note]))
    return Finding(image.path, Status.UNCHECKED, text, image.marks, image.maker)


def _damage_of(image: Candidate) -> str:
    """Return why a marked image file cannot be read whole; '' where it can, and of DICOM."""
    if not image.files or not split_suffix(image.path.name)[1]:
        return ""
    try:
        io.read_whole(image.path)
    except ImageDamaged as error:
        return error.text
    return ""


def _against_record(image: Candidate, record: Sidecar, given: Mapping[str, Path] | None) -> Finding:
    """Return whether the image is the one that its sidecar describes, and the sources those it was made from."""
    found = Finding(
        image.path,
        Status.UNCHECKED,
        image.note,
        image.marks or ("sidecar",),
        record.maker,
        image.sidecar,
        recorded=record.image.sha256,
        sources=_sources(record, given),
    )
    if not image.files:
        return replace(found, status=Status.UNREADABLE, text=image.damage) if image.damage else found
    try:
        digest = _digest(image.files)
    except OSError as error:
        return replace(found, status=Status.UNREADABLE, text=f"it cannot be read: {error.strerror}")
    if digest == record.image.sha256:
        text = "its bytes are those that its sidecar records"
        return _with_sources(replace(found, status=Status.INTACT, text=text, sha256=digest), given)
    found = replace(found, status=Status.CHANGED, sha256=digest)
    if digest == record.image.replaces:
        return replace(found, text="it is older than its sidecar: the run that would have replaced it was stopped")
    if not same_voxels(image, record.image):
        return replace(found, text="its bytes are not those that its sidecar records")
    same = "its bytes are not those that its sidecar records; its voxels and where they lie are"
    if not split_suffix(image.path.name)[1]:
        return replace(found, text=f"{same}, but nothing records its headers")
    if not image.marks or (image.maker and image.maker.target not in ("", record.contrast)):
        return replace(found, text=f"{same}, but its marks are gone or altered")
    return _with_sources(replace(found, status=Status.REWRITTEN, text=same), given)


def _with_sources(found: Finding, given: Mapping[str, Path] | None) -> Finding:
    """Return the finding of an image that is as recorded: so, unless sources are given and one is not found."""
    lacking = [source.contrast for source in found.sources if source.found is None]
    if given is None or not lacking:
        return found
    text = f"unchanged, but nothing that was given is the recorded {', '.join(lacking)}"
    return replace(found, status=Status.OTHER_SOURCES, text=text)


def _sources(record: Sidecar, given: Mapping[str, Path] | None) -> tuple[Source, ...]:
    return tuple(replace(source, found=(given or {}).get(source.sha256)) for source in record.sources)


def _digest(files: Sequence[Path]) -> str:
    """Return the digest of files' bytes, one after the other.

    Raises:
        OSError: one cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    return digest.hexdigest()
