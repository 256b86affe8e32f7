"""Changed bytes at both doors: whatever they are, a series is read or refused in the tree of errors, and soon."""

import contextlib
import importlib.util
import inspect
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from mrimpute import io
from mrimpute.contrasts import Contrast
from mrimpute.errors import MrimputeError
from mrimpute.io import nifti
from mrimpute.io.dicom import facts, headers, pixels, series
from mrimpute.io.dicom.headers import read_headers
from mrimpute.io.dicom.pixels import read_volume
from mrimpute.io.dicom.series import DicomSeries, assemble
from tests.conftest import WIDE, head_voxels, write_nifti
from tests.dicom_builders import enhance, slice_of
from tests.reliability.tally import Row

SLOW_S = 5.0
SIZE = (16, 16, 6)
NIFTI_HEADER = 352
Door = Callable[[bytes], str]
"""Reads changed bytes; returns 'read' or 'refused'."""


@contextlib.contextmanager
def nifti_door(name: str = "x.nii") -> Iterator[tuple[bytes, Door]]:
    """Give the bytes of a good NIfTI file, plain or packed, and what reads changed ones."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = write_nifti(Path(folder, name), head_voxels(Contrast.T2, SIZE), WIDE)
        good = path.read_bytes()

        def read(content: bytes) -> str:
            path.write_bytes(content)
            return _told(lambda: io.read_volume(path))

        yield good, read


@contextlib.contextmanager
def dicom_door(enhanced: bool = True) -> Iterator[tuple[bytes, Door]]:
    """Give the bytes of a DICOM file, an enhanced one or one slice of a series, and what reads a series with it."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        uids = {"study": "1.2.3.1", "space": "1.2.3.2", "series": "1.2.3.3"}
        for index in range(SIZE[2]):
            data = slice_of(Contrast.T2, index, uids, SIZE)
            data.save_as(Path(folder, f"{index}.dcm"), enforce_file_format=True)
        path = enhance(Path(folder)) if enhanced else Path(folder, "3.dcm")
        good = path.read_bytes()

        def read(content: bytes) -> str:
            path.write_bytes(content)
            return _told(lambda: _series(Path(folder)))

        yield good, read


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _series(folder: Path) -> None:
    found = [one for one in assemble(read_headers(folder).slices) if isinstance(one, DicomSeries)]
    for one in found:
        io.checked(read_volume(one))
    if not found:
        raise MrimputeError("no series")


def _told(read: Callable[[], object]) -> str:
    try:
        read()
    except MrimputeError:
        return "refused"
    return "read"


def changed(good: bytes, draw: np.random.Generator, within: int) -> bytes:
    """Return bytes with a few changes: bytes, bits, runs left out, doubled or filled, and the end cut off."""
    content = bytearray(good)
    for _ in range(int(draw.integers(1, 6))):
        place, length = int(draw.integers(min(within, len(content)))), int(draw.integers(1, 17))
        kind = int(draw.integers(7))
        if kind <= 2:
            content[place] = int(draw.integers(256))
        elif kind == 3:
            content[place] ^= 1 << int(draw.integers(8))
        elif kind == 4:
            content[place : place + length] = bytes([int(draw.choice([0, 255, 127, 128]))]) * length
        elif kind == 5:
            content[place:place] = content[place : place + length]
        elif draw.integers(4) == 0:
            del content[place:]
        else:
            del content[place : place + length]
        if not content:
            break
    return bytes(content)


DOORS = {
    "NIfTI": (nifti_door, NIFTI_HEADER + 64),
    "NIfTI, packed": (partial(nifti_door, "x.nii.gz"), 2**12),
    "DICOM, enhanced": (dicom_door, 2**12),
    "DICOM, one slice": (partial(dicom_door, enhanced=False), 2**11),
}


def mutated(name: str, count: int, seed: int = 0) -> Row:
    """Read changed bytes at a door very often."""
    door, within = DOORS[name]
    draw, ends, found = np.random.default_rng(seed), {"read": 0, "refused": 0}, []
    with door() as (good, read):
        for number in range(count):
            content, began = changed(good, draw, within), time.monotonic()
            try:
                ends[read(content)] += 1
            except Exception as error:
                found.append(f"{number}: {type(error).__name__}: {error}")
            if time.monotonic() - began > SLOW_S:
                found.append(f"{number}: took more than {SLOW_S:g} s")
    return Row(f"changed bytes: {name}", count, tuple(found), f"{ends['refused']} refused, {ends['read']} read")


def guided(name: str, count: int) -> Row:
    """Do the same led by coverage (atheris, where it is installed), in a process of its own."""
    title = f"changed bytes, led by coverage: {name}"
    if importlib.util.find_spec("atheris") is None:
        return Row(title, 0, (), "not tried: atheris is absent (pip install atheris)")
    words = [sys.executable, "-m", "tests.reliability.fuzz", name, str(count)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    last = next((line for line in reversed(done.stderr.splitlines()) if "DONE" in line or "Done" in line), "")
    if done.returncode == 0 and last:
        return Row(title, count, (), " ".join(last.split()))
    tail = [line for line in done.stderr.splitlines() if line.strip()]
    return Row(title, count, (" | ".join(tail[-14:]),))


def _led_by_coverage(name: str, count: int) -> None:
    """Be the process that atheris drives; it ends this process."""
    import atheris

    for module in (nifti, headers, facts, series, pixels):
        for function in vars(module).values():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                atheris.instrument_func(function)
    door, _ = DOORS[name]
    with door() as (good, read), tempfile.TemporaryDirectory() as corpus:
        Path(corpus, "good").write_bytes(good)
        atheris.Setup(
            [sys.argv[0], f"-runs={count}", f"-max_len={2 * len(good)}", "-seed=1", f"-timeout={SLOW_S:.0f}", corpus],
            lambda content: read(content) and None,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    _led_by_coverage(sys.argv[1], int(sys.argv[2]))
