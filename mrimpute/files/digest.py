"""Digests of files and folders."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

_PIECE = 2**20
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What operating systems leave in folders that someone looked into; besides these, "._" and a file's name."""


def sha256_of(path: Path) -> str:
    """Return the digest of a file.

    Raises:
        OSError: it cannot be read.
    """
    return sha256_of_all([path])


def sha256_of_all(paths: Iterable[Path]) -> str:
    """Return the digest of files' bytes, one after the other.

    Raises:
        OSError: one cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    return digest.hexdigest()


def content_of(folder: Path) -> list[Path]:
    """Return what lies in a folder, sorted, without the litter of operating systems."""
    return sorted(item for item in folder.iterdir() if not _is_litter(item))


def _is_litter(path: Path) -> bool:
    return path.name in LITTER or path.name.startswith("._")


def content_sha256(path: Path) -> str:
    """Return the digest of a file, or of a folder's files in the order of their names; see `content_of`."""
    return sha256_of_all(content_of(path) if path.is_dir() else [path])


def standing_sha256(path: Path) -> str | None:
    """Return the digest of what stands at a path: a file, a folder of files; None where nothing stands there.

    A link that leads nowhere, a pipe and a folder of folders have one too, which no file has.
    """
    if path.is_file() or (path.is_dir() and all(item.is_file() for item in content_of(path))):
        return content_sha256(path)
    return "unreadable" if path.exists() or path.is_symlink() else None
