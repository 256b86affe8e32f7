"""Networks that OpenVINO computes: the same image, kept in the store, told in the recipe, torch where it fails."""

import json
import subprocess
import sys
import zipfile
from importlib import metadata

import pytest
import torch

from mrimpute import device
from mrimpute.contrasts import Contrast
from mrimpute.generators import converted
from mrimpute.generators.contract import Sampling
from mrimpute.generators.converted import ConvertedNetwork
from mrimpute.generators.cwdm import checkpoint as room
from mrimpute.generators.cwdm.generator import load_converted
from mrimpute.registry import converted_file, read_checkpoint_folder

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
    monkeypatch.setattr(device, "LARGE_NETWORK", 1)


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


def test_where_it_cannot_be_converted_torch_computes_it_and_says_so(
    cli, make_study, tiny_weights, tmp_path, matrix_unit, monkeypatch
):
    def fail(*_words, **_named):
        raise RuntimeError("no such operation\nwith a long tale")

    monkeypatch.setattr(converted._library(), "convert_model", fail)
    study = make_study()
    line = ("fill", study, "--weights", tiny_weights[Contrast.FLAIR], "--json")
    done = cli(*line, env={"MRIMPUTE_HOME": str(tmp_path / "store")})
    assert done.returncode == 0, done.stderr
    told = "torch computes tiny-flair, not OpenVINO: tiny-flair cannot be converted (no such operation)"
    assert [told in line for line in done.stderr.splitlines()].count(True) == 1
    assert json.loads(done.stdout)["recipe"]["engine"] == "torch"
    sidecar = json.loads(next(study.glob("*-t2f.json")).read_text())
    assert any(told in line for line in sidecar["warnings"])
    assert "engine" not in sidecar["fingerprint"]


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
