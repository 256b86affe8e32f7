"""One study in other files, or in more or less empty margin: the same image comes of it."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrimpute import Options, fill, io
from mrimpute.contrasts import Contrast
from mrimpute.evaluate import normalised
from mrimpute.prepare import prepare
from mrimpute.registry import InputSpec, load_registry
from mrimpute.study import find_series
from mrimpute.volume import Grid, Volume
from tests.conftest import OBLIQUE, WORDS, head_voxels, write_nifti

FLAIR, T1, T2 = Contrast.FLAIR, Contrast.T1, Contrast.T2
THREE = (T1, Contrast.T1C, T2)
MARGINS = {
    "padded": [(32, 32)] * 3,
    "padded on one side": [(32, 0), (0, 7), (1, 0)],
    "padded otherwise": [(3, 5), (0, 0), (11, 2)],
    "cropped": [(-1, -2), (-2, -1), (-1, -1)],
    "cropped on one side": [(-2, 0), (0, -2), (0, -1)],
    "cropped and padded": [(-2, 9), (4, -2), (-1, 6)],
}
"""What is added before and after each axis of a head that has two empty voxels and more around it."""


def moved(voxels: np.ndarray, affine: np.ndarray, margin: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with other margin, whose voxels lie where they lay."""
    added = np.pad(voxels, [(max(low, 0), max(high, 0)) for low, high in margin])
    cut = tuple(slice(max(-low, 0), n - max(-high, 0)) for (low, high), n in zip(margin, added.shape, strict=True))
    shifted = affine.copy()
    shifted[:3, 3] -= affine[:3, :3] @ [low for low, _ in margin]
    return added[cut], shifted


def in_space(path: Path) -> np.ndarray:
    """Return the voxels of an image that are not 0, from left to right, back to front and down to up."""
    image = nib.as_closest_canonical(nib.load(path))
    voxels = np.asarray(image.dataobj)
    found = np.argwhere(voxels)
    low, high = found.min(axis=0), found.max(axis=0) + 1
    return voxels[tuple(slice(*ends) for ends in zip(low, high, strict=True))]


@pytest.fixture
def made(tiny_weights, tmp_path):
    """Fill a study that is written by `change` from (voxels, affine), and return the FLAIR."""
    options = Options(weights=(str(tiny_weights[FLAIR]),), device="cpu")

    def make(name, change, ending=".nii.gz"):
        for contrast in THREE:
            head = np.round(head_voxels(contrast, (40, 48, 36)))
            path = tmp_path / name / f"{name}{WORDS['brats23'][contrast]}{ending}"
            write_nifti(path, *change(head.astype(np.int16), OBLIQUE))
        return in_space(fill(tmp_path / name, [FLAIR], options).outputs[0].path)

    return make


def turned(voxels, affine):
    """Store the same image with its axes in another order and direction."""
    image = nib.Nifti1Image(voxels, affine).as_reoriented([[1, -1], [2, 1], [0, -1]])
    return np.asarray(image.dataobj), image.affine


def test_the_noise_follows_the_image_not_the_file(made):
    plain = made("plain", lambda voxels, affine: (voxels, affine))
    others = {
        "not compressed": made("bare", lambda voxels, affine: (voxels, affine), ".nii"),
        "float64": made("double", lambda voxels, affine: (voxels.astype(np.float64), affine)),
        "other axes": made("turned", turned),
    }
    assert plain.std() > 0
    for name, other in others.items():
        np.testing.assert_allclose(other, plain, atol=2e-5 * plain.max(), err_msg=name)
    nudged = made("nudged", lambda voxels, affine: (voxels + (voxels == voxels.max()), affine))
    assert np.abs(nudged - plain).max() > 1e-3 * plain.max()  # another image has another noise


def test_the_noise_of_dicom_is_that_of_equal_nifti(build, tiny_weights, tmp_path):
    for number, contrast in enumerate(THREE, 1):
        build(contrast, number=number)
    study = find_series(tmp_path / "study")
    for contrast in THREE:
        volume = study.get(contrast).read()
        path = tmp_path / "copy" / f"copy{WORDS['brats23'][contrast]}.nii.gz"
        write_nifti(path, np.asarray(volume.voxels, np.float32), volume.grid.affine)
    options = Options(weights=(str(tiny_weights[FLAIR]),), device="cpu", format="nifti")
    images = [in_space(fill(tmp_path / name, [FLAIR], options).outputs[0].path) for name in ("study", "copy")]
    np.testing.assert_allclose(images[0], images[1], atol=2e-5 * images[1].max())


@pytest.mark.parametrize("margin", MARGINS.values(), ids=MARGINS)
@pytest.mark.parametrize("name", ["cwdm-flair-small", "syndiff-flair-from-t2-small"])
def test_empty_margin_does_not_count(margin, name):
    """At 1 mm, where nothing is interpolated, not in the last bit; else in the last bits alone."""
    inputs = load_registry()[name].record.inputs
    for spacing, tolerance in ((1.0, 0.0), (0.7191, 1e-4)):
        affine = np.diag([-spacing, -spacing, 2 * spacing - 1, 1.0]) + np.outer([1, 1, 1, 0], [0, 0, 0, 31.3])
        head = head_voxels(T2, (40, 48, 36))
        ready = [
            prepare({T2: Volume(voxels, Grid(voxels.shape, where), Path("x"), "0")}, inputs)
            for voxels, where in ((head, affine), moved(head, affine, margin))
        ]
        assert ready[0].content == ready[1].content
        assert ready[0].recipe.ranges == ready[1].recipe.ranges
        np.testing.assert_array_equal(ready[0].head, ready[1].head)
        np.testing.assert_allclose(ready[0].images[T2], ready[1].images[T2], rtol=0, atol=tolerance)


def test_an_image_with_more_margin_is_filled_alike(made):
    plain = made("plain", lambda voxels, affine: (voxels, affine))
    padded = made("padded", lambda voxels, affine: moved(voxels, affine, MARGINS["padded"]))
    np.testing.assert_allclose(padded, plain, atol=1e-3 * plain.max())


def test_the_quantiles_are_those_of_a_volume_that_the_head_fills_to_15_percent():
    inputs = InputSpec(orientation="LPS", spacing_mm=1.0, multiple=8, clip_quantiles=(0.001, 0.999))
    tissue = np.random.default_rng(0).gamma(4.0, 100.0, (30, 40, 30)).astype(np.float32)
    voxels = np.pad(tissue, [(15, 15), (20, 20), (10, 10)])  # 36000 of 240000
    volume = Volume(voxels, Grid(voxels.shape, np.diag([-1.0, -1.0, 1.0, 1.0])), Path("x"), "0")
    whole = prepare({T1: volume}, inputs).recipe.ranges[T1]
    head = prepare({T1: volume}, inputs.model_copy(update={"quantiles_of": "head"})).recipe.ranges[T1]
    assert (whole.low, head.low) == (0.0, 0.0)
    assert head.high == pytest.approx(whole.high, rel=2e-3)
    np.testing.assert_allclose(normalised(volume).max(), 1.0)


@pytest.mark.parametrize("name", ["syndiff-t2-from-t1-brats", "syndiff-t1-from-t2-brats"])
def test_the_authors_syndiff_sees_one_head_alike_in_three_crops(name):
    record = load_registry()[name].record
    (source,) = record.sources
    head = head_voxels(source, (40, 48, 36))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    seen = []
    for margin in ([(0, 0)] * 3, MARGINS["padded"], MARGINS["cropped"]):
        voxels, where = moved(head, affine, margin)
        ready = prepare({source: Volume(voxels, Grid(voxels.shape, where), Path("x"), "0")}, record.inputs)
        seen.append(ready.images[source])
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-6)
    np.testing.assert_allclose(seen[2], seen[0], atol=1e-6)
    inside = seen[0][seen[0] > 0]
    assert inside.mean() == pytest.approx(record.inputs.mean_to[source], rel=0.05)
    assert (inside == 1).mean() < 0.02


def test_the_authors_syndiff_does_not_see_a_saturated_brain(shared):
    volume = io.read_volume(shared / "data" / "glioma-brats-space" / "TCGA-DU-7294" / "TCGA-DU-7294-t1n.nii.gz")
    inputs = load_registry()["syndiff-t2-from-t1-brats"].record.inputs
    tissue = prepare({T1: replace(volume)}, inputs).images[T1][1:]
    tissue = tissue[tissue > 0]
    assert (tissue == 1).mean() < 0.001  # half of it was 1 while the mean of the whole volume was the anchor
    assert np.median(tissue) == pytest.approx(0.30, abs=0.03)  # of the authors' sample slices 0.30


def test_it_is_told_where_a_source_ends_inside_the_head(cli, tmp_path, tiny_weights):
    longer = OBLIQUE @ np.diag([1, 1, 1.4, 1])
    for contrast in (Contrast.T1, Contrast.T1C, Contrast.T2):
        first = 11 if contrast is Contrast.T1C else 0
        affine = longer @ nib.affines.from_matvec(np.eye(3), [0, 0, first])
        name = f"case{WORDS['brats23'][contrast]}.nii.gz"
        write_nifti(tmp_path / "case" / name, head_voxels(contrast)[:, :, first:], affine)
    done = cli("fill", tmp_path / "case", "--missing", "flair", "--weights", tiny_weights[Contrast.FLAIR])
    assert done.returncode == 0, done.stderr
    assert "t1c ends inside the head" in done.stderr
    assert "t2 ends" not in done.stderr
