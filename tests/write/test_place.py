import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrimpute import files, signals
from mrimpute.errors import OutputRefused, ResourcesExhausted, Terminated
from mrimpute.files import parts, rename
from mrimpute.io import nifti
from mrimpute.marks import SIDECAR_SCHEMA
from mrimpute.request import Options
from mrimpute.study import find_series
from mrimpute.volume import Grid
from mrimpute.write import place as place_module
from mrimpute.write.nifti import place_image
from mrimpute.write.place import (
    Destination,
    Standing,
    already_made,
    check_free,
    check_place,
    check_room,
    standing_at,
)
from mrimpute.write.provenance import Fingerprint
from tests.conftest import OBLIQUE, ROOT, head_voxels, tree, write_nifti

VOXELS = head_voxels("flair", (20, 22, 18)).astype(np.float32)
IMAGE = nifti.encode(VOXELS, Grid(VOXELS.shape, OBLIQUE), None, "SYNTHETIC flair made by mrimpute; not acquired")
FINGERPRINT = Fingerprint(
    "flair", "c" * 64, {"t1": "a" * 64}, "a" * 64, [], "", "ddim", 2, 0, "float32", "cpu", "study"
)


def record(fingerprint=FINGERPRINT):
    digest = hashlib.sha256(IMAGE).hexdigest()
    return {
        "schema": SIDECAR_SCHEMA,
        "image": {"file": "x.nii.gz", "sha256": digest},
        "fingerprint": fingerprint.content,
    }


@pytest.fixture
def place(tmp_path):
    return Destination(tmp_path / "out" / "x.nii.gz", tmp_path / "out" / "x.json")


def put(place):
    place_image(place, IMAGE, VOXELS, record(), standing_at(place))


def test_a_result_is_written_whole_and_found_again(place):
    put(place)
    assert place.image.read_bytes() == IMAGE
    assert sorted(path.name for path in place.image.parent.iterdir()) == ["x.json", "x.nii.gz"]
    assert already_made(place, FINGERPRINT, overwrite=False).finished
    assert not already_made(place, FINGERPRINT, overwrite=True).finished
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
    assert not already_made(place, other, overwrite=True).finished


def test_what_is_left_to_the_machine_may_have_been_another_machine_s_choice(place):
    put(place)
    half = replace(FINGERPRINT, precision="bfloat16", device="cuda")
    assert already_made(place, half, overwrite=False, open_to=Options().left_open).finished
    for options in (Options(precision="bfloat16"), Options(device="cuda")):
        with pytest.raises(OutputRefused, match="another recipe"):
            already_made(place, half, overwrite=False, open_to=options.left_open)
    for change in ({"seed": 1}, {"precision": "float16"}):
        other = replace(half, **change)
        place.sidecar.write_text(json.dumps(record(other)))
        with pytest.raises(OutputRefused, match="another recipe"):
            already_made(place, half, overwrite=False, open_to=Options().left_open)


def test_room_is_looked_for_that_all_samples_take(place, monkeypatch):
    voxels, usage = 10**6, shutil.disk_usage(place.image.parent.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(free=3 * 4 * voxels + 2**20))
    check_place(place, voxels, with_mask=False)
    with pytest.raises(ResourcesExhausted, match="13 MB free and up to 17 MB"):
        check_place(place, voxels, with_mask=False, samples=2)
    put(place.sample(1))
    check_place(place, voxels, with_mask=False, samples=2)  # which takes no more room


def test_an_acquired_image_is_never_overwritten(place):
    write_nifti(place.image, head_voxels("flair", (20, 22, 18)), OBLIQUE)
    before = tree(place.image.parent)
    with pytest.raises(OutputRefused, match="never overwritten"):
        already_made(place, FINGERPRINT, overwrite=True)
    with pytest.raises(OutputRefused, match="not made by mrimpute"):
        put(place)
    with pytest.raises(OutputRefused, match="appeared meanwhile"):
        place_image(place, IMAGE, VOXELS, record(), Standing())
    assert tree(place.image.parent) == before


def test_a_file_of_another_program_that_calls_itself_synthetic_is_never_overwritten(place):
    grid = Grid(VOXELS.shape, OBLIQUE)
    place.image.parent.mkdir()
    place.image.write_bytes(nifti.encode(VOXELS, grid, None, "SYNTHETIC FLAIR SyMRI 11.2"))
    with pytest.raises(OutputRefused, match="never overwritten"):
        already_made(place, FINGERPRINT, overwrite=True)
    with pytest.raises(OutputRefused, match="never overwritten"):
        check_free([place])  # before anything is read
    check_free([place, place.__class__(place.image.with_name("free.nii.gz"), place.image.with_name("free.json"))])
    place.image.unlink()
    place.mask.write_bytes(nifti.encode(VOXELS, grid, None, "SYNTHETIC mask of another program"))
    with pytest.raises(OutputRefused, match="not made by mrimpute"):
        check_place(place, 10, with_mask=True)


def test_only_what_was_decided_on_is_replaced(place):
    put(place)
    decided = standing_at(place)
    other = nifti.encode(VOXELS * 2, Grid(VOXELS.shape, OBLIQUE), None, "SYNTHETIC flair made by mrimpute 0")
    place.image.write_bytes(other)
    before = tree(place.image.parent)
    with pytest.raises(OutputRefused, match="was changed meanwhile"):
        place_image(place, IMAGE, VOXELS, record(replace(FINGERPRINT, seed=1)), decided)
    assert tree(place.image.parent) == before


@pytest.mark.parametrize("kernel", [True, False], ids=["renameat2", "links"])
@pytest.mark.parametrize("links", [True, False], ids=["", "no links"])
def test_every_way_of_renaming_refuses_and_replaces(tmp_path, monkeypatch, kernel, links):
    """As on a local disk, on NFS, on exFAT."""

    def refused(*_words):
        raise OSError(errno.EPERM, "no hard links here")

    if not kernel:
        monkeypatch.setattr(rename, "_renameat2", lambda: None)
    if not links:
        monkeypatch.setattr(os, "link", refused)
    for make in (write_file, write_folder):
        new, final = make(tmp_path / "new", b"new"), make(tmp_path / "final", b"old")
        old = files.content_sha256(final)
        with pytest.raises(OutputRefused, match="appeared meanwhile"):
            rename.publish(new, final)
        with pytest.raises(OutputRefused, match="changed meanwhile"):
            rename.put(new, final, "0" * 64)
        assert files.content_sha256(final) == old
        rename.put(new, final, old)
        assert files.content_sha256(final) != old
        rename.take_back(new, final, old)
        assert files.content_sha256(final) == old
        rename.put(new, tmp_path / "fresh", None)
        assert (tmp_path / "fresh").exists()
        rename.take_back(new, tmp_path / "fresh", None)
        assert not (tmp_path / "fresh").exists()
        for path in (new, final):
            files.remove(path)
    assert list(tmp_path.iterdir()) == []


def write_file(path, content):
    path.write_bytes(content)
    return path


def write_folder(path, content):
    path.mkdir()
    write_file(path / "0001.dcm", content)
    return path


@pytest.mark.parametrize("kernel", [True, False], ids=["renameat2", "links"])
@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("failing", range(1, 6))
def test_the_old_result_stands_whichever_rename_fails(place, monkeypatch, kernel, kind, failing):
    """R6: the old series was lost in 4 of 4."""
    make = write_file if kind == "file" else write_folder
    place.image.parent.mkdir()
    make(place.image, b"old")
    place.sidecar.write_bytes(b"old sidecar")
    before = tree(place.image.parent)
    standing = Standing(files.content_sha256(place.image), files.content_sha256(place.sidecar))
    real, real_rename, calls = rename._renameat2(), os.rename, []

    def counted(call):
        def faulty(*words):
            calls.append(words)
            if len(calls) == failing:
                raise OSError(errno.EIO, "failed")
            return call(*words)

        return faulty

    monkeypatch.setattr(rename, "_renameat2", lambda: counted(real) if kernel else None)

    def written(new_part):
        image, sidecar = make(new_part(), b"new"), write_file(new_part(), b"new sidecar")
        place_module.publish_pair(place, image, sidecar, standing)

    monkeypatch.setattr(os, "rename", counted(real_rename))
    try:
        place_module.write_beside(place, written)
    except OutputRefused:
        assert tree(place.image.parent) == before
    else:
        assert len(calls) < failing
        assert sorted(path.name for path in place.image.parent.iterdir()) == ["x.json", "x.nii.gz"]


@pytest.mark.parametrize("again", [False, True], ids=["fresh", "overwrite"])
@pytest.mark.parametrize(("room", "call"), [(files, "sync_folder"), (parts, "remove")])
def test_what_the_disk_refuses_once_the_image_stands_is_no_failure(place, monkeypatch, again, room, call):
    """Before: exit 6 or 5 and "cannot write", although the new image stood."""
    if again:
        put(place)

    def refused(*_words):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(room, call, refused)
    notes = place_image(place, IMAGE, VOXELS, record(), standing_at(place))
    assert notes
    assert all("Input/output error" in note for note in notes)
    assert place.image.read_bytes() == IMAGE
    assert already_made(place, FINGERPRINT, overwrite=False).finished
    notes = files.write_whole(place.image.with_name("mask.nii.gz"), IMAGE)
    assert len(notes) == 1


def test_a_signal_waits_until_temporary_files_are_removed(place, monkeypatch):
    """Before, one that came while a replaced series was removed left the rest of it under a hidden name."""
    put(place)
    monkeypatch.setattr(signals._State, "arrived", None)
    real = parts.remove

    def interrupted(part):
        signals._arrive(signal.SIGTERM, None)
        real(part)

    monkeypatch.setattr(parts, "remove", interrupted)
    with pytest.raises(Terminated):
        put(place)
    assert sorted(path.name for path in place.image.parent.iterdir()) == ["x.json", "x.nii.gz"]


def test_an_old_image_that_cannot_be_read_again_is_put_back(place, monkeypatch):
    """Before: the new image stayed with the old sidecar, and the old one was removed with the temporary files."""
    put(place)
    standing, before, calls = standing_at(place), tree(place.image.parent), []
    real = rename.standing_sha256

    def unreadable(path):
        calls.append(path)
        if len(calls) == 4:  # of the old image, after the exchange
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    monkeypatch.setattr(rename, "standing_sha256", unreadable)
    other = nifti.encode(VOXELS * 2, Grid(VOXELS.shape, OBLIQUE), None, "SYNTHETIC flair made by mrimpute 0")
    with pytest.raises(OutputRefused, match="Input/output error"):
        place_image(place, other, VOXELS * 2, record(replace(FINGERPRINT, seed=1)), standing)
    assert len(calls) == 4
    assert tree(place.image.parent) == before


def test_a_foreign_sidecar_is_never_overwritten(place):
    place.image.parent.mkdir()
    place.sidecar.write_text('{"EchoTime": 0.1}')
    with pytest.raises(OutputRefused, match=r"x\.json exists"):
        already_made(place, FINGERPRINT, overwrite=True)


KILLED_BETWEEN = """
import os, sys
from pathlib import Path
from mrimpute.write import place as place_module
from mrimpute.write.place import Destination
from tests.write.test_place import put
real = place_module.put
place_module.put = lambda part, final, expected: real(part, final, expected) if final.suffix == ".json" else os._exit(9)
put(Destination(Path(sys.argv[1]) / "x.nii.gz", Path(sys.argv[1]) / "x.json"))
"""


def test_leftovers_of_a_run_killed_between_two_renames_are_made_again(place):
    put(place)
    place.image.unlink()
    assert not already_made(place, FINGERPRINT, overwrite=False).finished

    older = nifti.encode(VOXELS * 2, Grid(VOXELS.shape, OBLIQUE), None, "SYNTHETIC flair made by mrimpute 0")
    place.image.write_bytes(older)
    process = subprocess.run([sys.executable, "-c", KILLED_BETWEEN, str(place.image.parent)], cwd=ROOT)
    assert process.returncode == 9
    assert place.image.read_bytes() == older
    found = already_made(place, FINGERPRINT, overwrite=False)  # the sidecar names what was being replaced
    assert found.image
    assert not found.finished
    edited = nifti.encode(VOXELS * 3, Grid(VOXELS.shape, OBLIQUE), None, "SYNTHETIC flair made by mrimpute 0, edited")
    place.image.write_bytes(edited)
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
            mode = kwargs.get("mode", args[1] if len(args) > 1 else "r")
            if name == "open" and "x" not in mode:  # of reading
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
            place_image(place, image, noise, record(), Standing())
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
        place_image(place, IMAGE, VOXELS, record(), standing_at(place))


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


def test_parts_of_another_container_of_the_same_host_name_are_left_alone(place, monkeypatch):
    """Its processes cannot be seen from here, so they are not dead."""
    place.image.parent.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "readlink", lambda _path: Path("pid:[7]"))
        patch.setattr(os, "getpid", lambda: 999_999_999)
        parts._machine.cache_clear()
        other = files.new_part(place.image.parent)
    parts._machine.cache_clear()
    other.write_bytes(b"")
    put(place)
    assert other.exists()


@pytest.mark.skipif(not hasattr(os, "waitid") or not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_process_that_ended_and_was_not_asked_after_is_dead(place):
    """In a container without an init a killed run stays as what is called a zombie."""
    place.image.parent.mkdir()
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    own = files.new_part(place.image.parent)
    own.with_name(own.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-")).write_bytes(b"")
    put(place)
    ended.wait()
    assert sorted(path.name for path in place.image.parent.iterdir()) == sorted([place.image.name, place.sidecar.name])


def test_what_a_killed_run_left_beside_copies_is_removed(tmp_path):
    dead = files.new_part(tmp_path)
    dead = dead.with_name(dead.name.replace(f"-{os.getpid()}-", "-999999999-"))
    dead.write_bytes(b"")
    files.write_whole(tmp_path / "copy.nii.gz", b"copy")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.nii.gz"]


def test_what_a_killed_run_left_and_the_disk_does_not_let_go_is_told(tmp_path, monkeypatch):
    """Before, folders that stayed were passed over in silence, and files that stayed ended the run."""
    for kind in (Path.touch, Path.mkdir):
        dead = files.new_part(tmp_path)
        kind(dead.with_name(dead.name.replace(f"-{os.getpid()}-", "-999999999-")))

    def refuse(path, *_words, **_named):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok: refuse(path) if path.exists() else None)
    notes = files.write_whole(tmp_path / "copy.nii.gz", b"copy")
    assert (tmp_path / "copy.nii.gz").read_bytes() == b"copy"
    told = [note for note in notes if "-999999999-" in note and "could not be removed (Permission denied)" in note]
    assert len(told) == 2


def test_a_place_is_held_whatever_study_goes_there(make_study, monkeypatch, tmp_path):
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "home"))
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    first, second = find_series(make_study("a/same")), find_series(make_study("b/same"))
    with (
        files.hold([first.folder, tmp_path / "out" / "x.nii.gz"]),
        pytest.raises(OutputRefused, match="another run"),
        files.hold([second.folder, tmp_path / "link" / "x.nii.gz"]),
    ):
        pass


def test_a_study_is_held_by_one_run_at_a_time(make_study, monkeypatch, tmp_path):
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "home"))
    study = find_series(make_study())
    with files.hold([study.folder]):
        with pytest.raises(OutputRefused, match="another run"), files.hold([study.folder]):
            pass
        with files.hold([make_study("second")]):
            pass
    with files.hold([study.folder]):
        pass


def test_a_lock_folder_that_cannot_be_made_is_said(make_study, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "file"))
    with pytest.raises(OutputRefused, match="MRIMPUTE_STATE"), files.hold([make_study()]):
        pass
