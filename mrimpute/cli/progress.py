"""What happens, on the screen: bars on a terminal, a line a minute where asked for, nothing else in a pipe."""

import sys
import threading
import time
from typing import TYPE_CHECKING, Literal

from mrimpute.cli import common
from mrimpute.progress import Step

if TYPE_CHECKING:
    import rich.progress

Mode = Literal["auto", "plain", "none"]
LINE_EVERY_SECONDS = 60.0


class Display:
    """Shows which of how many studies is at what, and about how long the rest will take.

    It is drawn from the first step of a study on and removed before anything is printed, so that it never mixes with
    results. A study that is read ahead does not push away the one that is computed.

    Args:
        mode: auto for bars on a terminal; plain for a line a minute; none.
        studies: how many there are.
    """

    def __init__(self, mode: Mode, studies: int) -> None:
        self._bars_wanted = mode == "auto" and sys.stderr.isatty()
        self._lines_wanted = mode == "plain"
        self._studies = studies
        self._finished = 0
        self._began = time.monotonic()
        self._said = float("-inf")
        self._shown = ""
        self._lock = threading.Lock()
        self._bars: rich.progress.Progress | None = None

    def __call__(self, step: Step) -> None:
        """Show a step."""
        with self._lock:
            if step.ahead and self._shown not in ("", step.study):
                return
            self._shown = step.study
            if self._bars_wanted:
                self._draw(step)
            elif self._lines_wanted and time.monotonic() - self._said >= LINE_EVERY_SECONDS:
                self._said = time.monotonic()
                done = f" {step.done}/{step.total}" if step.total else ""
                common.notify(" · ".join(filter(None, (self._words(step) + done, self._left()))))

    def next_study(self) -> None:
        """Note that a study has ended, and make room for what is printed about it."""
        self.close()
        self._finished += 1

    def close(self) -> None:
        """Remove the bars; the next step draws new ones."""
        with self._lock:
            self._shown = ""
            if self._bars is not None:
                self._bars.stop()
                self._bars = None

    def _words(self, step: Step) -> str:
        """Return '12 of 30 · case12 · registering t2'; of a study alone without its number."""
        count = f"{min(self._finished + 1, self._studies)} of {self._studies}" if self._studies > 1 else ""
        return " · ".join(filter(None, (count, _short(step.study), step.what)))

    def _left(self) -> str:
        """Return about how long the rest will take, once a study has ended."""
        if self._studies < 2 or not self._finished:
            return ""
        each = (time.monotonic() - self._began) / self._finished
        return f"about {duration(each * (self._studies - self._finished))} left"

    def _draw(self, step: Step) -> None:
        if self._bars is None:
            self._bars = _bars()
            if self._studies > 1:
                self._bars.add_task("", total=self._studies, completed=self._finished, left=self._left())
            self._bars.add_task("", total=None, left="")
        if self._studies > 1:
            self._bars.update(self._bars.task_ids[0], description="studies", left=self._left())
        told = f"{step.done}/{step.total}" if step.total else ""
        self._bars.update(
            self._bars.task_ids[-1],
            description=self._words(step),
            total=step.total or None,
            completed=step.done,
            left=told,
        )


def duration(seconds: float) -> str:
    """Return a time as a person says it: 40 s, 12 min, 3 h 10 min."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _short(study: str) -> str:
    """Return the last part of a study's path."""
    return study.rstrip("/").rsplit("/", 1)[-1] or study


def _bars() -> "rich.progress.Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[left]}"))
    console = Console(stderr=True)
    bars = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
    bars.start()
    return bars
