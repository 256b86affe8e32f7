import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.diffusion.ladder import linear_beta_ladder
from mrimpute.errors import OutputRefused, StudyRefused, UsageError
from mrimpute.generators.cwdm import _wavelet
from mrimpute.generators.cwdm.checkpoint import load_network
from mrimpute.generators.cwdm.network import NetworkConfig
from mrimpute.generators.cwdm.training import TrainingCase, TrainingPlan, _draw, load_cases, train
from mrimpute.registry import read_checkpoint_folder

SOURCES = (Contrast.T1, Contrast.T1C, Contrast.T2)
CPU = torch.device("cpu")


def plan(**changes):
    fields = {"steps": 6, "learning_rate": 1e-3, "window": None, "crop": 8} | changes
    return TrainingPlan(SOURCES, Contrast.FLAIR, NetworkConfig(4, (1, 2), 1, 2), **fields)


@pytest.fixture
def cases():
    draw = np.random.default_rng(0)
    return [TrainingCase(name, draw.random((4, 16, 24, 16), dtype=np.float32)) for name in ("a", "b")]


def quiet(_step, _loss):
    pass


def test_a_trained_folder_is_a_checkpoint(cases, tmp_path):
    train(plan(), cases, tmp_path, CPU, quiet, save_every=2)
    checkpoint = read_checkpoint_folder(tmp_path)
    assert checkpoint.record.target is Contrast.FLAIR
    assert checkpoint.record.about.trained_on.startswith("2 studies (a, b), 6 steps")
    load_network(checkpoint)
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
        lambda _step, loss: losses.append(loss),
        save_every=30,
    )
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("options", [{}, {"ema": 0.9, "cosine": True, "augment": True}])
def test_a_stopped_run_goes_on_exactly(cases, tmp_path, options):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(plan(**options), cases, straight, CPU, quiet, save_every=2)

    class Stop(Exception):
        pass

    def stop(step, _loss):
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


def test_an_example_is_the_papers_mixture(cases):
    """x_t = sqrt(abar) x0 + sqrt(1 - abar) noise, beside the packed sources (SPEC section 8)."""
    levels = torch.from_numpy(linear_beta_ladder().alphas_cumprod).float()
    residues = []
    for step in range(40):
        inputs, timestep, clean = _draw(plan(), cases, levels, step, CPU)
        assert inputs.shape == (1, 32, 4, 4, 4)
        level = levels[int(timestep)]
        residues.append((inputs[:, :8] - level.sqrt() * clean) / (1 - level).sqrt())
        volume = _wavelet.unpack(clean)
        assert float(volume.min()) > -1e-6
        assert float(volume.max()) < 1 + 1e-6
    noise = torch.cat(residues)
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02


def test_the_paper_is_the_default():
    default = TrainingPlan(SOURCES, Contrast.FLAIR, NetworkConfig())
    assert (default.steps, default.learning_rate, default.ema, default.augment, default.crop) == (
        1_200_000,
        1e-5,
        0.0,
        False,
        0,
    )
    assert default.inputs.window == (224, 224, 160)
    assert default.network.base_channels == 64


@pytest.mark.parametrize("changes", [{"crop": 9}, {"steps": 0}, {"learning_rate": 0}, {"ema": 1.0}])
def test_impossible_plans_are_usage_errors(changes):
    with pytest.raises(UsageError):
        plan(**changes)


def test_studies_are_prepared_and_incomplete_ones_refused(make_study):
    full = make_study("full", contrasts=BRATS_FOUR)
    (case,) = load_cases([full], plan())
    assert case.images.shape[0] == 4
    assert 0.9 < case.images.max() <= 1
    with pytest.raises(StudyRefused, match="lacks flair"):
        load_cases([make_study("part")], plan())


def test_kill_9_and_the_same_line_again_gives_the_same_weights(make_study, tmp_path):
    study = make_study(contrasts=BRATS_FOUR)
    line = [
        sys.executable,
        "-m",
        "mrimpute",
        "train",
        "cwdm",
        str(study),
        "--target",
        "flair",
        "--steps",
        "40",
        "--channels",
        "4",
        "--levels",
        "1,2",
        "--groups",
        "2",
        "--res-blocks",
        "1",
        "--crop",
        "16",
        "--brain-window",
        "--learning-rate",
        "1e-3",
        "--save-every",
        "1",
        "--threads",
        "1",
        "--out",
    ]
    subprocess.run([*line, str(tmp_path / "straight")], check=True, capture_output=True)
    process = subprocess.Popen([*line, str(tmp_path / "killed")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    state = tmp_path / "killed" / "resume.safetensors"
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    subprocess.run([*line, str(tmp_path / "killed")], check=True, capture_output=True)
    names = ("straight", "killed")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in names)
    assert one == other
    assert not [name for name in (tmp_path / "killed").iterdir() if name.name.startswith(".")]
