import numpy as np
import pytest
import SimpleITK as sitk

from mrimpute.prepare import geometry
from mrimpute.prepare.geometry import MAX_KERNEL, resample, smoothed
from mrimpute.volume import Grid


@pytest.mark.parametrize("variances", [(1.44, 0.3, 0.0), (0.05, 0.0, 5.0)])
@pytest.mark.parametrize("margin", [0, 12])
def test_smoothing_is_itk_s_discrete_gaussian(variances, margin):
    """With values up to the border, where they go on, and with empty space around, which is skipped."""
    inner = np.random.default_rng(0).uniform(100, 1000, (18, 14, 22)).astype(np.float32)
    voxels = np.pad(inner, [(margin, margin), (0, margin), (margin, 0)])
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    expected = sitk.GetArrayFromImage(sitk.DiscreteGaussian(image, variances, MAX_KERNEL, 0.01, False))
    made = smoothed(voxels, np.array(variances))
    assert made.dtype == np.float32
    assert np.abs(made - expected.transpose(2, 1, 0)).max() < 1e-6 * 1000


def test_nothing_stays_nothing():
    assert not smoothed(np.zeros((5, 6, 7), np.float32), np.ones(3)).any()


def test_what_is_empty_around_does_not_count_in_resampling():
    """Only the box that is not 0 is interpolated, and onto what it reaches."""
    voxels = np.pad(np.random.default_rng(0).random((9, 8, 7), np.float32), 1)
    close, wide = np.diag([2.0, 1.5, 3.0, 1]), np.diag([2.0, 1.5, 3.0, 1])
    wide[:3, 3] = -12, -4.5, -15
    padded = np.pad(voxels, ((6, 4), (3, 9), (5, 5)))
    turned = np.eye(4)
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    turned[:3, 3] = 4.2, -3.1, 0.3
    target = Grid((30, 26, 34), turned)
    expected = resample(voxels, Grid(voxels.shape, close), target)
    assert expected.any()
    np.testing.assert_allclose(resample(padded, Grid(padded.shape, wide), target), expected, atol=1e-6)
    assert not resample(np.zeros_like(padded), Grid(padded.shape, wide), target).any()


@pytest.mark.parametrize("step", [(3.0, 3.0, 3.0), (1.5, 0.4, 2.0)])
def test_along_the_axes_only_what_is_wanted_is_smoothed_and_interpolated(step, monkeypatch):
    """To the same values, with a head up to the border and places beyond it."""
    voxels = np.pad(np.random.default_rng(0).random((31, 22, 17), np.float32), [(0, 3), (2, 0), (4, 5)])
    there = np.diag([*step, 1.0])
    there[:3, 3] = -2.3, 1.2, 0.4
    grids = Grid(voxels.shape, np.eye(4)), Grid((14, 60, 13), there)
    made = resample(voxels, *grids)
    monkeypatch.setattr(geometry, "_keeps_axes", lambda *_: False)
    np.testing.assert_allclose(made, resample(voxels, *grids), atol=1e-6)
    assert made.any() and not resample(np.zeros_like(voxels), *grids).any()
