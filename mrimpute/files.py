"""Files that appear whole or not at all, their digests, and what a disk refuses in the user's terms."""

import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mrimpute.errors import MrimputeError, OutputRefused, ResourcesExhausted

PART_PREFIX = ".mrimpute-"
PART_SUFFIX = ".part"
_PART_NAME = re.compile(r"\.mrimpute-(?P<host>\w+)-(?P<pid>\d+)-[0-9a-f]+\.part")
FOREIGN_PART_AGE_S = 24 * 3600
"""A part of another host's run is taken for dead at this age."""
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


def sha256_of(path: Path) -> str:
    """Return the digest of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(path: Path) -> str:
    """Return the digest of a file, or of a folder's files in the order of their names."""
    if not path.is_dir():
        return sha256_of(path)
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()


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


def new_part(folder: Path) -> Path:
    """Return a temporary name in a folder that tells which process it belongs to."""
    return folder / f"{PART_PREFIX}{_host()}-{os.getpid()}-{secrets.token_hex(4)}{PART_SUFFIX}"


def write_through(path: Path, content: bytes) -> None:
    """Write a new file and have it on the disk."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def publish(part: Path, final: Path, replace: bool) -> None:
    """Give a part its final name; unless it replaces our own file, in a way that fails if the name is taken.

    Raises:
        OutputRefused: a file appeared at the place.
    """
    if replace:
        os.replace(part, final)
        return
    try:
        os.link(part, final)
    except FileExistsError as error:
        raise OutputRefused(f"{final} appeared meanwhile", "run again") from error
    except OSError as error:
        if error.errno in FULL_DISK:
            raise
        os.rename(part, final)  # a file system without hard links


def write_whole(target: Path, content: bytes, replace: bool = False) -> None:
    """Write a file whole or not at all.

    Args:
        target: where; unless it replaces, nothing may be there.
        content: its bytes.
        replace: whether a file of ours is there, to be replaced.

    Raises:
        OutputRefused: the folder refuses, or a file appeared at the place.
        ResourcesExhausted: the disk is full.
    """
    folder = target.parent
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        part = new_part(folder)
        try:
            write_through(part, content)
            publish(part, target, replace)
            sync_folder(folder)
        finally:
            part.unlink(missing_ok=True)


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


def sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(part: Path) -> None:
    """Remove a temporary file or folder, if it is there."""
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


def remove_dead_parts(folder: Path) -> None:
    """Remove the parts that killed runs left in a folder."""
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
                remove(part)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())[:40]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
