"""What the screen says while the work goes on."""

import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mrimpute import Contrast, Options, device
from mrimpute.cli import progress
from mrimpute.cli.progress import Display, duration
from mrimpute.cli.train import options
from mrimpute.cli.train.options import Reporter
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.engine import begin
from mrimpute.fill import Engine
from mrimpute.progress import Step
from tests.conftest import surroundings

FLAIR = Contrast.FLAIR


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Put a terminal of 80 columns in place of stderr; called in the test, since pytest sets stderr before it."""

    def put():
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("TERM", "xterm")
        return stream

    return put


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [1000.0]
    for module in (progress, options):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_each_step_of_a_study_is_named_in_order(make_study, tiny_weights):
    told = []
    folder = make_study()
    wishes = Options(weights=(str(tiny_weights[FLAIR]),), device="cpu")
    Engine(wishes, told.append).fill(folder, [FLAIR])
    words = [step.what for step in told]
    read = ("reading t1", "reading t1c", "reading t2", "comparing")
    expected = (*read, "preparing flair", "checking the sources of flair", "loading", "sampling flair")
    places = [next(i for i, word in enumerate(words) if word.startswith(begin)) for begin in expected]
    assert places == sorted(places)
    assert {step.study for step in told} == {str(folder)}
    sampled = [step for step in told if step.what == "sampling flair"]
    assert (sampled[-1].done, sampled[-1].total) == (1, 1)


def test_the_import_of_torch_is_told_and_threads_are_set_with_it(monkeypatch):
    told = []
    monkeypatch.setattr(device, "configure", told.append)
    monkeypatch.delitem(sys.modules, "torch")
    begin(Options(threads=1), told.append)
    assert told == ["importing torch", 1]


def test_a_terminal_shows_which_of_how_many_and_what(terminal, clock):
    screen = terminal()
    display = Display("auto", 30)
    for _ in range(11):
        display.next_study()
    clock[0] += 110
    display(Step("/data/case12", "registering t2"))
    display.close()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "12 of 30 · case12 · registering t2" in shown
    assert "about 3 min left" in shown  # 19 of 10 s each
    assert all(len(line) <= 80 for line in re.split(r"[\r\n]", shown))


def test_a_study_that_is_read_ahead_does_not_push_away_the_one_that_is_computed(terminal):
    screen = terminal()
    display = Display("auto", 2)
    display(Step("a", "sampling flair", 1, 4))
    display(Step("b", "reading t1", ahead=True))
    display.close()
    assert "reading t1" not in screen.getvalue()
    display(Step("b", "reading t2", ahead=True))
    display.close()
    assert "reading t2" in screen.getvalue()


def test_plain_is_a_line_a_minute(terminal, clock):
    screen = terminal()
    display = Display("plain", 3)
    for second in (0, 30, 59, 60, 119, 121):
        clock[0] = 1000.0 + second
        display(Step("case", f"at {second}", 1, 2))
    assert screen.getvalue().splitlines() == [f"mrimpute: 1 of 3 · case · at {second} 1/2" for second in (0, 60, 121)]


@pytest.mark.parametrize("words", [(), ("--progress", "none"), ("--quiet", "--progress", "plain")])
def test_nothing_of_it_stands_in_a_pipe(cli, make_study, tiny_weights, words):
    line = ("fill", make_study(), "--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu")
    done = cli(*line, *words)
    assert done.returncode == 0, done.stderr
    assert "sampling" not in done.stderr and "\r" not in done.stderr and "\x1b" not in done.stderr


def test_evaluate_shows_its_studies_on_a_terminal_and_only_there(make_study, tiny_weights, cli_home, tmp_path):
    folders = [make_study(name, contrasts=BRATS_FOUR) for name in ("one", "two")]
    words = ("--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json")
    command = [sys.executable, "-m", "mrimpute", "evaluate", "--leave-one-out", *folders, *words]
    terminal, end = pty.openpty()
    env = surroundings(cli_home, {"TERM": "xterm", "COLUMNS": "80"})
    out, shown = tmp_path / "out", b""
    with out.open("wb") as file:
        running = subprocess.Popen([str(word) for word in command], stdout=file, stderr=end, env=env)
    os.close(end)
    with contextlib.suppress(OSError), os.fdopen(terminal, "rb", 0) as read:  # the end of a terminal is an error
        while piece := read.read(2**16):
            shown += piece
    assert running.wait(60) == 0
    assert [json.loads(line)["study"] for line in out.read_text().splitlines()] == ["one", "two"]
    assert "1 of 2 · one-t1n.nii.gz · " in shown.decode() and "2 of 2 · two-t1n.nii.gz · " in shown.decode()


def test_a_log_gets_lines_when_it_asks(cli, make_study, tiny_weights):
    line = ("fill", make_study(), "--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu")
    assert "mrimpute: case · reading t1" in cli(*line, "--progress", "plain").stderr


def test_a_training_tells_step_loss_rate_and_time_left(clock, capsys):
    report = Reporter(1000)
    report(100, {"loss": 0.5, "rate": 1e-4})
    clock[0] += 60
    report(200, {"loss": 0.25, "rate": 1e-4})
    report(1000, {"loss": 0.1, "rate": 0.0})
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "mrimpute: step 100 of 1000: loss 0.5, rate 0.0001"
    assert second.endswith("loss 0.25, rate 0.0001, about 8 min left")
    assert "left" not in last


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (59, "59 s"), (720, "12 min"), (11_400, "3 h 10 min")])
def test_times_are_said_as_people_say_them(seconds, words):
    assert duration(seconds) == words
