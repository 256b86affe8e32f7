import errno
import hashlib
import multiprocessing
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrimpute import files
from mrimpute.errors import OutputRefused, ResourcesExhausted
from mrimpute.io import nifti
from mrimpute.marks import SIDECAR_SCHEMA
from mrimpute.study import find_series
from mrimpute.volume import Grid
from mrimpute.write import nifti as nifti_writer
from mrimpute.write.nifti import place_image
from mrimpute.write.place import Destination, already_made, check_room, holding
from mrimpute.write.provenance import Fingerprint
from tests.conftest import OBLIQUE, head_voxels, tree, write_nifti

VOXELS = head_voxels("flair", (20, 22, 18)).astype(np.float32)
IMAGE = nifti.encode(VOXELS, Grid(VOXELS.shape, OBLIQUE), None, "SYNTHETIC flair made by mrimpute; not acquired")
FINGERPRINT = Fingerprint(
    "flair", "c" * 64, {"t1": "a" * 64}, "a" * 64, [], "", "ddim", 2, 0, "float32", "cpu", "study"
)


def record(fingerprint=FINGERPRINT):
    from dataclasses import asdict

    digest = hashlib.sha256(IMAGE).hexdigest()
    return {
        "schema": SIDECAR_SCHEMA,
        "image": {"file": "x.nii.gz", "sha256": digest},
        "fingerprint": asdict(fingerprint),
    }


@pytest.fixture
def place(tmp_path):
    return Destination(tmp_path / "out" / "x.nii.gz", tmp_path / "out" / "x.json")


def put(place):
    place_image(place, IMAGE, VOXELS, record())


def test_a_result_is_written_whole_and_found_again(place):
    put(place)
    assert place.image.read_bytes() == IMAGE
    assert sorted(path.name for path in place.image.parent.iterdir()) == ["x.json", "x.nii.gz"]
    assert already_made(place, FINGERPRINT, overwrite=False)
    assert not already_made(place, FINGERPRINT, overwrite=True)
    assert place.image.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"steps": 4},
        {"sampler": "ddpm"},
        {"checkpoint_sha256": "d" * 64},
        {"sources": {"t1": "b" * 64}},
        {"device": "cuda"},
        {"intensity": "unit"},
        {"version": "9.9"},
    ],
)
def test_another_recipe_is_replaced_only_when_asked(place, change):
    put(place)
    other = replace(FINGERPRINT, **change)
    with pytest.raises(OutputRefused, match="--overwrite"):
        already_made(place, other, overwrite=False)
    assert not already_made(place, other, overwrite=True)


def test_an_acquired_image_is_never_overwritten(place):
    write_nifti(place.image, head_voxels("flair", (20, 22, 18)), OBLIQUE)
    before = tree(place.image.parent)
    with pytest.raises(OutputRefused, match="never overwritten"):
        already_made(place, FINGERPRINT, overwrite=True)
    with pytest.raises(OutputRefused, match="not made by mrimpute"):
        put(place)
    assert tree(place.image.parent) == before


def test_a_foreign_sidecar_is_never_overwritten(place):
    place.image.parent.mkdir()
    place.sidecar.write_text('{"EchoTime": 0.1}')
    with pytest.raises(OutputRefused, match=r"x\.json exists"):
        already_made(place, FINGERPRINT, overwrite=True)


def test_leftovers_of_a_run_killed_between_two_renames_are_made_again(place, monkeypatch):
    put(place)
    place.image.unlink()
    assert not already_made(place, FINGERPRINT, overwrite=False)

    older = nifti.encode(VOXELS * 2, Grid(VOXELS.shape, OBLIQUE), None, "SYNTHETIC older")
    place.image.write_bytes(older)
    with monkeypatch.context() as patch:
        patch.setattr(nifti_writer, "publish", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            put(place)
    assert place.image.read_bytes() == older
    assert not already_made(place, FINGERPRINT, overwrite=False)  # the sidecar names what was being replaced
    place.image.write_bytes(nifti.encode(VOXELS * 3, Grid(VOXELS.shape, OBLIQUE), None, "SYNTHETIC edited"))
    with pytest.raises(OutputRefused, match="was changed since"):
        already_made(place, FINGERPRINT, overwrite=False)


def test_foreign_parts_are_no_concern(place):
    place.image.parent.mkdir()
    odd = place.image.parent / ".mrimpute-x.part"
    odd.write_bytes(b"")
    put(place)
    assert odd.exists()


FAULTS = ("open", "fsync", "replace", "link", "mkdir")


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES])
def test_whichever_call_fails_nothing_half_written_is_left(place, monkeypatch, name, code):
    """Fail the k-th call for k = 1, 2, … until a run passes."""
    homes = {"open": (Path, "open"), "mkdir": (Path, "mkdir")}
    home, attribute = homes.get(name, (os, name))
    real = getattr(home, attribute)
    for failing in range(1, 20):
        calls = 0

        def faulty(*args, failing=failing, **kwargs):
            nonlocal calls
            if args and "x" not in str(kwargs.get("mode", "x")) and name == "open":
                return real(*args, **kwargs)
            calls += 1
            if calls == failing:
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(home, attribute, faulty)
            try:
                put(place)
            except (ResourcesExhausted, OutputRefused) as error:
                assert (type(error) is ResourcesExhausted) == (code in (errno.ENOSPC, errno.EDQUOT))
            if calls < failing:
                break
        if place.image.exists():
            assert place.image.read_bytes() == IMAGE
            place.image.unlink()
        if place.image.parent.exists():
            assert not list(place.image.parent.glob(f"{files.PART_PREFIX}*"))
    else:
        pytest.fail("the fault was met at every call")


def test_a_full_disk_is_refused_before_and_while_writing(tmp_path):
    """On a real file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True
        ).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    try:
        place = Destination(disk / "x.nii.gz", disk / "x.json")
        with pytest.raises(ResourcesExhausted, match="free"):
            check_room(place, 10**6)
        noise = np.random.default_rng(0).normal(500, 100, (40, 40, 40)).astype(np.float32)
        image = nifti.encode(noise, Grid(noise.shape, OBLIQUE), None, "SYNTHETIC t2")
        with pytest.raises(ResourcesExhausted, match="disk is full"):
            place_image(place, image, noise, record())
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_read_only_file_system_is_refused_before_anything_heavy(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)], capture_output=True).returncode
    ):
        pytest.skip("mounting a read-only file system needs root")
    try:
        with pytest.raises(OutputRefused, match="cannot write in"):
            check_room(Destination(disk / "a" / "x.nii.gz", disk / "a" / "x.json"), 1000)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


FORK = multiprocessing.get_context("fork")  # for each to import everything anew would take seconds


def put_for_ever(folder, ready):
    place = Destination(folder / "x.nii.gz", folder / "x.json")
    ready.set()
    while True:
        place_image(place, IMAGE, VOXELS, record())


def test_kill_9_at_any_moment_leaves_nothing_half_written(tmp_path):
    draw = np.random.default_rng(0)
    for run in range(12):
        folder, ready = tmp_path / str(run), FORK.Event()
        process = FORK.Process(target=put_for_ever, args=(folder, ready))
        process.start()
        assert ready.wait(60)
        time.sleep(float(draw.uniform(0, 0.05)))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        place = Destination(folder / "x.nii.gz", folder / "x.json")
        if place.image.exists():
            assert place.image.read_bytes() == IMAGE
        put(place)
        assert sorted(path.name for path in folder.iterdir()) == ["x.json", "x.nii.gz"]


def test_a_part_of_a_living_run_is_left_alone(place):
    place.image.parent.mkdir()
    own = files.new_part(place.image.parent)
    own.write_bytes(b"")
    other_host = own.with_name(f"{files.PART_PREFIX}elsewhere-1-abc{files.PART_SUFFIX}")
    other_host.write_bytes(b"")
    put(place)
    assert own.exists()
    assert other_host.exists()
    os.utime(other_host, (0, 0))
    put(place)
    assert not other_host.exists()


def test_a_study_is_held_by_one_run_at_a_time(make_study, monkeypatch, tmp_path):
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "home"))
    study = find_series(make_study())
    with holding(study):
        with pytest.raises(OutputRefused, match="another run"), holding(study):
            pass
        with holding(find_series(make_study("second"))):
            pass
    with holding(study):
        pass


def test_a_lock_folder_that_cannot_be_made_is_said(make_study, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "file"))
    with pytest.raises(OutputRefused, match="MRIMPUTE_STATE"), holding(find_series(make_study())):
        pass
