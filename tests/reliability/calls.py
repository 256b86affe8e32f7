"""The k-th call to the file system fails, for every k; and disks that fill up."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import run_here
from tests.reliability.tally import Row
from tests.reliability.warm import Warm, ended, warm

CALLS = (
    "openat",
    "write",
    "fsync",
    "renameat2",
    "rename",
    "mkdir",
    "unlink",
    "unlinkat",
    "rmdir",
    "close",
    "newfstatat",
    "read",
    "getdents64",
    "ftruncate",
    "flock",
    "lseek",
    "link",
)
ERRORS = ("EIO", "ENOSPC", "EACCES", "EDQUOT")
CODES = {"ENOSPC": (0, 1, 3, 4, 5, 6), "EDQUOT": (0, 1, 3, 4, 5, 6)}
MOST_CALLS = 400


def can_trace() -> str:
    """Return why no process can be traced here; '' where one can."""
    if shutil.which("strace") is None:
        return "strace is absent (apt-get install strace)"
    done = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True)
    return "" if done.returncode == 0 else "no process may be traced here"


def failed_calls(
    work: Path, form: str, overwrite: bool, errors: tuple[str, ...], calls: tuple[str, ...] = CALLS
) -> Row:
    """Fail every call of every kind once, and look whether the old image stands and the code tells the truth."""
    title = f"the k-th call fails: {form}, {'--overwrite' if overwrite else 'fresh'}"
    if why := can_trace():
        return Row(title, 0, (), f"not tried: {why}")
    place = warm(work, form, overwrite=overwrite)
    old, new = (0, 1) if overwrite else (-1, 1)
    found, tried, ends = [], 0, dict[int, int]()
    for call in calls:
        for error in errors:
            for number in range(1, MOST_CALLS):
                place.stage(old)
                end, hit = _traced(place, new, call, error, number, work / "trace")
                if not hit:
                    break
                tried += 1
                ends[end] = ends.get(end, 0) + 1
                if wrong := _wrong(place, end, old, new):
                    found.append(f"{call} {number} {error}: {wrong}")
    told = ", ".join(f"{count} x {code}" for code, count in sorted(ends.items()))
    return Row(title, tried, tuple(found), f"exit codes {told}")


def _wrong(place: Warm, end: int, old: int, new: int) -> str:
    """Return what is wrong after a call failed."""
    if end not in (0, 3, 4, 5, 6):
        return f"ended with {end}"
    if broken := place.sound(new) if end == 0 else place.sound(old):
        return f"ended with {end}, and {broken}"
    return ""


def _traced(place: Warm, seed: int, call: str, error: str, number: int, log: Path) -> tuple[int, bool]:
    """Run with the n-th call of one kind failing; return its exit code, and whether a call failed."""
    process = place.fork(seed, lambda: os.kill(os.getpid(), signal.SIGSTOP))
    os.waitpid(process, os.WUNTRACED)
    words = ["-qq", "-o", log, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}"]
    tracer = subprocess.Popen(["strace", *map(str, words), "-p", str(process)], stderr=subprocess.DEVNULL)
    while not _is_traced(process):
        time.sleep(0.001)
    os.kill(process, signal.SIGCONT)
    end = ended(process)
    tracer.wait()
    return end, "(INJECTED)" in log.read_text()


def _is_traced(process: int) -> bool:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith("TracerPid")).split()[1] != "0"


@contextmanager
def disk(folder: Path, kilobytes: int) -> Iterator[str]:
    """Mount a file system of a size on a folder; give why that cannot be done, '' where it could."""
    folder.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True)
    try:
        yield done.stderr.strip() if done.returncode else ""
    finally:
        if not done.returncode:
            subprocess.run(["umount", str(folder)], check=True)


def full_disks(work: Path, form: str, sizes: int) -> Row:
    """Write on disks of many sizes, from almost nothing to enough, the check for room being long past."""
    title = f"full disks: {form}"
    place = warm(work, form)
    place.go(1)
    needed = 4 * sum(1 + path.stat().st_size // 4096 for path in place.out.rglob("*") if path.is_file()) + 32
    found, whole = [], 0
    for number in range(sizes):
        with disk(place.out, max(8, needed * (number + 1) // sizes)) as why:
            if why:
                return Row(title, 0, (), f"not tried: {why}")
            end = ended(place.fork(1))
            whole += end == 0
            wrong = "" if end in (0, 5) else f"ended with {end}"
            wrong = wrong or place.sound(1 if end == 0 else -1) or (f"stale {place.parts()}" if place.parts() else "")
            if wrong:
                found.append(f"disk {number} of {sizes}: {wrong}")
    return Row(title, sizes, tuple(found), f"{whole} were large enough")


def small_disks(work: Path, sizes: int) -> Row:
    """Run the command line on disks of many sizes: it must stop before anything heavy, or write all."""
    title = "full disks: the whole command"
    place = warm(work, "nifti")
    found, whole = [], 0
    for number in range(sizes):
        with disk(place.out, 400 * (number + 1)) as why:
            if why:
                return Row(title, 0, (), f"not tried: {why}")
            words = ("fill", place.study, "-m", "flair", "--weights", work / "weights", "--out", place.out)
            done = run_here(work / "home", *words, "--device", "cpu")
            whole += done.returncode == 0
            if done.returncode not in (0, 5) or bool(place.images()) != (done.returncode == 0):
                found.append(f"{400 * (number + 1)} kB: {done.returncode} {done.stderr.strip()}")
    return Row(title, sizes, tuple(found), f"{whole} were large enough")
