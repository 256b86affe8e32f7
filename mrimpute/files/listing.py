"""What lies below a folder, by names, sizes, times and inodes: whether anything changed, without a byte read."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

Stamp = tuple[int, int, int, int] | None
"""Size, time of content, time of change and inode of a file; None where it cannot be looked at.

The time of change (ctime) follows content, name, owner and rights, and no ordinary program can set it back.
"""
Listing = dict[str, Stamp]
"""Path inside a folder → its stamp; folders end with '/' and have none."""

MAX_LISTED = 50_000
SETTLED_NS = 2 * 10**9
"""What changed so shortly ago could change again within one step of the clock of its disk, and look the same."""
DECIDING = tuple(
    f"{'../' * level}{name}" for level in (1, 2, 3) for name in ("dataset.json", "dataset_description.json")
)
"""Files in the nearest folders above a study that decide what its images are, and where results go."""


def listing_of(folder: Path) -> Listing | None:
    """Return what lies below a folder and beside the folders above it; hidden names are left out.

    Links to files are followed, to folders not.

    Returns:
        None where a later look could not tell a change: a folder cannot be listed, holds more than MAX_LISTED names,
        or a file changed within the last SETTLED_NS.
    """
    found: Listing = {}
    try:
        for name, stamp in _below(os.fspath(folder), ""):
            found[name] = stamp
            if len(found) > MAX_LISTED:
                return None
    except OSError:
        return None
    place = os.path.realpath(folder)  # without links: what '..' means is then the same for everyone
    found |= {name: stamp_of(f"{place}/{name}") for name in DECIDING}
    latest = max((max(stamp[1:3]) for stamp in found.values() if stamp), default=0)
    return None if latest > time.time_ns() - SETTLED_NS else found


def stamp_of(path: str | Path) -> Stamp:
    """Return the stamp of a file."""
    try:
        told = os.stat(path)
    except OSError:
        return None
    return told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino


def stamps_of(path: Path) -> Listing:
    """Return the stamp of a file, or of all that lies below a folder, by whole path.

    Raises:
        OSError: the folder cannot be listed.
    """
    inside = _below(os.fspath(path), f"{path}{os.sep}") if path.is_dir() else ()
    return {str(path): stamp_of(path), **dict(inside)}


def _below(folder: str, prefix: str) -> Iterator[tuple[str, Stamp]]:
    with os.scandir(folder) as items:
        for item in items:
            if item.name.startswith("."):
                continue
            if item.is_dir(follow_symlinks=False):
                yield f"{prefix}{item.name}/", None
                yield from _below(item.path, f"{prefix}{item.name}/")
            else:
                yield f"{prefix}{item.name}", stamp_of(item.path)
