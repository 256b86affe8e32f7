"""Locks that hold places against other runs on this account; they lie in the user's state folder."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from mrimpute.errors import OutputRefused


def _let_go(lock: FileLock) -> None:
    """Release a lock; one that the system does not release now ends with the process, and is no failure."""
    with suppress(OSError):
        lock.release()


@contextmanager
def hold(places: Iterable[Path]) -> Iterator[None]:
    """Hold files or folders, there or not, against other runs of mrimpute on this account.

    Raises:
        OutputRefused: another run holds one of them, or no lock can be made.
    """
    state = Path(os.environ.get("MRIMPUTE_STATE") or platformdirs.user_state_dir("mrimpute")) / "locks"
    with ExitStack() as locks:
        for held in places:
            key = hashlib.sha256(os.fsencode(os.path.realpath(held))).hexdigest()[:24]
            lock = FileLock(state / f"{key}.lock")
            try:
                state.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=0)
            except Timeout as error:
                raise OutputRefused(f"another run of mrimpute holds {held}", "wait for it to end") from error
            except OSError as error:
                raise OutputRefused(
                    f"cannot make a lock in {state} ({error.strerror})", "set MRIMPUTE_STATE to a writable folder"
                ) from error
            locks.callback(_let_go, lock)
        yield
