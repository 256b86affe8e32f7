"""MetaImage (.mha) and NRRD volumes in, through SimpleITK. Results are never written this way."""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from mrimpute.errors import ImageDamaged
from mrimpute.io.nifti import MAX_IMAGE_BYTES, MAX_VOXELS, MIN_SLICES, SPACING_RANGE_MM, ImageInfo
from mrimpute.volume import LPS, FloatArray, Grid, Volume


def read_info(path: Path) -> ImageInfo:
    """Read and check the header of an .mha or .nrrd file.

    Raises:
        ImageDamaged: unreadable, or no usable 3-D grid.
    """
    reader = _reader(path)
    size = reader.GetSize()
    if len(size) != 3 or reader.GetNumberOfComponents() != 1:
        raise ImageDamaged(f"{path} is not one 3-D volume", "split it into one 3-D file per contrast")
    if min(size) < MIN_SLICES:
        raise ImageDamaged(f"{path} has only {min(size)} slices along one axis", f"at least {MIN_SLICES} are needed")
    if np.prod(size, dtype=object) * 8 > MAX_IMAGE_BYTES:
        raise ImageDamaged(f"{path} declares more voxels than the limit of 2 GiB")
    if np.prod(size, dtype=object) > MAX_VOXELS:
        raise ImageDamaged(f"{path} declares {size} voxels, over the limit of 512x512x512")
    grid = Grid((size[0], size[1], size[2]), _affine(reader))
    low, high = SPACING_RANGE_MM
    if not low <= min(grid.spacing) <= max(grid.spacing) <= high:
        raise ImageDamaged(f"{path}: voxel size {grid.spacing} mm is outside {low:g} to {high:g} mm")
    return ImageInfo(grid, None)


def read_texts(path: Path) -> dict[str, str]:
    """Return the text fields of an .mha or .nrrd header: what SimpleITK keeps of a NIfTI header is among them.

    Raises:
        ImageDamaged: unreadable.
    """
    reader = _reader(path)
    return {key: reader.GetMetaData(key) for key in ("descrip", "aux_file") if reader.HasMetaDataKey(key)}


def read(path: Path) -> Volume:
    """Read an .mha or .nrrd volume; see `mrimpute.io.nifti.read` for what is returned.

    Raises:
        ImageDamaged: unreadable or truncated.
    """
    import SimpleITK as sitk

    grid = read_info(path).grid
    if path.stat().st_size > MAX_IMAGE_BYTES:
        raise ImageDamaged(f"{path} is larger than the limit of 2 GiB")
    raw = path.read_bytes()
    _check_length(path, raw, grid)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise ImageDamaged(f"{path} cannot be read; the file is damaged", "copy or convert it again") from error
    voxels = np.ascontiguousarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0), dtype=np.float64)
    return Volume(voxels, grid, path, hashlib.sha256(raw).hexdigest())


def _reader(path: Path) -> Any:
    import SimpleITK as sitk

    if _is_detached(path):
        raise ImageDamaged(f"{path} keeps its voxels in another file", "convert it to NIfTI, or to a single file")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ImageDamaged(f"{path} is not a readable image", "convert it to NIfTI") from error
    return reader


def _is_detached(path: Path) -> bool:
    """Tell whether a header names another file for the voxels, which the digest would not cover."""
    with path.open("rb") as file:
        head = file.read(4096).lower()
    if path.suffix.lower() == ".nrrd":
        return re.search(rb"^data ?file:", head.partition(b"\n\n")[0], re.MULTILINE) is not None
    named = re.search(rb"elementdatafile\s*=\s*(\S+)", head)
    return named is not None and named[1] != b"local"


def _affine(reader: Any) -> FloatArray:
    """Return the RAS affine; ITK states positions in LPS."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * np.asarray(reader.GetSpacing())
    affine[:3, 3] = reader.GetOrigin()
    return LPS @ affine


def _check_length(path: Path, raw: bytes, grid: Grid) -> None:
    """Refuse an uncompressed MetaImage that is shorter than it says: ITK may fill in zeros."""
    lines = raw[:4096].split(b"ElementDataFile", 1)[0].splitlines()
    pairs = (line.partition(b"=") for line in lines)
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    sizes = {b"CHAR": 1, b"SHORT": 2, b"INT": 4, b"FLOAT": 4, b"DOUBLE": 8, b"LONG": 8}
    kind = fields.get(b"ElementType", b"").removeprefix(b"MET_").removesuffix(b"_TYPE").removeprefix(b"U")
    width = sizes.get(kind, 0) if fields.get(b"CompressedData", b"False") == b"False" else 0
    if int(np.prod(grid.shape)) * width > len(raw):
        raise ImageDamaged(f"{path} is truncated: {len(raw)} bytes are there", "copy or convert it again")
