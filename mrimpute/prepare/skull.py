"""Heads with skull: told by their volume, taken off by a mask or by an outside program.

No stripper is inside: their weights are not ours to ship. Two well-kept programs are called where
they are on PATH and the user asks for it.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mrimpute import io
from mrimpute.contrasts import Contrast
from mrimpute.errors import ImageDamaged, ResourcesExhausted, StudyRefused
from mrimpute.io import nifti
from mrimpute.prepare.geometry import resample
from mrimpute.prepare.once import once_each
from mrimpute.programs import last_words, run_program
from mrimpute.volume import BoolArray, Grid, Volume, box_of

STRIPPED_LITRES = 2.2
"""An image with more than this volume that is not zero is not skull-stripped. Measured: stripped
heads 1.1 to 1.5 litres, heads with skull 2.6 to 3.4."""
BRAIN_LITRES = (0.3, STRIPPED_LITRES)
"""What a brain mask may hold: from a newborn's brain on."""
FILLED_BY_NOISE = 0.9
"""An image of which more than this share is not zero has noise for air (scanners: 0.98)."""
SMOOTH_MM = 2.0
PROGRAMS = ("hd-bet", "mri_synthstrip")
"""In order of choice."""


@dataclass(frozen=True)
class BrainMask:
    """Where the brain is.

    Attributes:
        inside: (X, Y, Z).
        grid: of the mask.
        origin: name of its file, or of the program that made it.
        sha256: digest of mask and grid.
    """

    inside: BoolArray
    grid: Grid
    origin: str
    sha256: str

    @classmethod
    def of(cls, inside: BoolArray, grid: Grid, origin: str, path: object) -> "BrainMask":
        """Return a mask that holds a brain's volume.

        Raises:
            StudyRefused: it holds too little or too much for a brain.
        """
        litres = grid.litres(inside)
        low, high = BRAIN_LITRES
        if not low <= litres <= high:
            raise StudyRefused(
                f"the brain mask {path} holds {litres:.2f} litres, and a brain has {low} to {high}",
                "give a mask of the whole brain",
            )
        digest = hashlib.sha256(np.packbits(inside).tobytes() + np.round(grid.affine, 4).tobytes()).hexdigest()
        return cls(inside, grid, origin, digest)

    @property
    def litres(self) -> float:
        """Volume of what it holds."""
        return self.grid.litres(self.inside)

    def on(self, grid: Grid) -> BoolArray:
        """Return the mask on another grid, (X, Y, Z)."""
        if self.grid.same_as(grid):
            return self.inside
        return resample(self.inside.astype(np.float32), self.grid, grid) >= 0.5

    def applied(self, volume: Volume) -> Volume:
        """Return a volume that is 0 outside the brain."""
        return replace(volume, voxels=np.where(self.on(volume.grid), volume.voxels, volume.voxels.dtype.type(0)))


def masked(volumes: Mapping[Contrast, Volume], mask: BrainMask | None) -> dict[Contrast, Volume]:
    """Return volumes that are 0 outside the brain; as they are without a mask."""
    return {contrast: mask.applied(volume) if mask else volume for contrast, volume in volumes.items()}


@once_each
def head_of(volume: Volume) -> BoolArray:
    """Return where a volume shows the head, (X, Y, Z): where it is not zero, and of a stripped brain the
    voxels that it encloses; of an image whose air is not zero but noise, the largest bright part without holes."""
    head = _head_of(volume)
    head.flags.writeable = False  # it is kept
    return head


def _head_of(volume: Volume) -> BoolArray:
    nonzero = np.asarray(volume.voxels != 0)
    if volume.grid.litres(nonzero) <= STRIPPED_LITRES:
        return filled(nonzero)
    if nonzero.mean() <= FILLED_BY_NOISE:
        return nonzero  # a hole in it is air
    top = float(np.percentile(volume.voxels, 99))
    if top <= 0:
        return nonzero  # nothing is bright: a source is refused for it
    import SimpleITK as sitk

    roots = np.sqrt(np.clip(volume.voxels, 0, top)).astype(np.float32)
    image = sitk.GetImageFromArray(roots)
    image.SetSpacing(volume.grid.spacing[::-1])
    bright = sitk.OtsuThreshold(sitk.SmoothingRecursiveGaussian(image, SMOOTH_MM), 0, 1)
    largest = sitk.RelabelComponent(sitk.ConnectedComponent(bright)) == 1
    head = filled(np.asarray(sitk.GetArrayFromImage(largest) > 0))
    return head & nonzero if head.any() else nonzero


def with_skull(volumes: Iterable[tuple[Contrast, Volume]]) -> list[Contrast]:
    """Return which images are not skull-stripped, by the volume of the voxels that are not zero."""
    return [
        contrast for contrast, volume in volumes if volume.grid.litres(np.asarray(volume.voxels != 0)) > STRIPPED_LITRES
    ]


def read_brain_mask(path: Path) -> BrainMask:
    """Read a mask that the user gives.

    Raises:
        ImageDamaged: the file cannot be used.
        StudyRefused: it holds no brain.
    """
    if not path.is_file():
        raise ImageDamaged(f"--brain-mask {path}: no such file", "check the path")
    return BrainMask.of(io.read_mask(path), io.read_info(path).grid, path.name, path)


def program() -> str:
    """Return the name of the stripper on PATH.

    Raises:
        ResourcesExhausted: there is none.
    """
    for name in PROGRAMS:
        if shutil.which(name):
            return name
    raise ResourcesExhausted(
        f"--skull-strip calls {' or '.join(PROGRAMS)}, and neither is on PATH",
        "install one (pip install hd-bet), or give --brain-mask FILE",
    )


def strip(volume: Volume, gpu: int | None) -> BrainMask:
    """Let the program on PATH find the brain of an image with skull.

    It sees a file of voxels and affine alone, in a temporary folder that is removed.

    Args:
        volume: the image.
        gpu: number of the GPU that the program may use; None for the CPU.

    Raises:
        ResourcesExhausted: no program, or it failed.
        StudyRefused: what it made is no brain mask of this image.
    """
    name = program()
    with tempfile.TemporaryDirectory(prefix="mrimpute-") as scratch:
        image, made = Path(scratch, "image.nii.gz"), Path(scratch, "brain.nii.gz")
        image.write_bytes(nifti.encode(np.asarray(volume.voxels, np.float32), volume.grid, None, "image"))
        # hd-bet writes the brain, 0 around it; of synthstrip the mask is asked for: its background need not be 0
        words = [name, "-i", str(image), "-o" if name == "hd-bet" else "-m", str(made)]
        if name == "hd-bet" and gpu is None:
            words += ["-device", "cpu"]
        if name == "mri_synthstrip" and gpu is not None:
            words += ["-g"]
        try:
            done = run_program(words, _seeing(gpu))
        except OSError as error:
            raise ResourcesExhausted(
                f"{name} on PATH cannot be run ({error.strerror})", "install it anew, or give --brain-mask FILE"
            ) from error
        if done.returncode or not made.is_file():
            raise ResourcesExhausted(
                f"{name} could not strip {volume.path} ({last_words(done)})",
                "run it by hand and give its mask with --brain-mask",
            )
        try:
            brain, grid = io.read_mask(made), io.read_info(made).grid
        except ImageDamaged as error:
            raise StudyRefused(f"{name} made no usable image of {volume.path}", "give --brain-mask FILE") from error
    if not grid.same_as(volume.grid):
        raise StudyRefused(f"{name} changed the grid of {volume.path}", "give --brain-mask FILE")
    return BrainMask.of(filled(brain), volume.grid, name, f"of {name}")


def _seeing(gpu: int | None) -> dict[str, str]:
    """Return this process's environment, in which a program sees one GPU of those that this process sees."""
    if gpu is None:
        return dict(os.environ)
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return os.environ | {"CUDA_VISIBLE_DEVICES": seen[gpu] if gpu < len(seen) and seen[gpu] else str(gpu)}


def filled(inside: BoolArray) -> BoolArray:
    """Return a mask without holes: a brain's own voxels may be 0 too."""
    import SimpleITK as sitk

    box = box_of(inside, (1, 1, 1))  # what is outside joins its margin
    if not inside[box].size:
        return inside
    image = sitk.BinaryFillhole(sitk.GetImageFromArray(inside[box].view(np.uint8)))
    whole = np.zeros_like(inside)
    whole[box] = sitk.GetArrayViewFromImage(image)
    return whole
