"""Are the voxels of an image those that its sidecar records, however the file is packed?"""

import numpy as np

from mrimpute import io
from mrimpute.errors import MrimputeError
from mrimpute.io import split_suffix
from mrimpute.io.dicom.headers import read_headers
from mrimpute.io.dicom.pixels import read_volume
from mrimpute.io.dicom.series import DicomSeries, assemble
from mrimpute.verify.model import Candidate
from mrimpute.verify.sidecar import RecordedImage
from mrimpute.volume import SAME_GRID_MM, FloatArray, Grid, Volume, voxel_sha256


def same_voxels(image: Candidate, recorded: RecordedImage) -> bool:
    """Tell whether an image has the recorded grey values at the recorded places.

    The order in which its axes are stored does not count. Of records of earlier versions, without a digest of voxels,
    nothing is known, so not.
    """
    if recorded.voxels_sha256 is None or recorded.affine is None:
        return False
    volume = _voxels_of(image)
    if volume is None or voxel_sha256(volume.voxels, volume.grid) != recorded.voxels_sha256:
        return False
    affine = np.array(recorded.affine)
    grid = Grid(_shape_along(volume.grid, affine), affine)
    distances = np.linalg.norm(volume.grid.corners()[:, None] - grid.corners()[None], axis=-1)
    return bool(distances.min(axis=1).max() <= SAME_GRID_MM)


def _shape_along(grid: Grid, affine: FloatArray) -> tuple[int, int, int]:
    """Return the shape of a grid if its axes were stored in the order of another affine."""
    lengths = dict(zip(_lines(grid.orientation), grid.shape, strict=True))
    other = Grid(grid.shape, affine)
    x, y, z = (lengths[line] for line in _lines(other.orientation))
    return x, y, z


def _lines(orientation: str) -> list[str]:
    """Return the line that each array axis runs along, whichever way: right-left, back-front, down-up."""
    return [next(line for line in ("RL", "AP", "SI") if code in line) for code in orientation]


def _voxels_of(image: Candidate) -> Volume | None:
    """Return an image as read to its end; None where it cannot be, or is more than one series."""
    try:
        if split_suffix(image.path.name)[1]:
            return io.read_whole(image.path)
        found = assemble(read_headers(image.files[0].parent).slices)
        if len(found) == 1 and isinstance(found[0], DicomSeries) and set(found[0].files) == set(image.files):
            return read_volume(found[0])
    except MrimputeError:
        pass
    return None
