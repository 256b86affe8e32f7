"""The machine around a run: memory caps, languages, odd places and file systems; and very many studies in one run."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mrimpute.contrasts import Contrast
from tests.conftest import WIDE, surroundings, write_study, write_tiny_weights
from tests.reliability.tally import Row
from tests.reliability.warm import digests

SHAPE = (20, 24, 18)
MRIMPUTE = (sys.executable, "-m", "mrimpute")
OWN_GROUP = "memory:"


def _fill(
    work: Path,
    study: Path | bytes,
    weights: object,
    env: dict[str, str] | None = None,
    first: Callable[[], object] | None = None,
) -> subprocess.CompletedProcess[str]:
    words = [*MRIMPUTE, "fill", study, "--missing", "flair", "--weights", weights, "--device", "cpu"]
    return subprocess.run(
        [word if isinstance(word, bytes) else str(word) for word in words],
        capture_output=True,
        text=True,
        errors="replace",
        env=surroundings(work / "home", env),
        preexec_fn=first,
        timeout=300,
    )


def _capped(work: Path, title: str, caps: dict[str, Callable[[], object]]) -> Row:
    """Fill under caps: all is made, or refused with 5 and one line."""
    found, ends = [], []
    for name, cap in caps.items():
        study = write_study(work / name.replace(" ", "-"), shape=SHAPE, affine=WIDE)
        done = _fill(work, study, "builtin", first=cap)
        made = bool(list(study.glob("*t2f.nii.gz")))
        ends.append(f"{name}: {done.returncode}")
        told = [line for line in done.stderr.splitlines() if "cite:" not in line]
        if done.returncode not in (0, 5) or made != (done.returncode == 0) or "Traceback" in done.stderr:
            found.append(f"{name}: {done.returncode} {told[-1:]}")
        elif done.returncode == 5 and len(told) != 1:
            found.append(f"{name}: {told}")
    return Row(title, len(caps), tuple(found), ", ".join(ends))


def address_space(work: Path) -> Row:
    """Fill under 1, 2 and 4 GB of address space and of data."""
    caps = {
        f"{name} {size} GB": partial(resource.setrlimit, kind, (size * 2**30, size * 2**30))
        for name, kind in (("address space", resource.RLIMIT_AS), ("data", resource.RLIMIT_DATA))
        for size in (1, 2, 4)
    }
    return _capped(work, "memory: limits of the process", caps)


def control_groups(work: Path) -> Row:
    """Fill in control groups of 0.5, 1, 2 and 4 GB below this process's own, where such can be made."""
    title = "memory: control groups"
    own = next(
        (line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if OWN_GROUP in line), ""
    )
    root = Path("/sys/fs/cgroup/memory", own.lstrip("/"))
    groups: dict[str, Path] = {}
    try:
        for megabytes in (512, 1024, 2048, 4096):
            group = root / f"mrimpute-{os.getpid()}-{megabytes}"
            group.mkdir()
            groups[f"{megabytes} MB"] = group
            (group / "memory.limit_in_bytes").write_text(str(megabytes * 2**20))
        return _capped(work, title, {name: partial(_enter, group) for name, group in groups.items()})
    except OSError as error:
        return Row(title, 0, (), f"not tried: no control group can be made ({error.strerror})")
    finally:
        for group in groups.values():
            group.rmdir()


def _enter(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def surrounded(work: Path) -> Row:
    """Fill under other languages, time zones, homes, masks and names: the same bytes every time."""
    weights = write_tiny_weights(work / "weights", Contrast.FLAIR)
    plain = write_study(work / "plain" / "case", shape=SHAPE, affine=WIDE)
    _fill(work, plain, weights)
    wanted = digests(plain)
    long = "x" * 200
    places: dict[str, tuple[dict[str, str], str, Callable[[], object] | None]] = {
        "C": ({"LC_ALL": "C", "LANG": "C"}, "c", None),
        "German": ({"LC_ALL": "de_DE.UTF-8"}, "de", None),
        "Turkish": ({"LC_ALL": "tr_TR.UTF-8"}, "tr", None),
        "a time zone": ({"TZ": "Pacific/Kiritimati"}, "tz", None),
        "no home": ({"HOME": ""}, "home", None),
        "umask 077": ({}, "umask", partial(os.umask, 0o077)),
        "a long path": ({}, "/".join([long] * 4), None),
        "a name with newline": ({}, "a\nb", None),
        "a name that is no UTF-8": ({}, os.fsdecode(b"st\xe4dy"), None),
    }
    found = []
    for name, (env, place, first) in places.items():
        study = write_study(work / place / "case", shape=SHAPE, affine=WIDE)
        done = _fill(work, os.fsencode(study), weights, env, first)
        if done.returncode or digests(study) != wanted:
            found.append(f"{name}: {done.returncode} {done.stderr.strip()[-300:]}")
    return Row("languages, time zones, homes, names", len(places), tuple(found))


def case_insensitive(work: Path) -> Row:
    """Write in a folder that takes X for x, where the kernel can make one."""
    title = "a folder that takes X for x"
    folder = work / "folded"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "casefold", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        return Row(title, 0, (), "not tried: this kernel folds no case")
    try:
        (folder / "case").mkdir()
        subprocess.run(["chattr", "+F", str(folder / "case")], check=True)
        study = write_study(folder / "case", shape=SHAPE, affine=WIDE)
        acquired = study / "CASE-T2F.NII.GZ"
        shutil.copy(study / "case-t1n.nii.gz", acquired)
        before = digests(study)
        done = _fill(work, study, write_tiny_weights(work / "weights", Contrast.FLAIR))
        kept = {name: digest for name, digest in digests(study).items() if name in before} == before
        return Row(title, 1, () if kept else (f"{done.returncode} {done.stderr}",))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def batch(work: Path, count: int) -> Row:
    """Fill very many studies, one in twenty of them bad, in one run that is killed halfway and goes on.

    The memory at a fifth of the rows and at the last is told; it may grow by 50 MB.
    """
    weights = write_tiny_weights(work / "weights", Contrast.FLAIR)
    studies = [write_study(work / f"s/case{n:04d}", shape=SHAPE, affine=WIDE, seed=n % 20) for n in range(count)]
    bad = studies[7::20]
    for study in bad:
        (study / f"{study.name}-t2w.nii.gz").write_bytes(b"\x1f\x8bdamaged")
    words = [*MRIMPUTE, "fill", *studies, "-m", "flair", "--weights", weights, "--device", "cpu", "--json", "--quiet"]
    first, _ = _rows(words, work, stop=count // 2)
    finished = {str(path): path.stat().st_mtime_ns for path in work.glob("s/*/*t2f.nii.gz")}
    rows, memory = _rows(words, work)
    statuses = [row["status"] for row in rows]
    found = []
    if len(rows) != count or statuses.count("refused") != len(bad):
        found.append(f"{len(rows)} rows, {statuses.count('refused')} refused of {len(bad)}")
    if {row["study"] for row in rows if row["exit"]} != {str(study) for study in bad}:
        found.append("the bad ones are not those that were refused")
    if any(Path(path).stat().st_mtime_ns != time for path, time in finished.items()):
        found.append("a finished study was done again")
    if len(list(work.glob("s/*/*t2f.nii.gz"))) != count - len(bad) or list(work.glob("s/*/.mrimpute-*")):
        found.append("images are lacking, or temporary files are left")
    full, early = memory[-1], memory[max(len(memory) // 5, len(first) + (count - len(first)) // 5)]
    if full - early > 50_000:
        found.append(f"memory grew from {early} to {full} kB")
    note = f"killed at row {len(first)}; {early // 1024} MB early, {full // 1024} MB at row {len(rows)}"
    return Row(f"a batch of {count}", count, tuple(found), note)


def _rows(words: list[object], work: Path, stop: int = 0) -> tuple[list[dict[str, object]], list[int]]:
    """Run; return its rows, and the process's memory in kB at each. With `stop`, kill it after so many."""
    environment = surroundings(work / "home")
    running = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True, env=environment)
    rows, memory = [], []
    assert running.stdout is not None
    for line in running.stdout:
        rows.append(json.loads(line))
        state = Path(f"/proc/{running.pid}/status")
        told = state.read_text() if state.exists() else ""
        memory += [int(row.split()[1]) for row in told.splitlines() if row.startswith("VmRSS")] or memory[-1:]
        if len(rows) == stop:
            running.send_signal(signal.SIGKILL)
            break
    running.stdout.close()
    running.wait()
    time.sleep(0.1)
    return rows, memory
