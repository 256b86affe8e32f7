import hashlib
import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.generators.cwdm import _wavelet
from mrimpute.prepare import choose_reference, prepare, restore
from mrimpute.prepare.geometry import BRATS_WINDOW, Window, choose_window
from mrimpute.registry import InputSpec
from mrimpute.volume import Grid, Volume
from tests.conftest import GOLDENS, OBLIQUE, head_voxels

OFFICIAL = InputSpec(
    orientation="LPS", spacing_mm=1.0, window=BRATS_WINDOW, multiple=32, clip_quantiles=(0.001, 0.999), clip_floor=None
)
ANY = OFFICIAL.model_copy(update={"window": None, "multiple": 8, "clip_floor": 0.0})
BRATS_AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
NAMES = {"t1n": Contrast.T1, "t1c": Contrast.T1C, "t2w": Contrast.T2}
THREE = (Contrast.T1, Contrast.T1C, Contrast.T2)


def volume(voxels: np.ndarray, affine: np.ndarray, name: str = "x") -> Volume:
    return Volume(
        voxels.astype(np.float32), Grid(voxels.shape, affine), Path(name), hashlib.sha256(name.encode()).hexdigest()
    )


def three(shape=(40, 48, 36), affine=OBLIQUE) -> dict[Contrast, Volume]:
    return {c: volume(head_voxels(c, shape), affine, c) for c in THREE}


@pytest.fixture(scope="module")
def golden_volumes() -> dict[Contrast, Volume]:
    """The inputs that the goldens were recorded with."""
    axes = np.ogrid[:240, :240, :155]
    inside = ((axes[0] - 119.5) / 80) ** 2 + ((axes[1] - 124.5) / 100) ** 2 + ((axes[2] - 70) / 60) ** 2 <= 1
    volumes = {}
    for number, (name, contrast) in enumerate(NAMES.items()):
        noise = np.random.default_rng([4242, number]).integers(100, 3000, size=(240, 240, 155))
        values = np.where(inside, noise + 40 * number - (1000 if name == "t2w" else 0), 0).astype(np.int16)
        volumes[contrast] = volume(values, BRATS_AFFINE, name)
    return volumes


def test_fluid_that_is_dark_or_0_belongs_to_the_head():
    voxels = head_voxels(Contrast.T1, (40, 48, 36))
    voxels[20, 24, 16:19] = 0, -5, 1e-6  # no signal, below 0 after resampling, below the quantile of 0
    prepared = prepare({Contrast.T1: volume(voxels, BRATS_AFFINE)}, ANY)
    assert prepared.head.shape == prepared.images[Contrast.T1].shape
    dark = restore(np.where(prepared.head, np.float32(0.5), np.float32(0)), prepared.recipe)[20, 24, 16:19]
    assert np.array_equal(dark, np.full(3, 0.5, np.float32))
    assert not prepared.images[Contrast.T1][prepared.head].all()  # the head is not told by what is above 0
    assert not prepared.head.all()


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (1.0, 1.0, 5.0)])
def test_what_fills_the_head_reaches_its_rim_on_another_grid(spacing):
    size = tuple(round(60 / mm) for mm in spacing)
    places = np.meshgrid(*[(np.arange(n) - n / 2) * mm for n, mm in zip(size, spacing, strict=True)], indexing="ij")
    ball = np.sqrt(sum(place**2 for place in places)) < 25
    draw = np.random.default_rng(0)
    source = volume(np.where(ball, draw.uniform(100, 900, size), 0), np.diag([*spacing, 1.0]))
    prepared = prepare({Contrast.T1: source}, ANY)
    painted = restore(np.where(prepared.head, np.float32(0.5), np.float32(0)), prepared.recipe)
    assert (painted[ball] > 0.45).mean() > 0.995
    assert not painted[~ball].any()


def test_ringing_around_a_head_is_not_filled():
    voxels = head_voxels(Contrast.T1, (40, 48, 36))
    inside = voxels != 0
    ring = np.zeros_like(inside)
    ring[1:] |= inside[:-1]
    ring &= ~inside
    voxels[ring] = -5
    prepared = prepare({Contrast.T1: volume(voxels, BRATS_AFFINE)}, ANY)
    painted = restore(prepared.head.astype(np.float32), prepared.recipe)
    assert not painted[ring].any()
    assert painted[inside].all()


def test_preparation_equals_the_authors_on_the_brats_grid(golden_volumes):
    recorded = json.loads((GOLDENS / "cwdm" / "preprocess.json").read_text())["volumes"]
    blocks = load_file(GOLDENS / "cwdm" / "preprocess.safetensors")
    prepared = prepare(golden_volumes, OFFICIAL)
    for name, contrast in NAMES.items():
        image = prepared.images[contrast]
        expected = recorded[name]["preprocessed"]
        assert image.shape == (224, 224, 160)
        np.testing.assert_allclose(image[100:116, 30:46, 120:160], blocks[f"{name}.block"].squeeze(), atol=1e-6)
        assert float(image.mean(dtype=np.float64)) == pytest.approx(expected["mean"], abs=1e-6)
        assert float(image.std(dtype=np.float64)) == pytest.approx(expected["std"], abs=1e-6)
        assert image[0, 0, 0] == pytest.approx(expected["background_value_at_0_0_0_0"], abs=1e-6)
        assert image[0, 0, 159] == expected["pad_value_at_0_0_0_159"]
        assert hashlib.sha256(image.tobytes()).hexdigest() == expected["sha256_float32"]


def test_condition_equals_the_authors_on_the_brats_grid(golden_volumes):
    recorded = json.loads((GOLDENS / "cwdm" / "preprocess.json").read_text())["cond"]
    block = load_file(GOLDENS / "cwdm" / "preprocess.safetensors")["cond.block"].squeeze()
    prepared = prepare(golden_volumes, OFFICIAL)
    packed = [_wavelet.pack(torch.from_numpy(prepared.images[c])[None, None]) for c in THREE]
    condition = torch.cat(packed, dim=1)[0].numpy()
    np.testing.assert_allclose(condition[:, 50:54, 15:23, 70:80], block, atol=2e-6)
    np.testing.assert_allclose(condition.mean((1, 2, 3), dtype=np.float64), recorded["channel_mean"], atol=1e-6)
    np.testing.assert_allclose(condition.std((1, 2, 3), dtype=np.float64), recorded["channel_std"], atol=1e-6)


def test_post_processing_equals_the_authors_on_the_brats_grid(golden_volumes):
    """The authors' automatic mode with its sampling loop replaced by a known result."""
    blocks = load_file(GOLDENS / "cwdm" / "preprocess.safetensors")
    prepared = prepare(golden_volumes, OFFICIAL)
    condition = torch.cat([_wavelet.pack(torch.from_numpy(prepared.images[c])[None, None]) for c in THREE], dim=1)
    noise = np.random.default_rng([4242, 99]).standard_normal((1, 8, 112, 112, 80)).astype(np.float32)
    sample = condition.view(1, 3, 8, 112, 112, 80).mean(1) + 0.02 * torch.from_numpy(noise)
    np.testing.assert_allclose(sample[0, :, 50:54, 15:23, 70:80].numpy(), blocks["sample.block"].squeeze(), atol=2e-6)
    image = _wavelet.unpack(sample)[0, 0]
    image = torch.where(image <= 0.04, 0.0, image).numpy()
    whole = prepared.recipe.window.undo(image)
    assert whole.shape == (240, 240, 155)
    np.testing.assert_allclose(whole[108:124, 38:54, 120:155], blocks["output.block"].squeeze(), atol=2e-6)


def test_a_floor_keeps_background_at_zero(golden_volumes):
    slightly = {contrast: golden_volumes[contrast] for contrast in (Contrast.T1, Contrast.T1C)}
    voxels = slightly[Contrast.T1].voxels.copy()
    voxels[100:110, 100:110, 70:80] = -50  # as interpolation leaves them
    slightly[Contrast.T1] = volume(voxels, BRATS_AFFINE, "t1")
    prepared = prepare(slightly, OFFICIAL.model_copy(update={"clip_floor": 0.0}))
    assert all(image[0, 0, 0] == 0 for image in prepared.images.values())


def test_a_standardised_image_is_refused():
    voxels = head_voxels(Contrast.T1).astype(np.float32)
    brain = voxels != 0
    voxels[brain] = (voxels[brain] - voxels[brain].mean()) / voxels[brain].std()
    with pytest.raises(StudyRefused, match="it was standardised"):
        prepare({Contrast.T1: volume(voxels, OBLIQUE)}, ANY)


@pytest.mark.parametrize(
    "codes", ["".join(p) for o in itertools.permutations(("LR", "AP", "SI")) for p in itertools.product(*o)]
)
def test_every_orientation_reaches_the_networks_frame_and_comes_back(codes):
    ras = head_voxels(Contrast.T1, (20, 26, 18))
    ras[:10, :, :] //= 2  # left and right differ
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(codes))
    )
    voxels = nib.orientations.apply_orientation(ras, turn)
    affine = np.eye(4) @ nib.orientations.inv_ornt_aff(turn, ras.shape)
    prepared = prepare({Contrast.T1: volume(voxels, affine)}, ANY)
    expected = prepare({Contrast.T1: volume(ras, np.eye(4))}, ANY)
    np.testing.assert_array_equal(prepared.images[Contrast.T1], expected.images[Contrast.T1])
    back = restore(prepared.images[Contrast.T1], prepared.recipe)
    scaled = prepared.recipe.ranges[Contrast.T1].normalise(voxels)
    np.testing.assert_array_equal(back, np.where(voxels != 0, scaled, 0))


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 3.0), (2.0, 1.0, 1.0), (0.9, 0.9, 0.9)])
def test_other_spacings_are_brought_to_one_millimetre_and_back(spacing):
    affine = nib.affines.from_matvec(OBLIQUE[:3, :3] / np.linalg.norm(OBLIQUE[:3, :3], axis=0) * spacing, [3.0, -7, 11])
    shape = tuple(int(60 / step) for step in spacing)
    axes = np.meshgrid(*[np.linspace(-1.25, 1.25, n) for n in shape], indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    smooth = np.where(radius < 1, 200 + 700 * np.exp(-3 * radius**2), 0).astype(np.float32)
    prepared = prepare({Contrast.T1: volume(smooth, affine)}, ANY)
    assert prepared.recipe.resampled is not None
    np.testing.assert_allclose(prepared.recipe.resampled.spacing, 1.0, atol=1e-9)
    back = restore(prepared.images[Contrast.T1], prepared.recipe)
    assert back.shape == shape
    inner = radius < 0.8
    expected = prepared.recipe.ranges[Contrast.T1].normalise(smooth)
    assert np.abs(back - expected)[inner].mean() < 0.03
    assert (back[smooth == 0] == 0).all()


def test_a_head_larger_than_the_window_widens_it_with_a_warning():
    huge = np.full((240, 260, 170), 500, np.float32)
    huge[0] = 0
    huge[30:200, 30:230, 60:80] = 0  # zeros enough that the rest is no scanner's noise
    huge[huge > 0] += np.random.default_rng(0).normal(0, 50, np.count_nonzero(huge))
    prepared = prepare({Contrast.T1: volume(huge, np.diag([-1.0, -1, 1, 1]))}, OFFICIAL)
    assert prepared.recipe.window.size == (256, 288, 192)
    assert any("widened" in warning for warning in prepared.warnings)
    back = restore(prepared.images[Contrast.T1], prepared.recipe)
    np.testing.assert_array_equal(back > 0, prepared.recipe.ranges[Contrast.T1].normalise(huge) > 0)


def test_brats_window_is_the_authors_and_others_centre_on_the_head():
    head = np.zeros((240, 240, 155), bool)
    head[40:200, 30:210, 5:150] = True
    assert choose_window(head, BRATS_WINDOW, 32) == Window((8, 8, 0), BRATS_WINDOW, (240, 240, 155))
    small = np.zeros((182, 218, 182), bool)
    small[20:160, 20:200, 10:150] = True
    window = choose_window(small, BRATS_WINDOW, 32)
    assert window.start == (-22, -2, 0)
    assert window.undo(window.apply(small)).tobytes() == small.tobytes()


def test_sources_on_different_grids_are_interpolated_with_a_warning():
    volumes = three()
    coarse = Grid((20, 24, 18), OBLIQUE @ np.diag([2.0, 2, 2, 1]))
    volumes[Contrast.T2] = volume(head_voxels(Contrast.T2)[::2, ::2, ::2], coarse.affine, "coarse")
    prepared = prepare(volumes, ANY)
    assert prepared.recipe.reference is Contrast.T1
    (warning,) = [text for text in prepared.warnings if text.startswith("t2")]
    assert "t2 lies on another grid; it was interpolated" in warning
    assert "measured every 4.7 mm" in warning


def test_sources_that_do_not_lie_on_each_other_are_refused():
    volumes = three()
    moved = OBLIQUE.copy()
    moved[:3, 3] += 15
    volumes[Contrast.T2] = volume(head_voxels(Contrast.T2), moved, "moved")
    with pytest.raises(StudyRefused, match="does not lie on the others"):
        prepare(volumes, ANY)


def test_sources_with_skull_are_told():
    draw = np.random.default_rng(0)
    coarse = OBLIQUE @ np.diag([5.0, 5, 5, 1])
    prepared = prepare({c: volume(draw.integers(1, 900, (30, 30, 30)), coarse, c) for c in THREE}, ANY)
    assert any("not skull-stripped" in warning and "--brain-mask" in warning for warning in prepared.warnings)


def test_of_sources_with_slices_as_thin_the_one_that_covers_most_is_the_reference():
    volumes = three()
    wide = Grid((40, 48, 40), OBLIQUE)
    volumes[Contrast.T2] = volume(head_voxels(Contrast.T2, wide.shape), OBLIQUE, "wide")
    assert choose_reference(volumes) is Contrast.T2


def test_the_result_goes_onto_the_grid_that_is_named():
    host = volume(np.zeros((30, 30, 30)), OBLIQUE @ np.diag([1.5, 1.5, 1.5, 1]), "host")
    prepared = prepare(three(), ANY, (Contrast.FLAIR, host))
    assert prepared.recipe.reference is Contrast.FLAIR
    back = restore(prepared.images[Contrast.T1], prepared.recipe)
    assert back.shape == host.grid.shape
    assert back.any()


def test_an_image_without_grey_values_is_refused():
    voxels = np.zeros((100, 100, 100), np.float32)
    voxels[50, 50, 45:55] = np.arange(10)
    with pytest.raises(StudyRefused, match="no grey values"):
        prepare({Contrast.T1: volume(voxels, np.eye(4))}, ANY)


def test_scale_is_the_median_of_the_sources_upper_percentiles():
    volumes = three()
    tops = [np.percentile(v.voxels[v.voxels != 0], 99.9) for v in volumes.values()]
    assert prepare(volumes, ANY).recipe.scale == pytest.approx(np.median(tops))
