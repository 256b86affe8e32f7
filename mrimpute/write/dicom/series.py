"""A target as derived DICOM series, in a folder that appears whole or not at all."""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from mrimpute.errors import OutputRefused
from mrimpute.files import sync_folder, write_through
from mrimpute.io.dicom.pixels import reads_back
from mrimpute.io.dicom.series import DicomSeries
from mrimpute.volume import voxel_sha256
from mrimpute.write import provenance
from mrimpute.write.dicom.derivation import Derivation, series_number, shares_shown, stored_range
from mrimpute.write.dicom.derive import derive, encode
from mrimpute.write.place import Destination, Standing, publish_pair, sidecar_text, write_beside
from mrimpute.write.result import Output, Result


def write_series(result: Result, reference: DicomSeries) -> Output:
    """Write a target as a derived DICOM series of a reference's geometry, patient and study.

    Raises:
        OutputRefused, ResourcesExhausted: the folder refuses, or the disk is full.
    """
    unit, fingerprint = result.image.unit, result.fingerprint
    one = stored_range(result.image.recipe.scale)
    derivation = Derivation(
        result.image.target,
        reference,
        result.dicom,
        {contrast: alignment.motion for contrast, alignment in result.sources.moved.items()},
        json.dumps(fingerprint.content | {"voxels": hashlib.sha256(unit.tobytes()).hexdigest()}, sort_keys=True),
        provenance.derivation(fingerprint, result.checkpoint, one),
        series_number(reference, result.highest_number),
        datetime.now(),
        shares_shown(reference, result.sources.onto.voxels),
    )
    files = encode(derive(unit, one, derivation))
    digest = hashlib.sha256(b"".join(files)).hexdigest()
    expected = np.clip(np.rint(np.asarray(unit, np.float64) * one), 0, 65_535)
    notes = place_series(
        result.destination,
        files,
        lambda folder: reads_back(folder, reference.grid, expected),
        result.sidecar(digest, voxel_sha256(expected, reference.grid), 0.0, one),
        result.standing,
    )
    return result.output(digest, 0.0, one, notes=notes)


def place_series(
    place: Destination,
    files: list[bytes],
    read_back: Callable[[Path], bool],
    sidecar: dict[str, Any],
    standing: Standing,
) -> tuple[str, ...]:
    """Place a DICOM series and its sidecar: a hidden folder, flushed, read back, then renamed.

    Args:
        place: where.
        files: the bytes of its files, in order of the slices.
        read_back: tells whether a folder reads back as what was meant.
        sidecar: the content of the JSON file.
        standing: what stands there and may be replaced.

    Returns:
        What the disk refused after they had their places, to be told.

    Raises:
        OutputRefused: the folder refuses, or another one appeared at the place.
        ResourcesExhausted: the disk is full.
    """

    def written(new_part: Callable[[], Path]) -> None:
        series_part, sidecar_part = new_part(), new_part()
        series_part.mkdir()
        for number, content in enumerate(files, 1):
            write_through(series_part / f"{number:04d}.dcm", content)
        write_through(sidecar_part, sidecar_text(sidecar, standing))
        sync_folder(series_part)
        if not read_back(series_part):
            raise OutputRefused(
                f"what was written in {place.image.parent} does not read back the same", "check that disk"
            )
        publish_pair(place, series_part, sidecar_part, standing)

    return write_beside(place, written)
