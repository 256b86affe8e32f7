"""A page for a cohort: a row per result with nine thumbnails, to sort, filter and judge; from results and sidecars."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from mrimpute import __version__
from mrimpute.device import allowed_cpus
from mrimpute.errors import ImageDamaged, StudyRefused
from mrimpute.files import write_whole
from mrimpute.prepare.geometry import Reorient
from mrimpute.report import inline
from mrimpute.report.gather import Made, result_at
from mrimpute.report.page import page
from mrimpute.report.record import Record, Register
from mrimpute.report.write import TITLES, own_row, place_of_report, replaceable
from mrimpute.volume import FloatArray
from mrimpute.write.provenance import WARNING

INDEX = "index.html"
PER_PAGE = 50
THUMB = 64
"""Pixels of a thumbnail, at most, along its longer side."""
THUMB_QUALITY = 55
AT = (0.35, 0.5, 0.65)
"""Where the head is cut for thumbnails, as shares of its extent."""
ROUGH = 4
"""Of so many voxels along each axis one is looked at to find the head."""
READERS = 4
"""Images that are read at a time, at most: each is held whole."""


def write_cohort(folders: Sequence[Path]) -> tuple[Path, list[str]]:
    """Write the page of all results below some folders into the first of them; an earlier one of ours is replaced.

    Args:
        folders: with results, at any depth.

    Returns:
        The page, and what could not be shown.

    Raises:
        StudyRefused: no result is there.
        OutputRefused, ResourcesExhausted: another file stands there, or it cannot be written.
    """
    place = folders[0] / INDEX
    held = replaceable(place)
    problems: list[str] = []
    found = list(_results(folders, problems))
    if not found:
        raise StudyRefused(f"no result of mrimpute lies below {', '.join(map(str, folders))}", "name filled folders")
    with ThreadPoolExecutor(min(READERS, allowed_cpus())) as readers:
        sheets = list(readers.map(_thumbnails, found))
    problems += [problem for _, problem in sheets if problem]
    rows = [_row(made, sheet, folders[0]) for made, (sheet, _) in zip(found, sheets, strict=True)]
    scripts = ("own.js", "cohort.js")
    content = page(
        "cohort.html", scripts, rows=rows, columns=COLUMNS, per_page=PER_PAGE, warning=WARNING, version=__version__
    )
    write_whole(place, content, held)
    return place, problems


def _results(folders: Iterable[Path], problems: list[str]) -> Iterator[Made]:
    """Yield the results below folders, by path, each once; sidecars that are damaged are told."""
    seen = set()
    for folder in folders:
        for sidecar in sorted(folder.rglob("*.json")):
            if (real := os.path.realpath(sidecar)) in seen:
                continue
            seen.add(real)
            try:
                made = result_at(sidecar)
            except ImageDamaged as error:
                problems.append(str(error))
                continue
            if made:
                yield made


def _thumbnails(made: Made) -> tuple[str, str]:
    """Return nine slices of a result, axial, coronal and sagittal in rows, as data: URI, and why there are none."""
    try:
        volume, grid = made.glance()
    except ImageDamaged as error:
        return "", str(error)
    upright = Reorient(grid, inline.UPRIGHT)
    image = upright.apply(volume)
    cells = np.zeros((3 * THUMB, 3 * THUMB), np.float32)
    image = _around_head(image)
    for column, share in enumerate(AT):
        at = [int(share * (length - 1)) for length in image.shape]
        for row, small in enumerate(inline.sized(inline.planes(image, at), upright.grid.spacing, THUMB)):
            top = row * THUMB + (THUMB - small.shape[0]) // 2
            left = column * THUMB + (THUMB - small.shape[1]) // 2
            cells[top : top + small.shape[0], left : left + small.shape[1]] = small
    white = float(np.percentile(cells[cells > 0], 99)) if cells.any() else 1.0
    return inline.webp(cells / white, THUMB_QUALITY), ""


def _around_head(image: FloatArray) -> FloatArray:
    """Return the part of a volume (X, Y, Z) that is not zero, and a little around it; of an empty one all of it."""
    rough = image[::ROUGH, ::ROUGH, ::ROUGH] != 0
    if not rough.any():
        return image
    filled = [np.flatnonzero(rough.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    part: FloatArray = image[tuple(slice(ROUGH * max(0, one[0] - 1), ROUGH * (one[-1] + 2)) for one in filled)]
    return part


COLUMNS = ("Study", "Made", "Verdict", "PSNR (dB)", "SSIM", "Scanner", "Off by (mm)", "Samples", "Network", "Date")


def _row(made: Made, sheet: str, root: Path) -> dict[str, Any]:
    """Return a row of the page: thumbnails, cells as shown and as sorted, the report where there is one."""
    record, verdict = made.record, made.verdict
    psnr = [figure.psnr_db for figure in verdict.figures]
    ssim = [figure.ssim for figure in verdict.figures]
    off = _off(record)
    cells = [
        made.study,
        TITLES[made.target],
        verdict.word,
        f"{np.mean(psnr):.1f}" if psnr else "",
        f"{np.mean(ssim):.2f}" if ssim else "",
        record.fit.scanner if record.fit else "",
        f"{off:.1f}" if off is not None else "",
        str(record.fingerprint.samples),
        record.checkpoint.name,
        record.created[:10],
    ]
    report = place_of_report(made)
    link = quote(os.path.relpath(report, root)) if report.is_file() else ""
    return {
        "sheet": sheet,
        "alt": f"Nine slices of the synthetic {TITLES[made.target]} of {made.study}",
        "cells": cells,
        "word": verdict.word,
        "reasons": verdict.reasons,
        "link": link,
        "own": own_row(made),
    }


def _off(record: Record) -> float | None:
    """Return by how many mm the worst series lies off the reference, as found; None where none was measured."""
    found = [one.mean_mm for one in record.register_.values() if isinstance(one, Register)]
    return max(found, default=None)
