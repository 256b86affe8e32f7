import shutil
import tomllib
from itertools import permutations

import pytest
import tomli_w
import torch

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.contract import Sampling, door, method_of
from mrimpute.generators.cwdm.checkpoint import load_networks, network_config
from mrimpute.registry import catalogue as registry
from mrimpute.registry import choose_checkpoint, load_registry, read_checkpoint_folder

SOURCES = (Contrast.T1, Contrast.T1C, Contrast.T2)


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("MRIMPUTE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(registry.platformdirs, "user_config_dir", lambda _: str(tmp_path / "config"))
    load_registry.cache_clear()
    yield tmp_path
    load_registry.cache_clear()


@pytest.mark.parametrize("name", load_registry())
def test_every_entry_is_whole(name):
    checkpoint = load_registry()[name]
    record = checkpoint.record
    assert record.about.licence
    assert record.about.cite
    if record.generator == "cwdm":
        assert record.sources == tuple(contrast for contrast in BRATS_FOUR if contrast is not record.target)
        assert network_config(checkpoint).in_channels == 32
    if record.origin == "builtin":
        sampling = method_of(record.generator).choose_sampling(checkpoint, None, None)
        door(record.generator, "generator").load(checkpoint, sampling, torch.device("cpu"), torch.float32)
        assert "PSNR" in record.about.quality


@pytest.mark.parametrize("target", BRATS_FOUR)
def test_each_cwdm_route_has_a_first_choice_and_a_built_in_network(target):
    sources = tuple(contrast for contrast in BRATS_FOUR if contrast is not target)
    assert choose_checkpoint("builtin", "cwdm", sources, target).record.origin == "builtin"
    firsts = [
        c
        for c in load_registry().values()
        if c.record.first_choice and c.record.target is target and c.record.generator == "cwdm"
    ]
    assert [c.record.origin for c in firsts] == ["hub"]
    assert len(firsts[0].record.inputs.window) == 3


def test_built_in_weights_stay_small():
    for generator, most in (("cwdm", 11e6), ("syndiff", 6e6), ("aldm", 8e6)):
        sizes = [
            c.path.stat().st_size
            for c in load_registry().values()
            if c.record.origin == "builtin" and c.record.generator == generator
        ]
        assert 0 < sum(sizes) <= most


@pytest.mark.parametrize(("source", "target"), [*permutations((Contrast.T1, Contrast.T2, Contrast.FLAIR), 2)])
def test_each_pair_of_three_contrasts_has_a_built_in_network(source, target):
    record = choose_checkpoint("builtin", "syndiff", (source,), target).record
    assert (record.sources, record.target) == ((source,), target)


@pytest.mark.parametrize(("source", "target"), [*permutations(BRATS_FOUR, 2)])
def test_one_built_in_network_makes_any_contrast_of_any_other(source, target):
    checkpoint = choose_checkpoint("builtin", "aldm", (source,), target)
    assert checkpoint.name == "aldm-small"
    assert method_of("aldm").choose_sampling(checkpoint, None, None) == Sampling("none", 0)


def test_auto_means_the_authors_weights_also_where_they_are_absent():
    checkpoint = choose_checkpoint("auto", "cwdm", SOURCES, Contrast.FLAIR)
    assert (checkpoint.name, checkpoint.record.origin) == ("cwdm-flair", "hub")
    assert not checkpoint.path.exists()


def test_a_checkpoint_for_another_job_is_refused(tiny_weights):
    with pytest.raises(WeightsUnavailable, match="makes t1 from t1c, t2, flair with cwdm, not flair"):
        choose_checkpoint(str(tiny_weights[Contrast.T1]), "cwdm", SOURCES, Contrast.FLAIR)
    with pytest.raises(WeightsUnavailable, match="no checkpoint and no folder"):
        choose_checkpoint("nonsense", "cwdm", SOURCES, Contrast.FLAIR)


def changed(folder, target, change):
    """Copy a checkpoint folder and change its record."""
    shutil.copytree(folder, target)
    record = tomllib.loads((folder / "checkpoint.toml").read_text())
    change(record)
    (target / "checkpoint.toml").write_text(tomli_w.dumps(record))
    return target


BROKEN = {
    "unknown key": (lambda record: record.update(colour="red"), "colour"),
    "impossible generator": (lambda record: record.update(generator="G-AN"), "generator"),
    "unknown contrast": (lambda record: record.update(target="flare"), "target"),
    "target among sources": (lambda record: record.update(target="t1"), "must all differ"),
    "no licence": (lambda record: record["about"].pop("licence"), "about"),
    "no steps": (lambda record: record["sampling"].update(steps=0), "sampling.steps"),
    "axis named twice": (lambda record: record["inputs"].update(orientation="LRS"), "names an axis twice"),
    "quantiles that fall": (lambda record: record["inputs"].update(clip_quantiles=[0.999, 0.001]), "must rise"),
    "two rules of grey values": (
        lambda record: record["inputs"].update(mean_to={"t1": 0.1, "t1c": 0.1, "t2": 0.1}),
        "either clip_quantiles",
    ),
    "window and slices": (
        lambda record: record["inputs"].update(window=[8, 8, 8], slices=[8, 8]),
        "exclude each other",
    ),
    "impossible orientation": (lambda record: record["inputs"].update(orientation="LPX"), "inputs.orientation"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_is_an_error_that_names_the_key(name, tiny_weights, tmp_path):
    change, message = BROKEN[name]
    folder = changed(tiny_weights[Contrast.FLAIR], tmp_path / "copy", change)
    with pytest.raises(WeightsUnavailable) as caught:
        read_checkpoint_folder(folder)
    assert message in str(caught.value)
    assert "checkpoint.toml" in str(caught.value)


def test_a_record_that_is_no_toml_is_named(tiny_weights, tmp_path):
    folder = shutil.copytree(tiny_weights[Contrast.FLAIR], tmp_path / "copy")
    (folder / "checkpoint.toml").write_text("[network")
    with pytest.raises(WeightsUnavailable, match=r"cannot read .*checkpoint\.toml"):
        read_checkpoint_folder(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["network"].update(blocks=record["network"].pop("res_blocks")),
        lambda record: record["network"].update(groups=3),
        lambda record: record["inputs"].update(multiple=2),
    ],
)
def test_network_keys_are_checked_by_the_room(change, tiny_weights, tmp_path):
    folder = changed(tiny_weights[Contrast.FLAIR], tmp_path / "copy", change)
    with pytest.raises(WeightsUnavailable, match=r"blocks|groups|multiple"):
        network_config(read_checkpoint_folder(folder))


@pytest.mark.parametrize("content", [b"", b"junk" * 100, b"\xff" * 16])
def test_a_damaged_weights_file_is_refused(content, tiny_weights, tmp_path):
    folder = shutil.copytree(tiny_weights[Contrast.FLAIR], tmp_path / "copy")
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsUnavailable, match="not a readable safetensors file"):
        load_networks(read_checkpoint_folder(folder))


def test_weights_that_are_not_finite_are_refused(tiny_weights, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_weights[Contrast.FLAIR], tmp_path / "copy")
    tensors = load_file(folder / "model.safetensors")
    tensors["out.2.bias"] = torch.full_like(tensors["out.2.bias"], float("nan"))
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WeightsUnavailable, match=r"out\.2\.bias holds values that are not finite"):
        load_networks(read_checkpoint_folder(folder))


def test_a_wrong_digest_is_refused(tiny_weights, tmp_path):
    folder = shutil.copytree(tiny_weights[Contrast.FLAIR], tmp_path / "copy")
    text = (folder / "checkpoint.toml").read_text()
    (folder / "checkpoint.toml").write_text(f'sha256 = "{"0" * 64}"\n{text}')
    with pytest.raises(WeightsUnavailable, match="damaged"):
        load_networks(read_checkpoint_folder(folder))


def test_a_folder_without_its_parts_is_refused(tmp_path, tiny_weights):
    with pytest.raises(WeightsUnavailable, match=r"no checkpoint\.toml"):
        read_checkpoint_folder(tmp_path)
    folder = shutil.copytree(tiny_weights[Contrast.FLAIR], tmp_path / "copy")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsUnavailable, match="is not there"):
        read_checkpoint_folder(folder)


def test_users_add_entries_in_their_config_folder(fresh, tiny_weights):
    (fresh / "config").mkdir()
    text = (tiny_weights[Contrast.FLAIR] / "checkpoint.toml").read_text()
    lines = [f"[mine]\n{text.split(chr(10) + '[')[0]}"] + [f"[mine.{part}" for part in text.split("\n[")[1:]]
    (fresh / "config" / "weights.toml").write_text("\n".join(lines))
    assert load_registry()["mine"].record.target is Contrast.FLAIR
    (fresh / "config" / "weights.toml").write_text("[mine]\nx = 1")
    load_registry.cache_clear()
    with pytest.raises(WeightsUnavailable, match=r"table \[mine\]"):
        load_registry()
