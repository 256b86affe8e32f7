import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.diffusion.ladder import linear_beta_ladder
from mrimpute.errors import OutputRefused, StudyRefused, UsageError
from mrimpute.generators import regression
from mrimpute.generators.cwdm import _wavelet
from mrimpute.generators.cwdm.checkpoint import load_networks
from mrimpute.generators.cwdm.network import NetworkConfig
from mrimpute.generators.cwdm.training import TrainingPlan, draw_example, learning_rate, train
from mrimpute.registry import read_checkpoint_folder
from mrimpute.training.augment import Augmentation, changed
from mrimpute.training.cases import TrainingCase, load_cases
from mrimpute.training.world import World
from tests.processes import Forked

SOURCES = (Contrast.T1, Contrast.T1C, Contrast.T2)
CPU = torch.device("cpu")


def plan(**changes):
    fields = {"steps": 6, "learning_rate": 1e-3, "window": None, "crop": 8} | changes
    return TrainingPlan(SOURCES, Contrast.FLAIR, NetworkConfig(4, (1, 2), 1, 2), **fields)


@pytest.fixture
def cases():
    draw = np.random.default_rng(0)
    return [TrainingCase(name, draw.random((4, 16, 24, 16), dtype=np.float32)) for name in ("a", "b")]


def quiet(_step, _figures):
    pass


def test_a_trained_folder_is_a_checkpoint(cases, tmp_path):
    train(plan(), cases, tmp_path, CPU, quiet, save_every=2)
    checkpoint = read_checkpoint_folder(tmp_path)
    assert checkpoint.record.target is Contrast.FLAIR
    assert checkpoint.record.about.trained_on.startswith("2 studies, 6 steps")
    load_networks(checkpoint)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [2, 4, 6]
    assert all(np.isfinite(entry["loss"]) for entry in log)


def test_training_lowers_the_loss(tmp_path):
    ramp = np.linspace(0, 1, 16, dtype=np.float32)
    images = np.stack([np.broadcast_to(ramp[:, None, None], (16, 16, 16)) * scale for scale in (1, 0.8, 0.6, 0.5)])
    losses = []
    train(
        plan(steps=150, learning_rate=5e-3),
        [TrainingCase("a", images.astype(np.float32))],
        tmp_path,
        CPU,
        lambda _step, figures: losses.append(figures["loss"]),
        save_every=30,
    )
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "ema": 0.9,
            "schedule": "cosine",
            "warmup": 3,
            "batch": 2,
            "augment": Augmentation.parse("all"),
            "regression": True,
        },
    ],
)
def test_a_stopped_run_goes_on_exactly(cases, tmp_path, options):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(plan(**options), cases, straight, CPU, quiet, save_every=2)

    class Stop(Exception):
        pass

    def stop(step, _figures):
        if step == 4:
            raise Stop

    with pytest.raises(Stop):
        train(plan(**options), cases, broken, CPU, stop, save_every=2)
    train(plan(**options), cases, broken, CPU, quiet, save_every=2)
    assert (broken / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()


def test_another_plan_does_not_go_on_with_this_ones_state(cases, tmp_path):
    train(plan(), cases, tmp_path, CPU, quiet)
    with pytest.raises(OutputRefused, match="other options"):
        train(plan(learning_rate=1e-4), cases, tmp_path, CPU, quiet)


@pytest.mark.parametrize("content", [b"", b"\x93" * 200])
def test_a_damaged_state_is_refused_and_named(cases, tmp_path, content):
    (tmp_path / "resume.safetensors").write_bytes(content)
    with pytest.raises(OutputRefused, match=r"resume\.safetensors is damaged"):
        train(plan(), cases, tmp_path, CPU, quiet)


def test_an_example_is_the_papers_mixture(cases):
    """x_t = sqrt(abar) x0 + sqrt(1 - abar) noise, beside the sources (Friedrich et al. 2024, section 2)."""
    levels = torch.from_numpy(linear_beta_ladder().alphas_cumprod).float()
    residues = []
    for step in range(40):
        example = draw_example(plan(), cases, levels, step)
        assert example.sources.shape == (3, 8, 8, 8)
        assert example.noisy.shape == example.clean.shape == (1, 8, 4, 4, 4)
        level = levels[example.timestep]
        residues.append((example.noisy - level.sqrt() * example.clean) / (1 - level).sqrt())
        volume = _wavelet.unpack(example.clean)
        assert float(volume.min()) > -1e-6
        assert float(volume.max()) < 1 + 1e-6
    noise = torch.cat(residues)
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02


def test_the_paper_is_the_default():
    default = TrainingPlan(SOURCES, Contrast.FLAIR, NetworkConfig())
    assert (default.steps, default.learning_rate, default.schedule, default.batch) == (1_200_000, 1e-5, "constant", 1)
    assert (default.ema, default.crop, default.warmup) == (0.0, 0, 0)
    assert not default.augment
    assert not default.regression
    assert default.inputs.window == (224, 224, 160)
    assert default.network.base_channels == 64


@pytest.mark.parametrize(
    "changes",
    [{"crop": 9}, {"steps": 0}, {"learning_rate": 0}, {"ema": 1.0}, {"batch": 0}, {"seed": -1}, {"schedule": "stairs"}],
)
def test_impossible_plans_are_usage_errors(changes):
    with pytest.raises(UsageError):
        plan(**changes)


def test_studies_are_prepared_and_incomplete_ones_refused(make_study):
    full = make_study("full", contrasts=BRATS_FOUR)
    (case,) = load_cases([full], plan().contrasts, plan().inputs)
    assert case.images.shape[0] == 4
    assert 0.9 < case.images.max() <= 1
    with pytest.raises(StudyRefused, match="lacks flair"):
        load_cases([make_study("part")], plan().contrasts, plan().inputs)


def test_the_learning_rate_rises_and_falls():
    rising = plan(schedule="cosine", warmup=4, steps=100, learning_rate=1e-3)
    rates = [learning_rate(rising, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.25e-3)
    assert max(rates) == pytest.approx(1e-3, rel=0.01)
    assert rates[50] == pytest.approx(0.5e-3)
    assert rates[99] < 1e-6
    assert [learning_rate(plan(), step) for step in (0, 5)] == [1e-3, 1e-3]


def test_validation_studies_are_measured_and_logged(cases, tmp_path):
    said = []
    train(plan(), cases[:1], tmp_path, CPU, lambda *words: said.append(words), 2, validation=cases[1:])
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [step for step, _ in said]
    for entry, (_, figures) in zip(log, said, strict=True):
        assert entry.items() >= figures.items()
        assert 0 < figures["validation_psnr_db"] < 40


def test_the_regression_finds_a_quadratic_mixture():
    x = np.linspace(0.1, 0.9, 16 * 16 * 16, dtype=np.float32).reshape(16, 16, 16)
    smooth = np.stack([x, x[::-1], x.transpose(2, 0, 1), np.zeros_like(x)])
    smooth[3] = 0.2 + 0.5 * smooth[0] * smooth[2] + 0.1 * smooth[1]
    sources, target = torch.from_numpy(smooth[:3]), torch.from_numpy(smooth[3])
    coefficients = regression.fit([(sources, target)])
    assert len(coefficients) == regression.term_count(3) == 28
    head = torch.ones_like(target, dtype=torch.bool)
    torch.testing.assert_close(regression.estimate(sources, coefficients, head), target, atol=0.01, rtol=0)
    head[:4] = False
    assert not regression.estimate(sources, coefficients, head)[:4].any()


def test_fluid_that_is_0_in_every_source_belongs_to_the_head():
    sources, head = torch.zeros(1, 4, 4, 4), torch.ones(4, 4, 4, dtype=torch.bool)
    coefficients = torch.tensor([0.8, 0, 0, 0, 0, 0])  # bright where a source is dark
    assert torch.equal(regression.estimate(sources, coefficients, head), torch.full((4, 4, 4), 0.8))


def test_a_blended_image_has_the_regressions_mean_and_half_of_the_networks_structure():
    estimate = torch.full((4, 4, 4), 0.5)
    estimate[0] = 0.0  # outside the head
    image = estimate + 0.2
    image[1, 0, 0] += 0.1
    made = regression.blended(image, estimate, estimate > 0)
    assert not made[0].any()
    assert float(made[1:].mean()) == pytest.approx(0.5, abs=1e-6)
    assert float(made[1, 0, 0] - made[1, 0, 1]) == pytest.approx(0.05, abs=1e-6)


def test_a_blended_network_survives_its_checkpoint(cases, tmp_path):
    train(plan(regression=True, steps=3), cases, tmp_path, CPU, quiet)
    checkpoint = read_checkpoint_folder(tmp_path)
    assert checkpoint.record.network["regression"] is True
    network = load_networks(checkpoint)
    pairs = [(torch.from_numpy(case.images[:3]), torch.from_numpy(case.images[3])) for case in cases]
    assert torch.equal(network.coefficients, regression.fit(pairs))


@pytest.mark.parametrize("words", ["stripes", "gamma=-1", "mirror=much", "all=2"])
def test_augmentations_that_are_not_understood_are_named(words):
    with pytest.raises(UsageError, match="not understood"):
        Augmentation.parse(words)


def test_augmentation_changes_sources_within_0_and_1_and_leaves_the_background(cases):
    strengths = Augmentation.parse("all,gamma=0.5")
    assert strengths.gamma == 0.5
    assert strengths.mirror == 0.5
    image = torch.from_numpy(cases[0].images[0]).clone()
    image[:4] = 0
    for seed in range(8):
        draw = np.random.default_rng(seed)
        made = changed(image, replace(strengths, thick=0.0), draw)
        assert made.shape == image.shape
        assert 0 <= float(made.min()) <= float(made.max()) <= 1
        assert not made[:4].any()
        assert not torch.equal(made, image)
    assert torch.equal(changed(image, Augmentation(), draw), image)
    flat = changed(image, Augmentation(thick=1.0), draw)
    assert float(flat.std()) < 0.9 * float(image.std())


SIZES = ["--channels", "4", "--levels", "1,2", "--groups", "2", "--res-blocks", "1", "--crop", "8", "--brain-window"]
SMALL = (20, 24, 18)
OPTIONS = ["--target", "flair", *SIZES, "--learning-rate", "1e-3", "--threads", "1"]


def test_two_processes_learn_what_one_learns_of_two_examples(cli, make_study, tmp_path):
    study = make_study(contrasts=BRATS_FOUR, shape=SMALL)
    line = ["train", "cwdm", str(study), *OPTIONS, "--steps", "3", "--save-every", "1", "--batch", "2", "--out"]
    assert cli(*line, tmp_path / "alone").returncode == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    both = subprocess.run(
        [*torchrun, "-m", "mrimpute", *line, str(tmp_path / "both")], check=True, capture_output=True, text=True
    )
    assert both.stdout.split() == [str(tmp_path / "both")]  # one process speaks
    one, two = (load_networks(read_checkpoint_folder(tmp_path / name)).tensors() for name in ("alone", "both"))
    for key, tensor in one.items():
        torch.testing.assert_close(two[key], tensor, atol=2e-3, rtol=2e-3)


def test_a_batch_that_processes_cannot_share_is_a_usage_error(cases, tmp_path):
    with pytest.raises(UsageError, match="cannot be shared by 2 processes"):
        train(plan(batch=3), cases, tmp_path, CPU, quiet, world=World(0, 2))


def test_kill_9_and_the_same_line_again_gives_the_same_weights(cli, make_study, tmp_path):
    study = make_study(contrasts=BRATS_FOUR, shape=SMALL)
    line = ["train", "cwdm", str(study), *OPTIONS, "--steps", "10", "--save-every", "1", "--out"]
    assert cli(*line, tmp_path / "straight").returncode == 0
    running = Forked([*line, tmp_path / "killed"], dict(os.environ))
    state = tmp_path / "killed" / "resume.safetensors"
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.process.kill()
    assert running.done().returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    assert cli(*line, tmp_path / "killed").returncode == 0
    names = ("straight", "killed")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in names)
    assert one == other
    assert not [name for name in (tmp_path / "killed").iterdir() if name.name.startswith(".")]
