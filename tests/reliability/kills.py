"""kill -9 at random moments, and signals that a run may hear."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np

from mrimpute.write import nifti
from mrimpute.write.dicom import series as dicom_series
from tests.reliability.tally import Row
from tests.reliability.warm import Warm, ended, heard, warm

SLOW_S = 2.0


def killed(work: Path, form: str, overwrite: bool, count: int) -> Row:
    """Kill a run at random moments of its writing; then look, run again, and look again."""
    place = warm(work, form, overwrite=overwrite)
    old, new = (0, 1) if overwrite else (-1, 1)
    draw, found, alive, parts = np.random.default_rng(0), [], 0, 0
    window = _window(place, old)
    for number in range(count):
        place.stage(old)
        ready, write = os.pipe()
        process = place.fork(new, partial(_tell_when_writing, write))
        os.read(ready, 1)
        time.sleep(float(draw.uniform(0, window)))
        os.kill(process, signal.SIGKILL)
        alive += ended(process) == -signal.SIGKILL
        os.close(ready)
        os.close(write)
        parts += bool(place.parts())
        wrong = place.sound(old, new) or _again(place, new)
        if wrong:
            found.append(f"kill {number}: {wrong}")
    title = f"kill -9: {form}, {'--overwrite' if overwrite else 'fresh'}"
    return Row(title, count, tuple(found), f"{alive} were running, {parts} left temporary files behind")


def _again(place: Warm, new: int) -> str:
    """Run again after a kill; return what is wrong then."""
    error = place.go(new).error
    if error:
        return f"run again: {error}"
    return place.sound(new) or (f"stale {place.parts()}" if place.parts() else "")


def _window(place: Warm, old: int) -> float:
    """Return for how long a run writes, in seconds."""
    place.stage(old)
    ready, write = os.pipe()
    process = place.fork(1, partial(_tell_when_writing, write))
    os.read(ready, 1)
    began = time.monotonic()
    ended(process)
    os.close(ready)
    os.close(write)
    return 1.1 * (time.monotonic() - began)


def _tell_when_writing(pipe: int) -> None:
    """Have this process tell, as it begins to write, that it does."""
    for module, name in ((nifti, "place_image"), (dicom_series, "place_series")):
        real = getattr(module, name)

        def told(*words: object, real: object = real) -> object:
            os.write(pipe, b"x")
            return real(*words)  # type: ignore[operator]

        setattr(module, name, told)


def _tell_when_heard(pipe: int) -> None:
    heard()
    os.write(pipe, b"x")


def signalled(work: Path, form: str, count: int) -> Row:
    """Send SIGINT and SIGTERM at random moments of a run that replaces an image."""
    place = warm(work, form, overwrite=True)
    draw, found, slow, through = np.random.default_rng(1), [], 0, 0
    place.stage(0)
    began = time.monotonic()
    ended(place.fork(1, heard))
    window = time.monotonic() - began
    for number in range(count):
        place.stage(0)
        name, code = [("SIGINT", 130), ("SIGTERM", 143)][number % 2]
        ready, write = os.pipe()
        process = place.fork(1, partial(_tell_when_heard, write))
        os.read(ready, 1)
        time.sleep(float(draw.uniform(0, window)))
        sent = time.monotonic()
        os.kill(process, getattr(signal, name))
        end = ended(process)
        slow += time.monotonic() - sent > SLOW_S
        os.close(ready)
        os.close(write)
        through += end == 0
        wrong = "" if end in (0, code) else f"{name}: ended with {end}"
        wrong = wrong or place.sound(0, 1) or (f"stale {place.parts()}" if place.parts() else "")
        if wrong:
            found.append(f"signal {number}: {wrong}")
    return Row(
        f"SIGINT and SIGTERM: {form}", count, tuple(found), f"{through} had ended, {slow} took over {SLOW_S:g} s"
    )
