"""One image under two contrasts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrimpute import io
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import StudyRefused
from mrimpute.prepare.doubles import check_doubles, correlation
from mrimpute.volume import Grid, Volume
from tests.conftest import OBLIQUE, head_voxels

T1, T1C, T2, FLAIR = BRATS_FOUR


def volume(contrast, scale=1.0, shape=(40, 48, 36)):
    voxels = head_voxels(contrast, shape).astype(np.float32) * scale
    return Volume(voxels, Grid(shape, OBLIQUE), Path(f"{contrast}.nii.gz"), contrast)


def test_four_contrasts_of_one_head_are_four_images():
    check_doubles({contrast: volume(contrast) for contrast in BRATS_FOUR})


@pytest.mark.parametrize("change", [lambda v: v, lambda v: v * 3, lambda v: v + (v > 0) * 5])
def test_the_same_image_under_two_names_is_refused(change):
    copy = volume(T1)
    copy = replace(copy, voxels=change(copy.voxels), path=Path("copy.nii.gz"))
    with pytest.raises(StudyRefused, match=r"t1 \(t1\.nii\.gz\) and t1c \(copy\.nii\.gz\) show the same image"):
        check_doubles({T1: volume(T1), T1C: copy, T2: volume(T2)})


def test_a_constant_image_has_no_likeness():
    flat = replace(volume(T1), voxels=np.ones((40, 48, 36), np.float32))
    assert correlation(volume(T1), flat) == 0


@pytest.mark.data
def test_real_contrasts_are_told_apart(shared):
    folder = shared / "data" / "glioma-brats-space" / "TCGA-DU-7294"
    words = {"t1": "t1n", "t1c": "t1c", "t2": "t2w", "flair": "t2f"}
    found = {Contrast(c): io.read_volume(folder / f"TCGA-DU-7294-{word}.nii.gz") for c, word in words.items()}
    check_doubles(found)
