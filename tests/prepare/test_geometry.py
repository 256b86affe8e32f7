import numpy as np
import pytest
import SimpleITK as sitk

from mrimpute.prepare.geometry import MAX_KERNEL, smoothed


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
