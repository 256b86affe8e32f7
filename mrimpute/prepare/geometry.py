"""Spatial steps between a source's grid and a network's frame, each with its way back."""

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from mrimpute.volume import BoolArray, FloatArray, Grid, box_of

BRATS_SHAPE = (240, 240, 155)
BRATS_WINDOW = (224, 224, 160)
BRATS_WINDOW_START = (8, 8, 0)
"""On the BraTS grid cWDM crops 8 voxels from both ends of two axes and pads the third at its
end, as its authors' loader does."""
SPACING_TOLERANCE = 0.01
"""Relative difference from the network's spacing up to which no resampling takes place."""
EDGE = 1e-6
"""Of a voxel: a field of view that ends on a voxel's edge gets no further voxel by the last bits."""
BRAIN_MARGIN = 4
MAX_KERNEL = 16
"""Voxels of the longest kernel that smooths what becomes coarser."""


@dataclass(frozen=True)
class Reorient:
    """Permute and flip array axes to other anatomical directions; no voxel changes."""

    source: Grid
    orientation: str

    @property
    def _there(self) -> Any:
        return self._turn(self.source.orientation, self.orientation)

    @staticmethod
    def _turn(start: str, end: str) -> Any:
        codes = nib.orientations.axcodes2ornt
        return nib.orientations.ornt_transform(codes(tuple(start)), codes(tuple(end)))

    @property
    def grid(self) -> Grid:
        """The grid after the step."""
        shape = self.source.shape
        affine = self.source.affine @ nib.orientations.inv_ornt_aff(self._there, shape)
        x, y, z = (shape[int(np.flatnonzero(self._there[:, 0] == axis)[0])] for axis in range(3))
        return Grid((x, y, z), affine)

    def apply(self, voxels: Any) -> Any:
        """Return the array (X, Y, Z) with its axes turned."""
        return np.ascontiguousarray(nib.orientations.apply_orientation(voxels, self._there))

    def undo(self, voxels: Any) -> Any:
        """Return an array of the turned grid with its axes turned back."""
        back = self._turn(self.orientation, self.source.orientation)
        return np.ascontiguousarray(nib.orientations.apply_orientation(voxels, back))


def respaced(grid: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """Return the grid with the same axes and field of view at another spacing.

    Where its voxels lie follows from the origin of space, not from the field of view: empty margin moves none. Axes of
    that spacing already are kept, and so is the grid itself where all are.
    """
    step = np.asarray(spacing_mm) / np.asarray(grid.spacing)  # in voxels of the grid
    kept = np.abs(1 / step - 1) <= SPACING_TOLERANCE
    if kept.all():
        return grid
    step = np.where(kept, 1.0, step)
    origin = np.where(kept, 0.0, np.linalg.inv(grid.affine)[:3, 3])  # index of the origin of space
    edges = np.array([np.full(3, -0.5), np.asarray(grid.shape) - 0.5])
    first, last = (edges - origin) / step
    first, last = np.floor(first + 0.5 + EDGE), np.ceil(last - 0.5 - EDGE)
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, :3] * step
    affine[:3, 3] += grid.affine[:3, :3] @ (origin + first * step)
    x, y, z = (max(1, int(count)) for count in last - first + 1)
    return Grid((x, y, z), affine)


def resample(voxels: FloatArray, source: Grid, target: Grid) -> FloatArray:
    """Interpolate linearly onto another grid: (X, Y, Z) → target.shape float32, 0 outside.

    Works on voxel indices, so that sheared grids, which ITK cannot represent, are exact too.
    Axes that become coarser are smoothed first (Gaussian to the coarser voxel's width).
    """
    import SimpleITK as sitk

    index_map = np.linalg.inv(source.affine) @ target.affine
    step = np.linalg.norm(index_map[:3, :3], axis=1)
    coarser = np.maximum(step**2 - 1, 0) / (8 * np.log(2))
    voxels = np.asarray(voxels, np.float32)
    if coarser.max() > 0.02:
        if _keeps_axes(index_map, source.shape):
            return _coarsened(voxels, coarser, index_map, target.shape)
        voxels = smoothed(voxels, coarser)
    source_box = box_of(voxels, (1, 1, 1))  # the rest is 0: so is what lies there
    box = _reached(source_box, index_map, target.shape)
    made = np.zeros(target.shape, np.float32)
    if not voxels[source_box].size or not made[box].size:
        return made
    first, source_first = ([axis.start for axis in one] for one in (box, source_box))
    shift = index_map[:3, :3] @ first + index_map[:3, 3] - source_first
    image = sitk.GetImageFromArray(voxels[source_box])  # ITK's first axis is our third: turning the array would copy it
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(index_map[2::-1, 2::-1].ravel().tolist())
    transform.SetTranslation(shift[::-1].tolist())
    frame = ([0.0] * 3, [1.0] * 3, np.eye(3).ravel().tolist())
    size = list(made[box].shape[::-1])
    out = sitk.Resample(image, size, transform, sitk.sitkLinear, *frame, 0.0, sitk.sitkFloat32)
    made[box] = sitk.GetArrayViewFromImage(out)
    return made


def _keeps_axes(index_map: FloatArray, shape: tuple[int, int, int]) -> bool:
    """Tell whether an index map turns no axis: along one of the other grid no index changes by EDGE of a voxel."""
    apart = index_map[:3, :3] - np.diag(np.diag(index_map[:3, :3]))
    return bool(np.abs(apart).max() * max(shape) < EDGE and (np.diag(index_map)[:3] > 0).all())


def _coarsened(
    voxels: FloatArray, variances: FloatArray, index_map: FloatArray, shape: tuple[int, int, int]
) -> FloatArray:
    """Smooth and interpolate along one axis after the other, only where voxels of the new grid lie.

    Args:
        voxels: (X, Y, Z) float32.
        variances: as for `smoothed`.
        index_map: (4, 4), from an index of the new grid to one of the old, which keeps the axes.
        shape: of the new grid.
    """
    box = box_of(voxels)  # the rest is 0
    made = voxels[box]
    if not made.size:
        return np.zeros(shape, np.float32)
    for axis, variance in enumerate(variances.tolist()):
        places = index_map[axis, axis] * np.arange(shape[axis]) + index_map[axis, 3]
        weights = _weights(voxels.shape[axis], variance, places)[:, box[axis]]
        made = np.moveaxis(_weighted(weights, np.moveaxis(made, axis, 0)), 0, axis)
    return np.ascontiguousarray(made)


def _weights(length: int, variance: float, places: FloatArray) -> FloatArray:
    """Return how much each voxel of an axis counts for a place between two once it is smoothed: (places, length).

    As ITK interpolates: the outermost voxels reach half a voxel out, beyond which all is 0.
    """
    single = np.eye(length, dtype=np.float32)[..., None]
    smooth = _convolved(single, _gaussian(variance), 0)[..., 0]
    at = np.clip(places, 0, length - 1)
    low = np.minimum(at.astype(int), max(0, length - 2))
    share = (at - low)[:, None]
    weights = (1 - share) * smooth[low] + share * smooth[np.minimum(low + 1, length - 1)]
    inside = (places >= -0.5) & (places <= length - 0.5)
    found: FloatArray = np.where(inside[:, None], weights, 0).astype(np.float32)
    return found


def _weighted(weights: FloatArray, planes: FloatArray) -> FloatArray:
    """Return weighted sums of planes: (places, N) of (N, …), most of them 0 → (places, …)."""
    reach = max(1, int(np.count_nonzero(weights, axis=1).max()))
    first = np.minimum(np.argmax(weights != 0, axis=1), len(planes) - reach)
    made = np.zeros((len(weights), *planes.shape[1:]), np.float32)
    for index in range(reach):
        part = planes[first + index]
        part *= weights[np.arange(len(weights)), first + index, None, None]
        made += part
    return made


def _reached(box: tuple[slice, slice, slice], index_map: FloatArray, shape: tuple[int, int, int]) -> tuple[slice, ...]:
    """Return the box of a grid beyond which interpolation finds nothing of another grid's box.

    Args:
        box: on the other grid.
        index_map: (4, 4), from an index of the first to one of the other.
        shape: of the first.
    """
    ends = np.array(np.meshgrid(*((axis.start - 1, axis.stop) for axis in box))).reshape(3, -1)
    places = np.linalg.inv(index_map)[:3] @ np.vstack([ends, np.ones(8)])
    low = np.clip(np.floor(places.min(axis=1)), 0, shape).astype(int)
    high = np.clip(np.ceil(places.max(axis=1)) + 1, 0, shape).astype(int)
    return tuple(slice(start, stop) for start, stop in zip(low.tolist(), high.tolist(), strict=True))


def smoothed(voxels: FloatArray, variances: FloatArray) -> FloatArray:
    """Smooth by a Gaussian along each axis: (X, Y, Z) float32; at the border its values go on.

    The kernels are ITK's discrete Gaussians; its own filter of three axes takes two to four times as long.

    Args:
        voxels: what is smoothed; the empty space around is skipped.
        variances: of each axis, in voxels squared.
    """
    kernels = [_gaussian(float(variance)) for variance in variances]
    x, y, z = (len(kernel) // 2 for kernel in kernels)
    box = box_of(voxels, (x, y, z))
    inner = voxels[box]
    if not inner.size:
        return voxels
    for axis in (2, 1, 0):
        inner = _convolved(inner, kernels[axis], axis)
    result = np.zeros_like(voxels)
    result[box] = inner
    return result


def _gaussian(variance: float) -> FloatArray:
    """Return ITK's discrete Gaussian, (odd,) float32: what its filter makes of one bright voxel."""
    import SimpleITK as sitk

    bright = np.zeros((1, 1, 2 * MAX_KERNEL + 1), np.float32)
    bright[0, 0, MAX_KERNEL] = 1
    made = sitk.DiscreteGaussian(sitk.GetImageFromArray(bright), [variance, 0.0, 0.0], MAX_KERNEL, 0.01, False)
    kernel: FloatArray = sitk.GetArrayFromImage(made)[0, 0]
    return kernel[kernel > 0]


def _convolved(voxels: FloatArray, kernel: FloatArray, axis: int) -> FloatArray:
    """Convolve along one axis with a kernel that is its own mirror image."""
    reach = len(kernel) // 2
    sides = [(reach, reach) if index == axis else (0, 0) for index in range(3)]
    wide = np.moveaxis(np.pad(voxels, sides, mode="edge"), axis, 0)
    length = voxels.shape[axis]
    made = wide[reach : reach + length] * kernel[reach]
    for index in range(reach):
        both = wide[index : index + length] + wide[2 * reach - index : 2 * reach - index + length]
        both *= kernel[index]
        made += both
    return np.moveaxis(made, 0, axis)


@dataclass(frozen=True)
class Window:
    """A box cut out of a grid; parts of the box beyond the grid are zero.

    Attributes:
        start: index of the box's first voxel on the grid, may be negative.
        size: voxels of the box.
        shape: voxels of the grid.
    """

    start: tuple[int, int, int]
    size: tuple[int, int, int]
    shape: tuple[int, int, int]

    def _overlap(self) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return the common part, as slices of the grid and as slices of the box."""
        grid, box = [], []
        for start, size, length in zip(self.start, self.size, self.shape, strict=True):
            low, high = max(start, 0), min(start + size, length)
            grid.append(slice(low, max(high, low)))
            box.append(slice(low - start, max(high, low) - start))
        return tuple(grid), tuple(box)

    def apply(self, voxels: Any) -> Any:
        """Cut the box out of an array of the grid: grid shape → size."""
        grid, box = self._overlap()
        out = np.zeros(self.size, voxels.dtype)
        out[box] = voxels[grid]
        return out

    def undo(self, voxels: Any) -> Any:
        """Put an array of the box back onto the grid: size → grid shape, zero around it."""
        grid, box = self._overlap()
        out = np.zeros(self.shape, voxels.dtype)
        out[grid] = voxels[box]
        return out


def choose_slices(head: BoolArray, width: int, height: int, multiple: int) -> Window:
    """Choose the box of whole slices that a slice network works on.

    Args:
        head: (X, Y, Z) where there is tissue; not empty; slices lie along the third axis.
        width: voxels of the box along the first axis.
        height: least voxels along the second axis, which grows by `multiple` for a larger head.

    Raises:
        ValueError: the head is wider than the slices.
    """
    box = box_of(head)
    first = [axis.start for axis in box]
    across, along, slices = (axis.stop - axis.start for axis in box)
    if across > width:
        raise ValueError(f"{across} voxels of {width}")
    size = width, max(height, -(-along // multiple) * multiple), slices
    i, j, k = (low + (n - w) // 2 for low, n, w in zip(first, (across, along, slices), size, strict=True))
    a, b, c = head.shape
    return Window((i, j, k), size, (a, b, c))


def choose_window(head: BoolArray, size: tuple[int, int, int] | None, multiple: int) -> Window:
    """Choose the network's window on a working grid, so that the head is never cut.

    Args:
        head: (X, Y, Z) where there is tissue; not empty.
        size: the checkpoint's window; None for the smallest box around the head.
        multiple: every axis that no size is given for, or that outgrows it, becomes a multiple of this.

    Returns:
        On the BraTS grid the authors' window; elsewhere one centred on the head. A head that
        is larger than the window makes the window grow, never the head shrink.
    """
    box = box_of(head)
    first = [axis.start for axis in box]
    extent = [axis.stop - axis.start for axis in box]
    a, b, c = head.shape
    if size == BRATS_WINDOW and head.shape == BRATS_SHAPE:
        inside = zip(first, extent, BRATS_WINDOW_START, BRATS_WINDOW, strict=True)
        if all(start <= low and low + length <= start + width for low, length, start, width in inside):
            return Window(BRATS_WINDOW_START, BRATS_WINDOW, BRATS_SHAPE)
    margin = 2 * BRAIN_MARGIN if size is None else 0
    least = size or (multiple, multiple, multiple)
    x, y, z = (
        max(low, -(-(length + margin) // multiple) * multiple) for low, length in zip(least, extent, strict=True)
    )
    odd = int(size is None)  # which side gets the odd voxel: in a given window as ALDM's authors pad
    starts = (low - (width - length + odd) // 2 for low, length, width in zip(first, extent, (x, y, z), strict=True))
    i, j, k = starts
    return Window((i, j, k), (x, y, z), (a, b, c))
