import dataclasses
import json
import os
import signal
import time

import numpy as np
import pytest
import torch

from mrimpute.contrasts import Contrast
from mrimpute.errors import OutputRefused, StudyRefused, UsageError
from mrimpute.generators.contract import Sampling
from mrimpute.generators.syndiff.adversarial import LossWeights
from mrimpute.generators.syndiff.checkpoint import load_networks
from mrimpute.generators.syndiff.generator import load
from mrimpute.generators.syndiff.network import NetworkConfig
from mrimpute.generators.syndiff.slices import draw_slices
from mrimpute.generators.syndiff.training import TrainingPlan, TrainingSet, load_set, rate_of, train
from mrimpute.prepare import Prepared
from mrimpute.registry import read_checkpoint_folder
from mrimpute.training.augment import Augmentation
from mrimpute.training.cases import TrainingCase
from tests.processes import Forked

CPU = torch.device("cpu")
T1, T2, FLAIR = Contrast.T1, Contrast.T2, Contrast.FLAIR
TINY = NetworkConfig(72, 4, (1, 2), 1, (), latent_width=8, latent_size=8, latent_layers=1)


def plan(**changes):
    fields = {
        "network": TINY,
        "discriminator_width": 2,
        "discriminator_embedding": 8,
        "one_shot_width": 4,
        "steps": 4,
        "crop": 64,
    }
    return TrainingPlan(T1, T2, **(fields | changes))


@pytest.fixture
def cases():
    draw = np.random.default_rng(0)
    return [TrainingCase(name, draw.random((2, 72, 64 + 8 * i, 8), dtype=np.float32)) for i, name in enumerate("ab")]


def one_contrast(cases, number):
    return [TrainingCase(case.name, case.images[number : number + 1]) for case in cases]


def quiet(_step, _figures):
    pass


@pytest.mark.parametrize("paired", [False, True])
def test_training_writes_a_checkpoint_for_each_direction(cases, tmp_path, paired):
    data = TrainingSet.of(*([cases, cases] if paired else [one_contrast(cases, 0), one_contrast(cases, 1)]))
    held_out = [TrainingCase("held out", cases[0].images[:, ::-1].copy())]
    there, back = train(plan(paired=paired, regression=paired), data, tmp_path, CPU, quiet, 2, held_out)
    for folder, source, target in ((there, T1, T2), (back, T2, T1)):
        record = read_checkpoint_folder(folder).record
        assert (record.generator, record.sources, record.target) == ("syndiff", (source,), target)
        assert record.sampling.timesteps == 4
        assert record.sampling.shared_noise
        assert ("registered pairs" in record.about.trained_on) == paired
        networks = load_networks(read_checkpoint_folder(folder))
        assert (networks.coefficients is not None) == paired
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert ("errG1_cycle" in lines[0]) != paired
    assert {"errD1_real", "errD_fake", "grad1_penalty", "errG1_L1", "t1_to_t2_psnr_db", "t2_to_t1_ssim"} <= set(
        lines[0]
    )


def test_the_regression_of_a_checkpoint_steadies_its_volumes(cases, tmp_path):
    images = [np.stack([case.images[0], 0.9 - 0.5 * case.images[0]]) for case in cases]  # what a regression can tell
    related = [TrainingCase(case.name, pair) for case, pair in zip(cases, images, strict=True)]
    data = TrainingSet.of(related, related)
    there, _ = train(plan(paired=True, regression=True), data, tmp_path, CPU, quiet)
    steady = load(read_checkpoint_folder(there), Sampling("posterior", 4), CPU, torch.float32)
    source, truth = related[0].images
    source[30, 30, 4] = 0.0  # fluid
    prepared = Prepared({T1: source}, np.ones_like(source, bool), None, ("a",))
    plain = dataclasses.replace(steady, coefficients=None)
    (made,), (raw,) = (one(prepared, (T2,), 0, lambda *_: None) for one in (steady, plain))
    assert abs(made.voxels - truth).mean() < 0.6 * abs(raw.voxels - truth).mean()
    assert made.voxels[30, 30, 4] > 0.5
    assert made.voxels[source > 0].mean() == pytest.approx(truth[source > 0].mean(), abs=0.02)
    given = dataclasses.replace(prepared, estimates={T2: truth}, network_share=0.0)
    (alone,) = steady(given, (T2,), 0, lambda *_: None)
    assert np.allclose(alone.voxels, truth, atol=1e-6)
    for target, share in ((T1, 0.5), (T2, 0.65), (FLAIR, 0.45)):
        blended = dataclasses.replace(steady, target=target).blended(raw.voxels, source, prepared.head, truth)
        difference = raw.voxels - truth
        assert np.allclose(blended, np.clip(truth + share * (difference - difference.mean()), 0, 1), atol=1e-5), target


@pytest.mark.parametrize("changes", [{}, {"paired": True, "augment": Augmentation.parse("all"), "batch": 2}])
def test_a_stopped_run_goes_on_exactly(cases, tmp_path, changes):
    paired = changes.get("paired", False)
    data = TrainingSet.of(*([cases, cases] if paired else [one_contrast(cases, 0), one_contrast(cases, 1)]))

    class Stop(Exception):
        pass

    def stop(step, _figures):
        if step == 2:
            raise Stop

    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(plan(**changes), data, straight, CPU, quiet, 2)
    with pytest.raises(Stop):
        train(plan(**changes), data, broken, CPU, stop, 2)
    train(plan(**changes), data, broken, CPU, quiet, 2)
    for name in ("t1-to-t2", "t2-to-t1"):
        assert (broken / name / "model.safetensors").read_bytes() == (
            straight / name / "model.safetensors"
        ).read_bytes()
    with pytest.raises(OutputRefused, match="other options"):
        train(plan(**changes, seed=1), data, broken, CPU, quiet)


def test_unpaired_slices_are_drawn_independently_and_pairs_together(cases):
    marked = []
    for number, case in enumerate(cases):
        images = np.zeros((2, 72, 64, 6), np.float32)
        images[0] = images[1] = 0.1 * (np.arange(6) + 1) + 0.05 * number
        marked.append(TrainingCase(case.name, images))
    pairs = TrainingSet.of(marked, marked)
    singles = TrainingSet.of(one_contrast(marked, 0), one_contrast(marked, 1))
    different = 0
    for seed in range(20):
        (one, other), sources = draw_slices(plan(paired=True), pairs, np.random.default_rng(seed), CPU)
        assert torch.equal(one, other)
        assert torch.equal(sources[0], other)
        (one, other), sources = draw_slices(plan(), singles, np.random.default_rng(seed), CPU)
        assert sources is None
        assert one.shape == other.shape == (1, 1, 64, 64)
        different += not torch.equal(one, other)
    assert different > 10


def test_only_the_sources_are_augmented(cases):
    data = TrainingSet.of(cases, cases)
    loud = plan(paired=True, augment=Augmentation(gamma=0.5))
    (one, other), (seen_other, seen_one) = draw_slices(loud, data, np.random.default_rng(1), CPU)
    assert not torch.equal(one, seen_one)
    assert not torch.equal(other, seen_other)
    assert float(one.min()) >= -1
    assert float(one.max()) <= 1


def test_rates_fall_along_the_authors_cosine():
    long = plan(steps=500)
    assert rate_of(long, "gen_diffusive_1", 0) == pytest.approx(1.6e-4)
    assert rate_of(long, "disc_diffusive_1", 250) == pytest.approx(1e-5 + 0.5 * 9e-5)
    assert rate_of(long, "disc_diffusive_1", 499) < 1.01e-5


def test_the_authors_command_is_the_default():
    default = TrainingPlan(T1, T2)
    assert (default.generator_rate, default.discriminator_rate, default.ema, default.batch) == (1.6e-4, 1e-4, 0.999, 1)
    assert default.weights == LossWeights(0.5, 1.0, 10)
    assert default.network == NetworkConfig()
    assert not default.paired
    assert default.inputs.slices[0] == 256


@pytest.mark.parametrize(
    "changes",
    [
        {"second": T1},
        {"steps": 0},
        {"generator_rate": 0},
        {"ema": 1.0},
        {"crop": 3},
        {"crop": 32},
        {"ct_range": (1.0, 1.0)},
    ],
)
def test_impossible_plans_are_usage_errors(changes):
    fields = {"first": T1, "second": T2, "network": TINY} | changes
    with pytest.raises(UsageError):
        TrainingPlan(**fields)


def test_unpaired_training_takes_studies_that_hold_one_contrast(make_study):
    studies = [make_study("one", contrasts=(T1,)), make_study("two", contrasts=(T2,), shape=(32, 40, 30))]
    wide = plan(network=NetworkConfig(64, 4, (1, 2), 1, ()), crop=0)
    data = load_set(studies, wide)
    assert [[case.name for case in cases] for cases in data.cases] == [["one"], ["two"]]
    assert data.cases[0][0].images.shape[2] == data.cases[1][0].images.shape[2]
    with pytest.raises(StudyRefused, match="lacks t2"):
        load_set(studies, plan(network=wide.network, crop=0, paired=True))
    with pytest.raises(StudyRefused, match="no study holds one"):
        load_set(studies[:1], wide)


SIZES = [
    "--size",
    "64",
    "--channels",
    "4",
    "--levels",
    "1,2",
    "--res-blocks",
    "1",
    "--attention",
    "none",
    "--latent",
    "8",
]
LINE = [*SIZES, "--discriminator-channels", "2", "--one-shot-channels", "4", "--crop", "0", "--threads", "1"]


def test_kill_9_and_the_same_line_again_gives_the_same_weights(cli, make_study, tmp_path):
    study = make_study(contrasts=(T1, T2), shape=(20, 24, 12))
    line = ["train", "syndiff", str(study), "--source", "t1", "--target", "t2", *LINE]
    line += ["--steps", "4", "--save-every", "1", "--out"]
    assert cli(*line, tmp_path / "straight").returncode == 0
    running = Forked([*line, tmp_path / "killed"], dict(os.environ))
    state = tmp_path / "killed" / "resume.safetensors"
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.process.kill()
    assert running.done().returncode == -signal.SIGKILL
    done = cli(*line, tmp_path / "killed")
    assert done.stdout.split() == [str(tmp_path / "killed" / name) for name in ("t1-to-t2", "t2-to-t1")]
    for name in ("t1-to-t2", "t2-to-t1"):
        one, other = ((tmp_path / run / name / "model.safetensors").read_bytes() for run in ("straight", "killed"))
        assert one == other


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--source", "t1", "--target", "t1"], "same contrast"),
        (["--source", "t1", "--target", "t2", "--levels", "x"], "impossible network"),
        (["--source", "t1", "--target", "t2", "--augment", "stripes"], "not understood"),
        (["--source", "t1", "--target", "t2", "--precision", "float8"], "unknown precision"),
    ],
)
def test_wrong_usage_is_one_line(cli, make_study, tmp_path, words, told):
    done = cli("train", "syndiff", make_study(contrasts=(T1, T2)), "--out", tmp_path / "out", *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
