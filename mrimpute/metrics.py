"""How near a synthetic image comes to the acquired one: PSNR, SSIM and NMSE on [0, 1].

Definitions: data range 1; SSIM in 3-D with a uniform window of 7 voxels and sample covariances
(Wang et al. 2004, eq. 13); NMSE = squared error / squared target.
"""

from dataclasses import dataclass

import numpy as np

from mrimpute.errors import UsageError
from mrimpute.volume import BoolArray, FloatArray

SSIM_WINDOW = 7
_K1, _K2 = 0.01, 0.03


@dataclass(frozen=True)
class Score:
    """Metrics in one region; PSNR in dB (infinite for equal images), SSIM at most 1, NMSE from 0."""

    psnr: float
    ssim: float
    nmse: float
    voxels: int


def decibels(squared: float) -> float:
    """Return the PSNR in dB of a mean squared error of values in [0, 1], 120 at most."""
    return -10 * float(np.log10(max(squared, 1e-12)))


@dataclass(frozen=True)
class Texture:
    """How lively an image is in the brain, as ratios of the synthetic to the acquired image; 1 is alike.

    Attributes:
        between_slices: mean absolute difference of neighbouring axial slices: above 1, slices that
            were made one by one do not fit together; below 1, the image is smooth.
        sharpness: gradient energy (mean squared difference of neighbouring voxels, all axes).
    """

    between_slices: float
    sharpness: float


def texture(made: FloatArray, truth: FloatArray, brain: BoolArray, through: int) -> Texture:
    """Compare differences of neighbouring voxels that both lie in the brain.

    Args:
        made, truth: (X, Y, Z) in [0, 1].
        brain: (X, Y, Z).
        through: the array axis along which axial slices follow each other.
    """
    steps = [(_steps(made, brain, axis), _steps(truth, brain, axis)) for axis in range(3)]
    across = steps[through]
    energy = [sum(float(np.square(pair[which]).sum()) for pair in steps) for which in (0, 1)]
    return Texture(_ratio(float(np.abs(across[0]).sum()), float(np.abs(across[1]).sum())), _ratio(energy[0], energy[1]))


def _steps(image: FloatArray, brain: BoolArray, axis: int) -> FloatArray:
    """Return the differences of neighbours along an axis that both lie in the brain, (N,)."""
    near = (slice(None),) * axis
    first, second = (*near, slice(None, -1)), (*near, slice(1, None))
    both = brain[second] & brain[first]
    differences: FloatArray = image[second][both] - np.asarray(image[first][both], np.float64)
    return differences


def _ratio(one: float, other: float) -> float:
    return one / other if other else float("nan")


def score(made: FloatArray, truth: FloatArray, regions: dict[str, BoolArray]) -> dict[str, Score]:
    """Return the metrics of each region.

    Args:
        made, truth: (X, Y, Z) in [0, 1].
        regions: name → (X, Y, Z) mask; one of all True is the whole volume.

    Raises:
        UsageError: shapes differ, a region is empty, or the volume is smaller than the window.
    """
    if made.shape != truth.shape:
        raise UsageError(f"the images have {made.shape} and {truth.shape} voxels", "evaluate images on one grid")
    if min(truth.shape) < SSIM_WINDOW:
        raise UsageError(f"an axis has fewer than {SSIM_WINDOW} voxels", "SSIM needs at least that many")
    squared = np.square(np.asarray(made, np.float64) - truth)
    similarity = ssim_map(made, truth)
    return {name: _score(squared, truth, similarity, region, name) for name, region in regions.items()}


def ssim_map(made: FloatArray, truth: FloatArray) -> FloatArray:
    """Return the local structural similarity: (X, Y, Z) → (X, Y, Z), at most 1."""
    x, y = np.asarray(made, np.float64), np.asarray(truth, np.float64)
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    count = SSIM_WINDOW**3
    sample = count / (count - 1)
    variance_x = sample * (_local_mean(x * x) - mean_x**2)
    variance_y = sample * (_local_mean(y * y) - mean_y**2)
    covariance = sample * (_local_mean(x * y) - mean_x * mean_y)
    c1, c2 = _K1**2, _K2**2
    alike = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return alike / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))


def _score(squared: FloatArray, truth: FloatArray, similarity: FloatArray, region: BoolArray, name: str) -> Score:
    if not region.any():
        raise UsageError(f"the region '{name}' is empty", "check the mask")
    error = float(squared[region].mean())
    power = float(np.square(truth[region], dtype=np.float64).mean())
    inner = region.copy()
    if region.all():  # the mean of the whole volume leaves out the border, where windows are cut
        inner[:] = False
        inner[(slice(SSIM_WINDOW // 2, -(SSIM_WINDOW // 2)),) * 3] = True
    return Score(
        psnr=-10 * float(np.log10(error)) if error else float("inf"),
        ssim=float(similarity[inner].mean()),
        nmse=error / power if power else float("inf"),
        voxels=int(np.count_nonzero(region)),
    )


def _local_mean(voxels: FloatArray) -> FloatArray:
    """Return the mean over the window around each voxel, axis by axis from running sums; the border is repeated."""
    mean = voxels
    for axis in range(mean.ndim):
        margin = [(0, 0)] * mean.ndim
        margin[axis] = (SSIM_WINDOW // 2 + 1, SSIM_WINDOW // 2)
        sums = np.moveaxis(np.cumsum(np.pad(mean, margin, mode="edge"), axis=axis), axis, 0)
        mean = np.moveaxis((sums[SSIM_WINDOW:] - sums[:-SSIM_WINDOW]) / SSIM_WINDOW, 0, axis)
    return mean
