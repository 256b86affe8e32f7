"""A fourth generator is one folder: it is found, checked, loaded, run and trained through the same doors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mrimpute import plan
from mrimpute.contrasts import Contrast
from mrimpute.errors import OutputRefused, UsageError, WeightsUnavailable
from mrimpute.generators.contract import Sampling, door, method_of
from mrimpute.prepare import prepare, restore
from mrimpute.registry import read_checkpoint_folder
from mrimpute.training.cases import TrainingCase, load_cases
from tests.conftest import head_voxels
from tests.prepare.test_frame import volume

SOURCES, TARGET = (Contrast.T1, Contrast.T2), Contrast.PD
CPU = torch.device("cpu")


def test_without_its_folder_there_is_no_such_generator():
    with pytest.raises(WeightsUnavailable, match="no generator is called 'toy'"):
        method_of("toy")


def test_it_is_found_checked_loaded_and_run(toy):
    checkpoint = read_checkpoint_folder(toy(SOURCES, TARGET))
    method = method_of("toy")
    sampling = method.choose_sampling(checkpoint, None, None)
    assert sampling == Sampling("sum", 1)
    with pytest.raises(UsageError, match="one step"):
        method.choose_sampling(checkpoint, "ddim", 5)
    heads = {c: volume(head_voxels(c, (20, 24, 16)).astype(np.float32), np.eye(4)) for c in SOURCES}
    ready = prepare(heads, checkpoint.record.inputs)
    generator = door("toy", "generator").load(checkpoint, sampling, CPU, torch.float32)
    told = []
    (made,) = generator(ready, (TARGET,), 0, lambda *step: told.append(step))
    image = restore(made.voxels, ready.recipe)
    assert told == [(0, 1), (1, 1)]
    assert image.shape == heads[Contrast.T1].voxels.shape
    assert image.max() > 0.5
    assert not image[heads[Contrast.T1].voxels == 0].any()


def test_its_record_is_held_to_what_it_does(toy):
    folder = toy(SOURCES, TARGET)
    text = (folder / "checkpoint.toml").read_text()
    for old, new in (
        ("linear-beta", "root-linear"),
        ("sources = 2", "blocks = 2"),
        ("steps = 1\n", "steps = 1\nshared_noise = true\n"),
    ):
        assert old in text
        (folder / "checkpoint.toml").write_text(text.replace(old, new))
        with pytest.raises(WeightsUnavailable, match=r"sampling\.|network\."):
            method_of("toy").check(read_checkpoint_folder(folder))


def test_it_is_trained_and_goes_on_exactly(toy, make_study, tmp_path):
    toy(SOURCES, TARGET)
    training = door("toy", "training")
    task = training.TrainingPlan((Contrast.T1,), Contrast.T2, steps=6, ema=0.5)
    cases = load_cases([make_study(contrasts=(Contrast.T1, Contrast.T2))], (Contrast.T1, Contrast.T2), task.inputs)
    assert isinstance(cases[0], TrainingCase)

    class Stop(Exception):
        pass

    def stop(step, _figures):
        if step == 4:
            raise Stop

    told = []
    training.train(task, cases, tmp_path / "straight", lambda *figures: told.append(figures), 2)
    with pytest.raises(Stop):
        training.train(task, cases, tmp_path / "broken", stop, 2)
    training.train(task, cases, tmp_path / "broken", lambda *_: None, 2)
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("straight", "broken"))
    assert one == other
    lines = [json.loads(line) for line in (tmp_path / "straight" / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(step, figures["loss"]) for step, figures in told]
    method_of("toy").check(read_checkpoint_folder(tmp_path / "straight"))
    with pytest.raises(OutputRefused, match="other options"):
        training.train(training.TrainingPlan((Contrast.T1,), Contrast.T2), cases, tmp_path / "broken", stop)


def test_a_row_in_the_table_of_routes_makes_it_plan_and_fill(cli, toy, make_study, monkeypatch):
    def job(present, target):
        if target is TARGET and set(SOURCES) <= set(present):
            return plan.Job(target, "toy", SOURCES, "a toy makes it")
        return None

    row = plan.Route("toy", job, lambda _target: "t1 and t2")
    monkeypatch.setattr(plan, "ROUTES", (row, *plan.ROUTES))
    folder = make_study(contrasts=SOURCES)
    words = ["fill", folder, "--missing", "pd", "--weights", toy(SOURCES, TARGET), "--device", "cpu"]
    planned = cli(*words, "--dry-run")
    assert "pd by toy from t1, t2: a toy makes it" in planned.stdout
    wrong = cli(*words, "--sampler", "ddpm")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    done = cli(*words, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    (output,) = json.loads(done.stdout)["outputs"]
    assert output["recipe"]["sampler"] == "sum"
    assert cli("cite", Path(output["path"].removesuffix(".nii.gz") + ".json")).stdout == f"{method_of('toy').bibtex}\n"
    assert cli("fill", folder, "--missing", "flair", "--generator", "toy").returncode == 3
