"""Processes of the command line that need not import the heavy packages: forked from a server that has.

Each has its own environment, standard streams and exit code, and imports mrimpute and the Hub's client,
which look at their surroundings as they are imported, itself.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PRELOADED = ["tests.processes", "torch", "safetensors.torch", "nibabel", "SimpleITK", "filelock", "pydantic", "typer"]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(PRELOADED)


def _run(words: Sequence[str], environment: dict[str, str], streams: Sequence[str], before: str) -> None:
    """Be the process: from its words to its exit."""
    assert "torch" in sys.modules
    assert not {"mrimpute", "huggingface_hub"} & set(sys.modules)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    exec(before, {})
    from mrimpute.cli.app import main

    main(words)


class Forked:
    """A running `mrimpute`; `before` is what it runs as Python first."""

    def __init__(self, words: Sequence[object], environment: dict[str, str], before: str = "") -> None:
        self.words = [str(word) for word in words]
        self.folder = tempfile.TemporaryDirectory(prefix="forked-")
        self.streams = [Path(self.folder.name, name) for name in ("out", "err")]
        for path in self.streams:
            path.touch()
        streams = [str(path) for path in self.streams]
        self.process = FORKS.Process(target=_run, args=(self.words, environment, streams, before))
        self.process.start()

    def done(self, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Wait for its end, and return its exit code and what it said."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.process.kill()
            raise subprocess.TimeoutExpired(self.words, timeout)
        with self.folder:
            out, err = (path.read_text() for path in self.streams)
        return subprocess.CompletedProcess(self.words, self.process.exitcode, out, err)


def lives(pid: int) -> bool:
    """Tell whether a process still runs; one that waits for its parent's look does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def child_of(place: Path) -> int:
    """Return the number of the launched process, and see it end."""
    pid = int(place.read_text())
    deadline = time.monotonic() + 10
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return pid
