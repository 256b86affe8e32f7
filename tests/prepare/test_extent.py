"""An image that shows too little of a head is no source."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.prepare.extent import MIN_SPAN_MM, spans_mm, unseen_shares
from mrimpute.volume import Grid, Volume
from tests.conftest import OBLIQUE, head_voxels, tree, write_nifti


def volume(voxels, spacing):
    grid = Grid(voxels.shape, np.diag([*spacing, 1.0]))
    return Volume(np.asarray(voxels, np.float32), grid, nib.Nifti1Header(), None, "")


@pytest.mark.parametrize("axis", range(3))
def test_a_slab_is_refused_by_fill_in_one_line_and_shown_by_scan(cli, make_study, axis):
    squeeze = np.eye(4)
    squeeze[axis, axis] = 0.5
    folder = make_study(affine=OBLIQUE @ squeeze)
    before = tree(folder)
    scanned = cli("scan", folder)
    assert scanned.returncode == 0, scanned.stderr
    done = cli("fill", folder, "--missing", "flair", "--weights", "builtin", "--device", "cpu")
    assert done.returncode == 3
    (line,) = done.stderr.strip().splitlines()
    assert "t1" in line
    assert "a head spans at least 60 mm in every direction" in line
    assert "--t1 PATH" in line
    assert tree(folder) == before


def test_leave_one_out_refuses_it_too(cli, make_study):
    folder = make_study(contrasts=BRATS_FOUR, affine=np.eye(4))
    done = cli("evaluate", "--leave-one-out", folder, "--weights", "builtin", "--device", "cpu")
    assert done.returncode == 3
    assert "60 mm" in done.stderr


def test_the_span_is_that_of_the_tissue_not_of_the_grid():
    voxels = np.zeros((100, 100, 60), np.int16)
    voxels[20:70, 10:90, 5:45] = 500
    assert spans_mm(volume(voxels, (1.0, 1.0, 2.0))) == (50.0, 80.0, 80.0)


def test_single_bright_voxels_far_away_do_not_count():
    voxels = np.zeros((100, 100, 60), np.int16)
    voxels[20:70, 10:90, 5:45] = 500
    voxels[99, 99, 59] = voxels[0, 0, 0] = 900
    assert spans_mm(volume(voxels, (1.0, 1.0, 2.0)))[0] < MIN_SPAN_MM


def test_noise_around_a_head_is_not_tissue():
    voxels = head_voxels(Contrast.T1, (60, 60, 40))
    noisy = voxels + np.random.default_rng(0).integers(1, 40, voxels.shape)
    for span, edge in zip(spans_mm(volume(noisy, (4.0, 4.0, 6.0))), (240, 240, 240), strict=True):
        assert 0.6 * edge < span < 0.95 * edge


def test_an_empty_image_spans_nothing():
    assert spans_mm(volume(np.zeros((40, 40, 40)), (2.0, 2.0, 2.0))) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("cut", ["field of view", "zeros"])
def test_it_is_told_which_series_ends_inside_the_head(cut):
    whole = volume(head_voxels(Contrast.T1), (4.0, 4.0, 5.0))
    voxels = head_voxels(Contrast.T2)
    voxels[:, :, :12] = 0
    shorter = volume(voxels, (4.0, 4.0, 5.0))
    if cut == "field of view":
        affine = shorter.grid.affine.copy()
        affine[2, 3] = 12 * 5.0
        shorter = replace(shorter, voxels=shorter.voxels[:, :, 12:], grid=Grid((40, 48, 24), affine))
    found = unseen_shares({Contrast.T1: whole, Contrast.T2: shorter}, whole.grid)
    first = 12 if cut == "field of view" else 11  # zeros may be an edge's
    share = np.count_nonzero(whole.voxels[:, :, :first]) / np.count_nonzero(whole.voxels)
    assert found == {Contrast.T2: pytest.approx(share, abs=0.005)}
    assert unseen_shares({Contrast.T1: whole, Contrast.T2: whole}, whole.grid) == {}
    upper = Grid((40, 48, 24), whole.grid.affine @ nib.affines.from_matvec(np.eye(3), [0, 0, 12]))
    assert unseen_shares({Contrast.T1: whole, Contrast.T2: shorter}, upper) == {}  # the result lies inside
    brain = np.zeros(whole.grid.shape, bool)
    brain[:, :, 14:] = True
    assert unseen_shares({Contrast.T1: whole, Contrast.T2: shorter}, whole.grid, brain) == {}  # the mask's brain does


def test_a_head_below_zero_is_refused_in_one_line(cli, make_study):
    folder = make_study()
    for path in folder.iterdir():
        image = nib.load(path)
        write_nifti(path, np.asarray(image.dataobj) - 1024 * 2, image.affine)
    before = tree(folder)
    done = cli("fill", folder, "--missing", "flair", "--weights", "builtin")
    assert done.returncode == 3
    (line,) = done.stderr.strip().splitlines()
    assert "t1 (" in line
    assert "is below 0 nearly everywhere; give the image as it was scanned" in line
    assert tree(folder) == before
