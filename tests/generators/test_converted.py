"""Networks that OpenVINO computes: the same image, kept in the store, told in the recipe, torch where it fails."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from threading import Barrier, Lock

import pytest
import torch
from safetensors.torch import load_file, save_file

from mrimpute import device
from mrimpute.contrasts import Contrast
from mrimpute.files import new_part
from mrimpute.generators import converted
from mrimpute.generators.contract import Sampling
from mrimpute.generators.converted import ConvertedNetwork, converted_file
from mrimpute.generators.cwdm import checkpoint as room
from mrimpute.generators.cwdm.generator import load_converted
from mrimpute.registry import read_checkpoint_folder
from mrimpute.request import order

pytestmark = pytest.mark.skipif(
    not device.has_openvino(), reason="the extra is not here: pip install mrimpute[openvino]"
)
ONE_STEP = Sampling("ddim", 1)


@pytest.fixture
def checkpoint(tiny_weights, tmp_path, monkeypatch):
    """A checkpoint, and a store of its own."""
    monkeypatch.setenv("MRIMPUTE_HOME", str(tmp_path / "store"))
    return read_checkpoint_folder(tiny_weights[Contrast.FLAIR])


@pytest.fixture
def matrix_unit(monkeypatch):
    """Make the tiny network a large one, on a processor with AMX."""
    monkeypatch.setattr(device, "processor_features", lambda: {"amx_bf16", "avx512_bf16"})
    monkeypatch.setattr(order, "LARGE_NETWORK", 1)


@pytest.fixture
def no_conversion(monkeypatch):
    def refuse(*_words):
        raise AssertionError("converted")

    monkeypatch.setattr(converted, "converted_model", refuse)


def images(checkpoint):
    """Return what OpenVINO and what torch make of the same bands, for two sizes."""
    exact, quick = room.load_networks(checkpoint).unet, load_converted(checkpoint, ONE_STEP).network.unet
    assert isinstance(quick, ConvertedNetwork)
    for size in ((8, 12, 4), (4, 4, 8)):
        bands, step = torch.randn(1, 32, *size, generator=torch.Generator().manual_seed(1)), torch.tensor([700])
        yield quick(bands, step), exact(bands, step)


def test_it_makes_what_torch_makes_for_every_size(checkpoint):
    for made, expected in images(checkpoint):
        assert made.shape == expected.shape
        assert made.dtype == torch.float32
        assert (made - expected).norm() < 0.05 * expected.norm()


def test_a_network_is_converted_once(checkpoint, request):
    load_converted(checkpoint, ONE_STEP)
    kept = converted_file(checkpoint)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]  # no part is left
    request.getfixturevalue("no_conversion")
    assert len(list(images(checkpoint))) == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "other"])
def test_a_damaged_one_is_made_again(checkpoint, damage):
    load_converted(checkpoint, ONE_STEP)
    kept = converted_file(checkpoint)
    whole = kept.read_bytes()
    if damage == "cut":
        kept.write_bytes(whole[: len(whole) // 2])
    elif damage == "changed":
        kept.write_bytes(whole[:200] + b"damage" + whole[206:])
    else:
        with zipfile.ZipFile(kept, "w") as other:
            other.writestr("model.xml", "<net/>")
    for made, expected in images(checkpoint):
        assert (made - expected).norm() < 0.05 * expected.norm()
    with zipfile.ZipFile(kept) as mended:
        assert mended.testzip() is None and mended.namelist() == list(converted.PARTS)


def test_what_other_versions_made_of_the_same_weights_goes(checkpoint):
    kept = converted_file(checkpoint)
    old, other = (kept.with_name(name) for name in (f"{kept.name[:32]}-older.zip", f"{'0' * 32}-older.zip"))
    kept.parent.mkdir(parents=True)
    old.touch()
    other.touch()
    load_converted(checkpoint, ONE_STEP)
    assert sorted(kept.parent.iterdir()) == sorted([kept, other])


def test_two_that_are_converted_at_once_keep_their_own_weights(
    checkpoint, tiny_weights, tmp_path, monkeypatch, request
):
    """As two processes do it: both have written OpenVINO's files before either packs them."""
    both, one_at_a_time = Barrier(2, timeout=15), Lock()  # the tracer takes one at a time
    save, convert = converted._library().save_model, converted.converted_model

    def saved(*words, **named):
        save(*words, **named)
        both.wait()

    def made(*words):
        with one_at_a_time:
            return convert(*words)

    monkeypatch.setattr(converted._library(), "save_model", saved)
    monkeypatch.setattr(converted, "converted_model", made)
    shutil.copytree(tiny_weights[Contrast.FLAIR], tmp_path / "halves")
    other = read_checkpoint_folder(tmp_path / "halves")
    save_file({name: tensor / 2 for name, tensor in load_file(other.path).items()}, other.path)
    pair = checkpoint, other
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda one: load_converted(one, ONE_STEP), pair))
    request.getfixturevalue("no_conversion")
    for one in pair:
        for kept, expected in images(one):
            assert (kept - expected).norm() < 0.05 * expected.norm()
    assert sorted(converted_file(checkpoint).parent.iterdir()) == sorted(map(converted_file, pair))


def test_what_a_killed_run_left_goes(checkpoint):
    left = converted_file(checkpoint).parent / new_part(checkpoint.path).name.replace(f"-{os.getpid()}-", "-4194305-")
    left.mkdir(parents=True)
    (left / "model.bin").touch()
    load_converted(checkpoint, ONE_STEP)
    assert not left.exists()


def test_another_recipe_keeps_another(checkpoint, monkeypatch):
    load_converted(checkpoint, ONE_STEP)
    kept = converted_file(checkpoint)
    monkeypatch.setattr(converted, "RECIPE_VERSION", "next")
    load_converted(checkpoint, ONE_STEP)
    assert [path.name for path in kept.parent.iterdir()] == [converted_file(checkpoint).name] != [kept.name]


def test_the_recipe_tells_the_engine(cli, make_study, tiny_weights, matrix_unit):
    study = make_study()
    line = ("fill", study, "--weights", tiny_weights[Contrast.FLAIR], "--json")
    done = cli(*line)
    assert done.returncode == 0, done.stderr
    recipe = json.loads(done.stdout)["recipe"]
    assert (recipe["engine"], recipe["precision"]) == ("openvino", "bfloat16")
    sidecar = json.loads(next(study.glob("*-t2f.json")).read_text())
    assert sidecar["fingerprint"]["engine"] == "openvino"
    assert sidecar["software"]["openvino"] == metadata.version("openvino")
    assert json.loads(cli(*line).stdout)["status"] == "skipped"
    assert cli(*line, "--precision", "bfloat16").returncode == 6  # torch's bfloat16 is another recipe
    assert json.loads(cli(*line, "--precision", "bfloat16", "--overwrite").stdout)["recipe"]["engine"] == "torch"
    assert "engine" not in json.loads(next(study.glob("*-t2f.json")).read_text())["fingerprint"]
    assert json.loads(cli(*line).stdout)["status"] == "skipped"  # auto takes what either made


def torch_computed(done, study, reason):
    """Check that torch made an image, and that one line tells why."""
    assert done.returncode == 0, done.stderr
    told = f"torch computes tiny-flair: OpenVINO cannot compute tiny-flair ({reason}); use --precision bfloat16"
    assert [told in line for line in done.stderr.splitlines()].count(True) == 1
    assert json.loads(done.stdout)["recipe"]["engine"] == "torch"
    sidecar = json.loads(next(study.glob("*-t2f.json")).read_text())
    assert any(told in line for line in sidecar["warnings"])
    assert "engine" not in sidecar["fingerprint"]


def test_where_it_cannot_be_converted_torch_computes_it_and_says_so(
    cli, make_study, tiny_weights, tmp_path, matrix_unit, monkeypatch
):
    def fail(*_words, **_named):
        raise RuntimeError("no such operation\nwith a long tale")

    monkeypatch.setattr(converted._library(), "convert_model", fail)
    study = make_study()
    line = ("fill", study, "--weights", tiny_weights[Contrast.FLAIR], "--json")
    done = cli(*line, env={"MRIMPUTE_HOME": str(tmp_path / "store")})
    torch_computed(done, study, "no such operation")


@pytest.mark.parametrize("what", ["import", "compile", "convert"])
def test_where_a_kept_one_fails_torch_computes_it_too(
    what, cli, make_study, checkpoint, tiny_weights, tmp_path, matrix_unit, monkeypatch
):
    load_converted(checkpoint, ONE_STEP)

    def fail(*_words, **_named):
        raise ImportError(f"no {what}")

    if what == "import":
        monkeypatch.setattr(converted, "_library", fail)
    else:
        monkeypatch.setattr(converted._library(), f"{what}_model", fail)
    if what == "convert":
        converted_file(checkpoint).write_bytes(b"damaged")
    study = make_study()
    line = ("fill", study, "--weights", tiny_weights[Contrast.FLAIR], "--json")
    torch_computed(cli(*line, env={"MRIMPUTE_HOME": str(tmp_path / "store")}), study, f"no {what}")


def test_nothing_is_told_to_a_server_and_nothing_left_in_the_home_folder(tiny_weights, tmp_path):
    """OpenVINO's own telemetry does both, on import."""
    script = """
import socket, sys
from pathlib import Path
from mrimpute.generators.contract import Sampling
from mrimpute.generators.cwdm.generator import load_converted
from mrimpute.registry import read_checkpoint_folder
sys.addaudithook(lambda event, _: sys.exit(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
load_converted(read_checkpoint_folder(Path(sys.argv[1])), Sampling("ddim", 1))
assert "openvino.tools.ovc" in sys.modules and not sys.modules["openvino_telemetry"]
"""
    home = tmp_path / "home"
    home.mkdir()
    places = {"HOME": str(home), "MRIMPUTE_HOME": str(tmp_path / "store"), "PATH": "", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", script, str(tiny_weights[Contrast.FLAIR])]
    done = subprocess.run(line, env=places, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(home.iterdir())
