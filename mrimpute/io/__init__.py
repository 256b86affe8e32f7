"""The only readers and writers of images. A format is a module with `read_info` and `read`."""

from pathlib import Path
from typing import Any

import numpy as np

from mrimpute.errors import ImageDamaged
from mrimpute.io.nifti import ImageInfo
from mrimpute.volume import BoolArray, Volume

NIFTI_SUFFIXES = (".nii.gz", ".nii")
OTHER_SUFFIXES = (".mha", ".nrrd")
IMAGE_SUFFIXES = NIFTI_SUFFIXES + OTHER_SUFFIXES
MIN_FOREGROUND = 0.005
"""Least share of voxels that are not zero; below it the image is called empty."""


def split_suffix(name: str) -> tuple[str, str]:
    """Split a file name into stem and image suffix ('' where it is no image)."""
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], name[-len(suffix) :]
    return name, ""


def read_info(path: Path) -> ImageInfo:
    """Return grid, header and header warnings of an image file, without its voxels.

    Raises:
        ImageDamaged: the header is unreadable or describes no usable volume.
    """
    info: ImageInfo = _format(path).read_info(path)
    return info


def read_texts(path: Path) -> dict[str, str]:
    """Return what an image of any shape says of itself in words: `descrip` and `aux_file`, as far as it has them.

    Raises:
        ImageDamaged: the header is unreadable.
    """
    texts: dict[str, str] = _format(path).read_texts(path)
    return texts


def read_volume(path: Path) -> Volume:
    """Read an image file and check that its voxels can be an acquired grey-value image.

    Raises:
        ImageDamaged: unreadable, damaged, not finite, constant, empty, or a mask.
    """
    return checked(read_whole(path))


def checked(volume: Volume) -> Volume:
    """Return a volume whose voxels can be an acquired grey-value image.

    Raises:
        ImageDamaged: not finite, constant, empty, or a mask.
    """
    path, voxels = volume.path, volume.voxels
    low, high = voxels.min(), voxels.max()
    if not np.isfinite([low, high]).all():
        count = int(voxels.size - np.isfinite(voxels).sum())
        raise ImageDamaged(
            f"{path} holds {count} voxels that are NaN or infinite", "replace them, by 0 where there is no tissue"
        )
    if max(-low, high) > np.finfo(np.float32).max:
        raise ImageDamaged(f"{path} holds values beyond the range of float32", "rescale it")
    if low == high:
        raise ImageDamaged(f"{path} is empty: every voxel is {low:g}", "export the series again")
    shown = int(np.count_nonzero(voxels))
    if shown < MIN_FOREGROUND * voxels.size:
        raise ImageDamaged(f"{path} is almost empty: {shown} voxels are not zero", "export the series again")
    some = voxels[::2, ::2, ::2]
    least, most = some.min(), some.max()
    if least != most and ((some == least) | (some == most)).all():
        raise ImageDamaged(f"{path} holds two values only: a mask, not an image", "rename it or leave it out")
    return volume


def read_whole(path: Path) -> Volume:
    """Read an image file to its end, whatever its voxels are.

    Raises:
        ImageDamaged: unreadable or damaged.
    """
    volume: Volume = _format(path).read(path)
    return volume


def read_mask(path: Path) -> BoolArray:
    """Return where a mask is not zero.

    Raises:
        ImageDamaged: unreadable or damaged.
    """
    return np.asarray(read_whole(path).voxels != 0)


def _format(path: Path) -> Any:
    from mrimpute.io import metaimage, nifti

    return metaimage if split_suffix(path.name)[1].lower() in OTHER_SUFFIXES else nifti
