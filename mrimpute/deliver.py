"""A finished target → its file or DICOM series, labelled, beside the study."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from mrimpute import io, provenance, write
from mrimpute.contrasts import Contrast
from mrimpute.dicom import derive
from mrimpute.dicom.pixels import reads_back
from mrimpute.dicom.series import DicomSeries
from mrimpute.errors import OutputRefused
from mrimpute.gather import Gathered
from mrimpute.io import nifti
from mrimpute.prepare import Prepared, Recipe
from mrimpute.provenance import Fingerprint
from mrimpute.registry import Checkpoint
from mrimpute.skull import BrainMask
from mrimpute.volume import FloatArray

GRID_LIMIT_MM = 1e-4
BLACK_LIMIT = 0.5
MASK_ENDING = "_brain-mask.nii.gz"


@dataclass(frozen=True)
class Check:
    """One figure measured on a written image, and the limit it should keep."""

    name: str
    value: float
    limit: float

    @property
    def ok(self) -> bool:
        """Whether the value keeps the limit."""
        return self.value <= self.limit


@dataclass(frozen=True)
class Output:
    """One synthetic image.

    Attributes:
        path: its NIfTI file, or the folder of its DICOM series.
        target: its contrast.
        skipped: whether it was there already, made by the same recipe.
        sha256: digest of the file.
        fingerprint: what decided its voxels.
        checkpoint: the weights.
        reference: contrast of the series whose grid it has (None where skipped).
        zero, one: grey values that the network's 0 and 1 became (None where skipped).
        checks: what was measured on the written image.
    """

    path: Path
    target: Contrast
    skipped: bool
    sha256: str
    fingerprint: Fingerprint
    checkpoint: Checkpoint
    reference: Contrast | None = None
    zero: float | None = None
    one: float | None = None
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Made:
    """One target as the network made it, with all that must be told about it.

    Attributes:
        target: its contrast.
        place: where it belongs.
        unit: (X, Y, Z) in [0, 1] on the reference's grid.
        ready: how the sources were prepared.
        gathered: the sources.
        series: the sources that are DICOM, by contrast.
        highest_number: highest series number beside the reference.
        mask: the brain mask that was used.
        fingerprint, checkpoint: what decided the voxels.
    """

    target: Contrast
    place: write.Place
    unit: FloatArray
    ready: Prepared
    gathered: Gathered
    series: dict[Contrast, DicomSeries]
    highest_number: int
    mask: BrainMask | None
    fingerprint: Fingerprint
    checkpoint: Checkpoint

    def sidecar(self, digest: str, zero: float, one: float) -> dict[str, object]:
        """Return the content of the JSON file beside it; `digest` is that of the image."""
        return provenance.sidecar(
            self.place.image.name,
            digest,
            self.fingerprint,
            self.checkpoint,
            self.gathered.volumes,
            self.gathered.alignments,
            self.gathered.onto,
            self.ready.recipe,
            (zero, one),
            self.ready.warnings,
            self.mask,
        )

    def output(self, digest: str, zero: float, one: float, checks: tuple[Check, ...]) -> Output:
        """Describe it as written."""
        reference = self.ready.recipe.reference
        return Output(
            self.place.image,
            self.target,
            False,
            digest,
            self.fingerprint,
            self.checkpoint,
            reference,
            zero,
            one,
            checks,
        )

    @property
    def _black(self) -> Check:
        dark = float(np.mean(self.unit[self.ready.recipe.head] == 0))
        return Check("share of the head that is black", dark, BLACK_LIMIT)


def write_volume(made: Made, scaled: bool) -> Output:
    """Write a target as NIfTI file.

    Args:
        made: the target.
        scaled: grey values on the study's scale (of CT in Hounsfield units), else in [0, 1].

    Raises:
        OutputRefused, ResourcesExhausted: see `write.write`.
    """
    recipe, place = made.ready.recipe, made.place
    zero, one = _scale(made.target, made.checkpoint, recipe) if scaled else (0.0, 1.0)
    voxels = np.where(recipe.head, zero + made.unit * np.float32(one - zero), zero).astype(np.float32)
    image = nifti.encode(voxels, recipe.grid, recipe.header, provenance.description(made.target))
    digest = hashlib.sha256(image).hexdigest()
    write.write(place, image, voxels, made.sidecar(digest, zero, one))
    moved = float(np.abs(io.read_info(place.image).grid.corners() - recipe.grid.corners()).max())
    return made.output(
        digest, zero, one, (Check("distance of its corners from the source's (mm)", moved, GRID_LIMIT_MM), made._black)
    )


def write_series(made: Made, reference: DicomSeries) -> Output:
    """Write a target as a derived DICOM series of a reference's geometry, patient and study.

    Raises:
        OutputRefused, ResourcesExhausted: see `write.write_series`.
    """
    one = derive.stored_range(made.ready.recipe.scale)
    derivation = derive.Derivation(
        made.target,
        reference,
        made.series,
        {contrast: alignment.motion for contrast, alignment in made.gathered.moved.items()},
        json.dumps(asdict(made.fingerprint), sort_keys=True),
        provenance.derivation(made.fingerprint, made.checkpoint, one),
        derive.series_number(reference, made.highest_number),
        datetime.now(),
    )
    files = derive.encode(derive.derive(made.unit, one, derivation))
    digest = hashlib.sha256(b"".join(files)).hexdigest()
    expected = np.clip(np.rint(np.asarray(made.unit, np.float64) * one), 0, 65_535)
    write.write_series(
        made.place,
        files,
        lambda folder: reads_back(folder, reference.grid, expected),
        made.sidecar(digest, 0.0, one),
    )
    return made.output(digest, 0.0, one, (made._black,))


def mask_path(place: write.Place) -> Path:
    """Return where the brain mask of a result belongs."""
    return place.sidecar.with_name(place.sidecar.stem + MASK_ENDING)


def check_mask_place(place: write.Place) -> None:
    """Check that no file but a mask of ours stands where the brain mask belongs.

    Raises:
        OutputRefused: one does.
    """
    path = mask_path(place)
    if path.exists() and not provenance.is_synthetic(path, {}):
        raise OutputRefused(f"{path} exists and was not made by mrimpute", "move it away")


def write_mask(made: Made, mask: BrainMask) -> Path:
    """Write the brain mask on the result's grid, labelled as ours; an earlier one of ours is replaced.

    Raises:
        OutputRefused, ResourcesExhausted: it cannot be written.
    """
    check_mask_place(made.place)
    path, recipe = mask_path(made.place), made.ready.recipe
    voxels = mask.on(recipe.grid).astype(np.float32)
    image = nifti.encode(voxels, recipe.grid, recipe.header, f"{provenance.DESCRIPTION_MARK} brain mask, not acquired")
    write.place_bytes(path, image, replace=path.exists())
    return path


def _scale(target: Contrast, checkpoint: Checkpoint, recipe: Recipe) -> tuple[float, float]:
    """Return the grey values that 0 and 1 become: of CT the checkpoint's range in Hounsfield units,
    else the study's scale."""
    low, high = checkpoint.record.inputs.ranges.get(target, (0.0, recipe.scale))
    return low, high
