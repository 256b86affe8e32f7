"""A signal is heard from the first moment, and is not lost in a callback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LOST = """
import os, signal, sys, time, weakref
from mrimpute import signals

class Thing: pass

signals.install()
thing = Thing()
weakref.finalize(thing, lambda: None)
kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))  # raised in a callback: ignored by Python
try:
    del thing
    for step in range(100):
        time.sleep(0.02)
    print("ran to the end")
except BaseException as end:
    print(type(end).__name__, int(end.exit_code))
"""


def test_a_signal_lost_in_a_callback_is_raised_again():
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("Terminated 143\n", "")


def test_one_that_was_swallowed_does_not_end_as_if_all_had_been_done():
    script = (
        "import os, signal, sys\nfrom mrimpute.cli import app\n"
        "def swallow(words, debug):\n    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except BaseException:\n        return 0\n"
        "app._outcome = swallow\nsys.argv = ['mrimpute']\nfrom mrimpute.__main__ import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.returncode == 143
    assert done.stderr.count("stopped by a signal") == 1


def test_signals_wait_for_calls_that_belong_together():
    script = (
        "import os, signal\nfrom mrimpute import signals\nsignals.install()\ndone = []\n"
        "try:\n    with signals.held():\n        os.kill(os.getpid(), signal.SIGINT)\n        done.append(1)\n"
        "except BaseException as end:\n    print(done, int(end.exit_code))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[1] 130\n"


def hears(pid):
    """Tell whether a process has a handler for SIGTERM, which Python itself does not set."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(line.split()[1], 16) & (1 << (signal.SIGTERM - 1)))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_program_is_imported_is_heard(make_study, number, code):
    """Before, for half a second Python's own handlers ended the run: a traceback, or -15."""
    for delay in (0.0, 0.05, 0.15, 0.4):
        process = subprocess.Popen(
            [sys.executable, "-m", "mrimpute", "fill", make_study(), "--dry-run"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not hears(process.pid):
            time.sleep(0.001)
        time.sleep(delay)
        if process.poll() is None:
            os.kill(process.pid, number)
        _, said = process.communicate(timeout=30)
        assert process.returncode in (0, code), said
        assert "Traceback" not in said
        if delay == 0.0:
            assert process.returncode == code
            assert len(said.splitlines()) == 1
