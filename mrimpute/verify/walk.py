"""The files below a folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def files_below(folder: Path, unlisted: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield what lies below a folder and is no folder, in order; hidden names and DICOMDIR are left out.

    Links to folders are not followed.

    Args:
        folder: where to look.
        unlisted: called with the error of each folder that cannot be listed.
    """
    for place, folders, names in os.walk(folder, onerror=unlisted):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.upper() != "DICOMDIR":
                yield Path(place) / name
