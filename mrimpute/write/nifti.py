"""A target as NIfTI file, and its brain mask."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from mrimpute import io
from mrimpute.contrasts import Contrast
from mrimpute.errors import MrimputeError, OutputRefused
from mrimpute.files import (
    content_sha256,
    disk_errors,
    new_part,
    publish,
    remove_dead_parts,
    sync_folder,
    write_through,
    write_whole,
)
from mrimpute.io import nifti
from mrimpute.marks import DESCRIPTION_MARK, is_synthetic
from mrimpute.prepare import Recipe
from mrimpute.prepare.skull import BrainMask
from mrimpute.registry import Checkpoint
from mrimpute.volume import FloatArray
from mrimpute.write import provenance
from mrimpute.write.place import Place
from mrimpute.write.result import Check, Made, Output

GRID_LIMIT_MM = 1e-4
MASK_ENDING = "_brain-mask.nii.gz"


def write_volume(made: Made, scaled: bool) -> Output:
    """Write a target as NIfTI file.

    Args:
        made: the target.
        scaled: grey values on the study's scale (of CT in Hounsfield units), else in [0, 1].

    Raises:
        OutputRefused, ResourcesExhausted: the folder refuses, or the disk is full.
    """
    recipe, place = made.ready.recipe, made.place
    zero, one = _scale(made.target, made.checkpoint, recipe) if scaled else (0.0, 1.0)
    voxels = np.where(recipe.head, zero + made.unit * np.float32(one - zero), zero).astype(np.float32)
    image = nifti.encode(voxels, recipe.grid, recipe.header, provenance.description(made.target))
    digest = hashlib.sha256(image).hexdigest()
    place_image(place, image, voxels, made.sidecar(digest, zero, one))
    moved = float(np.abs(io.read_info(place.image).grid.corners() - recipe.grid.corners()).max())
    return made.output(
        digest, zero, one, (Check("distance of its corners from the source's (mm)", moved, GRID_LIMIT_MM), made.black)
    )


def mask_path(place: Place) -> Path:
    """Return where the brain mask of a result belongs."""
    return place.sidecar.with_name(place.sidecar.stem + MASK_ENDING)


def check_mask_place(place: Place) -> None:
    """Check that no file but a mask of ours stands where the brain mask belongs.

    Raises:
        OutputRefused: one does.
    """
    path = mask_path(place)
    if path.exists() and not is_synthetic(path, {}):
        raise OutputRefused(f"{path} exists and was not made by mrimpute", "move it away")


def write_mask(made: Made, mask: BrainMask) -> Path:
    """Write the brain mask on the result's grid, labelled as ours; an earlier one of ours is replaced.

    Raises:
        OutputRefused, ResourcesExhausted: it cannot be written.
    """
    check_mask_place(made.place)
    path, recipe = mask_path(made.place), made.ready.recipe
    voxels = mask.on(recipe.grid).astype(np.float32)
    image = nifti.encode(voxels, recipe.grid, recipe.header, f"{DESCRIPTION_MARK} brain mask, not acquired")
    write_whole(path, image, replace=path.exists())
    return path


def _scale(target: Contrast, checkpoint: Checkpoint, recipe: Recipe) -> tuple[float, float]:
    """Return the grey values that 0 and 1 become: of CT the checkpoint's range in Hounsfield units,
    else the study's scale."""
    low, high = checkpoint.record.inputs.ranges.get(target, (0.0, recipe.scale))
    return low, high


def place_image(place: Place, image: bytes, voxels: FloatArray, sidecar: dict[str, Any]) -> None:
    """Place an image and its sidecar: temporary files, flushed, read back, then renamed.

    The sidecar comes first: killed in between, it describes an image that is not there, and
    the next run makes it.

    Args:
        place: where.
        image: the bytes of the NIfTI file.
        voxels: what reading them back must give.
        sidecar: the content of the JSON file.

    Raises:
        OutputRefused: the folder refuses, or a foreign file appeared at the place.
        ResourcesExhausted: the disk is full.
    """
    folder = place.image.parent
    parts: list[Path] = []
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_dead_parts(folder)
        replaced = content_sha256(place.image) if place.image.exists() else None
        sidecar = {**sidecar, "image": {**sidecar["image"], "replaces": replaced}}
        text = json.dumps(sidecar, indent=2) + "\n"
        try:
            for content in (image, text.encode()):
                parts.append(new_part(folder))
                write_through(parts[-1], content)
            _verify(parts[0], image, voxels)
            if place.image.exists() and not is_synthetic(place.image, {}):
                raise OutputRefused(f"{place.image} appeared meanwhile and was not made by mrimpute", "move it away")
            replace = place.image.exists()
            os.replace(parts[1], place.sidecar)
            publish(parts[0], place.image, replace)
            sync_folder(folder)
        finally:
            for part in parts:
                part.unlink(missing_ok=True)


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
