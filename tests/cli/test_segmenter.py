"""`evaluate --segmenter` and `--keep`: what a segmenter makes of synthetic contrasts, and the pairs as files."""

import json
import shlex
import sys
import time
import weakref
from importlib import import_module

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import ExitCode, Terminated
from mrimpute.fill import Engine
from tests.conftest import OBLIQUE, surroundings, tree, write_nifti
from tests.processes import Forked, child_of, lives

FLAIR = Contrast.FLAIR
LABELS = np.zeros((40, 48, 36), np.uint8)
LABELS[18:22, 20:26, 16:20] = 1
SEGMENTER = """
import pathlib, sys
import nibabel as nib, numpy as np
case, out = map(pathlib.Path, sys.argv[1:3])
images = sorted(case.glob("*.nii.gz"))
assert len(images) == 4, images
flair = nib.load(next(path for path in images if path.name.endswith("-t2f.nii.gz")))
voxels = flair.get_fdata()
labels = (voxels > 0.5 * voxels.max()).astype(np.uint8)
labels[0, 0, 0] = 2
nib.save(nib.Nifti1Image(labels, flair.affine), out / "labels.nii.gz")
(out / "plans.json").write_text("{}")
"""


@pytest.fixture
def full(make_study):
    folder = make_study("full", contrasts=BRATS_FOUR)
    write_nifti(folder / "full-seg.nii.gz", LABELS, OBLIQUE)
    return folder


@pytest.fixture
def command(tmp_path):
    """Return the words of a segmenter that is a script of these lines."""

    def make(text=SEGMENTER):
        script = tmp_path / "segmenter.py"
        script.write_text(text)
        return f"{shlex.quote(sys.executable)} {script} {{case}} {{out}}"

    return make


def overlap(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_a_segmenter_sees_the_complete_case_and_the_one_with_a_synthetic_contrast(cli, full, command, tiny_weights):
    before = tree(full)
    words = ["--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu"]
    done = cli("evaluate", "--leave-one-out", full, *words, "--segmenter", command(), "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    first, second = record["segmented"]["labels"]
    assert (first["label"], second["label"]) == (1, 2)
    acquired = nib.load(full / "full-t2f.nii.gz").get_fdata()
    labels = acquired > 0.5 * acquired.max()
    assert first["complete_truth"] == pytest.approx(overlap(labels, LABELS > 0))
    voxel_ml = abs(np.linalg.det(OBLIQUE[:3, :3])) / 1e3
    assert first["complete_ml"] == pytest.approx(np.count_nonzero(labels) * voxel_ml, rel=1e-5)
    assert 0 <= first["dice"] < 1  # the flair of random weights is another image
    assert second["dice"] == 1
    assert second["complete_ml"] == pytest.approx(voxel_ml, rel=1e-5)
    assert tree(full) == before
    table = cli("evaluate", "--leave-one-out", full, *words, "--segmenter", command()).stdout
    assert "mean of 1" in table
    assert f"{first['dice']:.3f}" in table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys; print('no GPU', file=sys.stderr); sys.exit(4)", "could not segment"),
        ("pass", "left 0 NIfTI files"),
        (
            SEGMENTER.replace("labels[0, 0, 0] = 2", "labels = labels + np.float32(0.5)"),
            "holds values that are no labels",
        ),
        (SEGMENTER.replace("flair.affine)", "2 * flair.affine)"), "lies on another grid"),
        (
            "import pathlib, subprocess, sys, time\n"
            "child = subprocess.Popen(['sleep', '60'])\n"
            "pathlib.Path(sys.argv[0]).with_name('child').write_text(str(child.pid))\ntime.sleep(60)",
            "took over 0.01 minutes",
        ),
    ],
)
def test_a_segmenter_that_fails_is_one_line_and_the_figures_are_told(
    cli, full, command, tiny_weights, text, message, tmp_path
):
    words = ["--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json"]
    minutes = ["--segmenter-minutes", "0.01"] if "sleep" in text else []
    done = cli("evaluate", "--leave-one-out", full, *words, "--segmenter", command(text), *minutes)
    assert done.returncode == 5
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    record = json.loads(done.stdout)
    assert record["segmented"]["labels"] == []
    assert record["segmented"]["error"]["code"] == "resources-exhausted"
    assert record["scores"]["brain"]["psnr"] > 0
    if minutes:  # its child ran on before
        assert not lives(child_of(tmp_path / "child"))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--segmenter", "cat {case}"], 2, "lacks {out}"),
        (["--segmenter", "cat '{case} {out}"], 2, "cannot be split"),
        (["--segmenter", "no-such-program {case} {out}"], 5, "is not on PATH"),
        (["--segmenter", "cat {case} {out}", "--layout", "bids"], 2, "several folders"),
        (["--segmenter", "cat {case} {out}", "--layout", "same"], 2, "needs names"),
        (["--segmenter", "cat {case} {out}", "--layout", "brats99"], 2, "unknown layout"),
    ],
)
def test_a_wrong_word_about_the_segmenter_ends_before_anything_is_made(cli, full, words, code, message):
    done = cli("evaluate", "--leave-one-out", full, "--missing", "flair", "--weights", "builtin", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_an_incomplete_case_is_refused(cli, make_study, command, tiny_weights):
    study = make_study("part", contrasts=(Contrast.T1, Contrast.T2, FLAIR))
    words = ["--missing", "flair", "--weights", "builtin", "--segmenter", command()]
    done = cli("evaluate", "--leave-one-out", study, *words)
    assert done.returncode == 3
    assert "needs t1c too" in done.stderr


def test_pairs_are_kept_as_they_were_compared(cli, full, tiny_weights, tmp_path):
    words = [
        "--missing",
        "flair",
        "--weights",
        tiny_weights[FLAIR],
        "--device",
        "cpu",
        "--json",
        "--keep",
        tmp_path / "k",
    ]
    done = cli("evaluate", "--leave-one-out", full, *words)
    assert done.returncode == 0, done.stderr
    made, acquired = (nib.load(tmp_path / "k" / "full" / f"full_flair_{w}.nii.gz") for w in ("synthetic", "acquired"))
    assert np.allclose(made.affine, OBLIQUE, atol=1e-4)
    brain = np.logical_or.reduce([nib.load(path).get_fdata() != 0 for path in full.glob("full-t*.nii.gz")])
    error = np.square(made.get_fdata() - acquired.get_fdata())[brain].mean()
    assert json.loads(done.stdout)["scores"]["brain"]["psnr"] == pytest.approx(-10 * np.log10(error), abs=1e-3)
    assert made.header["descrip"].item().startswith(b"SYNTHETIC flair made by mrimpute")
    assert not acquired.header["descrip"].item().startswith(b"SYNTHETIC")
    assert cli("evaluate", "--leave-one-out", full, *words).returncode == 0  # the same pair again
    other = cli("evaluate", "--leave-one-out", full, *words, "--seed", 1)
    assert other.returncode == 6
    assert "exists and is another image" in other.stderr


COMPANY = {
    "--keep": ("{pair} --keep kept", "--leave-one-out"),
    "--segmenter": ("{pair} --segmenter 'x {{case}} {{out}}'", "--leave-one-out"),
    "--seen": ("{pair} --seen", "--leave-one-out"),
    "--steps": ("{pair} --steps 3", "--leave-one-out"),
    "--calibrate-from": ("{pair} --calibrate-from other", "--leave-one-out"),
    "--layout": ("{study} --layout brats21", "--segmenter"),
    "--segmenter-minutes": ("{study} --segmenter-minutes 3", "--segmenter"),
    "--mask": ("{study} --mask mask.nii.gz", "--leave-one-out"),
    "--calibrate-from batch": ("{study} --calibrate-from batch", "--out"),
}


@pytest.mark.parametrize("word", COMPANY)
def test_an_option_that_would_be_passed_over_is_wrong_usage(cli, full, word):
    words, other = COMPANY[word]
    named = words.format(pair=f"{full}/full-t1n.nii.gz {full}/full-t2w.nii.gz", study=f"--leave-one-out {full}")
    done = cli("evaluate", *shlex.split(named))
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr and other in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_option_in_the_environment_may_mean_nothing(cli, full):
    pair = (full / "full-t1n.nii.gz", full / "full-t2w.nii.gz")
    assert cli("evaluate", *pair, env={"MRIMPUTE_WEIGHTS": "builtin", "MRIMPUTE_STEPS": "3"}).returncode == 0


def test_each_line_is_told_before_the_next_study_is_begun(make_study, full, command, tiny_weights, cli_home, tmp_path):
    """The second study's segmenter waits until the first one's line was read."""
    second = make_study("second", contrasts=BRATS_FOUR)
    wait = """
import time
if any("second" in path.name for path in pathlib.Path(sys.argv[1]).iterdir()):
    until = time.monotonic() + 60
    while not pathlib.Path(READ).exists():
        assert time.monotonic() < until, "the line of the first study did not come"
        time.sleep(0.02)
"""
    text = SEGMENTER.replace("import nibabel", wait.replace("READ", repr(str(tmp_path / "read"))) + "import nibabel")
    words = ["--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json"]
    running = Forked(
        ["evaluate", "--leave-one-out", full, second, *words, "--segmenter", command(text)], surroundings(cli_home)
    )
    out = running.streams[0]
    while "\n" not in out.read_text() and running.process.is_alive():
        time.sleep(0.02)
    assert json.loads(out.read_text())["study"] == "full"
    (tmp_path / "read").touch()
    done = running.done()
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["study"] for line in done.stdout.splitlines()] == ["full", "second"]


@pytest.mark.parametrize(
    ("fault", "code"), [(ZeroDivisionError("on purpose"), 8), (Terminated(ExitCode.TERMINATED), 143)]
)
def test_a_bug_in_one_study_or_a_signal_leaves_the_others_their_figures(
    cli, full, make_study, tiny_weights, monkeypatch, fault, code
):
    broken = make_study("broken", contrasts=BRATS_FOUR)

    def made(engine, order, sources):
        if sources.onto.path.parent == broken:
            raise fault
        return make(engine, order, sources)

    make = Engine.image
    monkeypatch.setattr(Engine, "image", made)
    words = ["--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu"]
    done = cli("evaluate", "--leave-one-out", full, broken, full, *words)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1 and ("on purpose" in done.stderr) == (code == 8)
    assert done.stdout.count("tiny-flair") == (6 if code == 8 else 3)  # a row for each region


def test_images_of_a_pair_are_let_go_before_the_next_is_made(cli, full, tiny_weights, monkeypatch):
    held = []

    def made(*words):
        assert all(one() is None for one in held)
        image = make(*words)
        held.append(weakref.ref(image[0]))
        return image

    def acquired(volume):
        image = normalise(volume)
        held.append(weakref.ref(image))
        return image

    evaluate = import_module("mrimpute.evaluate")
    make, normalise = Engine.image, evaluate.normalised
    monkeypatch.setattr(Engine, "image", made)
    monkeypatch.setattr(evaluate, "normalised", acquired)
    words = ["--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu"]
    done = cli("evaluate", "--leave-one-out", full, full, full, *words, "--picture", full.parent / "p.png")
    assert done.returncode == 0, done.stderr
    assert len(held) == 6 and done.stdout.count("tiny-flair") == 9
    with Image.open(full.parent / "p.png") as sheet:
        assert sheet.height > 9 * 100
