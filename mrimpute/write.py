"""Where a result goes, and how it gets there: whole or not at all, never over acquired data."""

import errno
import gzip
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from filelock import FileLock, Timeout

from mrimpute import __version__
from mrimpute.contrasts import Contrast
from mrimpute.errors import MrimputeError, OutputRefused, ResourcesExhausted
from mrimpute.io import nifti
from mrimpute.layout import Layout
from mrimpute.provenance import Fingerprint, is_synthetic, read_sidecar
from mrimpute.study import Study
from mrimpute.volume import FloatArray

PART_PREFIX = ".mrimpute-"
PART_SUFFIX = ".part"
_PART_NAME = re.compile(r"\.mrimpute-(?P<host>\w+)-(?P<pid>\d+)-[0-9a-f]+\.part")
FOREIGN_PART_AGE_S = 24 * 3600
"""A part of another host's run is taken for dead at this age."""
FREE_SPACE_MARGIN = 2**20


@dataclass(frozen=True)
class Place:
    """Where one result belongs.

    Attributes:
        image: the NIfTI file, or the folder of a DICOM series.
        sidecar: the JSON file of the same stem.
    """

    image: Path
    sidecar: Path


def place_for(study: Study, target: Contrast, out: Path | None, layout: Layout | None = None) -> Place:
    """Return where the result of one target belongs.

    Args:
        study: the study.
        target: the contrast made.
        out: the user's folder, in which the study gets one of its own; None for beside the
            sources (for BIDS: under derivatives/mrimpute of the data set).
        layout: names of a complete case below `out`, instead of the study's own.
    """
    if layout is not None and out is not None:
        image = layout.image(study, target, out, synthetic=True)
        return Place(image, image.with_name(image.name.removesuffix(".nii.gz") + ".json"))
    stem = study.naming.stem(target)
    if out is not None:
        folder = out / study.name
    elif study.naming.scheme == "bids":
        folder = _bids_folder(study)
    else:
        folder = _common_folder(study)
    return Place(folder / f"{stem}.nii.gz", folder / f"{stem}.json")


def series_place(study: Study, target: Contrast, out: Path | None) -> Place:
    """Return where the derived DICOM series of one target belongs: a folder of its own in the study,
    or below `out`. No tag value is in its name."""
    folder = study.folder if out is None else out / study.name
    return Place(folder / f"mrimpute_{target}", folder / f"mrimpute_{target}.json")


def _common_folder(study: Study) -> Path:
    """Return the one folder inside the study that its series lie in, or the study's own."""
    if any(item.dicom for item in study.series):
        return study.folder
    inside = study.folder.resolve()
    folders = {item.path.parent for item in study.series if item.path.parent.resolve().is_relative_to(inside)}
    return folders.pop() if len(folders) == 1 else study.folder


def _bids_folder(study: Study) -> Path:
    """Return the anat folder below derivatives/mrimpute of the BIDS data set.

    The data set's root is the folder above the study that has a dataset_description.json or the
    subject's folder in it.
    """
    entities = dict(part.split("-", 1) for part in study.naming.prefix.rstrip("_").split("_"))
    subject = f"sub-{entities['sub']}"
    folder = _common_folder(study).resolve()
    roots = (
        a for a in (folder, *folder.parents) if (a / "dataset_description.json").is_file() or (a / subject).is_dir()
    )
    root = next(roots, study.folder.resolve())
    if not study.folder.is_absolute():
        root = Path(os.path.relpath(root))
    session = [f"ses-{entities['ses']}"] if "ses" in entities else []
    return root.joinpath("derivatives", "mrimpute", subject, *session, "anat")


def already_made(place: Place, fingerprint: Fingerprint, overwrite: bool) -> bool:
    """Decide what an existing file at the place means.

    Returns:
        True: the very image is there, whole; nothing is to be done. False: write.

    Raises:
        OutputRefused: a file is there that mrimpute did not make, or made by another recipe
            and may not overwrite.
    """
    record = read_sidecar(place.sidecar)
    if place.sidecar.exists() and not record:
        raise OutputRefused(f"{place.sidecar} exists and was not made by mrimpute", "move it, or choose another --out")
    if not place.image.exists():
        return False
    if not _ours(place):
        raise OutputRefused(
            f"{place.image} exists and was not made by mrimpute; it is never overwritten", "move it away"
        )
    if overwrite:
        return False
    digest, image = content_sha256(place.image), record.get("image", {})
    equal = record.get("fingerprint") == asdict(fingerprint)
    if equal and image.get("sha256") == digest:
        return True
    if equal and image.get("replaces") == digest:  # a run with --overwrite was killed between its two renames
        return False
    raise OutputRefused(
        f"{place.image} was made before by another recipe, or was changed since", "add --overwrite to replace it"
    )


def check_room(place: Place, voxels: int) -> None:
    """Check, before anything heavy, that the result can be written.

    Raises:
        OutputRefused: the folder is not writable.
        ResourcesExhausted: too little free space for an uncompressed image.
    """
    folder = place.image.parent
    with _disk_errors(folder):
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise OutputRefused(f"cannot write in {folder}", "choose another folder with --out")
        needed, free = 4 * voxels + FREE_SPACE_MARGIN, shutil.disk_usage(folder).free
    if free < needed:
        raise ResourcesExhausted(
            f"{folder} has {free / 1e6:.0f} MB free and up to {needed / 1e6:.0f} MB are needed",
            "free some space, or choose another folder with --out",
        )


@contextmanager
def holding(study: Study) -> Iterator[None]:
    """Hold the study against other runs of mrimpute on this account.

    Raises:
        OutputRefused: another run holds it, or no lock can be made.
    """
    state = Path(os.environ.get("MRIMPUTE_STATE") or platformdirs.user_state_dir("mrimpute")) / "locks"
    key = hashlib.sha256(os.fsencode(study.folder.resolve())).hexdigest()[:24]
    lock = FileLock(state / f"{key}.lock")
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputRefused(f"another run of mrimpute holds {study.folder}", "wait for it to end") from error
    except OSError as error:
        raise OutputRefused(
            f"cannot make a lock in {state} ({error.strerror})", "set MRIMPUTE_STATE to a writable folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def write(place: Place, image: bytes, voxels: FloatArray, sidecar: dict[str, Any]) -> None:
    """Place an image and its sidecar: temporary files, flushed, read back, then renamed.

    The sidecar comes first: killed in between, it describes an image that is not there, and
    the next run makes it.

    Args:
        place: where.
        image: the bytes of the NIfTI file.
        voxels: what reading them back must give.
        sidecar: the content of the JSON file.

    Raises:
        OutputRefused: the folder refuses, or a foreign file appeared at the place.
        ResourcesExhausted: the disk is full.
    """
    folder = place.image.parent
    parts: list[Path] = []
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_dead_parts(folder)
        replaced = content_sha256(place.image) if place.image.exists() else None
        sidecar = {**sidecar, "image": {**sidecar["image"], "replaces": replaced}}
        text = json.dumps(sidecar, indent=2) + "\n"
        try:
            for content in (image, text.encode()):
                parts.append(_part(folder))
                _write_through(parts[-1], content)
            _verify(parts[0], image, voxels)
            if place.image.exists() and not is_synthetic(place.image, {}):
                raise OutputRefused(f"{place.image} appeared meanwhile and was not made by mrimpute", "move it away")
            replace = place.image.exists()
            os.replace(parts[1], place.sidecar)
            _publish(parts[0], place.image, replace)
            _sync_folder(folder)
        finally:
            for part in parts:
                part.unlink(missing_ok=True)


def write_series(place: Place, files: list[bytes], read_back: Callable[[Path], bool], sidecar: dict[str, Any]) -> None:
    """Place a DICOM series and its sidecar: a hidden folder, flushed, read back, then renamed.

    Args:
        place: where.
        files: the bytes of its files, in order of the slices.
        read_back: tells whether a folder reads back as what was meant.
        sidecar: the content of the JSON file.

    Raises:
        OutputRefused: the folder refuses, or a foreign one appeared at the place.
        ResourcesExhausted: the disk is full.
    """
    folder = place.image.parent
    parts: list[Path] = []
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_dead_parts(folder)
        replaced = content_sha256(place.image) if place.image.exists() else None
        sidecar = {**sidecar, "image": {**sidecar["image"], "replaces": replaced}}
        try:
            parts += [_part(folder), _part(folder)]
            parts[0].mkdir()
            for number, content in enumerate(files, 1):
                _write_through(parts[0] / f"{number:04d}.dcm", content)
            _write_through(parts[1], (json.dumps(sidecar, indent=2) + "\n").encode())
            _sync_folder(parts[0])
            if not read_back(parts[0]):
                raise OutputRefused(f"what was written in {folder} does not read back the same", "check that disk")
            if place.image.exists():
                if not _ours(place):
                    raise OutputRefused(
                        f"{place.image} appeared meanwhile and was not made by mrimpute", "move it away"
                    )
                parts.append(_part(folder))
                os.rename(place.image, parts[-1])
            os.replace(parts[1], place.sidecar)
            os.rename(parts[0], place.image)
            _sync_folder(folder)
        finally:
            for part in parts:
                _remove(part)


def content_sha256(path: Path) -> str:
    """Return the digest of a file, or of a folder's files in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _ours(place: Place) -> bool:
    """Tell whether what stands at a place was made by mrimpute: of a folder, every byte of it."""
    if not place.image.is_dir():
        return is_synthetic(place.image, {})
    image = read_sidecar(place.sidecar).get("image", {})
    if not image or any(not item.is_file() for item in place.image.iterdir()):
        return False
    return content_sha256(place.image) in (image.get("sha256"), image.get("replaces"))


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


def place_bytes(target: Path, content: bytes, replace: bool = False) -> None:
    """Place a file whole or not at all.

    Args:
        target: where; unless it replaces, nothing may be there.
        content: its bytes.
        replace: whether a file of ours is there, to be replaced.

    Raises:
        OutputRefused: the folder refuses, or a file appeared at the place.
        ResourcesExhausted: the disk is full.
    """
    folder = target.parent
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        part = _part(folder)
        try:
            _write_through(part, content)
            _publish(part, target, replace)
            _sync_folder(folder)
        finally:
            part.unlink(missing_ok=True)


def plan_copies(study: Study, layout: Layout, out: Path) -> dict[Path, bytes]:
    """Return the acquired images of a case, unchanged, by their place under a layout.

    Copies, not links: what a later tool does to its input must not reach the acquired file.

    Returns:
        place → bytes, in the segmenter's order; a plain .nii is packed, otherwise unchanged.

    Raises:
        OutputRefused: another file has one of the names already.
    """
    copies = {}
    for contrast in layout.needs:
        if contrast not in study.present:
            continue
        source = study.get(contrast).path
        content = source.read_bytes()
        if content[:2] != b"\x1f\x8b":
            content = gzip.compress(content, mtime=0)
        target = layout.image(study, contrast, out, synthetic=False)
        if target.exists() and target.read_bytes() != content:
            raise OutputRefused(f"{target} exists and is another file than {source}", "choose another --out")
        copies[target] = content
    return copies


def copy_acquired(study: Study, layout: Layout, out: Path) -> list[Path]:
    """Copy the acquired images of a case to their places; see `plan_copies`.

    Raises:
        OutputRefused: another file has one of the names, or the folder cannot be written.
    """
    copies = plan_copies(study, layout, out)
    for target, content in copies.items():
        if not target.exists():
            place_bytes(target, content)
    return list(copies)


def describe_bids(image: Path) -> None:
    """Give the BIDS data set that an image lies in its dataset_description.json, where it has none.

    A data set without one is not valid (BIDS 1.9, dataset description); derivatives must say what
    made them.

    Raises:
        OutputRefused, ResourcesExhausted: it cannot be written.
    """
    root = next(folder for folder in image.parents if folder.name.startswith("sub-")).parent
    derivative = root.name == "mrimpute"
    content = {
        "Name": "Synthetic images made by mrimpute" if derivative else "Assembled by mrimpute",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative" if derivative else "raw",
        "GeneratedBy": [{"Name": "mrimpute", "Version": __version__}],
    }
    file = root / "dataset_description.json"
    if file.exists():
        return
    try:
        place_bytes(file, (json.dumps(content, indent=2) + "\n").encode())
    except OutputRefused:
        if not file.exists():  # otherwise another run was quicker
            raise


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Tell what the operating system refuses in the user's terms."""
    try:
        yield
    except OSError as error:
        way_out = "choose another folder with --out"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourcesExhausted(f"the disk is full: {folder}", f"free some space, or {way_out}") from error
        raise OutputRefused(f"cannot write in {folder} ({error.strerror})", way_out) from error


def _part(folder: Path) -> Path:
    return folder / f"{PART_PREFIX}{_host()}-{os.getpid()}-{secrets.token_hex(4)}{PART_SUFFIX}"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())[:40]


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _verify(part: Path, image: bytes, voxels: FloatArray) -> None:
    """Read the written file back; a difference means the disk cannot be trusted.

    Raises:
        OutputRefused: bytes or voxels differ.
    """
    try:
        same = part.read_bytes() == image and np.array_equal(nifti.read(part).voxels, np.asarray(voxels, np.float32))
    except MrimputeError:
        same = False
    if not same:
        raise OutputRefused(f"what was written in {part.parent} does not read back the same", "check that disk")


def _publish(part: Path, final: Path, replace: bool) -> None:
    """Give the part its final name; unless it replaces our own file, in a way that fails if
    the name is taken meanwhile."""
    if replace:
        os.replace(part, final)
        return
    try:
        os.link(part, final)
    except FileExistsError as error:
        raise OutputRefused(f"{final} appeared meanwhile", "run again") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        os.rename(part, final)  # a file system without hard links


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_dead_parts(folder: Path) -> None:
    """Remove parts that killed runs left behind."""
    own_host = _host()
    for part in folder.glob(f"{PART_PREFIX}*{PART_SUFFIX}"):
        match = _PART_NAME.fullmatch(part.name)
        with suppress(FileNotFoundError):
            if match is None:
                continue
            if match["host"] == own_host:
                dead = not _alive(int(match["pid"]))
            else:
                dead = time.time() - part.stat().st_mtime > FOREIGN_PART_AGE_S
            if dead:
                _remove(part)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
