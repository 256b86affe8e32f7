"""The one volume type: voxels, where they lie, and which file they came from."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

SAME_GRID_MM = 1e-3
"""Two grids are the same when no corner voxel differs by more than this, in mm."""

PLACED_MM = 0.1
BETWEEN = 0.318
"""How finely a digest follows a position, and what is added before rounding down: decimal numbers of up to three
places, which headers hold, then lie far from where the last bits of another file format would decide."""

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS ↔ LPS, in which DICOM and SimpleITK work."""

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Grid:
    """A voxel grid in space.

    Attributes:
        shape: number of voxels along the three array axes.
        affine: (4, 4) float64, voxel index → RAS+ millimetres.
    """

    shape: tuple[int, int, int]
    affine: FloatArray

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each array axis, in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @cached_property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1e3

    def litres(self, inside: BoolArray) -> float:
        """Return the volume of a mask (X, Y, Z) on this grid."""
        return int(np.count_nonzero(inside)) * self.voxel_ml / 1e3

    @cached_property
    def orientation(self) -> str:
        """Nearest anatomical axis codes, for instance 'LPS': axis 0 runs towards the left."""
        return "".join(str(code) for code in nib.orientations.aff2axcodes(self.affine))

    @property
    def words(self) -> str:
        """Shape, spacing and orientation as a person reads them: '240x240x155 at 1x1x1 mm LPS'."""
        shape = "x".join(str(n) for n in self.shape)
        return f"{shape} at {'x'.join(f'{value:.3g}' for value in self.spacing)} mm {self.orientation}"

    @cached_property
    def shear(self) -> float:
        """Largest |cosine| between two array axes; 0 for a rectangular grid."""
        axes = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        cosines = axes.T @ axes
        return float(np.abs(cosines - np.diag(np.diag(cosines))).max())

    def corners(self) -> FloatArray:
        """Return the (8, 3) RAS positions of the corner voxels' centres, in mm."""
        ends = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        corners: FloatArray = nib.affines.apply_affine(self.affine, ends)
        return corners

    def same_as(self, other: "Grid") -> bool:
        """Tell whether both grids have one shape and lie within SAME_GRID_MM."""
        if self.shape != other.shape:
            return False
        return bool(np.abs(self.corners() - other.corners()).max() <= SAME_GRID_MM)


@dataclass(frozen=True, eq=False)
class Volume:
    """An image volume as read; equal to itself alone.

    Attributes:
        voxels: (X, Y, Z) float32 or float64, scaled values, finite.
        grid: where the voxels lie.
        path: the file, as the user gave it.
        sha256: digest of the file's bytes.
        header: nibabel header of a NIfTI file (None for other formats): what a result on the
            same grid copies.
    """

    voxels: FloatArray
    grid: Grid
    path: Path
    sha256: str
    header: Any = field(default=None, repr=False)

    @cached_property
    def placed_digest(self) -> str:
        """Digest of the image and of where it lies: 16 hex digits, which seed the noise.

        It follows the box of voxels that are not 0, as float32, and its position to a tenth of a millimetre; file
        format, compression, number type, the order in which axes are stored, and empty margin do not count.
        """
        upright, affine = turned_upright(self.voxels, self.grid)
        box = box_of(upright)
        corner = affine @ [*(axis.start for axis in box), 1.0]
        placed = np.column_stack([affine[:3, :3], corner[:3]]) / PLACED_MM
        digest = hashlib.sha256(f"{upright[box].shape} {np.floor(placed + BETWEEN).astype(int).tolist()}".encode())
        digest.update(np.ascontiguousarray(upright[box]).tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def voxel_digest(self) -> str:
        """Digest of the voxels: 16 hex digits that tell an image again in another file.

        It follows the values as float32 and their number along right-left, back-front and down-up; file format,
        compression, the order in which axes are stored, and where the grid lies do not count.
        """
        return voxel_sha256(self.voxels, self.grid)[:16]


def box_of(voxels: FloatArray | BoolArray, margin: tuple[int, int, int] = (0, 0, 0)) -> tuple[slice, slice, slice]:
    """Return the smallest box around what is not 0; empty slices where all is 0.

    Args:
        voxels: (X, Y, Z).
        margin: voxels around it along each axis, as far as there are any.
    """
    inside = voxels if voxels.dtype == bool else voxels != 0
    places = (np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3))
    x, y, z = (
        slice(max(0, int(one[0]) - wide), int(one[-1]) + wide + 1) if one.size else slice(0, 0)
        for one, wide in zip(places, margin, strict=True)
    )
    return x, y, z


def turned_upright(voxels: FloatArray, grid: Grid) -> tuple[FloatArray, FloatArray]:
    """Return voxels (X, Y, Z) as float32, axes towards right, front and up, and the affine that goes with them."""
    turn = nib.orientations.axcodes2ornt(tuple(grid.orientation))
    turned = nib.orientations.apply_orientation(np.asarray(voxels, "<f4"), turn)
    return turned, grid.affine @ nib.orientations.inv_ornt_aff(turn, grid.shape)


def voxel_sha256(voxels: FloatArray, grid: Grid) -> str:
    """Return the digest of voxels (X, Y, Z) on a grid that `Volume.voxel_digest` is the beginning of."""
    turned, _ = turned_upright(voxels, grid)
    digest = hashlib.sha256(str(turned.shape).encode())
    digest.update(np.ascontiguousarray(turned).tobytes())
    return digest.hexdigest()
