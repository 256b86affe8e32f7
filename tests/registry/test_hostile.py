"""Records and weights from somebody else end with code 4 and one line, soon."""

import json
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from mrimpute import Contrast
from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.contract import method_of
from mrimpute.registry import load_registry, read_checkpoint_folder
from mrimpute.registry.tensors import read_weights
from tests.conftest import WIDE

FLAIR = Contrast.FLAIR


@pytest.fixture
def folder(tiny_weights, tmp_path):
    return shutil.copytree(tiny_weights[FLAIR], tmp_path / "hostile")


LINES = {
    "a window of nothing": ("[inputs]", "[inputs]\nwindow = [0, 0, 0]"),
    "a window below nothing": ("[inputs]", "[inputs]\nwindow = [-8, 8, 8]"),
    "a huge multiple": ("multiple = ", "multiple = 100000000"),
    "ten million blocks": ("res_blocks = 1", "res_blocks = 10000000"),
    "a huge width": ("base_channels = 4", "base_channels = 400000000"),
    "very many levels": ("channel_mult = [", "channel_mult = [" + "1,\n" * 100_000),
    "quantiles beyond 1": ("clip_quantiles = ", "clip_quantiles = [5.0, 9.0] #"),
    "very many steps": ("steps = ", "steps = 9999999999 #"),
    "nested without end": ("generator = ", "x = " + "[" * 100_000),
}


@pytest.mark.parametrize("name", LINES)
def test_a_hostile_record_is_refused_soon(folder, name):
    """Before: hangs, and code 1."""
    file = folder / "checkpoint.toml"
    old, new = LINES[name]
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    began = time.monotonic()
    with pytest.raises(WeightsUnavailable):
        checkpoint = read_checkpoint_folder(folder)
        method_of("cwdm").check(checkpoint)
    assert time.monotonic() - began < 5


def test_weights_that_are_a_loop_of_links_are_refused(folder):
    """Before: code 1, "Symlink loop"."""
    file = folder / "model.safetensors"
    file.unlink()
    file.symlink_to(file.name)
    with pytest.raises(WeightsUnavailable):
        read_checkpoint_folder(folder)


def test_very_many_tensors_are_not_listed(folder):
    """A million tensors hung; a longer list than any network has is refused by its length."""
    header = json.dumps({str(n): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(200_000)})
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode())
    began = time.monotonic()
    with pytest.raises(WeightsUnavailable, match="not a readable safetensors file"):
        read_weights(read_checkpoint_folder(folder))
    assert time.monotonic() - began < 2


def test_weights_that_overflow_are_said_to_be_weights(cli, folder, make_study):
    """Before: exit 6, "does not read back the same; check that disk"."""
    weights = {key: torch.full_like(tensor, 1e38) for key, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    study = make_study(shape=(20, 24, 18), affine=WIDE)
    done = cli("fill", study, "--weights", folder, "--device", "cpu")
    assert done.returncode == 4, done.stderr
    assert "not finite" in done.stderr
    assert not list(study.glob("*t2f*"))


def test_the_authors_second_stage_runs_without_a_word_on_sampling():
    """Before: `auto` ended with code 2, "add --sampler none"."""
    checkpoint = load_registry()["aldm-brats-stage2"]
    assert checkpoint.record.first_choice
    assert method_of("aldm").choose_sampling(checkpoint, None, None).sampler == "none"


def test_threads_are_told_and_are_no_part_of_the_recipe(cli, tiny_weights, make_study):
    study = make_study(shape=(20, 24, 18), affine=WIDE)
    words = ["fill", study, "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json", "-q"]
    first = json.loads(cli(*words, "--threads", "1").stdout)
    assert first["outputs"][0]["threads"] == json.loads((study / "case-t2f.json").read_text())["threads"] == 1
    again = json.loads(cli(*words, "--threads", "2").stdout)
    assert again["status"] == "skipped"
    assert cli(*words, "--threads", "2", "--overwrite").returncode == 0
    assert json.loads((study / "case-t2f.json").read_text())["threads"] == 2
