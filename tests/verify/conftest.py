"""Synthetic images as the real command line makes them: NIfTI, classic and enhanced DICOM."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mrimpute.contrasts import Contrast
from tests.dicom_builders import enhance

THREE = (Contrast.T1, Contrast.T1C, Contrast.T2)


@pytest.fixture(scope="session")
def kept(tmp_path_factory) -> Path:
    """Filled studies by name: each is made once, and copied for every test."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def filled(kept, cli, tiny_weights, tmp_path) -> Callable[[str, Callable[[], object]], Path]:
    """Return a filled study of the test's own; what is given writes its sources, if none of that name is kept."""

    def study_of(name: str, write_sources: Callable[[], object]) -> Path:
        if (kept / name).exists():
            shutil.copytree(kept / name, tmp_path / name)
        else:
            write_sources()
            done = cli("fill", tmp_path / name, "--weights", tiny_weights[Contrast.FLAIR], "--device", "cpu")
            assert done.returncode == 0, done.stderr
            shutil.copytree(tmp_path / name, kept / name)
        return tmp_path / name

    return study_of


@pytest.fixture
def made(make_study, filled) -> Path:
    """A NIfTI study with a synthetic FLAIR; return that image."""
    return filled("case", make_study) / "case-t2f.nii.gz"


@pytest.fixture
def made_series(build, filled) -> Callable[..., Path]:
    """Make a DICOM study with a synthetic FLAIR; return the folder of its series."""

    def make(family: str = "classic") -> Path:
        def write_sources() -> None:
            for number, contrast in enumerate(THREE, 1):
                folder = build(contrast, number=number, root=family)
                if family == "enhanced":
                    enhance(folder)

        return filled(family, write_sources) / "mrimpute_flair"

    return make
