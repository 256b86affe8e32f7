"""A target as derived DICOM series, in a folder that appears whole or not at all."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from mrimpute.errors import OutputRefused
from mrimpute.files import content_sha256, disk_errors, new_part, remove, remove_dead_parts, sync_folder, write_through
from mrimpute.io.dicom.pixels import reads_back
from mrimpute.io.dicom.series import DicomSeries
from mrimpute.write import provenance
from mrimpute.write.dicom.derivation import Derivation, series_number, stored_range
from mrimpute.write.dicom.derive import derive, encode
from mrimpute.write.place import Destination, is_ours
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
        json.dumps(asdict(fingerprint), sort_keys=True),
        provenance.derivation(fingerprint, result.checkpoint, one),
        series_number(reference, result.highest_number),
        datetime.now(),
    )
    files = encode(derive(unit, one, derivation))
    digest = hashlib.sha256(b"".join(files)).hexdigest()
    expected = np.clip(np.rint(np.asarray(unit, np.float64) * one), 0, 65_535)
    place_series(
        result.destination,
        files,
        lambda folder: reads_back(folder, reference.grid, expected),
        result.sidecar(digest, 0.0, one),
    )
    return result.output(digest, 0.0, one)


def place_series(
    place: Destination, files: list[bytes], read_back: Callable[[Path], bool], sidecar: dict[str, Any]
) -> None:
    """Place a DICOM series and its sidecar: a hidden folder, flushed, read back, then renamed.

    Args:
        place: where.
        files: the bytes of its files, in order of the slices.
        read_back: tells whether a folder reads back as what was meant.
        sidecar: the content of the JSON file.

    Raises:
        OutputRefused: the folder refuses, or a foreign one appeared at the place.
        ResourcesExhausted: the disk is full.
    """
    folder = place.image.parent
    parts: list[Path] = []
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_dead_parts(folder)
        replaced = content_sha256(place.image) if place.image.exists() else None
        sidecar = {**sidecar, "image": {**sidecar["image"], "replaces": replaced}}
        try:
            parts += [new_part(folder), new_part(folder)]
            parts[0].mkdir()
            for number, content in enumerate(files, 1):
                write_through(parts[0] / f"{number:04d}.dcm", content)
            write_through(parts[1], (json.dumps(sidecar, indent=2) + "\n").encode())
            sync_folder(parts[0])
            if not read_back(parts[0]):
                raise OutputRefused(f"what was written in {folder} does not read back the same", "check that disk")
            if place.image.exists():
                if not is_ours(place):
                    raise OutputRefused(
                        f"{place.image} appeared meanwhile and was not made by mrimpute", "move it away"
                    )
                parts.append(new_part(folder))
                os.rename(place.image, parts[-1])
            os.replace(parts[1], place.sidecar)
            os.rename(parts[0], place.image)
            sync_folder(folder)
        finally:
            for part in parts:
                remove(part)
