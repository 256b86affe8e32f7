"""A computed head to try things on: four contrasts in register, no patient's data.

Anatomy is drawn with smooth random fields (folded cortex, ventricles, deep nuclei, cerebellum, a
lesion); grey values follow from tissue T1, T2 and proton density by the spin-echo and
inversion-recovery signal equations (Bernstein, King & Zhou, Handbook of MRI Pulse Sequences, 2004,
chapters 14.1 and 14.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.errors import OutputRefused
from mrimpute.io import nifti
from mrimpute.settings import SETTINGS_FILE
from mrimpute.study.names import SCHEMES
from mrimpute.volume import BoolArray, FloatArray, Grid

SHAPE = (240, 240, 155)
AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 239], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])
"""The BraTS grid: 1 mm, array axes towards left, posterior, superior."""
_BOX = (160, 192, 144)
_CENTRE = (120.0, 122.0, 76.0)


@dataclass(frozen=True)
class Tissue:
    """Relaxation times in ms at 3 T, relative proton density, and T1 after contrast agent."""

    t1: float
    t2: float
    density: float
    t1_agent: float | None = None


TISSUES = {
    "white": Tissue(850, 72, 0.71),
    "grey": Tissue(1350, 98, 0.83),
    "nuclei": Tissue(1150, 84, 0.80),
    "fluid": Tissue(4200, 1800, 1.0),
    "oedema": Tissue(1650, 170, 0.88),
    "core": Tissue(2400, 320, 0.93),
    "rim": Tissue(1450, 125, 0.86, t1_agent=600),
    "vessel": Tissue(1700, 60, 0.75, t1_agent=500),
}


def signal(tissue: Tissue, contrast: Contrast) -> float:
    """Return the relative signal of a tissue.

    t1, t1c: inversion-prepared, TR 2300, TE 3, TI 1100 ms; t2: spin echo, TR 5000, TE 100 ms;
    flair: TR 9000, TE 125, TI 2500 ms.

    Raises:
        KeyError: a contrast that the phantom does not have.
    """
    times = {
        Contrast.T1: (2300, 3, 1100),
        Contrast.T1C: (2300, 3, 1100),
        Contrast.T2: (5000, 100, None),
        Contrast.FLAIR: (9000, 125, 2500),
    }
    repetition, echo, inversion = times[contrast]
    t1 = tissue.t1_agent if contrast is Contrast.T1C and tissue.t1_agent else tissue.t1
    recovery = 1 - np.exp(-repetition / t1)
    if inversion is not None:
        recovery = abs(1 - 2 * np.exp(-inversion / t1) / (1 + np.exp(-repetition / t1)))
    return float(tissue.density * recovery * np.exp(-echo / tissue.t2))


def write_example(folder: Path, contrasts: Sequence[Contrast], seed: int = 0) -> list[Path]:
    """Write a computed head as NIfTI files under BraTS names, and settings that fill it offline.

    Args:
        folder: made where it does not exist.
        contrasts: of t1, t1c, t2, flair.
        seed: another seed is another head.

    Returns:
        The files, in the order of `contrasts`.

    Raises:
        OutputRefused: a file exists, or the folder cannot be written.
    """
    words = SCHEMES[0].words
    paths = [folder / f"example-{words[contrast]}.nii.gz" for contrast in contrasts]
    for path in paths:
        if path.exists():
            raise OutputRefused(f"{path} exists already", "choose a new folder")
    grid = Grid(SHAPE, AFFINE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        images = head(contrasts, seed)
        for path, contrast in zip(paths, contrasts, strict=True):
            path.write_bytes(nifti.encode(images[contrast], grid, None, "computed phantom (mrimpute example)"))
        (folder / SETTINGS_FILE).write_text(
            '# so that this example can be filled without a network\nweights = "builtin"\n'
        )
    except OSError as error:
        raise OutputRefused(f"cannot write in {folder} ({error.strerror})", "choose another folder") from error
    return paths


def head(contrasts: Sequence[Contrast], seed: int) -> dict[Contrast, FloatArray]:
    """Return (240, 240, 155) float32 images in register, 0 outside the brain."""
    draw = np.random.default_rng(seed)
    fractions, brain = _anatomy(draw)
    bias = 1 + 0.06 * _smooth_field(draw, 60)
    start = [round(centre - size / 2) for centre, size in zip(_CENTRE, _BOX, strict=True)]
    box = tuple(slice(low, low + size) for low, size in zip(start, _BOX, strict=True))
    images = {}
    for contrast in contrasts:
        weights = [np.float32(signal(TISSUES[name], contrast)) for name in fractions]
        clean = np.sum([weight * part for weight, part in zip(weights, fractions.values(), strict=True)], axis=0)
        scale = 1200 / signal(TISSUES["white"], Contrast.T1) if contrast in (Contrast.T1, Contrast.T1C) else 6000
        noise = draw.normal(0, 0.012 * float(np.percentile(clean[brain], 95)), (2, *_BOX))
        noisy = np.hypot(clean * bias + noise[0], noise[1])
        image = np.zeros(SHAPE, np.float32)
        image[box] = np.where(brain, np.round(scale * noisy), 0)
        images[contrast] = image
    return images


def _anatomy(draw: np.random.Generator) -> tuple[dict[str, FloatArray], BoolArray]:
    """Return the fraction of each tissue in each voxel of the box, and the brain's mask."""
    x, y, z = np.meshgrid(*[np.arange(n, dtype=np.float32) - n / 2 for n in _BOX], indexing="ij", sparse=True)
    side = np.abs(x)  # mm from the midline; y runs to the back, z up
    wobble = [_smooth_field(draw, 22) for _ in range(3)]
    sx, sy, sz = side + 2.5 * wobble[0], y + 3 * wobble[1], z + 3 * wobble[2]

    cerebrum = _ellipsoid(side - 4 + 1.5 * wobble[0], sy, sz - 14, (62, 84, 56))
    temporal = _ellipsoid(sx - 38, sy + 12, sz + 22, (24, 42, 24))
    cerebellum = _ellipsoid(sx - 14, sy - 48, sz + 42, (36, 27, 22))
    stem = _ellipsoid(sx, sy - 18 + 0.25 * (sz + 40), sz + 38, (13, 13, 30))
    big = np.maximum(cerebrum, temporal)
    depth = np.maximum(big, np.maximum(cerebellum, stem))
    brain = depth > 0

    folds = np.minimum(_sheet(draw, 13, big, 17), _sheet(draw, 19, big, 24))
    leaves = _sheet(draw, 5, cerebellum, 12)
    fissure = np.where(sz > 0, side, side + np.maximum(0, 12 - np.abs(sy)) + 0.8 * np.abs(sz)) + np.maximum(
        0, np.float32(30) - np.hypot(sy * 0.55, sz - 4)
    )
    cerebral = big > np.maximum(cerebellum, stem)
    pial = np.where(
        cerebral,
        np.minimum(np.minimum(big, folds), fissure * 1.2),
        np.minimum(cerebellum + 8 * (stem > cerebellum), leaves + 0.6),
    )
    labels = np.where(pial < 4.0, 1, 0)  # 0 white, 1 grey, 2 nuclei, 3 fluid, then the lesion
    labels[(stem > 0) & (stem > cerebellum) & ~cerebral] = 0

    for centre, size in (((13, -14, 10), (6, 13, 9)), ((27, -2, 4), (7, 15, 10)), ((11, 14, 6), (9, 13, 9))):
        labels[_ellipsoid(sx - centre[0], sy - centre[1], sz - centre[2], size) > 0] = 2
    horn = np.abs(sx - 7 - 0.0045 * sy**2)
    ventricle = np.minimum(7.0 - horn - 0.04 * np.abs(sy), 7.0 - np.abs(sz - 17 + 0.007 * sy**2))
    ventricle = np.where((sy > -42) & (sy < 48), ventricle, -1)
    third = np.minimum(2.2 - side, np.minimum(14 - np.abs(sy - 4), 10 - np.abs(sz - 2)))
    labels[(ventricle > 0) | (third > 0)] = 3
    labels[(pial < 1.1) & brain] = 3

    lesion = _ellipsoid(x - 34 - 5 * wobble[2], sy - 8, sz - 24, (17, 20, 16)) + 4 * _smooth_field(draw, 9)
    inside = (pial > 1.1) & (labels != 3)
    labels[(lesion > -7) & inside & (labels == 0)] = 4
    labels[(lesion > 2) & inside] = 6
    labels[(lesion > 6.5) & inside] = 5
    labels[(side < 3.5) & (cerebrum < 6) & (cerebrum > -3) & (sz > 0) & brain] = 7

    names = tuple(TISSUES)
    order = ("white", "grey", "nuclei", "fluid", "oedema", "core", "rim", "vessel")
    assert names == order
    fractions = {name: _blur(labels == index) for index, name in enumerate(names)}
    return fractions, brain


def _ellipsoid(x: FloatArray, y: FloatArray, z: FloatArray, radii: tuple[float, float, float]) -> FloatArray:
    """Return roughly the distance in mm to an ellipsoid's surface, positive inside."""
    radius = np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2)
    return np.asarray((1 - radius) * np.float32(min(radii)), np.float32)


def _sheet(draw: np.random.Generator, size_mm: float, depth: FloatArray, reach_mm: float) -> FloatArray:
    """Return roughly the distance in mm to folded sheets that reach down from a surface.

    The sheets are where a smooth random field is zero; below the reach they fade out.
    """
    field = _smooth_field(draw, size_mm)
    steepness = np.sqrt(sum(np.square(slope) for slope in np.gradient(field)))
    distance = np.abs(field) / (steepness + 0.02)
    return np.asarray(distance + np.maximum(0, depth - reach_mm) * 0.7, np.float32)


def _smooth_field(draw: np.random.Generator, size_mm: float) -> FloatArray:
    """Return Gaussian noise over the box, smoothed to structures of about this size, variance 1."""
    spectrum = np.fft.rfftn(draw.standard_normal(_BOX, dtype=np.float32))
    field = np.fft.irfftn(spectrum * _transfer(size_mm / np.pi), _BOX, axes=(0, 1, 2))
    return np.asarray(field / field.std(), np.float32)


def _blur(mask: BoolArray) -> FloatArray:
    """Return a mask with the soft edges that finite voxels give it."""
    return np.asarray(np.fft.irfftn(np.fft.rfftn(mask) * _transfer(0.6), _BOX, axes=(0, 1, 2)), np.float32)


def _transfer(sigma: float) -> FloatArray:
    """Return the frequency response of a Gaussian of this width in voxels, for rfftn."""
    x, y, z = (np.fft.fftfreq(_BOX[0]), np.fft.fftfreq(_BOX[1]), np.fft.rfftfreq(_BOX[2]))
    squared = x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2
    return np.asarray(np.exp(-2 * np.pi**2 * sigma**2 * squared), np.float32)
