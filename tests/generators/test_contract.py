"""The same questions to every generator, asked through its doors."""

import tomllib
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused, WeightsUnavailable
from mrimpute.generators.contract import door, method_of
from mrimpute.prepare import prepare, restore
from mrimpute.registry import Checkpoint, InputSpec, Record, SamplingSpec, load_registry
from mrimpute.registry.tensors import write_weights
from mrimpute.training.state import record_text
from tests.conftest import head_voxels
from tests.prepare.test_frame import volume

CPU = torch.device("cpu")
QUANTILES = {"orientation": "LPS", "spacing_mm": 1.0, "clip_quantiles": [0.001, 0.9]}

CWDM: dict[str, Any] = {
    "generator": "cwdm",
    "sources": ["t1", "t1c", "t2"],
    "target": "flair",
    "network": {"base_channels": 4, "channel_mult": [1, 2], "res_blocks": 1, "groups": 2},
    "inputs": QUANTILES | {"multiple": 4},
    "sampling": {
        "ladder": "linear-beta",
        "timesteps": 1000,
        "predicts": "clean",
        "steps": 2,
        "output_floor": 0.04,
    },
}
ALDM: dict[str, Any] = {
    "generator": "aldm",
    "sources": ["t1", "t2", "flair"],
    "network": {
        "stage": "diffusion",
        "channels": 8,
        "channel_mult": [1, 2],
        "res_blocks": 1,
        "groups": 4,
        "latent": 4,
        "codes": 16,
        "spade_channels": 4,
        "spade_hidden": 4,
        "unet_channels": 64,
        "unet_mult": [1, 1],
        "unet_res_blocks": 1,
        "attention_at": [2],
        "head_width": 32,
    },
    "inputs": QUANTILES | {"multiple": 4},
    "sampling": {"ladder": "root-linear", "timesteps": 1000, "predicts": "noise", "steps": 1},
}
SYNDIFF: dict[str, Any] = {
    "generator": "syndiff",
    "sources": ["t1"],
    "target": "t2",
    "network": {
        "image_size": 64,
        "base_channels": 4,
        "channel_mult": [1, 2],
        "res_blocks": 1,
        "attention_at": [],
        "latent_width": 8,
        "latent_size": 8,
        "latent_layers": 1,
    },
    "inputs": QUANTILES | {"slices": [64, 8], "multiple": 4},
    "sampling": {
        "ladder": "variance-preserving",
        "timesteps": 4,
        "predicts": "clean",
        "steps": 4,
        "shared_noise": True,
    },
}
RECORDS = {table["generator"]: table for table in (CWDM, ALDM, SYNDIFF)}
ABOUT = {"origin": "trained", "about": {"licence": "", "trained_on": "", "cite": ""}}


GENERATORS = pytest.mark.parametrize("generator", RECORDS)


def networks_of(checkpoint: Checkpoint) -> Any:
    """Return the untrained networks that a record describes."""
    room = checkpoint.record.generator
    config, network = door(room, "checkpoint").network_config(checkpoint), door(room, "network")
    if room == "cwdm":
        return network.WaveletUNet(config).state_dict()
    if room == "syndiff":
        return door(room, "checkpoint").Networks(network.DiffusiveGenerator(config)).tensors()
    networks = network.FirstStage(config), network.NoisePredictor(config)
    return door(room, "checkpoint").Networks(*networks).tensors()


def record_of(table: dict[str, Any]) -> Record:
    try:
        return Record.model_validate(ABOUT | table)
    except ValueError as error:  # as the registry tells it
        raise WeightsUnavailable(str(error)) from error


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights of every tiny network."""
    files = {}
    for name, table in RECORDS.items():
        stream = torch.Generator().manual_seed(4)
        tensors = networks_of(Checkpoint("tiny", record_of(table), Path("absent")))
        for key, tensor in tensors.items():
            drawn = torch.randn(tensor.shape, generator=stream)
            tensors[key] = drawn * tensor[0].numel() ** -0.5 if tensor.ndim > 1 else tensor + 0.1 * drawn
        files[name] = tmp_path_factory.mktemp("contract") / f"{name}.safetensors"
        write_weights(files[name], tensors)
    return files


def volumes_of(record: Record) -> dict[Contrast, Any]:
    """Return small heads in register, as many as a network takes."""
    sources = record.sources if record.target else record.sources[:1]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    return {c: volume(head_voxels(c, (20, 24, 16)).astype(np.float32), affine) for c in sources}


class Run:
    """One checkpoint with its weights, loaded as a run loads it."""

    def __init__(self, table: dict[str, Any], file: Path) -> None:
        self.checkpoint = Checkpoint("tiny", record_of(table), file)
        self.record = self.checkpoint.record
        room = self.record.generator
        sampling = method_of(room).choose_sampling(self.checkpoint, None, None)
        self.generator = door(room, "generator").load(self.checkpoint, sampling, CPU, torch.float32)
        self.ready = prepare(volumes_of(self.record), self.record.inputs)
        self.targets = (self.record.target,) if self.record.target else self.record.sources[1:]

    def __call__(self, targets=None, seed=0, progress=lambda _done, _total: None):
        made = self.generator(self.ready, self.targets if targets is None else targets, seed, progress)
        return {one.target: restore(one.voxels, self.ready.recipe) for one in made}


@pytest.fixture(scope="module")
def runs(weights: dict[str, Path]) -> dict[str, Run]:
    return {name: Run(table, weights[name]) for name, table in RECORDS.items()}


@pytest.fixture(scope="module")
def expected(runs: dict[str, Run]) -> dict[str, dict[Contrast, Any]]:
    """What each run makes with seed 0."""
    return {name: run() for name, run in runs.items()}


def same(one: dict[Contrast, Any], other: dict[Contrast, Any]) -> bool:
    return all(np.array_equal(one[target], other[target]) for target in one)


class Peak(TorchDispatchMode):
    """Counts the bytes of tensors that live at once, beyond those that were there before."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[int] = set()
        self.now = self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.known:
                storage = tensor.untyped_storage()
                self.known.add(storage._cdata)
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self.forget, storage._cdata, storage.nbytes())
        return made

    def forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


@GENERATORS
class TestEveryGenerator:
    def test_another_target_is_refused_before_anything_runs(self, generator, runs):
        told = []
        with pytest.raises(ValueError, match=r"this network makes .*, not"):
            runs[generator]((Contrast.CT,), progress=lambda *step: told.append(step))
        assert told == []

    def test_progress_runs_to_the_end_one_by_one(self, generator, runs):
        told = []
        runs[generator](progress=lambda *step: told.append(step))
        total = told[0][1]
        assert told == [(done, total) for done in range(total + 1)]

    def test_one_seed_gives_one_image_and_another_another(self, generator, runs, expected):
        assert same(runs[generator](), expected[generator])
        assert not same(runs[generator](seed=1), expected[generator])

    def test_the_order_of_targets_does_not_matter(self, generator, runs, expected):
        run = runs[generator]
        assert same(run(run.targets[::-1]), expected[generator])
        assert np.array_equal(run(run.targets[-1:])[run.targets[-1]], expected[generator][run.targets[-1]])

    def test_an_image_lies_in_0_to_1_and_is_0_outside_the_head(self, generator, runs, expected):
        run = runs[generator]
        outside = np.logical_and.reduce([source.voxels == 0 for source in volumes_of(run.record).values()])
        for image in expected[generator].values():
            assert 0 <= image.min() < image.max() <= 1
            assert not image[outside].any()

    def test_the_memory_asked_for_is_more_than_a_run_takes(self, generator, runs):
        run = runs[generator]
        with Peak() as peak:
            run()
        window = run.ready.recipe.window.size
        weights = run.checkpoint.path.stat().st_size
        needed = door(generator, "generator").memory_needed(run.checkpoint, window, CPU, torch.float32)
        assert 0.2 * needed < peak.most + weights < needed

    def test_a_record_names_a_target_or_not_as_the_generator_needs(self, generator, runs):
        table = dict(RECORDS[generator])
        wrong = {key: value for key, value in table.items() if key != "target"}
        if "target" not in table:
            wrong |= {"sources": ["t1", "t2"], "target": "flair"}
        with pytest.raises(WeightsUnavailable, match="checkpoint tiny: target"):
            method_of(generator).check(Checkpoint("tiny", record_of(wrong), Path("absent")))


INPUTS: dict[str, list[Any]] = {
    "orientation": ["RAS"],
    "spacing_mm": [1.5],
    "window": [[32, 32, 32], [30, 30, 30]],
    "slices": [[64, 48], [128, 64], [64, 17]],
    "multiple": [16, 3],
    "clip_quantiles": [[0.05, 0.95]],
    "quantiles_of": ["window"],
    "clip_floor": [200.0],
    "mean_to": [{"t1": 0.1}],
    "ranges": [{"t1": [0.0, 2000.0]}, {"ct": [0.0, 1.0]}],
}
SAMPLING: dict[str, list[Any]] = {
    "ladder": ["linear-beta", "root-linear", "variance-preserving"],
    "timesteps": [500, 8],
    "predicts": ["clean", "noise"],
    "steps": [4, 3000],
    "sampler": ["none"],
    "output_floor": [0.5],
    "shared_noise": [True, False],
}
NETWORK: dict[str, dict[str, list[Any]]] = {
    "cwdm": {"groups": [1], "regression": [True, "no"], "colour": [1]},
    "aldm": {"groups": [2], "head_width": [16], "regression": [True, 1], "stage": ["spade", "autoencoder", "all"]},
    "syndiff": {"attention_at": [[64], [17]], "regression": [True, 0], "timesteps": [2]},
}


def other_sizes(generator: str) -> dict[str, list[Any]]:
    """Return other values for every size of a network: of its configuration, whatever the record states."""
    config = type(
        door(generator, "checkpoint").network_config(Checkpoint("tiny", record_of(RECORDS[generator]), Path()))
    )
    stated = RECORDS[generator]["network"]
    found = {}
    for name in config.__dataclass_fields__:
        used = stated.get(name, 3)
        found[name] = [[*used, 1], "1", [1.0]] if isinstance(used, list) else [2 * used, str(used), float(used), True]
    for name, values in NETWORK[generator].items():
        found[name] = [*found.get(name, []), *values]
    return found


def changes(generator: str) -> list[tuple[str, str, Any]]:
    tables = {"inputs": INPUTS, "sampling": SAMPLING, "network": other_sizes(generator)}
    return [
        (table, key, value)
        for table, keys in tables.items()
        for key, values in keys.items()
        for value in values
        if RECORDS[generator][table].get(key) != value or type(RECORDS[generator][table].get(key)) is not type(value)
    ]


DEFAULTS = {key: SamplingSpec.model_fields[key].default for key in ("sampler", "output_floor", "shared_noise")}


@pytest.mark.parametrize(
    ("generator", "table", "key", "value"), [(name, *change) for name in RECORDS for change in changes(name)]
)
def test_a_record_key_changes_the_image_or_is_refused(generator, table, key, value, expected, weights):
    if table == "sampling" and key in DEFAULTS and key not in RECORDS[generator][table] and value == DEFAULTS[key]:
        return  # what it means to leave it out
    changed = RECORDS[generator] | {table: RECORDS[generator][table] | {key: value}}
    try:
        run = Run(changed, weights[generator])
    except WeightsUnavailable as refused:
        assert key in str(refused) or "another network" in str(refused) or "inputs.multiple" in str(refused)
    except StudyRefused:
        assert table == "inputs"  # the frame that it asks for cannot be made
    else:
        target = run.targets[0]
        assert not np.array_equal(run((target,))[target], expected[generator][target])


def test_every_key_of_a_record_is_asked_for():
    assert set(INPUTS) == set(InputSpec.model_fields)
    assert set(SAMPLING) == set(SamplingSpec.model_fields)


@GENERATORS
def test_every_value_that_is_used_may_be_stated(generator, runs, expected, weights):
    whole = runs[generator].record.model_dump(mode="json", exclude={"origin", "about"})
    assert same(Run(whole, weights[generator])(), expected[generator])


@pytest.mark.parametrize("name", load_registry())
def test_every_known_entry_is_taken(name):
    checkpoint = load_registry()[name]
    method_of(checkpoint.record.generator).check(checkpoint)


def test_an_unknown_generator_is_named():
    with pytest.raises(WeightsUnavailable, match="no generator is called 'gan'"):
        method_of("gan")


OLD = {
    "cwdm": """
generator = "cwdm"
sources = ["t1", "t1c", "t2"]
target = "flair"
origin = "trained"

[network]
regression = true
base_channels = 4
channel_mult = [1, 2]
res_blocks = 1
groups = 2

[inputs]
orientation = "LPS"
spacing_mm = 1.0
multiple = 4
clip_quantiles = [0.001, 0.999]
quantiles_of = "volume"
clip_floor = 0.0
mean_to = {}
ranges = {}

[sampling]
ladder = "linear-beta"
timesteps = 1000
predicts = "clean"
steps = 1
output_floor = 0.04
""",
    "aldm": """
generator = "aldm"
sources = ["t1", "t2"]
origin = "trained"

[network]
stage = "spade"
regression = true
channels = 8
channel_mult = [1, 1, 2]
res_blocks = 1
groups = 4
latent = 4
codes = 16
spade_channels = 4
spade_hidden = 4
unet_channels = 64
unet_mult = [1, 1, 2]
unet_res_blocks = 1
attention_at = [4, 2]
head_width = 16

[inputs]
orientation = "RAS"
spacing_mm = 1.0
window = [144, 192, 144]
multiple = 16
clip_quantiles = [0.005, 0.995]
quantiles_of = "window"
clip_floor = 0.0
mean_to = {}
ranges = {}

[sampling]
ladder = "root-linear"
timesteps = 1000
predicts = "noise"
steps = 10
""",
    "syndiff": """
generator = "syndiff"
sources = ["ct"]
target = "t1"
origin = "trained"

[network]
image_size = 72
base_channels = 4
channel_mult = [1, 2]
res_blocks = 1
attention_at = [16]
latent_width = 8
latent_size = 8
latent_layers = 1

[inputs]
orientation = "LPS"
spacing_mm = 1.0
slices = [72, 64]
multiple = 2
clip_quantiles = [0.001, 0.999]
quantiles_of = "volume"
clip_floor = 0.0
mean_to = {}
ranges = { ct = [-1000.0, 2000.0] }

[sampling]
ladder = "variance-preserving"
timesteps = 4
predicts = "clean"
steps = 4
shared_noise = true
""",
}
"""Records as trainings wrote them before the methods checked anything."""


@GENERATORS
def test_records_of_earlier_trainings_are_taken_and_read_back_equal(generator):
    table = tomllib.loads(OLD[generator]) | {"about": ABOUT["about"]}
    checkpoint = Checkpoint("old", Record.model_validate(table), Path("absent"))
    method_of(generator).check(checkpoint)
    assert tomllib.loads(record_text(table)) == table
