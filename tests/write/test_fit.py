"""What a segmenter assumes of a complete case, checked before anything is made."""

import json

import numpy as np
import pytest

from mrimpute.contrasts import BRATS_FOUR
from mrimpute.errors import StudyRefused
from mrimpute.phantom import AFFINE
from mrimpute.study import find_series
from mrimpute.write.fit import check_fit, check_stripped
from mrimpute.write.layout import parse_layout
from tests.conftest import tree, write_nifti

T1, T1C, T2, FLAIR = BRATS_FOUR
SHAPE = (240, 240, 155)


def study_on(tmp_path, shape, affine):
    voxels = np.zeros(shape, np.uint8)
    voxels[10:20, 10:20, 10:20] = 7
    return find_series(write_nifti(tmp_path / "case" / "case-t1n.nii.gz", voxels, affine).parent)


def test_a_case_on_the_grid_of_brats_fits(tmp_path):
    study = study_on(tmp_path, SHAPE, AFFINE)
    for name in ("brats21", "brats23"):
        check_fit(study, parse_layout(name))


@pytest.mark.parametrize(
    ("shape", "change", "reasons"),
    [
        ((240, 240, 154), np.eye(4), ["240x240x154 voxels, not 240x240x155"]),
        (SHAPE, np.diag([1.2, 1.0, 1.0, 1.0]), ["voxels of 1.2x1x1 mm, not 1 mm"]),
        (SHAPE, np.diag([1.0, -1.0, 1.0, 1.0]), ["axes stored as LAS, not LPS"]),
        (
            (64, 64, 64),
            np.array([[2.0, 0, 0, 60], [0, -2, 0, 30], [0, 0, 2, -50], [0, 0, 0, 1]]),
            ["64x64x64 voxels", "voxels of 2x2x2 mm", "axes stored as LAS", "first voxel at (-60, 209, -50) mm"],
        ),
    ],
)
def test_what_does_not_fit_is_told_at_once_with_the_remedy(tmp_path, shape, change, reasons):
    study = study_on(tmp_path, shape, AFFINE @ change)
    with pytest.raises(StudyRefused, match="does not fit a brats23 segmenter") as refused:
        check_fit(study, parse_layout("brats23"))
    assert all(reason in refused.value.text for reason in reasons)
    assert "BraTS space" in refused.value.hint and "--as-is" in refused.value.hint
    check_fit(study, parse_layout("bids"))


def test_a_small_head_becomes_a_case_only_as_it_is(cli, make_study, tiny_weights, tmp_path):
    folder, out = make_study(), tmp_path / "out"
    before = tree(folder)
    words = ("fill", folder, "--layout", "brats23", "--out", out, "--weights", tiny_weights[FLAIR], "--device", "cpu")
    for line in (words, (*words, "--dry-run")):
        done = cli(*line)
        assert done.returncode == 3
        assert "40x48x36 voxels, not 240x240x155" in done.stderr
        assert not out.exists()
    assert cli(*words, "--as-is").returncode == 0
    assert tree(folder) == before


def a_full_head(path, brightness=0):
    """Write a volume on BraTS' grid of which 4.2 litres are not 0."""
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[20:220, 20:220, 20:125] = np.arange(1, 106) + brightness
    return write_nifti(path, voxels, AFFINE)


def test_series_with_skull_do_not_fit(tmp_path):
    study, brats = study_on(tmp_path, SHAPE, AFFINE), parse_layout("brats21")
    check_stripped(study, brats, {T1: False})
    with pytest.raises(StudyRefused, match="t1 shows skull"):
        check_stripped(study, brats, {T1: True})
    study = find_series(a_full_head(tmp_path / "case" / "case-t2w.nii.gz").parent)
    with pytest.raises(StudyRefused, match="t1, t2 show skull"):
        check_stripped(study, brats, {T1: True})
    check_stripped(study, parse_layout("bids"), {T1: True})


def test_a_complete_case_with_skull_is_refused_before_it_is_copied(cli, tmp_path):
    for brightness, name in enumerate(("t1n", "t1c", "t2w", "t2f")):
        a_full_head(tmp_path / "case" / f"case-{name}.nii.gz", brightness)
    words = ("fill", tmp_path / "case", "--layout", "brats23", "--out", tmp_path / "out")
    done = cli(*words)
    assert (done.returncode, (tmp_path / "out").exists()) == (3, False)
    assert "t1, t1c, t2, flair show skull" in done.stderr
    assert cli(*words, "--as-is").returncode == 0
    assert len(tree(tmp_path / "out")) == 4


def nnunet(tmp_path, **plans):
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T1", "1": "T1ce"}}))
    if plans:
        (tmp_path / "nnUNetPlans.json").write_text(json.dumps(plans))
    return parse_layout(f"nnunet:{tmp_path / 'dataset.json'}")


def test_nnunets_plans_tell_spacing_and_channels(tmp_path):
    study = study_on(tmp_path, (60, 60, 40), np.diag([1.0, 1.0, 1.0, 1.0]))
    check_fit(study, nnunet(tmp_path))
    two = {"0": {}, "1": {}}

    def plans(spacing, channels=two):
        return {
            "original_median_spacing_after_transp": spacing,
            "foreground_intensity_properties_per_channel": channels,
        }

    check_fit(study, nnunet(tmp_path, **plans([1.4, 1.0, 1.0])))
    with pytest.raises(StudyRefused, match="voxels of 1x1x1 mm, trained on 1x1x5 mm"):
        check_fit(study, nnunet(tmp_path, **plans([5.0, 1.0, 1.0])))
    with pytest.raises(StudyRefused, match="plans 4 channels"):
        check_fit(study, nnunet(tmp_path, **plans([1.0] * 3, {str(number): {} for number in range(4)})))
    with pytest.raises(StudyRefused, match="no plans file"):
        check_fit(study, nnunet(tmp_path, configurations={}))
