"""`fill` with one source: SynDiff from the command line, MR to MR and MR to CT."""

import json

import nibabel as nib
import numpy as np
import pytest

from mrimpute.contrasts import Contrast
from tests.conftest import OBLIQUE, head_voxels, tree, write_nifti

T1, T2, CT = Contrast.T1, Contrast.T2, Contrast.CT
SIZES = ["--size", 80, "--channels", 4, "--levels", "1,2", "--res-blocks", 1, "--attention", "none", "--latent", 8]
TINY = [*SIZES, "--judge-channels", 2, "--one-shot-channels", 4, "--device", "cpu", "--steps", 3]


@pytest.fixture(scope="module")
def nets(cli, tmp_path_factory):
    """Networks t1 ↔ t2 and t1 ↔ ct, trained for three iterations on a phantom by the command line."""
    folder = tmp_path_factory.mktemp("nets")
    study = folder / "study"
    for contrast, name in ((T1, "t1"), (T2, "t2"), (CT, "ct")):
        for seed, place in enumerate((study, folder / "held-out")):
            voxels = head_voxels(contrast, seed=seed)
            if contrast is CT:
                voxels = np.where(voxels != 0, voxels, -1000).astype(np.int16)
            write_nifti(place / f"study_{name}.nii.gz", voxels, OBLIQUE)
    for target in ("t2", "ct"):
        words = ["--source", "t1", "--target", target, "--paired", "--out", folder / target, *TINY]
        done = cli("train", "syndiff", study, *words, "--validate", folder / "held-out")
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [str(folder / target / name) for name in (f"t1-to-{target}", f"{target}-to-t1")]
        assert "t1_to_" in done.stderr
    return folder


def test_one_missing_of_two_is_made_by_syndiff(cli, make_study, nets):
    study = make_study(contrasts=(T1,))
    before = tree(study)
    planned = cli("fill", study, "--missing", "t2", "--dry-run")
    assert planned.returncode == 0
    assert "syndiff" in planned.stdout
    done = cli("fill", study, "--missing", "t2", "--weights", nets / "t2" / "t1-to-t2", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    made = study / "case-t2w.nii.gz"
    assert done.stdout.split() == [str(made)]
    image, source = nib.load(made), nib.load(study / "case-t1n.nii.gz")
    assert np.allclose(image.affine, source.affine, atol=1e-6)
    assert image.shape == source.shape
    assert not image.get_fdata()[source.get_fdata() == 0].any()
    record = json.loads((study / "case-t2w.json").read_text())
    assert record["fingerprint"]["sampler"] == "posterior"
    assert record["fingerprint"]["steps"] == 4
    assert record["checkpoint"]["generator"] == "syndiff"
    assert {name: content for name, content in tree(study).items() if name in before} == before


def test_ct_is_made_in_hounsfield_units(cli, make_study, nets):
    study = make_study(contrasts=(T1,))
    done = cli("fill", study, "--missing", "ct", "--weights", nets / "ct" / "t1-to-ct", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    made = nib.load(done.stdout.strip())
    voxels, source = made.get_fdata(), nib.load(study / "case-t1n.nii.gz").get_fdata()
    assert (voxels[source == 0] == -1000).all()  # air, not water
    assert voxels[source != 0].min() >= -1000
    assert voxels.max() <= 2000
    assert voxels[source != 0].std() > 0
    record = json.loads((study / "case-ct.json").read_text())
    assert record["intensity"] == {"scale": "study", "zero": -1000.0, "one": 2000.0}


def test_ct_without_weights_says_how_to_train(cli, make_study):
    done = cli("fill", make_study(contrasts=(T1,)), "--missing", "ct")
    assert done.returncode == 4
    assert "no public weights in SynDiff's format exist" in done.stderr
    assert "mrimpute train syndiff STUDY… --source t1 --target ct --out NET" in done.stderr


def test_the_authors_weights_are_asked_for_by_name(cli, make_study):
    done = cli("fill", make_study(contrasts=(T1,)), "--missing", "pd")
    assert done.returncode == 4
    assert "mrimpute weights import syndiff-pd-from-t1-ixi" in done.stderr


def test_a_generator_can_be_chosen(cli, make_study, nets):
    study = make_study(contrasts=(T1, Contrast.T1C, Contrast.FLAIR))
    words = ["--missing", "t2", "--generator", "syndiff", "--weights", nets / "t2" / "t1-to-t2", "--device", "cpu"]
    refused = cli("fill", study, *words)
    assert refused.returncode == 4  # the pair comes from flair first
    assert "not t2 from flair" in refused.stderr


@pytest.mark.parametrize("words", [["--steps", 2], ["--sampler", "ddim"]])
def test_syndiff_takes_its_own_steps(cli, make_study, nets, words):
    study = make_study(contrasts=(T1,))
    before = tree(study)
    done = cli("fill", study, "--missing", "t2", "--weights", nets / "t2" / "t1-to-t2", "--device", "cpu", *words)
    assert done.returncode == 2
    assert "always takes its own 4 steps" in done.stderr
    assert tree(study) == before


def test_evaluate_tells_texture(cli, make_study, nets):
    study = make_study(contrasts=(T1, T2))
    words = ["--missing", "t2", "--weights", nets / "t2" / "t1-to-t2", "--device", "cpu"]
    assert cli("evaluate", "--leave-one-out", study, *words).returncode == 3  # it was trained on
    words.append("--seen")
    done = cli("evaluate", "--leave-one-out", study, *words, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["seen"] == "network"
    assert set(record["texture"]) == {"between_slices", "sharpness"}
    assert record["texture"]["between_slices"] > 0
    assert "between axial slices" in cli("evaluate", "--leave-one-out", study, *words).stdout


def test_the_built_in_networks_need_nothing_but_the_package(cli, make_study):
    study = make_study(contrasts=(T2,))
    done = cli("fill", study, "--missing", "flair", "--weights", "builtin", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["recipe"]["checkpoint"] == "syndiff-flair-from-t2-small"
    image = nib.load(record["outputs"][0]["path"])
    source = nib.load(study / "case-t2w.nii.gz").get_fdata()
    assert image.get_fdata()[source != 0].std() > 0
    assert not image.get_fdata()[source == 0].any()


def test_without_public_weights_the_built_in_network_is_offered(cli, make_study):
    done = cli("fill", make_study(contrasts=(T2,)), "--missing", "flair")
    assert done.returncode == 4
    assert "--weights builtin" in done.stderr


def test_a_real_patient_is_translated_better_than_by_a_regression(cli, shared, tmp_path):
    """The shipped networks saw this patient, so this guards the weights and the way to them, not their quality."""
    words = {T1: "t1n", T2: "t2w"}
    study = tmp_path / "OPENMS-19"
    slab = {}
    for contrast, word in words.items():
        name = f"OPENMS-19-{word}.nii.gz"
        image = nib.load(shared / "data" / "ms-mni" / "OPENMS-19" / name).slicer[:, :, 75:139]  # the middle, for time
        slab[contrast] = image.get_fdata().astype(np.float32)
        write_nifti(study / name, slab[contrast], image.affine)
    options = ["--leave-one-out", study, "--missing", T1, "--weights", "builtin", "--json", "--device", "cpu"]
    done = cli("evaluate", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"]["brain"]["psnr"] > _psnr_of_its_own_regression(slab[T2], slab[T1]) + 1


def _psnr_of_its_own_regression(source, target):
    """Return the PSNR in the brain of the quadratic of the source that fits this very target best."""
    brain = (source != 0) | (target != 0)
    x, y = (np.clip(image[brain] / np.percentile(image, 99.9), 0, 1) for image in (source, target))
    terms = np.stack([np.ones_like(x), x, x**2], axis=1)
    weights = np.linalg.lstsq(terms, y, rcond=None)[0]
    return -10 * np.log10(np.mean((terms @ weights - y) ** 2))
