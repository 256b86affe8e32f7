"""Small studies of made-up scanners."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mrimpute.calibration.folder import CALIBRATION_TOML, GRAMS_FILE
from mrimpute.contrasts import BRATS_FOUR, Contrast
from tests.conftest import OBLIQUE, WORDS, write_nifti

Scan = Callable[..., Path]
GAMMA = {
    "old": {"t1": 1.0, "t1c": 1.0, "t2": 1.0, "flair": 1.0},
    "new": {"t1": 0.5, "t1c": 1.5, "t2": 2.0, "flair": 0.6},
}


def text_in(folder: Path) -> bytes:
    """Return what text a calibration's folder holds: its table, and the names in its file of numbers (in so many random
    bytes any three letters turn up by chance)."""
    grams = (folder / GRAMS_FILE).read_bytes()
    return (folder / CALIBRATION_TOML).read_bytes() + grams[8 : 8 + int.from_bytes(grams[:8], "little")]


def write_study(
    root: Path,
    name: str,
    seed: int,
    contrasts: Sequence[Contrast] = BRATS_FOUR,
    scanner: str = "new",
    spacing: float = 1.0,
) -> Path:
    """Write a study of one patient (seed): three tissues whose grey values a scanner's gammas decide."""
    draw = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in (24, 28, 20)], indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes)) + draw.normal(0, 0.02)
    waves = sum(np.sin(draw.uniform(3, 6) * axis + draw.uniform(0, 6)) for axis in axes) / 3
    fluid, grey = radius < 0.45 + 0.1 * waves, radius > 0.8 + 0.1 * waves
    table = {"t1": (0.2, 0.5, 0.8), "t1c": (0.3, 0.8, 0.55), "t2": (0.9, 0.5, 0.3), "flair": (0.1, 0.7, 0.5)}
    for contrast in contrasts:
        wet, cortex, white = table[contrast]
        values = np.where(fluid, wet, np.where(grey, cortex, white)) + draw.normal(0, 0.01, radius.shape)
        voxels = np.where(radius < 1, 1000 * np.clip(values, 0.02, 1) ** GAMMA[scanner][contrast], 0)
        affine = OBLIQUE @ np.diag([spacing, spacing, spacing, 1])
        write_nifti(root / name / f"{name}{WORDS['brats23'][contrast]}.nii.gz", voxels.astype(np.int16), affine)
    return root / name


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    """Write studies of made-up scanners into the test's own folder; see `write_study`."""
    return partial(write_study, tmp_path)
