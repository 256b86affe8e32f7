"""The authors' preparation, on their goldens: t1 alone, as a source is prepared."""

import numpy as np
import pytest

from mrimpute.contrasts import Contrast
from mrimpute.prepare import prepare, restore
from mrimpute.prepare.geometry import Reorient, choose_window
from mrimpute.prepare.intensity import quantile_range
from mrimpute.registry import InputSpec
from tests.conftest import GOLDENS
from tests.prepare.test_frame import volume

QUANTILES = (0.005, 0.995)


@pytest.fixture(params=["lps", "oblique"])
def case(request):
    with np.load(GOLDENS / "aldm" / "preproc.npz") as arrays:
        found = {key.removeprefix(f"{request.param}_"): arrays[key] for key in arrays if key.startswith(request.param)}
    found["t1"] = volume(found["in_t1"], found["affine"])
    return found


def shared_box(case, window):
    """Return the authors' box within ours, and within their own: where a head is too long, ours grows."""
    target = case["target_size"]
    start = case["fg_start"] - np.maximum(target - case["cropped_shape"], 0) // 2
    start += np.maximum(case["cropped_shape"] // 2 - target // 2, 0)
    low = start - np.array(window.start)
    assert (low >= 0).all()
    return tuple(slice(int(a), int(a + n)) for a, n in zip(low, target, strict=True))


def test_the_box_lies_where_the_authors_put_it(case):
    grid = case["t1"].grid
    reorient = Reorient(grid, "RAS")
    assert reorient.grid.shape == tuple(case["ras_shape"])
    np.testing.assert_allclose(reorient.grid.affine, case["ras_affine"], atol=1e-6)
    voxels = reorient.apply(case["t1"].voxels)
    window = choose_window(voxels > 0, tuple(int(n) for n in case["target_size"]), 1)
    fits = case["cropped_shape"] <= case["target_size"]
    assert fits.any()
    assert not fits.all()  # the goldens hold a head longer than the box
    sizes = np.where(fits, case["target_size"], case["cropped_shape"])
    assert window.size == tuple(sizes)
    box = shared_box(case, window)
    low, high = case["pct_t1"]
    expected = case["out_t1"][0]
    np.testing.assert_allclose((window.apply(voxels)[box] - low) / (high - low) * 2 - 1, expected, atol=1e-6)
    assert all(box[axis] == slice(0, case["target_size"][axis]) for axis in np.flatnonzero(fits))


@pytest.mark.parametrize("name", ["t1", "t1ce", "t2", "flair"])
def test_grey_values_are_the_authors(case, name):
    low, high = case[f"pct_{name}"]
    expected = case[f"out_{name}"][0]
    box = (expected + 1) / 2 * (high - low) + low
    found = quantile_range(volume(np.round(box), np.eye(4)), QUANTILES, None)
    np.testing.assert_allclose([found.low, found.high], [low, high], rtol=1e-6)
    np.testing.assert_allclose(found.mapped(np.round(box)) * 2 - 1, expected, atol=2e-6)
    assert expected.max() > 1  # not clipped


def test_there_and_back_gives_the_source(case):
    spacing = tuple(float(value) for value in Reorient(case["t1"].grid, "RAS").grid.spacing)
    inputs = InputSpec(
        orientation="RAS",
        spacing_mm=spacing,
        window=tuple(int(n) for n in case["target_size"]),
        multiple=1,
        clip_quantiles=QUANTILES,
        quantiles_of="window",
    )
    prepared = prepare({Contrast.T1: case["t1"]}, inputs)
    back = restore(prepared.images[Contrast.T1], prepared.recipe)
    span = prepared.recipe.ranges[Contrast.T1]
    grey = back * (span.high - span.low) + span.low
    head = case["t1"].voxels > 0
    np.testing.assert_allclose(grey[head], case["t1"].voxels[head], rtol=1e-4, atol=0.01)
    assert "it was widened" in prepared.warnings[0]  # the head is longer than the box
