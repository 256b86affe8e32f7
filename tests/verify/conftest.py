"""Synthetic images as the real command line makes them: NIfTI, classic and enhanced DICOM."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mrimpute.contrasts import Contrast
from tests.dicom_builders import enhance

THREE = (Contrast.T1, Contrast.T1C, Contrast.T2)


@pytest.fixture
def made(make_study, cli, tiny_weights) -> Path:
    """A NIfTI study with a synthetic FLAIR; return that image."""
    study = make_study()
    assert cli("fill", study, "--weights", tiny_weights[Contrast.FLAIR], "--device", "cpu").returncode == 0
    return study / "case-t2f.nii.gz"


@pytest.fixture
def made_series(build, cli, tiny_weights) -> Callable[..., Path]:
    """Make a DICOM study with a synthetic FLAIR; return the folder of its series."""

    def make(family: str = "classic") -> Path:
        for number, contrast in enumerate(THREE, 1):
            folder = build(contrast, number=number, root=family)
            if family == "enhanced":
                enhance(folder)
        done = cli("fill", folder.parent, "--weights", tiny_weights[Contrast.FLAIR], "--device", "cpu")
        assert done.returncode == 0, done.stderr
        return folder.parent / "mrimpute_flair"

    return make
