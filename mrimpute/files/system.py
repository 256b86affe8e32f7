"""What only some operating systems have, behind one door: Linux is tested, macOS and Windows by a fake alone."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

WINDOWS = os.name == "nt"


def sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk; Windows opens no folders and needs no such call."""
    if WINDOWS:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def process_lives(pid: int) -> bool:
    """Tell whether a process of this machine may be alive; on Windows yes, where asking by signal 0 would end it.

    One that ended and that its parent has not asked after is dead: in a container without an init it stays for good.
    """
    if WINDOWS:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Tell whether Linux shows a process as ended (state Z or X; proc_pid_stat(5): the field after the name), and no
    thread of it as running on."""
    own = Path(f"/proc/{pid}")
    with suppress(OSError, IndexError):
        state = (own / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        return state in ("Z", "X") and len(list((own / "task").iterdir())) <= 1
    return False


def own_group() -> dict[str, Any]:
    """Return the words for `Popen` that give a program a group of its own, with all that it starts."""
    return {} if WINDOWS else {"start_new_session": True}


def end_group(process: "subprocess.Popen[str]") -> None:
    """End a program at once, and all of its group; on Windows, which has no such groups, it alone."""
    if WINDOWS:
        process.kill()
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def peak_memory_mb() -> int | None:
    """Return the most memory that this process ever held, in MB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 2**20 if sys.platform == "darwin" else peak // 1024
