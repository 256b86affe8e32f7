"""Other programs, which end with all that they started when their time is up or this process is told to end."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from mrimpute.files.system import end_group, own_group


def run_program(
    words: Sequence[str | Path], environment: Mapping[str, str] | None = None, seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in a group of its own.

    What it started is ended with it: a shell or launcher that alone were killed would leave the real work running,
    with memory and GPU in its hands.

    Args:
        words: the program and what it is called with.
        environment: its own; None for this process's.
        seconds: after which it is given up; None for never.

    Returns:
        Its exit code and what it said.

    Raises:
        OSError: it cannot be run.
        subprocess.TimeoutExpired: it was given up.
    """
    with subprocess.Popen(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        **own_group(),
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException:  # a signal too
            end_group(process)
            raise
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Return the exit code of a program and the last line that it said, 200 characters at most."""
    said = (done.stderr or done.stdout).strip().splitlines()[-1:]
    return ": ".join([f"exit {done.returncode}", *said])[:200]
