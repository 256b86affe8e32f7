"""An image, its sidecar and given sources → what is found of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mrimpute import io
from mrimpute.errors import ImageDamaged
from mrimpute.files import sha256_of_all
from mrimpute.io import split_suffix
from mrimpute.verify.marks import HEADER_TEXTS, is_mask
from mrimpute.verify.model import Candidate, Finding, Source, Status
from mrimpute.verify.sidecar import Sidecar, read_sidecar
from mrimpute.verify.voxels import Compared, compared


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
        digest = sha256_of_all(image.files)
    except OSError as error:
        return replace(found, status=Status.UNREADABLE, text=f"it cannot be read: {error.strerror}")
    if digest == record.image.sha256:
        text = "its bytes are those that its sidecar records"
        return _with_sources(replace(found, status=Status.INTACT, text=text, sha256=digest), given)
    found = replace(found, status=Status.CHANGED, sha256=digest)
    if digest == record.image.replaces:
        return replace(found, text="it is older than its sidecar: the run that would have replaced it was stopped")
    seen = compared(image, record.image)
    change = _change(image, record, seen)
    if seen is None or change:
        return replace(found, text="; ".join(filter(None, [_OTHER_BYTES, change])))
    text = f"{_OTHER_BYTES}; its voxels, where they lie and its marks are"
    return _with_sources(replace(found, status=Status.REWRITTEN, text=text), given)


_OTHER_BYTES = "its bytes are not those that its sidecar records"


def _change(image: Candidate, record: Sidecar, seen: Compared | None) -> str:
    """Say in what an image of other bytes differs from the recorded one; '' where nothing more is known or differs."""
    if seen is None:
        return ""
    if not seen.alike:
        return "nor are its voxels"
    if seen.elsewhere:
        return f"its voxels are, but they lie elsewhere ({seen.elsewhere})"
    same = "its voxels and where they lie are"
    if not split_suffix(image.path.name)[1]:
        return f"{same}, but nothing records its headers"
    altered = _altered_texts(image, record)
    return (
        f"{same}, but its header's {' and '.join(altered)} no longer has the text that was written" if altered else ""
    )


def _altered_texts(image: Candidate, record: Sidecar) -> list[str]:
    """Return the text fields of an image's header that no longer hold what was written there."""
    gone = [name for name in HEADER_TEXTS if name not in image.marks]
    told = (image.maker.version, image.maker.target) if image.maker else ()
    version, target = record.maker.version, record.maker.target
    return gone or ([] if told in ((version, target), (version, f"{target}-spread")) else ["descrip"])


def _with_sources(found: Finding, given: Mapping[str, Path] | None) -> Finding:
    """Return the finding of an image that is as recorded: so, unless sources are given and one is not found."""
    lacking = [source.contrast for source in found.sources if source.found is None]
    if given is None or not lacking:
        return found
    text = f"unchanged, but nothing that was given is the recorded {', '.join(lacking)}"
    return replace(found, status=Status.OTHER_SOURCES, text=text)


def _sources(record: Sidecar, given: Mapping[str, Path] | None) -> tuple[Source, ...]:
    return tuple(replace(source, found=(given or {}).get(source.sha256)) for source in record.sources)
