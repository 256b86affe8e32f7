"""Programs that are called end with all that they started."""

import signal
import subprocess
import sys

import pytest

from mrimpute import signals
from mrimpute.errors import ExitCode, Terminated
from mrimpute.programs import last_words, run_program
from tests.processes import child_of, lives

LAUNCHER = "sleep 300 & echo $! > {place}; wait"
"""What a launcher or shell does: the real work is its child's."""


def test_a_program_that_takes_too_long_ends_with_what_it_started(tmp_path):
    place = tmp_path / "pid"
    with pytest.raises(subprocess.TimeoutExpired):
        run_program(["sh", "-c", LAUNCHER.format(place=place)], seconds=0.5)
    assert not lives(child_of(place))


def test_a_signal_ends_a_program_and_what_it_started(tmp_path):
    place = tmp_path / "pid"

    def end(_number, _frame):
        if place.exists() and place.read_text():
            raise Terminated(ExitCode.TERMINATED)
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(Terminated):
            run_program(["sh", "-c", LAUNCHER.format(place=place)])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert signals.arrived() is None
    assert not lives(child_of(place))


def test_what_a_program_said_last_is_told():
    done = run_program([sys.executable, "-c", "import sys; print('a'); print('b'); sys.exit(3)"])
    assert (done.returncode, done.stdout) == (3, "a\nb\n")
    assert last_words(done) == "exit 3: b"
    assert run_program(["env"], {"ONLY": "this"}).stdout == "ONLY=this\n"
