"""One image, however it is stored: an image file, a DICOM file and the series around it, or a folder of one."""

from pathlib import Path

from mrimpute import io
from mrimpute.errors import ImageDamaged, UsageError
from mrimpute.volume import Volume


def read_image(path: Path) -> Volume:
    """Read one image and check that its voxels can be an acquired grey-value image.

    Args:
        path: a NIfTI, MetaImage or NRRD file; a DICOM file, which stands for its series; or a folder that holds one
            image file or one DICOM series.

    Raises:
        ImageDamaged: absent, unreadable, damaged, or no usable image.
        UsageError: the folder holds none or several.
    """
    from mrimpute.io.dicom.headers import is_dicom

    if path.is_dir():
        return _of_folder(path)
    if path.is_file() and not io.split_suffix(path.name)[1] and is_dicom(path):
        return _of_series(path.parent, path)
    return io.read_volume(path)


def place_of(volume: Volume) -> Path:
    """Return the file of an image, or the folder of its DICOM series: what a sidecar lies beside."""
    return volume.path if io.split_suffix(volume.path.name)[1] else volume.path.parent


def _of_folder(folder: Path) -> Volume:
    files = sorted(path for path in folder.iterdir() if io.split_suffix(path.name)[1] and path.name[0] != ".")
    if len(files) > 1:
        raise UsageError(f"{folder} holds {len(files)} images", f"name one, for instance {files[0]}")
    return io.read_volume(files[0]) if files else _of_series(folder, None)


def _of_series(folder: Path, file: Path | None) -> Volume:
    """Read the series of a folder that a file belongs to, or the only one."""
    from mrimpute.io.dicom.headers import read_headers
    from mrimpute.io.dicom.pixels import read_volume
    from mrimpute.io.dicom.series import Broken, assemble

    found = assemble(read_headers(folder).slices)
    meant = [one for one in found if file is None or any(item.file == file for item in one.slices)]
    if not meant:
        raise UsageError(f"{file or folder} holds no image", "give an image file, or a folder of one DICOM series")
    if len(meant) > 1:
        raise UsageError(f"{folder} holds {len(meant)} DICOM series", f"name one by a file, as {meant[0].path}")
    series = meant[0]
    if isinstance(series, Broken):
        raise ImageDamaged(f"{series.path}: {series.defect.seen}", series.defect.remedy)
    return io.checked(read_volume(series))
