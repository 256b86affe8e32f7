"""Files that appear whole or not at all, their digests, and what a disk refuses in the user's terms."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mrimpute.errors import MrimputeError, OutputRefused, ResourcesExhausted
from mrimpute.files.digest import content_of, content_sha256, sha256_of, sha256_of_all, standing_sha256
from mrimpute.files.locks import hold
from mrimpute.files.parts import PART_PREFIX, PART_SUFFIX, new_part, remove, remove_dead_parts, unremoved
from mrimpute.files.rename import publish, put, take_back
from mrimpute.files.system import peak_memory_mb, process_lives, sync_folder

__all__ = [
    "FULL_DISK",
    "PART_PREFIX",
    "PART_SUFFIX",
    "content_of",
    "content_sha256",
    "disk_errors",
    "hold",
    "new_part",
    "peak_memory_mb",
    "process_lives",
    "publish",
    "put",
    "read_json",
    "read_small",
    "real_path",
    "remove",
    "remove_dead_parts",
    "replacing",
    "sha256_of",
    "sha256_of_all",
    "standing_sha256",
    "sync_folder",
    "take_back",
    "unremoved",
    "unsynced",
    "write_through",
    "write_whole",
]

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
SMALL_BYTES = 2**20
"""Largest text beside an image (sidecar, settings, list of channels) that is read."""


def read_small(path: Path) -> bytes:
    """Return the bytes of a small text file; of a pipe or device, which could hang or never end, nothing is read.

    Raises:
        OSError: absent, unreadable, no regular file, or larger than SMALL_BYTES.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no regular file", str(path))
    with path.open("rb") as file:
        content = file.read(SMALL_BYTES + 1)
    if len(content) > SMALL_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a small JSON file; {} where it holds something else.

    Raises:
        OSError: as `read_small`.
        ValueError: it is no JSON.
    """
    try:
        content = json.loads(read_small(path))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return content if isinstance(content, dict) else {}


def real_path(path: Path) -> Path:
    """Return a path without links; of links in a circle as far as they lead, where `Path.resolve` fails."""
    return Path(os.path.realpath(path))


@contextmanager
def disk_errors(
    folder: Path, way_out: str = "choose another folder with --out", refusal: type[MrimputeError] = OutputRefused
) -> Iterator[None]:
    """Tell what the operating system refuses in the user's terms.

    Args:
        folder: that is written in.
        way_out: what the user can do.
        refusal: the error for all but a full disk.

    Raises:
        ResourcesExhausted: the disk is full.
        MrimputeError: the refusal, for everything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise ResourcesExhausted(f"the disk is full: {folder}", f"free some space, or {way_out}") from error
        raise refusal(f"cannot write in {folder} ({error.strerror})", way_out) from error


def write_through(path: Path, content: bytes) -> None:
    """Write a new file and have it on the disk."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_whole(target: Path, content: bytes, expected: str | None = None) -> tuple[str, ...]:
    """Write a file whole or not at all.

    Args:
        target: where.
        content: its bytes.
        expected: digest of the file of ours that it replaces; None where nothing may be there.

    Returns:
        What the disk refused after the file had its place, to be told.

    Raises:
        OutputRefused: the folder refuses, or another file appeared at the place.
        ResourcesExhausted: the disk is full.
    """
    folder = target.parent
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stale = remove_dead_parts(folder)
        part = new_part(folder)
        try:
            write_through(part, content)
            put(part, target, expected)
            notes = unsynced(folder)
        finally:
            left = unremoved([part])
    return (*stale, *notes, *left)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give a temporary path beside a file; on success it replaces the file in one step.

    The name is always the same, so that what a killed run left is written over by the next;
    safetensors' own save_file would leave a file of a random name.
    """
    temporary = file.with_name(f".{file.name}.part")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, file)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def unsynced(folder: Path) -> tuple[str, ...]:
    """Have a folder's names on the disk, after a result got its place there.

    Returns:
        What is to be told where the disk refuses: the result stands, so that it would be wrong to call it failed.
    """
    try:
        sync_folder(folder)
    except OSError as error:
        return (f"{folder}: written, but the disk did not confirm it ({error.strerror}); check that it stays",)
    return ()
