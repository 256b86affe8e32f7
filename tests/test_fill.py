"""The line from folder to file, through the Python API."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from mrimpute import Contrast, Options, fill
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.errors import ImageDamaged, OutputRefused, UsageError, WeightsUnavailable
from mrimpute.fill import Engine
from tests.conftest import OBLIQUE, head_voxels, tree, write_nifti

FLAIR = Contrast.FLAIR


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def options(tiny_weights):
    return Options(weights=(str(tiny_weights[FLAIR]),), device="cpu", threads=1)


def test_the_missing_sequence_is_made_on_the_sources_grid(make_study, options):
    folder = make_study()
    outcome = fill(folder, [FLAIR], options)
    (output,) = outcome.outputs
    assert output.path == folder / "case-t2f.nii.gz"
    made, source = nib.load(output.path), nib.load(folder / "case-t1n.nii.gz")
    np.testing.assert_array_equal(made.affine, source.affine)
    assert made.shape == source.shape
    assert made.get_data_dtype() == np.float32
    assert made.header["descrip"].item().startswith(b"SYNTHETIC flair")
    for field in ("sform_code", "qform_code", "xyzt_units"):
        assert made.header[field] == source.header[field]
    outside = np.all([nib.load(folder / f"case-{w}.nii.gz").get_fdata() == 0 for w in ("t1n", "t1c", "t2w")], axis=0)
    assert (made.get_fdata()[outside] == 0).all()


def test_the_sidecar_tells_what_made_it(make_study, options, tiny_weights):
    folder = make_study()
    output = fill(folder, [FLAIR], options).outputs[0]
    sidecar = json.loads((folder / "case-t2f.json").read_text())
    assert sidecar["Synthetic"] is True
    assert "not acquired" in sidecar["Warning"]
    assert [source["contrast"] for source in sidecar["Sources"]] == ["t1", "t1c", "t2"]
    assert all(len(source["sha256"]) == 64 for source in sidecar["Sources"])
    assert sidecar["fingerprint"]["sampler"] == "ddim"
    assert sidecar["fingerprint"]["steps"] == 1
    assert sidecar["checkpoint"]["sha256"] == output.fingerprint.checkpoint_sha256
    assert sidecar["image"]["sha256"] == output.sha256
    scale = sidecar["intensity"]["one"]
    tops = [np.percentile(v[v != 0], 99.9) for c in BRATS_FOUR[:3] if (v := head_voxels(c)) is not None]
    assert scale == pytest.approx(np.median(tops))
    assert str(folder) not in (folder / "case-t2f.json").read_text()


def test_unit_intensity_is_the_study_scale_divided(make_study, options, tmp_path):
    from dataclasses import replace

    folder = make_study()
    study = fill(folder, [FLAIR], options).outputs[0]
    unit = fill(folder, [FLAIR], replace(options, intensity="unit", out=tmp_path / "unit")).outputs[0]
    assert unit.path == tmp_path / "unit" / "case" / "case-t2f.nii.gz"
    scaled, plain = (nib.load(o.path).get_fdata() for o in (study, unit))
    assert plain.max() <= 1
    np.testing.assert_allclose(scaled, plain * study.one, rtol=1e-5, atol=1e-3)


def test_fluid_without_signal_is_not_left_black(tmp_path):
    t1 = head_voxels(Contrast.T1).astype(np.float32)
    middle = (slice(t1.shape[0] // 2 - 2, t1.shape[0] // 2 + 2), t1.shape[1] // 2, t1.shape[2] // 2)
    t1[middle] = 0, 0, -3, -3
    write_nifti(tmp_path / "s" / "p-t1n.nii.gz", t1, OBLIQUE)
    outcome = fill(tmp_path / "s", list(BRATS_FOUR[1:]), Options(weights=("builtin",), device="cpu", threads=1))
    assert len(outcome.outputs) == 3
    for output in outcome.outputs:
        assert (nib.load(output.path).get_fdata()[middle] > 0).all()


def test_acquired_files_are_untouched(make_study, options):
    folder = make_study()
    before = tree(folder)
    fill(folder, [FLAIR], options)
    after = tree(folder)
    assert {name: after[name] for name in before} == before
    assert sorted(set(after) - set(before)) == ["case-t2f.json", "case-t2f.nii.gz"]


def test_the_same_recipe_is_skipped_and_another_refused(make_study, options):
    from dataclasses import replace

    folder = make_study()
    fill(folder, [FLAIR], options)
    before = tree(folder)
    assert fill(folder, [FLAIR], options).outputs[0].skipped
    with pytest.raises(OutputRefused, match="another recipe"):
        fill(folder, [FLAIR], replace(options, seed=1))
    assert tree(folder) == before
    again = fill(folder, [FLAIR], replace(options, seed=1, overwrite=True)).outputs[0]
    assert not again.skipped
    assert tree(folder) != before


def test_order_and_name_of_studies_change_no_voxel(make_study, options):
    one, two = make_study("one", seed=1), make_study("two", seed=2)
    engine = Engine(options)
    first = [engine.fill(folder).outputs[0].sha256 for folder in (one, two)]
    for folder in (one, two):
        for path in folder.glob("*t2f*"):
            path.unlink()
    renamed = one.rename(one.with_name("renamed"))
    engine = Engine(options)
    second = [engine.fill(folder).outputs[0] for folder in (two, renamed)]
    assert [second[1].sha256, second[0].sha256] == first


def test_nothing_missing_writes_nothing(make_study, options):
    folder = make_study(contrasts=BRATS_FOUR)
    before = tree(folder)
    assert fill(folder, (), options).outputs == ()
    assert fill(folder, [FLAIR], options).plan.acquired == (FLAIR,)
    assert tree(folder) == before


@pytest.mark.parametrize("target", BRATS_FOUR)
def test_each_target_is_made_from_the_three_others(make_study, tiny_weights, target):
    folder = make_study(contrasts=[c for c in BRATS_FOUR if c is not target], scheme="brats21")
    outcome = fill(folder, [target], Options(weights=(str(tiny_weights[target]),), device="cpu", threads=1))
    words = {"t1": "case_t1", "t1c": "case_t1ce", "t2": "case_t2", "flair": "case_flair"}
    assert outcome.outputs[0].path.name == f"{words[target]}.nii.gz"


@pytest.mark.parametrize(
    "affine",
    [np.diag([-2.2, 2, 3.6, 1]), OBLIQUE @ np.diag([1.05, 1.1, 1.6, 1]), np.diag([2.2, 2, 3.6, 1])[[1, 2, 0, 3]]],
    ids=["LAS", "oblique 2.2x1.9x3.8", "permuted"],
)
def test_every_geometry_comes_back_equal(make_study, options, affine):
    folder = make_study(affine=affine, shape=(40, 44, 24))
    output = fill(folder, [FLAIR], options).outputs[0]
    np.testing.assert_array_equal(nib.load(output.path).affine, nib.load(folder / "case-t1n.nii.gz").affine)


def test_a_sheared_study_comes_back_sheared_with_a_warning(make_study, options):
    sheared = OBLIQUE.copy()
    sheared[:3, 2] += 8e-3 * sheared[:3, 0]
    folder = make_study(affine=sheared)
    outcome = fill(folder, [FLAIR], options)
    assert any("sheared" in warning for warning in outcome.warnings)
    source = nib.load(folder / "case-t1n.nii.gz")
    np.testing.assert_array_equal(nib.load(outcome.outputs[0].path).get_sform(), source.get_sform())
    np.testing.assert_array_equal(nib.load(outcome.outputs[0].path).get_qform(), source.get_qform())


def test_a_damaged_source_is_refused_before_weights_are_looked_for(make_study):
    folder = make_study()
    path = folder / "case-t2w.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])
    before = tree(folder)
    with pytest.raises(ImageDamaged, match=r"case-t2w\.nii\.gz is truncated"):
        fill(folder, [FLAIR], Options(weights=("nonsense",)))
    assert tree(folder) == before


def test_weights_words_can_be_given_per_generator(make_study, tiny_weights):
    options = Options(weights=("builtin", f"cwdm={tiny_weights[FLAIR]}"))
    assert options.weights_for("cwdm") == str(tiny_weights[FLAIR])
    assert options.weights_for("aldm") == "builtin"
    for words in (("a", "b"), ("cwdm=a", "cwdm=b")):
        with pytest.raises(UsageError, match="twice"):
            Options(weights=words).weights_for("cwdm")
    with pytest.raises(UsageError, match="no generator"):
        Options(weights=("gan=a",)).weights_for("cwdm")


def test_an_earlier_result_is_never_a_source(make_study, options, tmp_path):
    folder = make_study()
    made = fill(folder, [FLAIR], options).outputs[0].path
    (folder / "case-t1n.nii.gz").unlink()
    with pytest.raises(Exception, match="from t2 with syndiff"):
        fill(folder, [Contrast.T1], options)
    copy = shutil.copy(made, tmp_path / "looks-acquired.nii.gz")
    from dataclasses import replace

    with pytest.raises(Exception, match="was made by mrimpute"):
        fill(folder, [Contrast.T1], replace(options, overrides={FLAIR: copy}))


def test_missing_weights_end_with_the_line_to_type(make_study):
    folder = make_study()
    before = tree(folder)
    with pytest.raises(WeightsUnavailable, match="--weights builtin"):
        fill(folder, [FLAIR], Options())
    assert tree(folder) == before


def test_thick_slices_on_another_grid_are_filled_on_the_thinnest(tmp_path, options):
    fine, coarse = np.diag([-2.1, -2.1, 2.4, 1]), np.diag([-2.1, -2.1, 4.8, 1])
    coarse[2, 3] = 1.2
    write_nifti(tmp_path / "s" / "s_t1.nii.gz", head_voxels("t1", (40, 44, 36)), fine)
    write_nifti(tmp_path / "s" / "s_t1ce.nii.gz", head_voxels("t1c", (40, 44, 18)), coarse)
    write_nifti(tmp_path / "s" / "s_t2.nii.gz", head_voxels("t2", (40, 44, 18)), coarse)
    outcome = fill(tmp_path / "s", [FLAIR], options)
    assert nib.load(outcome.outputs[0].path).shape == (40, 44, 36)
    assert any("interpolated" in warning for warning in outcome.warnings)


def test_a_bids_study_is_filled_under_derivatives(tmp_path, options):
    anat = tmp_path / "bids" / "sub-01" / "anat"
    for contrast, word in ((Contrast.T1, "T1w"), (Contrast.T1C, "ce-gadolinium_T1w"), (Contrast.T2, "T2w")):
        write_nifti(anat / f"sub-01_{word}.nii.gz", head_voxels(contrast), OBLIQUE)
    before = tree(tmp_path / "bids" / "sub-01")
    made = fill(tmp_path / "bids" / "sub-01", [FLAIR], options).outputs[0].path
    derivatives = tmp_path / "bids" / "derivatives" / "mrimpute"
    assert made == derivatives / "sub-01" / "anat" / "sub-01_desc-synthetic_FLAIR.nii.gz"
    described = json.loads((derivatives / "dataset_description.json").read_text())
    assert described["GeneratedBy"][0]["Name"] == "mrimpute"
    assert tree(tmp_path / "bids" / "sub-01") == before
    assert fill(tmp_path / "bids" / "sub-01", [FLAIR], options).outputs[0].skipped


def test_a_changed_result_is_not_overwritten_unasked(make_study, options):
    from dataclasses import replace

    folder = make_study()
    made = fill(folder, [FLAIR], options).outputs[0].path
    image = nib.load(made)
    nib.Nifti1Image(image.get_fdata(dtype=np.float32) * 2, None, image.header).to_filename(made)
    before = tree(folder)
    with pytest.raises(OutputRefused, match="was changed since"):
        fill(folder, [FLAIR], options)
    (folder / "case-t2f.json").unlink()
    with pytest.raises(OutputRefused, match="--overwrite"):
        fill(folder, [FLAIR], replace(options, seed=3))
    assert made.read_bytes() == before["case-t2f.nii.gz"]


def test_one_folder_per_series_is_filled_twice_alike(tmp_path, options):
    for contrast, name in ((Contrast.T1, "T1"), (Contrast.T1C, "T1Post"), (Contrast.T2, "T2")):
        write_nifti(tmp_path / "visit" / name / "image.nii.gz", head_voxels(contrast), OBLIQUE)
    first = fill(tmp_path / "visit", [FLAIR], options).outputs[0]
    assert first.path == tmp_path / "visit" / "visit_flair.nii.gz"
    assert fill(tmp_path / "visit", [FLAIR], options).outputs[0].skipped


def test_checks_are_measured_on_the_written_image(make_study, options):
    checks = fill(make_study(), [FLAIR], options).outputs[0].checks
    assert checks[0].value <= 1e-4
    assert all(check.ok for check in checks)
