import dataclasses
import json
import shutil
import tomllib

import numpy as np
import pytest
import tomli_w
import torch
from safetensors.torch import load_file

from mrimpute import io
from mrimpute.contrasts import Contrast
from mrimpute.diffusion.ladder import variance_preserving_ladder
from mrimpute.errors import StudyRefused, UsageError, WeightsUnavailable
from mrimpute.generators.contract import Sampling, convert
from mrimpute.generators.syndiff.generator import SliceDraws, SyndiffGenerator, load
from mrimpute.generators.syndiff.method import METHOD
from mrimpute.generators.syndiff.network import DiffusiveGenerator, NetworkConfig
from mrimpute.prepare import prepare
from mrimpute.registry import Checkpoint, catalogue, hub, load_registry, read_checkpoint_folder
from mrimpute.study import find_series
from tests.generators.syndiff.conftest import STORED, image, normal, read_json, set_weights

CPU = torch.device("cpu")
T1, T2 = Contrast.T1, Contrast.T2


def sampler(network, count, **changes):
    ladder = variance_preserving_ladder(count)
    fields = {"shared_noise": False, "batch": 1, "device": CPU, "dtype": torch.float32} | changes
    return SyndiffGenerator(network.eval().requires_grad_(False), T1, T2, ladder, **fields)


def small(name, folder=STORED):
    config = read_json(name, folder)["config"]
    size, base, widths, blocks = (config[k] for k in ("image_size", "num_channels_dae", "ch_mult", "num_res_blocks"))
    return set_weights(
        DiffusiveGenerator(NetworkConfig(size, base, tuple(widths), blocks, latent_width=config["z_emb_dim"]))
    )


@pytest.mark.parametrize(
    ("name", "network", "count"), [("small_b_T2", "gen_small_b", 2), ("small_b_T8", "gen_small_b", 8)]
)
def test_trajectories_equal_the_authors(name, network, count):
    check_trajectory(load_file(STORED / f"traj_{name}.safetensors"), small(network), count)


def test_the_four_step_trajectory_equals_the_authors(goldens):
    check_trajectory(load_file(goldens / "traj_small_a_T4.safetensors"), small("gen_small_a", goldens), 4)


def check_trajectory(golden, network, count):
    calls = sorted({key.rsplit(".", 1)[0] for key in golden if key.startswith("call")})
    batch = len(golden["source"])
    draws = [
        SliceDraws(
            golden["init_noise"][item],
            [golden[f"call{k}.t{count - 1 - k}.z"][item] for k in range(count)],
            [golden[f"call{k}.t{count - 1 - k}.noise"][item] for k in range(count)],
        )
        for item in range(batch)
    ]
    assert len(calls) == count
    made = sampler(network, count).sample(golden["source"], draws)
    assert float((made - golden["final"]).abs().max()) < 2e-5


def test_the_official_networks_four_steps_equal_the_authors(goldens):
    golden = load_file(goldens / "official_size.safetensors")
    shape = (1, 256, 256)

    def drawn(name, size):
        return torch.from_numpy(normal(name, size).astype(np.float32))

    draws = SliceDraws(
        drawn("official.traj.init", (1, *shape))[0],
        [drawn(f"official.traj.z{k}", (1, 100))[0] for k in range(4)],
        [drawn(f"official.traj.noise{k}", (1, *shape))[0] for k in range(4)],
    )
    network = set_weights(DiffusiveGenerator(NetworkConfig()))
    made = sampler(network, 4).sample(image("official.traj.src", (1, *shape)), [draws])
    assert float((made - golden["sample.final"]).abs().max()) < 2e-5


@pytest.fixture(scope="session")
def tiny_pair(tmp_path_factory):
    """Checkpoint folders of t1 → t2 and t2 → t1 with random weights."""
    from safetensors.torch import save_file

    from mrimpute.generators.syndiff.training import TrainingPlan, record_of
    from mrimpute.training.state import record_text

    network = NetworkConfig(64, 4, (1, 2), 1, (), latent_width=8, latent_size=8, latent_layers=1)
    folders = {}
    for source, target in ((T1, T2), (T2, T1)):
        folder = tmp_path_factory.mktemp("syndiff") / f"{source}-to-{target}"
        folder.mkdir()
        torch.manual_seed(3)
        made = DiffusiveGenerator(network)
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        save_file(made.state_dict(), folder / "model.safetensors")
        plan = TrainingPlan(source, target, network, steps=1)
        (folder / "checkpoint.toml").write_text(record_text(record_of(plan, source, target, 0)))
        folders[target] = folder
    return folders


def prepared_t1(make_study, checkpoint, **changes):
    study = find_series(make_study(contrasts=(T1,), **changes))
    return prepare({T1: io.read_volume(study.get(T1).path)}, checkpoint.record.inputs)


def test_the_same_seed_gives_the_same_voxels_whatever_the_batch(make_study, tiny_pair):
    checkpoint = read_checkpoint_folder(tiny_pair[T2])
    whole = prepared_t1(make_study, checkpoint)
    image = whole.images[T1][:, :, ::4]  # for time
    ready = dataclasses.replace(whole, images={T1: image}, head=whole.head[:, :, ::4])
    one = load(checkpoint, Sampling("posterior", 4), CPU, torch.float32)

    def make(batch, seed=0, shared=False):
        generator = sampler(one.network, 4, batch=batch, shared_noise=shared)
        return generator(ready, (T2,), seed, lambda _done, _total: None)[0].voxels

    alone = make(1)
    np.testing.assert_allclose(make(5), alone, atol=2e-6)
    assert np.array_equal(make(1), alone)
    assert not np.array_equal(make(1, seed=1), alone)
    assert not np.array_equal(make(1, shared=True), alone)
    assert alone.min() >= 0
    assert alone.max() <= 1
    empty = ~ready.images[T1].any(axis=(0, 1))
    assert not alone[:, :, empty].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_number_of_threads_does_not_change_a_voxel(make_study, tiny_pair, dtype):
    checkpoint = read_checkpoint_folder(tiny_pair[T2])
    whole = prepared_t1(make_study, checkpoint)
    ready = dataclasses.replace(whole, images={T1: whole.images[T1][:, :, 16:22]}, head=whole.head[:, :, 16:22])
    generator = load(checkpoint, Sampling("posterior", 4), CPU, dtype)
    made, before = [], torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        made.append(generator(ready, (T2,), 0, lambda _done, _total: None)[0].voxels)
    torch.set_num_threads(before)
    assert made[0].any() and np.array_equal(made[0], made[1]) and np.array_equal(made[0], made[2])


def test_progress_counts_slices_with_head(make_study, tiny_pair):
    checkpoint = read_checkpoint_folder(tiny_pair[T2])
    ready, seen = prepared_t1(make_study, checkpoint), []
    generator = load(checkpoint, Sampling("posterior", 4), CPU, torch.float32)
    generator(ready, (T2,), 0, lambda done, total: seen.append((done, total)))
    filled = int(ready.images[T1].any(axis=(0, 1)).sum())
    assert seen == [(done, filled) for done in range(filled + 1)]
    with pytest.raises(ValueError, match="makes t2"):
        generator(ready, (T1,), 0, lambda _done, _total: None)


def test_a_head_wider_than_the_slices_is_refused_never_cut(make_study, tiny_pair):
    checkpoint = read_checkpoint_folder(tiny_pair[T2])
    with pytest.raises(StudyRefused, match=r"wider than the network's slices .* of 64"):
        prepared_t1(make_study, checkpoint, shape=(100, 40, 36))


def test_syndiff_takes_its_own_steps(tiny_pair):
    checkpoint = read_checkpoint_folder(tiny_pair[T2])
    assert METHOD.choose_sampling(checkpoint, None, None) == Sampling("posterior", 4)
    assert METHOD.choose_sampling(checkpoint, None, 4) == Sampling("posterior", 4)
    for words in (("ddim", None), (None, 2)):
        with pytest.raises(UsageError, match="always takes its own 4 steps"):
            METHOD.choose_sampling(checkpoint, *words)


@pytest.mark.parametrize(
    ("table", "change", "told"),
    [
        ("network", {"base_channels": 8}, "belongs to another network"),
        ("network", {"image_size": 66}, "slices must be 66 wide"),
        ("network", {"res_block": 1}, "network"),
        ("inputs", {"clip_quantiles": None, "mean_to": {"t2": 0.1}}, "must name every source"),
    ],
)
def test_records_that_do_not_fit_are_refused(tiny_pair, tmp_path, table, change, told):
    folder = shutil.copytree(tiny_pair[T2], tmp_path / "net")
    record = tomllib.loads((folder / "checkpoint.toml").read_text())
    changed = {key: value for key, value in (record[table] | change).items() if value is not None}
    (folder / "checkpoint.toml").write_text(tomli_w.dumps(record | {table: changed}))
    with pytest.raises(WeightsUnavailable, match=told):
        load(read_checkpoint_folder(folder), Sampling("posterior", 4), CPU, torch.float32)


@pytest.fixture
def store(monkeypatch, tmp_path):
    monkeypatch.setenv("MRIMPUTE_HOME", str(tmp_path / "home"))
    config = json.loads((STORED / "checkpoint_config.json").read_text())["config"]
    record = load_registry()["syndiff-t2-from-t1-brats"].record
    network = {
        "image_size": config["image_size"],
        "base_channels": config["num_channels_dae"],
        "channel_mult": config["ch_mult"],
        "res_blocks": config["num_res_blocks"],
        "latent_width": config["z_emb_dim"],
    }
    inputs = record.inputs.model_copy(update={"slices": (32, 32)})
    path = tmp_path / "home" / "checkpoints" / "tiny" / "model.safetensors"
    tiny = Checkpoint("tiny", record.model_copy(update={"network": network, "inputs": inputs}), path)
    monkeypatch.setattr(catalogue, "load_registry", lambda: {"tiny": tiny})
    return tiny


def test_the_authors_file_is_imported_strictly(store):
    """gen_diffusive_1_7.pth is a small network in the authors' format, with `module.` before each key."""
    assert hub.import_file("tiny", STORED / "gen_diffusive_1_7.pth", convert) == store.path
    config = json.loads((STORED / "checkpoint_config.json").read_text())
    generator = load(store, Sampling("posterior", 4), CPU, torch.float32)
    expected = set_weights(DiffusiveGenerator(generator.network.config), config["weight_seeds"][0])
    for key, tensor in expected.state_dict().items():
        assert torch.equal(generator.network.state_dict()[key], tensor), key


@pytest.mark.parametrize("prefix", ["", "module.module."])
def test_files_without_a_wrapper_or_wrapped_twice_are_read_too(store, tmp_path, prefix):
    state = torch.load(STORED / "gen_diffusive_1_7.pth", weights_only=True)
    torch.save({prefix + key.removeprefix("module."): tensor for key, tensor in state.items()}, tmp_path / "w.pth")
    assert hub.import_file("tiny", tmp_path / "w.pth", convert).is_file()


def test_another_networks_file_is_refused_and_nothing_is_left(store, tmp_path):
    state = torch.load(STORED / "gen_diffusive_1_7.pth", weights_only=True)
    state.popitem()
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsUnavailable, match="is missing"):
        hub.import_file("tiny", tmp_path / "w.pth", convert)
    assert not list(store.path.parent.glob("*"))
