"""Digests of files and folders."""

import hashlib
from pathlib import Path


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


def standing_sha256(path: Path) -> str | None:
    """Return the digest of what stands at a path: a file, a folder of files; None where nothing stands there.

    A link that leads nowhere, a pipe and a folder of folders have one too, which no file has.
    """
    if path.is_file() or (path.is_dir() and all(item.is_file() for item in path.iterdir())):
        return content_sha256(path)
    return "unreadable" if path.exists() or path.is_symlink() else None
