"""A target as NIfTI file, and its brain mask."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrimpute import io
from mrimpute.errors import ImageDamaged, MrimputeError, OutputRefused
from mrimpute.files import write_through, write_whole
from mrimpute.io import nifti
from mrimpute.marks import DESCRIPTION_MARK
from mrimpute.prepare import Image
from mrimpute.prepare.skull import BrainMask
from mrimpute.registry import Checkpoint
from mrimpute.volume import FloatArray, voxel_sha256
from mrimpute.write import provenance
from mrimpute.write.place import Destination, Standing, check_mask_place, publish_pair, sidecar_text, write_beside
from mrimpute.write.result import Check, Output, Result

GRID_LIMIT_MM = 1e-4


@dataclass(frozen=True)
class Encoded:
    """A NIfTI file that is not on the disk yet: its bytes and voxels, and what the network's 0 and 1 became."""

    content: bytes
    voxels: FloatArray
    zero: float
    one: float


def write_volume(result: Result, scaled: bool) -> Output:
    """Write a target as NIfTI file.

    Args:
        result: the target.
        scaled: grey values on the study's scale (of CT in Hounsfield units), else in [0, 1].

    Raises:
        OutputRefused, ResourcesExhausted: the folder refuses, or the disk is full.
    """
    place, grid = result.destination, result.image.recipe.grid
    made = encoded(result.image, result.checkpoint, scaled)
    digest = hashlib.sha256(made.content).hexdigest()
    sidecar = result.sidecar(digest, voxel_sha256(made.voxels, grid), made.zero, made.one)
    notes = place_image(place, made.content, made.voxels, sidecar, result.standing)
    try:
        moved = float(np.abs(io.read_info(place.image).grid.corners() - grid.corners()).max())
    except ImageDamaged as error:  # it stands, and was read back whole before: the disk is failing
        return result.output(digest, made.zero, made.one, notes=(*notes, f"{error.text}, though it was written whole"))
    check = Check("distance of its corners from the source's (mm)", moved, GRID_LIMIT_MM)
    return result.output(digest, made.zero, made.one, check, notes=notes)


def encoded(image: Image, checkpoint: Checkpoint, scaled: bool) -> Encoded:
    """Return a target as the NIfTI file that it will be, marked as synthetic.

    Args:
        image: the target.
        checkpoint: what made it.
        scaled: see `write_volume`.
    """
    recipe = image.recipe
    zero, one = _scale(image, checkpoint) if scaled else (0.0, 1.0)
    voxels = np.where(recipe.head, zero + image.unit * np.float32(one - zero), zero).astype(np.float32)
    content = nifti.encode(voxels, recipe.grid, recipe.header, provenance.description(image.target))
    return Encoded(content, voxels, zero, one)


def write_spread(result: Result, scaled: bool) -> tuple[str, ...]:
    """Write the spread of several samples as NIfTI file on the grid of their mean, labelled as ours.

    Args:
        result: whose image is the standard deviation of the samples' values in [0, 1].
        scaled: whether grey values are on the study's scale.

    Returns:
        What the disk refused after it had its place, to be told.

    Raises:
        OutputRefused, ResourcesExhausted: the folder refuses, or the disk is full.
    """
    made, recipe = result.image, result.image.recipe
    zero, one = _scale(made, result.checkpoint) if scaled else (0.0, 1.0)
    voxels = made.unit * np.float32(one - zero)
    image = nifti.encode(voxels, recipe.grid, recipe.header, provenance.description(f"{made.target}-spread"))
    digest = hashlib.sha256(image).hexdigest()
    sidecar = result.sidecar(digest, voxel_sha256(voxels, recipe.grid), 0.0, one - zero)
    return place_image(result.destination, image, voxels, sidecar, result.standing)


def write_mask(result: Result, mask: BrainMask) -> tuple[tuple[Path], tuple[str, ...]]:
    """Write the brain mask on the result's grid, labelled as ours; an earlier one of ours is replaced.

    Returns:
        What was written, and what is to be told.

    Raises:
        OutputRefused, ResourcesExhausted: it cannot be written.
    """
    standing = check_mask_place(result.destination)
    path, recipe = result.destination.mask, result.image.recipe
    voxels = mask.on(recipe.grid).astype(np.float32)
    image = nifti.encode(voxels, recipe.grid, recipe.header, f"{DESCRIPTION_MARK} brain mask, not acquired")
    return (path,), write_whole(path, image, standing)


def _scale(image: Image, checkpoint: Checkpoint) -> tuple[float, float]:
    """Return the grey values that 0 and 1 become: of CT the checkpoint's range in Hounsfield units,
    else the study's scale."""
    low, high = checkpoint.record.inputs.ranges.get(image.target, (0.0, image.recipe.scale))
    return low, high


def place_image(
    place: Destination, image: bytes, voxels: FloatArray, sidecar: dict[str, Any], standing: Standing
) -> tuple[str, ...]:
    """Place an image and its sidecar: temporary files, flushed, read back, then renamed.

    Args:
        place: where.
        image: the bytes of the NIfTI file.
        voxels: what reading them back must give.
        sidecar: the content of the JSON file.
        standing: what stands there and may be replaced.

    Returns:
        What the disk refused after they had their places, to be told.

    Raises:
        OutputRefused: the folder refuses, or something else appeared at the place.
        ResourcesExhausted: the disk is full.
    """

    def written(new_part: Callable[[], Path]) -> None:
        image_part, sidecar_part = new_part(), new_part()
        write_through(image_part, image)
        write_through(sidecar_part, sidecar_text(sidecar, standing))
        _verify(image_part, image, voxels)
        publish_pair(place, image_part, sidecar_part, standing)

    return write_beside(place, written)


def _verify(part: Path, image: bytes, voxels: FloatArray) -> None:
    """Read the written file back; a difference means the disk cannot be trusted.

    Raises:
        OutputRefused: bytes or voxels differ.
    """
    try:
        same = part.read_bytes() == image and np.array_equal(nifti.read(part).voxels, np.asarray(voxels, np.float32))
    except MrimputeError:
        same = False
    if not same:
        raise OutputRefused(f"what was written in {part.parent} does not read back the same", "check that disk")
