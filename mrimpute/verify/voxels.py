"""Are the voxels of an image those that its sidecar records, however the file is packed?"""

from dataclasses import dataclass

import numpy as np

from mrimpute import io
from mrimpute.errors import MrimputeError
from mrimpute.io import split_suffix
from mrimpute.io.dicom.headers import read_headers
from mrimpute.io.dicom.pixels import read_volume
from mrimpute.io.dicom.series import DicomSeries, assemble
from mrimpute.io.nifti import form_difference
from mrimpute.verify.model import Candidate
from mrimpute.verify.sidecar import RecordedImage
from mrimpute.volume import SAME_GRID_MM, FloatArray, Grid, Volume, voxel_sha256


@dataclass(frozen=True)
class Compared:
    """How the grey values of an image compare with those recorded.

    Attributes:
        alike: whether they are the same.
        elsewhere: how they lie elsewhere than recorded; '' where they do not.
    """

    alike: bool
    elsewhere: str = ""


def compared(image: Candidate, recorded: RecordedImage) -> Compared | None:
    """Compare an image with the recorded grey values and places.

    The order in which its axes are stored does not count. Of two places that a NIfTI header states both must be the
    recorded one: programs differ in which they go by.

    Returns:
        None where nothing can be told: the image cannot be read, or the record is of an earlier version, without a
        digest of voxels.
    """
    if recorded.voxels_sha256 is None or recorded.affine is None:
        return None
    volume = _voxels_of(image)
    if volume is None:
        return None
    if voxel_sha256(volume.voxels, volume.grid) != recorded.voxels_sha256:
        return Compared(alike=False)
    affine = np.array(recorded.affine)
    grid = Grid(_shape_along(volume.grid, affine), affine)
    distances = np.linalg.norm(volume.grid.corners()[:, None] - grid.corners()[None], axis=-1)
    furthest = float(distances.min(axis=1).max())
    if furthest > SAME_GRID_MM:
        return Compared(alike=True, elsewhere=f"by up to {furthest:.3g} mm")
    forms = form_difference(volume.header) if volume.header is not None else ""
    return Compared(alike=True, elsewhere=f"by its qform: {forms}, and its sform is as recorded" if forms else "")


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
