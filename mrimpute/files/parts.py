"""Temporary names beside a result, which tell whose they are, and the removal of those whose run is dead."""

import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from mrimpute import signals
from mrimpute.files.system import process_lives

PART_PREFIX = ".mrimpute-"
PART_SUFFIX = ".part"
_PART_NAME = re.compile(r"\.mrimpute-(?P<machine>\w+)-(?P<pid>\d+)-[0-9a-f]+\.part")
FOREIGN_PART_AGE_S = 24 * 3600
"""A part whose process cannot be looked for from here is taken for dead at this age."""


def new_part(folder: Path) -> Path:
    """Return a temporary name in a folder that tells which process it belongs to."""
    return folder / f"{PART_PREFIX}{_machine()}-{os.getpid()}-{secrets.token_hex(4)}{PART_SUFFIX}"


def remove(part: Path) -> None:
    """Remove a temporary file or folder, if it is there.

    Raises:
        OSError: the disk refuses.
    """
    if part.is_dir():
        with suppress(FileNotFoundError):  # another run removes it too
            shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)


def unremoved(parts: Iterable[Path]) -> tuple[str, ...]:
    """Remove temporary files and folders; return what is to be told of those that could not be removed.

    Raises:
        Terminated: a signal came meanwhile; it waits until all are removed.
    """
    notes = []
    with signals.held():
        for part in parts:
            try:
                remove(part)
            except OSError as error:
                notes.append(f"{part} could not be removed ({error.strerror}); the next run there tries again")
    return tuple(notes)


def remove_dead_parts(folder: Path) -> tuple[str, ...]:
    """Remove the parts that killed runs left in a folder; return what is to be told of those that stay."""
    return unremoved(_dead_parts(folder))


def _dead_parts(folder: Path) -> list[Path]:
    dead_parts = []
    own_machine = _machine()
    for part in folder.glob(f"{PART_PREFIX}*{PART_SUFFIX}"):
        match = _PART_NAME.fullmatch(part.name)
        with suppress(FileNotFoundError):
            if match is None:
                continue
            if match["machine"] == own_machine:
                dead = not process_lives(int(match["pid"]))
            else:
                dead = time.time() - part.stat().st_mtime > FOREIGN_PART_AGE_S
            if dead:
                dead_parts.append(part)
    return dead_parts


@cache
def _machine() -> str:
    """Return what tells where a process number means a process: host name, boot and name space of processes.

    Two containers may share host name and folder and still not see each other's processes.
    """
    places = ""
    with suppress(OSError):
        places += Path("/proc/sys/kernel/random/boot_id").read_text()
        places += str(Path("/proc/self/ns/pid").readlink())
    host = re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())[:40]
    return f"{host}_{re.sub(r'[^A-Za-z0-9]', '', places)[-48:]}"
