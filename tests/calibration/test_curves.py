"""Networks without a regression: run on complete studies, and corrected by a curve."""

import json
import shutil
from functools import partial

import nibabel as nib
import numpy as np
import pytest

from mrimpute.calibration import read_site, write_site
from mrimpute.calibration.curve import BINS, NetworkRun, corrected, errors_through, fitted, joint_of
from mrimpute.calibration.folder import CALIBRATION_TOML, GRAMS_FILE
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.errors import WeightsUnavailable
from tests.calibration import conftest

T1, T1C, T2, FLAIR = BRATS_FOUR
write_study = partial(conftest.write_study, spacing=1.95)
RUN = NetworkRun("0" * 64, "ddim", 1, FLAIR, (T1, T1C, T2))


def pair(seed, bend):
    """Return made values, and acquired ones that follow from them."""
    made = np.random.default_rng(seed).uniform(0, 0.8, (20, 20, 20)).astype(np.float32)
    return made, bend(made).astype(np.float32), np.ones(made.shape, bool)


def test_a_curve_finds_what_made_values_mean_and_keeps_their_order():
    made, acquired, head = pair(0, lambda values: 0.1 + 0.8 * values**2)
    knots = fitted([joint_of(RUN, made, acquired, head)])
    assert (np.diff(knots, axis=1) > 0).all()
    again, truth, _ = pair(1, lambda values: 0.1 + 0.8 * values**2)
    assert np.abs(corrected(again, head, knots) - truth).max() < 2 / BINS
    noisy = np.clip(acquired + np.random.default_rng(2).normal(0, 0.2, made.shape), 0, 1)
    assert (np.diff(fitted([joint_of(RUN, made, noisy, head)]), axis=1) > 0).all()
    falling = fitted([joint_of(RUN, made, 1 - made, head)])
    assert falling.shape == (2, 1)  # nothing that rises can be learnt: the mean remains


def test_outside_the_head_a_curve_changes_nothing():
    made, acquired, head = pair(0, lambda values: 0.5 + values / 2)
    head[:10] = False
    image = corrected(made, head, fitted([joint_of(RUN, made, acquired, head)]))
    assert not image[:10].any()
    assert image.dtype == np.float32


def test_errors_from_histograms_are_those_of_the_voxels():
    made, acquired, head = pair(0, lambda values: np.clip(values + 0.1 * np.sin(40 * values), 0, 1))
    joint = joint_of(RUN, made, acquired, head)
    knots = fitted([joint])
    squared, within = errors_through(joint, knots)
    error = np.abs(corrected(made, head, knots) - acquired)
    assert squared == pytest.approx(float(np.mean(error**2)), abs=3e-4)
    assert within[9] == pytest.approx(float(np.mean(error <= 0.1)), abs=0.06)


@pytest.fixture(scope="module")
def learnt(cli, tiny_weights, tmp_path_factory):
    """Calibrate from three patients, with curves for a network without a regression."""
    root = tmp_path_factory.mktemp("curves")
    studies = [write_study(root, name, seed) for seed, name in enumerate(("ann", "bob", "cyd"))]
    words = ("--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--out", root / "site")
    done = cli("calibrate", *studies, *words, "--json")
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout)


def test_calibrate_tells_what_the_network_does_through_the_curve(learnt):
    root, record = learnt
    (curve,) = record["curves"]
    assert (curve["target"], curve["sources"], curve["studies"]) == ("flair", ["t1", "t1c", "t2"], 3)
    assert curve["expected"]["studies"] == 3
    assert curve["expected"]["half_width_of_90_percent"] < 0.5
    kept = conftest.text_in(root / "site")
    assert b"joints" in kept and not any(word in kept for word in (b"ann", b"bob", b"cyd", b"nii"))
    site = read_site(root / "site")
    assert [len(one.joints) for one in site.studies] == [1, 1, 1]
    own = site.studies[0]
    (run,) = site.network_runs
    rest, whole = site.curve(run, own.voxels.values()), site.curve(run, ())
    assert (rest.studies, rest.apart, whole.studies, whole.apart) == (2, True, 3, False)
    assert site.curve(RUN, ()) is None


def test_an_image_through_the_curve_is_nearer_and_says_so(cli, learnt, tiny_weights, tmp_path):
    root, _ = learnt
    folder = write_study(tmp_path, "dan", 3)
    shutil.move(folder / "dan-t2f.nii.gz", tmp_path / "truth.nii.gz")
    truth = nib.load(tmp_path / "truth.nii.gz").get_fdata() / 1000
    words = ("fill", folder, "--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json")

    def made(*more):
        done = cli(*words, "--intensity", "unit", *more)
        assert done.returncode == 0, done.stderr
        (output,) = json.loads(done.stdout)["outputs"]
        return nib.load(output["path"]).get_fdata(), output

    plain, before = made("--out", tmp_path / "plain")
    better, after = made("--out", tmp_path / "better", "--calibration", root / "site")
    head = truth > 0
    assert np.mean((better - truth)[head] ** 2) < 0.5 * np.mean((plain - truth)[head] ** 2)
    assert before["regression"] is None
    assert after["regression"]["expected"]["of"].startswith("the network's image through a monotone curve")
    assert after["recipe"]["calibration"] == read_site(root / "site").sha256 != before["recipe"]["calibration"]


def test_a_calibration_without_a_curve_for_the_network_is_refused(cli, learnt, tiny_weights, tmp_path):
    root, _ = learnt
    folder = write_study(tmp_path, "dan", 3, (T1, T1C, T2))
    words = ("fill", folder, "--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu")
    refused = cli(*words, "--calibration", root / "site", "--steps", "2")
    assert refused.returncode == 4
    assert "has no curve for flair from t1, t1c, t2 by" in refused.stderr
    assert "mrimpute calibrate STUDY… --missing flair --weights" in refused.stderr
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--weights", "builtin", "--missing", "flair"], 2, "is blended with a regression"),
        (["--weights", "builtin"], 2, "add --missing CONTRAST"),
        (["--steps", "2"], 2, "go with --weights"),
        (["--weights", "nowhere", "--missing", "flair"], 4, "nowhere"),
    ],
)
def test_wishes_that_cannot_be_learnt_end_before_anything_is_read(cli, learnt, tmp_path, words, code, message):
    root, _ = learnt
    done = cli("calibrate", root / "ann", "--out", tmp_path / "site", *words)
    assert done.returncode == code
    assert message in done.stderr
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.replace("steps = 1", "steps = 1\nname = 'x'"), "name"),
        (lambda table: table.replace('sampler = "ddim"', "sampler = 1"), "sampler"),
        (
            lambda table: table.replace("[[studies.joints]]", "[[studies.joints]]\n[[studies.joints]]", 1),
            "Field required",
        ),
    ],
)
def test_curves_that_were_changed_are_refused(learnt, tmp_path, change, message):
    root, _ = learnt
    shutil.copytree(root / "site", tmp_path / "site")
    table = (tmp_path / "site" / CALIBRATION_TOML).read_text()
    assert change(table) != table
    (tmp_path / "site" / CALIBRATION_TOML).write_text(change(table))
    with pytest.raises(WeightsUnavailable, match=message):
        read_site(tmp_path / "site")


def test_curves_are_written_and_read_as_they_are(learnt, tmp_path):
    root, _ = learnt
    site = read_site(root / "site")
    write_site(site, tmp_path / "copy")
    assert (tmp_path / "copy" / GRAMS_FILE).read_bytes() == (root / "site" / GRAMS_FILE).read_bytes()
    assert read_site(tmp_path / "copy").sha256 == site.sha256
