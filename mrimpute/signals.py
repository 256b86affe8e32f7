"""Signals that end a run: heard from the first moment, not lost in a library's callback, held for a few system calls.

A handler raises `Terminated` wherever the program is. Inside a callback from C that exception is lost ("Exception
ignored in …"); it is then raised again a moment later, and whoever reports progress asks `check` too.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mrimpute.errors import ExitCode, Terminated

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
AGAIN_S = 0.05
"""After this time a signal that was lost is raised again."""


class _State:
    """Which signal arrived, and how many blocks hold signals back."""

    arrived: ExitCode | None = None
    holders = 0
    told_before: Callable[[Any], object] = sys.__unraisablehook__


def install() -> None:
    """Have signals end the run with `Terminated`, from the main thread."""
    for name in NAMES:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _arrive)
    if sys.unraisablehook is not _lost:
        _State.told_before = sys.unraisablehook
        sys.unraisablehook = _lost


def arrived() -> ExitCode | None:
    """Return the exit code of the signal that came; None where none did."""
    return _State.arrived


def check() -> None:
    """Raise the signal that arrived and was lost.

    Raises:
        Terminated: one was.
    """
    if _State.arrived is not None and not _State.holders:
        raise Terminated(_State.arrived)


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back while a few system calls belong together; one that came is raised at the end.

    Raises:
        Terminated: one came.
    """
    _State.holders += 1
    try:
        yield
    finally:
        _State.holders -= 1
    check()


def _arrive(number: int, _frame: object) -> None:
    _State.arrived = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
    check()


def _lost(unraisable: Any) -> None:
    """Raise a signal again that was lost in a callback; tell everything else as before, but for objects that the signal
    left half-made."""
    if not isinstance(unraisable.exc_value, Terminated):
        if _State.arrived is None:
            _State.told_before(unraisable)
    elif hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda _number, _frame: check())
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
