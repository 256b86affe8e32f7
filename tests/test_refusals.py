"""What the operating system refuses in the middle of a run is told as that, and an image that stands as such."""

import errno
import os
import threading
import traceback
import weakref

import numpy as np
import pytest
from filelock import FileLock

from mrimpute import Contrast, Options, device, io
from mrimpute.batch import fill_all
from mrimpute.device import memory_errors
from mrimpute.errors import ImageDamaged, ResourcesExhausted, as_mrimpute_error
from mrimpute.fill import Engine
from tests.conftest import WIDE

FLAIR = Contrast.FLAIR


def test_a_failing_disk_is_no_bug(make_study, tiny_weights, monkeypatch, tmp_path):
    """Before: "unexpected error (OSError)", code 1, "report it"."""
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "home"))
    engine = Engine(Options(weights=(str(tiny_weights[FLAIR]),), device="cpu", threads=1))

    def failing(order):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/store/model.safetensors")

    monkeypatch.setattr(engine.maker.networks, "obtain", failing)
    [done] = fill_all(engine, [make_study(shape=(20, 24, 18), affine=WIDE)], ())
    assert int(done.error.exit_code) == 5
    assert "refused to go on (Input/output error): /store/model.safetensors" in str(done.error)


def test_a_library_that_finds_no_room_is_no_bug(cli, make_study, monkeypatch):
    """Before, under `ulimit -v 1000000`: "unexpected error (ImportError)", code 1."""

    def no_room(_needed, _device):
        raise ImportError("resource.so: failed to map segment from shared object")

    monkeypatch.setattr(device, "require_memory", no_room)
    study = make_study(shape=(20, 24, 18), affine=WIDE)
    done = cli("fill", study, "--missing", "flair", "--weights", "builtin", "--device", "cpu")
    assert done.returncode == 5, done.stderr
    assert "memory ran out while a library was loaded" in done.stderr
    monkeypatch.setattr("mrimpute.cli.given.folders_of", lambda *_words: no_room(0, ""))
    assert cli("fill", study).returncode == 5


@pytest.mark.parametrize(
    "error",
    [
        OSError("libgomp.so.1: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        RuntimeError("itk::ERROR: PlatformMultiThreaderPosix.cxx: Unable to create a thread."),
    ],
)
def test_what_a_limit_on_memory_ends_is_no_bug(error):
    assert int(as_mrimpute_error(error).exit_code) == 5
    assert int(as_mrimpute_error(RuntimeError("shapes differ")).exit_code) == 1


def test_what_a_failed_call_held_is_let_go_of_and_its_lines_stay():
    """Three targets that failed held 1.6 GB of a network's maps."""
    held = []

    def runs_out():
        voxels = np.zeros(9)
        held.append(weakref.ref(voxels))
        raise MemoryError(voxels.size)

    try:
        with memory_errors():
            runs_out()
    except ResourcesExhausted as error:
        told = as_mrimpute_error(error)
    assert held[0]() is None
    assert "in runs_out" in "".join(traceback.format_exception(told))


def test_where_memory_is_short_work_is_done_one_by_one(monkeypatch):
    monkeypatch.setattr(device, "free_memory", lambda: device.ROOM_FOR_THREADS - 1)
    done = device.side_by_side(lambda _item: threading.get_ident(), range(3))
    assert set(done) == {threading.get_ident()}
    monkeypatch.setattr(device, "free_memory", lambda: None)
    assert threading.get_ident() not in device.side_by_side(lambda _item: threading.get_ident(), range(3))


def test_an_image_that_stands_is_told_though_the_disk_fails_then(cli, make_study, tiny_weights, monkeypatch):
    """Before: code 3 as if a source were damaged, or 1, although the image had been written."""
    real, released = io.read_info, FileLock.release

    def unreadable(path):
        if path.name.endswith("t2f.nii.gz") and path.exists():
            raise ImageDamaged(f"cannot read {path}: Input/output error")
        return real(path)

    def stuck(lock, *words, **named):
        released(lock, *words, **named)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(io, "read_info", unreadable)
    monkeypatch.setattr(FileLock, "release", stuck)
    study = make_study(shape=(20, 24, 18), affine=WIDE)
    done = cli("fill", study, "--weights", tiny_weights[FLAIR], "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "though it was written whole" in done.stderr
    assert done.stdout.strip() == str(study / "case-t2f.nii.gz")
