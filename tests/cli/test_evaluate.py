import json

import nibabel as nib
import numpy as np
import pytest

from mrimpute import pairs
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.pairs import keep_pair
from tests.conftest import OBLIQUE, WIDE, head_voxels, tree, write_nifti

FLAIR = Contrast.FLAIR


@pytest.fixture
def full(make_study):
    folder = make_study("full", contrasts=BRATS_FOUR)
    lesion = np.zeros((40, 48, 36), np.uint8)
    lesion[18:22, 20:26, 16:20] = 1
    write_nifti(folder / "full-seg.nii.gz", lesion, OBLIQUE)
    return folder


def psnr(one, other, region):
    return -10 * np.log10(np.mean((one - other)[region] ** 2))


def test_each_sequence_is_left_out_and_compared(cli, full, tiny_weights):
    before = tree(full)
    words = ["--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu"]
    done = cli("evaluate", "--leave-one-out", full, *words, "--json")
    assert done.returncode == 0, done.stderr
    (record,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert record["schema"] == "mrimpute.evaluate/1"
    assert (record["study"], record["target"], record["checkpoint"]) == ("full", "flair", "tiny-flair")
    assert set(record["scores"]) == {"whole", "brain", "lesion"}
    assert record["scores"]["whole"]["psnr"] > record["scores"]["brain"]["psnr"]  # background is right for free
    assert record["scores"]["lesion"]["voxels"] == 4 * 6 * 4
    assert tree(full) == before
    assert record["seconds"] > 0
    again = cli("evaluate", "--leave-one-out", full, *words, "--json", "--seed", 1, "--steps", 3)
    assert json.loads(again.stdout)["scores"] != record["scores"]  # other noise, other image
    refused = cli("evaluate", "--leave-one-out", full, *words, "--sampler", "ddpm", "--steps", 3)
    assert refused.returncode == 2
    assert "--sampler ddpm takes all 1000 steps" in refused.stderr
    table = cli("evaluate", "--leave-one-out", full, *words).stdout
    assert f"{record['scores']['brain']['psnr']:.2f}" in table
    assert "where any sequence is not zero" in table


def test_our_own_file_is_mapped_back_by_its_sidecar(cli, full, make_study, tiny_weights, tmp_path):
    part = make_study("full2")
    assert cli("fill", part, "--weights", tiny_weights[FLAIR], "--device", "cpu").returncode == 0
    made, acquired = part / "full2-t2f.nii.gz", full / "full-t2f.nii.gz"
    done = cli(
        "evaluate", made, acquired, "--mask", full / "full-seg.nii.gz", "--json", "--picture", tmp_path / "p.png"
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert "its sidecar" in record["scale"]
    one = json.loads((part / "full2-t2f.json").read_text())["intensity"]["one"]
    truth = nib.load(acquired).get_fdata()
    low, high = max(0, np.quantile(truth, 0.001)), np.quantile(truth, 0.999)
    unit = (np.clip(truth, low, high) - low) / (high - low)
    expected = psnr(np.clip(nib.load(made).get_fdata() / one, 0, 1), unit, truth != 0)
    assert record["scores"]["brain"]["psnr"] == pytest.approx(expected, abs=1e-3)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    sidecar = part / "full2-t2f.json"
    sound = json.loads(sidecar.read_text())
    for intensity in ([1], {"zero": 0.0, "one": "900"}, {"zero": 5.0, "one": 5.0}):
        sidecar.write_text(json.dumps(sound | {"intensity": intensity}))
        damaged = cli("evaluate", made, acquired)
        assert (damaged.returncode, damaged.stdout) == (3, "") and "intensity is wrong" in damaged.stderr


def test_another_tools_file_is_scaled_by_its_percentiles_and_says_so(cli, full, tmp_path):
    other = write_nifti(tmp_path / "other.nii.gz", head_voxels(FLAIR, seed=0) * 3, OBLIQUE)
    done = cli("evaluate", other, full / "full-t2f.nii.gz")
    assert done.returncode == 0, done.stderr
    assert "its own 0.1 and 99.9 percentiles" in done.stdout
    assert "inf" in done.stdout  # three times the same image


def test_one_bad_study_does_not_stop_the_rest(cli, full, tiny_weights, tmp_path):
    words = ["--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json"]
    done = cli("evaluate", "--leave-one-out", tmp_path / "absent", full, *words)
    assert done.returncode == 8
    assert len(done.stdout.splitlines()) == 1


def test_a_bug_leaves_the_table_of_the_studies_before(cli, make_study, tiny_weights, tmp_path, monkeypatch):
    studies = [make_study(name, contrasts=BRATS_FOUR, shape=(20, 24, 18), affine=WIDE) for name in ("one", "two")]

    def kept(evaluation, folder):
        if evaluation.study == "two":
            raise ValueError("a bug")
        return keep_pair(evaluation, folder)

    monkeypatch.setattr(pairs, "keep_pair", kept)
    words = ["--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--keep", tmp_path / "kept"]
    done = cli("evaluate", "--leave-one-out", *studies, *words)
    assert done.returncode == 1
    assert "unexpected error (ValueError): a bug" in done.stderr
    assert "one" in done.stdout and "flair" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{full}/full-t1n.nii.gz"], 2, "give MADE and ACQUIRED"),
        (["{full}/full-t1n.nii.gz", "{full}/full-t2w.nii.gz", "--device", "cpu"], 2, "--device goes with"),
        (["{full}/full-t1n.nii.gz", "{full}/full-t2w.nii.gz", "--threads", "1"], 2, "--threads goes with"),
        (["{full}/absent.nii.gz", "{full}/full-t1n.nii.gz"], 3, "cannot read"),
        (["{full}/full-t1n.nii.gz", "{full}/full-t2w.nii.gz", "--mask", "{other}/m.nii.gz"], 2, "does not lie on"),
        (["{other}/o.nii.gz", "{full}/full-t2w.nii.gz"], 2, "different grids"),
        (["--leave-one-out", "{full}", "--missing", "pd", "--weights", "builtin"], 3, "no acquired pd"),
        (["{full}/full-t1n.nii.gz", "{full}/full-t2w.nii.gz", "--picture", "/nowhere/p.png"], 6, "cannot write"),
    ],
)
def test_what_cannot_be_evaluated_ends_with_one_line(cli, full, tmp_path, words, code, message):
    other = tmp_path / "other"
    write_nifti(other / "o.nii.gz", head_voxels(FLAIR, (20, 24, 18)), OBLIQUE)
    write_nifti(other / "m.nii.gz", (head_voxels(FLAIR, (20, 24, 18)) > 0).astype(np.uint8), OBLIQUE)
    done = cli("evaluate", *[word.format(full=full, other=other) for word in words])
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_leaving_one_out_honours_the_studys_own_settings(cli, full, tiny_weights):
    (full / "mrimpute.toml").write_text(f'weights = "{tiny_weights[FLAIR]}"')
    words = ["evaluate", "--leave-one-out", full, "--missing", "flair", "--json"]
    assert cli(*words).returncode == 3
    done = cli(*words, "--trust-study-settings")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["checkpoint"] == "tiny-flair"
    assert "mrimpute.toml chooses --weights" in done.stderr


def test_leaving_one_out_of_a_dicom_study(cli, build, tiny_weights):
    for number, contrast in enumerate(BRATS_FOUR, 1):
        study = build(contrast, number=number).parent
    before = tree(study)
    words = ["--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json"]
    done = cli("evaluate", "--leave-one-out", study, *words)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["target"], set(record["scores"])) == ("flair", {"whole", "brain"})
    assert tree(study) == before


def test_what_fill_writes_as_dicom_is_compared_with_an_acquired_series(cli, build, tiny_weights, tmp_path):
    """A folder, a file of a series and a NIfTI file with its axes in another order are one image."""
    for number, contrast in enumerate(BRATS_FOUR, 1):
        series = build(contrast, number=number)
    truth, study = tmp_path / "truth", series.parent
    series.rename(truth)
    words = ["--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu"]
    assert cli("fill", study, *words).returncode == 0
    made = study / "mrimpute_flair"
    done = cli("evaluate", made, truth, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["scale"].startswith("its sidecar")
    by_file = json.loads(cli("evaluate", next(made.iterdir()), next(truth.iterdir()), "--json").stdout)
    assert by_file["scores"] == record["scores"]
    assert cli("fill", study, *words, "--format", "nifti", "--out", tmp_path / "out").returncode == 0
    image = nib.load(next((tmp_path / "out").rglob("*.nii.gz")))
    turned = nib.as_closest_canonical(image)
    turned.to_filename(tmp_path / "turned.nii.gz")
    (tmp_path / "turned.json").write_text(next((tmp_path / "out").rglob("*_flair.json")).read_text())
    other = json.loads(cli("evaluate", tmp_path / "turned.nii.gz", truth, "--json").stdout)
    assert other["scores"]["brain"]["voxels"] == record["scores"]["brain"]["voxels"]
    several = cli("evaluate", study, truth)
    assert several.returncode == 2
    assert "holds 4 DICOM series" in several.stderr


def test_different_grids_are_refused_with_both_grids_and_the_way_out(cli, full, tmp_path):
    coarse = write_nifti(tmp_path / "coarse.nii.gz", head_voxels(FLAIR, (20, 24, 18)), OBLIQUE)
    done = cli("evaluate", coarse, full / "full-t2f.nii.gz")
    assert done.returncode == 2
    assert "20x24x18 at" in done.stderr and "40x48x36 at" in done.stderr and "--reference" in done.stderr


def test_a_picture_goes_through_the_lesion_and_never_over_a_scan(cli, full, tmp_path):
    pair = [full / "full-t2f.nii.gz", full / "full-t2w.nii.gz"]
    scan = full / "full-t1n.nii.gz"
    before = tree(full)
    refused = cli("evaluate", *pair, "--picture", scan)
    assert (refused.returncode, tree(full)) == (2, before)
    assert cli("evaluate", *pair, "--mask", full / "full-seg.nii.gz", "--picture", tmp_path / "a.png").returncode == 0
    assert cli("evaluate", *pair, "--picture", tmp_path / "b.png").returncode == 0
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
