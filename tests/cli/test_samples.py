"""`fill --samples`: every sample kept, their mean the result, their spread beside it; resumed one by one."""

import json

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from mrimpute import device
from mrimpute.contrasts import Contrast
from mrimpute.request import order
from mrimpute.write import place as place_module
from tests.conftest import tree

FLAIR = Contrast.FLAIR


@pytest.fixture
def words(tiny_weights):
    return ("--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--steps", "3", "--seed", "4")


def voxels(path):
    return nib.load(path).get_fdata()


def test_samples_are_kept_their_mean_is_the_result_and_a_killed_run_goes_on(cli, make_study, words, tmp_path):
    folder, out = make_study(), tmp_path / "out"
    done = cli("fill", folder, *words, "--samples", "3", "--out", out)
    assert done.returncode == 0, done.stderr
    place = out / "case"
    names = [f"case-t2f{word}.nii.gz" for word in ("", "_sample-01", "_sample-02", "_sample-03", "_spread")]
    assert done.stdout.split() == [str(place / name) for name in names]
    assert "mean of seeds 4 to 6" in done.stderr
    main, *samples, spread = (voxels(place / name) for name in names)
    assert np.allclose(main, np.mean(samples, axis=0), atol=1e-3)
    assert np.allclose(spread, np.std(samples, axis=0, ddof=1), atol=1e-3)
    assert spread.max() > 1
    for name in names:
        assert nib.load(place / name).header["descrip"].item().startswith(b"SYNTHETIC flair")
    assert cli("verify", place).returncode == 0
    side = {name: json.loads((place / name.replace(".nii.gz", ".json")).read_text()) for name in names}
    assert [one["kind"] for one in side.values()] == [
        "mean of 3 samples", "sample 1 of 3", "sample 2 of 3", "sample 3 of 3", "spread of 3 samples",
    ]  # fmt: skip
    assert [one["fingerprint"]["seed"] for one in side.values()] == [4, 4, 5, 6, 4]
    assert [one["fingerprint"].get("samples") for one in side.values()] == [3, None, None, None, 3]
    alone = cli("fill", folder, *words[:-1], "5", "--out", tmp_path / "alone")
    assert alone.returncode == 0
    assert (voxels(tmp_path / "alone" / "case" / "case-t2f.nii.gz") == samples[1]).all()

    before = tree(place)
    for name in (names[0], names[2], names[4]):
        (place / name).unlink()
        (place / name.replace(".nii.gz", ".json")).unlink()
    again = cli("fill", folder, *words, "--samples", "3", "--out", out, "--json")
    assert json.loads(again.stdout)["outputs"][0]["recipe"]["samples"] == 3
    assert {name: before[name] for name in names} == {name: tree(place)[name] for name in names}
    skipped = json.loads(cli("fill", folder, *words, "--samples", "3", "--out", out, "--json").stdout)
    assert (skipped["status"], skipped["copies"]) == ("skipped", [str(place / name) for name in names[1:]])
    assert cli("fill", folder, *words, "--samples", "2", "--out", out).returncode == 6  # another recipe


def test_a_sample_or_spread_that_is_missing_is_made_again_and_an_edited_one_refused(cli, make_study, words):
    """Before, a mean that stood was taken for all of them."""
    folder = make_study()
    line = ("fill", folder, *words, "--samples", "2", "--json")
    assert cli(*line).returncode == 0
    whole = tree(folder)
    names = ("case-t2f_sample-02", "case-t2f_spread")
    for lacking in (names[:1], names[1:], names):
        for name in lacking:
            (folder / f"{name}.nii.gz").unlink()
        done = cli(*line)
        assert done.returncode == 0, done.stderr
        told, made = json.loads(done.stdout), ", ".join(f"{name}.nii.gz" for name in lacking)
        assert told["status"] == "skipped" and len(told["copies"]) == 3
        assert any(f"{made} was missing beside" in one["text"] for one in told["warnings"])
        images = [name for name in whole if name.endswith(".nii.gz")] + ["case-t2f.json", "case-t2f_sample-01.json"]
        assert {name: tree(folder)[name] for name in images} == {name: whole[name] for name in images}
    for name in names:
        path = folder / f"{name}.nii.gz"
        image = nib.load(path)
        kept = path.read_bytes()
        nib.Nifti1Image(image.get_fdata() + 7, image.affine, image.header).to_filename(path)
        done = cli(*line)
        assert done.returncode == 6 and f"{name}.nii.gz was made before by another recipe, or was" in done.stderr
        path.write_bytes(kept)
    assert cli(*line).returncode == 0


def test_samples_of_machines_of_two_kinds_are_never_mixed(cli, make_study, words, monkeypatch):
    """Before, with --precision auto, samples that another engine or precision made went into a mean that denied it."""
    folder = make_study()
    line = ("fill", folder, *words, "--samples", "2")
    with monkeypatch.context() as patch:
        patch.setattr(device, "processor_features", lambda: {"avx512_bf16"})
        patch.setattr(order, "LARGE_NETWORK", 1)
        assert cli(*line).returncode == 0
    main, first = (folder / f"case-t2f{word}.nii.gz" for word in ("", "_sample-01"))
    assert json.loads((folder / "case-t2f.json").read_text())["fingerprint"]["precision"] == "bfloat16"
    monkeypatch.setattr(device, "processor_features", set)
    assert "skipped" in cli(*line).stderr  # whole, whichever machine made it
    kept = first.read_bytes()
    first.unlink()
    before = tree(folder)
    done = cli(*line)
    assert done.returncode == 6 and len(done.stderr.splitlines()) == 1
    assert "case-t2f_sample-01.nii.gz is missing beside" in done.stderr and "precision bfloat16" in done.stderr
    assert tree(folder) == before
    first.write_bytes(kept)
    main.unlink()
    before = tree(folder)
    done = cli(*line)
    assert done.returncode == 6 and "case-t2f_sample-01.nii.gz was made before by another recipe" in done.stderr
    assert tree(folder) == before
    assert cli(*line, "--overwrite").returncode == 0
    made = [json.loads(path.read_text())["fingerprint"]["precision"] for path in folder.glob("*t2f*.json")]
    assert made == ["float32"] * 4


def test_samples_in_bids_have_its_names_and_are_never_sources(cli, make_study, words, tmp_path):
    bids = tmp_path / "ds" / "sub-01" / "anat"
    bids.mkdir(parents=True)
    folder = make_study()
    for word, name in (("t1n", "T1w"), ("t1c", "ce-gadolinium_T1w"), ("t2w", "T2w")):
        (folder / f"case-{word}.nii.gz").rename(bids / f"sub-01_{name}.nii.gz")
    done = cli("fill", bids, *words, "--samples", "2")
    assert done.returncode == 0, done.stderr
    made = sorted(path.name for path in (tmp_path / "ds" / "derivatives").rglob("*.nii.gz"))
    assert made == [f"sub-01_desc-synthetic{word}_FLAIR.nii.gz" for word in ("01", "02", "", "spread")]
    beside = make_study("beside")
    assert cli("fill", beside, *words, "--samples", "2").returncode == 0
    scanned = json.loads(cli("scan", beside, "--json").stdout)
    assert "flair" in scanned["missing"]


def test_the_dicom_series_of_a_mean_names_all_its_seeds(cli, build, words):
    """Before, it said the first seed alone, with which nobody makes that image."""
    for number, contrast in enumerate((Contrast.T1, Contrast.T1C, Contrast.T2), 1):
        study = build(contrast, number=number).parent
    done = cli("fill", study, *words, "--samples", "2")
    assert done.returncode == 0, done.stderr
    told = dcmread(study / "mrimpute_flair" / "0001.dcm").DerivationDescription
    assert "3 steps, mean of 2 samples with seeds 4 to 5. " in told
    assert cli("verify", study / "mrimpute_flair").returncode == 0


def test_what_has_no_samples_is_refused_before_anything_is_read(cli, make_study, tiny_weights, tmp_path):
    folder = make_study()
    words = ("fill", folder, "--missing", "flair", "--weights", tiny_weights[FLAIR], "--samples", "2")
    done = cli(*words)
    assert done.returncode == 2
    assert "tiny-flair takes 1 step with the sampler ddim, which gives the mean whatever the noise" in done.stderr
    assert cli(*words, "--sampler", "ddpm", "--dry-run").returncode == 0
    cases = cli(*words, "--steps", "2", "--out", tmp_path / "o", "--layout", "brats23")
    assert cases.returncode == 2 and "one image per contrast" in cases.stderr


def test_a_finished_spread_stands_and_what_the_disk_says_of_each_image_is_told(
    cli, make_study, words, tmp_path, monkeypatch
):
    folder, out, told = make_study(), tmp_path / "out", []
    monkeypatch.setattr(place_module, "unsynced", lambda _folder: told.append(f"note {len(told)}") or (told[-1],))
    done = cli("fill", folder, *words, "--samples", "2", "--out", out)
    assert done.returncode == 0 and told == ["note 0", "note 1", "note 2", "note 3"]
    assert all(note in done.stderr for note in told)
    main, spread = (out / "case" / f"case-t2f{word}.json" for word in ("", "_spread"))
    before = spread.stat()
    main.unlink()
    main.with_name("case-t2f.nii.gz").unlink()
    assert cli("fill", folder, *words, "--samples", "2", "--out", out).returncode == 0
    assert main.exists() and (spread.stat().st_ino, spread.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_places_of_samples_are_looked_at_before_anything_is_made(cli, make_study, words, tmp_path):
    folder, out = make_study(), tmp_path / "out"
    taken = out / "case" / "case-t2f_spread.nii.gz"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"another program's")
    before = tree(out)
    done = cli("fill", folder, *words, "--samples", "2", "--out", out)
    assert done.returncode == 6 and "case-t2f_spread.nii.gz exists and was not made by mrimpute" in done.stderr
    assert tree(out) == before
    taken.unlink()
    assert cli("fill", folder, *words[:-1], "9", "--out", tmp_path / "other").returncode == 0
    for name in ("case-t2f.nii.gz", "case-t2f.json"):  # a sample of another recipe
        (tmp_path / "other" / "case" / name).rename(taken.with_name(name.replace("t2f", "t2f_sample-02")))
    before = tree(out)
    done = cli("fill", folder, *words, "--samples", "2", "--out", out)
    assert done.returncode == 6 and "case-t2f_sample-02.nii.gz was made before by another recipe" in done.stderr
    assert tree(out) == before
