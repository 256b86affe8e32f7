"""Windows and macOS, as far as a fake of them can tell; neither was ever run."""

import os
import subprocess
import sys

import pytest

from mrimpute import device
from mrimpute.errors import ResourcesExhausted
from mrimpute.files import peak_memory_mb, process_lives, sync_folder, system, write_whole

BARE = """
import os, signal, sys
sys.modules["resource"] = None
for name in ("SIGHUP", "SIGALRM", "setitimer"):
    delattr(signal, name)
del os.sched_getaffinity
from mrimpute.files import system
system.WINDOWS = True
from mrimpute.cli.app import main
main(sys.argv[1:])
"""
"""A Python without what only POSIX has, that takes itself for Windows."""


def test_without_posix_a_study_is_scanned_planned_and_filled(make_study, tiny_weights, tmp_path):
    import json

    from mrimpute import Contrast

    folder = make_study()
    words = ["fill", str(folder), "--missing", "flair", "--weights", str(tiny_weights[Contrast.FLAIR]), "--json", "-q"]
    surroundings = os.environ | {"MRIMPUTE_STATE": str(tmp_path), "MRIMPUTE_THREADS": "1"}
    command = [sys.executable, "-c", BARE, *words, "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], record["cost"]["peak_rss_mb"]) == ("filled", None)
    assert (folder / "case-t2f.nii.gz").is_file()


def test_windows_opens_no_folder_and_signals_no_process(monkeypatch, tmp_path):
    monkeypatch.setattr(system, "WINDOWS", True)
    monkeypatch.setattr(os, "kill", lambda *_words: pytest.fail("signal 0 ends a process there"))
    sync_folder(tmp_path / "absent")
    assert process_lives(1)
    write_whole(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_macos_counts_memory_in_bytes(monkeypatch):
    here = peak_memory_mb()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert here and peak_memory_mb() == pytest.approx(here / 1024, abs=2)


def test_mps_is_taken_where_torch_has_it_and_never_by_auto(monkeypatch):
    import torch

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ResourcesExhausted, match="mps is not there"):
        device.choose_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.choose_device("mps").type == "mps"
    assert device.choose_device("auto").type != "mps"
