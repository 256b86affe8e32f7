import numpy as np
import pytest

from mrimpute.errors import UsageError
from mrimpute.metrics import score, ssim_map, texture


def slow_ssim(x, y, at):
    """The definition, voxel by voxel: uniform 7-voxel window, sample covariance, data range 1."""
    window = tuple(slice(i - 3, i + 4) for i in at)
    a, b = x[window].ravel(), y[window].ravel()
    cov = np.cov(a, b)
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * a.mean() * b.mean() + c1) * (2 * cov[0, 1] + c2)
    return top / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (cov[0, 0] + cov[1, 1] + c2))


def images():
    draw = np.random.default_rng(4)
    truth = draw.random((12, 11, 13))
    return np.clip(truth + draw.normal(0, 0.1, truth.shape), 0, 1), truth


def test_ssim_is_the_definition():
    made, truth = images()
    fast = ssim_map(made, truth)
    for at in ((3, 3, 3), (6, 5, 7), (8, 7, 9)):
        assert fast[at] == pytest.approx(slow_ssim(made, truth, at), abs=1e-10)


def test_scores_are_the_definitions():
    made, truth = images()
    half = np.zeros(truth.shape, bool)
    half[:6] = True
    scores = score(made, truth, {"whole": np.ones_like(half), "half": half})
    error = (made - truth) ** 2
    assert scores["whole"].psnr == pytest.approx(-10 * np.log10(error.mean()))
    assert scores["half"].psnr == pytest.approx(-10 * np.log10(error[half].mean()))
    assert scores["half"].nmse == pytest.approx(error[half].sum() / (truth[half] ** 2).sum())
    assert scores["half"].ssim == pytest.approx(ssim_map(made, truth)[half].mean())
    assert scores["whole"].ssim == pytest.approx(ssim_map(made, truth)[3:-3, 3:-3, 3:-3].mean())
    assert scores["half"].voxels == half.sum()


def test_equal_images_score_perfectly():
    _, truth = images()
    whole = score(truth, truth, {"whole": np.ones(truth.shape, bool)})["whole"]
    assert whole.psnr == float("inf")
    assert whole.ssim == pytest.approx(1)
    assert whole.nmse == 0


@pytest.mark.parametrize(
    ("made", "truth", "region", "message"),
    [
        (np.zeros((9, 9, 9)), np.zeros((9, 9, 8)), np.ones((9, 9, 9), bool), "have"),
        (np.zeros((9, 9, 5)), np.zeros((9, 9, 5)), np.ones((9, 9, 5), bool), "fewer than 7"),
        (np.zeros((9, 9, 9)), np.zeros((9, 9, 9)), np.zeros((9, 9, 9), bool), "is empty"),
    ],
)
def test_what_cannot_be_scored_is_refused(made, truth, region, message):
    with pytest.raises(UsageError, match=message):
        score(made, truth, {"region": region})


def test_texture_of_a_sharper_and_of_a_smoother_image():
    draw = np.random.default_rng(0)
    truth = draw.random((12, 12, 12))
    brain = np.ones(truth.shape, bool)
    same = texture(truth, truth, brain, 2)
    assert (same.between_slices, same.sharpness) == (1.0, 1.0)
    half = texture(truth / 2, truth, brain, 2)
    assert half.between_slices == pytest.approx(0.5)
    assert half.sharpness == pytest.approx(0.25)
    constant_along_z = np.repeat(truth[:, :, :1], 12, axis=2)
    assert texture(constant_along_z, truth, brain, 2).between_slices == 0
    assert texture(constant_along_z, truth, brain, 0).between_slices > 0.5
    outside = truth.copy()
    outside[:, :, 6:] = 100
    brain[:, :, 6:] = False
    assert texture(outside, truth, brain, 2).sharpness == pytest.approx(1)
