"""The voxels of a series, decoded, rescaled and in order."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from mrimpute.errors import ImageDamaged, MrimputeError
from mrimpute.io.dicom.facts import Slice
from mrimpute.io.dicom.headers import quiet_pydicom, read_headers
from mrimpute.io.dicom.series import Broken, DicomSeries, assemble
from mrimpute.volume import FloatArray, Grid, Volume

CODECS = "pip install 'mrimpute[codecs]'"


def read_volume(series: DicomSeries) -> Volume:
    """Read the voxels of a series.

    Returns:
        A volume whose array axes are column, row, slice; its digest is that of the files' bytes
        in the order of the slices.

    Raises:
        ImageDamaged: a file is truncated or contradicts its header, or no decoder is there.
    """
    digest = hashlib.sha256()
    planes = []  # not one array at once: a header may lie about its size
    opened: dict[Path, FloatArray] = {}
    with quiet_pydicom():
        for item in series.slices:
            if item.file not in opened:
                opened = {item.file: _decoded(item, digest)}
            frames = opened[item.file]
            frame = frames if item.frame is None else frames[item.frame]
            planes.append(_rescaled(np.asarray(frame, np.float64), item).astype(np.float32).T)
    return Volume(np.stack(planes, axis=2), series.grid, series.path, digest.hexdigest())


def _rescaled(stored: FloatArray, item: Slice) -> FloatArray:
    """Return the grey values of a slice's stored values; 0 where these stand for no image."""
    slope, intercept = item.rescale
    grey: FloatArray = stored * slope + intercept
    if item.padding:
        low, high = item.padding
        grey[(stored >= low) & (stored <= high)] = 0.0
    return grey


def reads_back(folder: Path, grid: Grid, stored: FloatArray) -> bool:
    """Tell whether a folder holds one series with exactly these grey values on this grid."""
    found = assemble(read_headers(folder).slices)
    if len(found) != 1 or isinstance(found[0], Broken) or not found[0].grid.same_as(grid):
        return False
    return bool(np.array_equal(read_volume(found[0]).voxels, stored))


def _decoded(item: Slice, digest: Any) -> FloatArray:
    """Return the stored values of a file, (rows, columns) or (frames, rows, columns).

    Raises:
        ImageDamaged: whatever is wrong with the file.
    """
    try:
        return _stored_values(item, digest)
    except (MrimputeError, MemoryError):
        raise
    except Exception as error:  # pydicom and decoders raise many unrelated kinds on damaged files
        text = f"{item.file} cannot be decoded ({type(error).__name__})"
        raise ImageDamaged(text, "copy or export it again") from error


def _stored_values(item: Slice, digest: Any) -> FloatArray:
    from pydicom import dcmread
    from pydicom.uid import UID

    path = item.file
    digest.update(path.read_bytes())
    data = dcmread(path, force=True)
    syntax = UID(str(data.file_meta.get("TransferSyntaxUID", ""))) if hasattr(data, "file_meta") else UID("")
    if not syntax:
        data.file_meta.TransferSyntaxUID = syntax = UID("1.2.840.10008.1.2")
    if not syntax.is_transfer_syntax:
        raise ImageDamaged(
            f"{path} is stored in a way of one vendor (transfer syntax {syntax})", "export it in a standard one"
        )
    frames = int(data.get("NumberOfFrames") or 1)
    _check_stored(item, data, frames, syntax.is_compressed)
    try:
        stored: FloatArray = data.pixel_array
    except (ImportError, NotImplementedError, RuntimeError) as error:
        raise ImageDamaged(
            f"{path} is compressed as {syntax.name}, and no decoder for it is installed or it is damaged",
            f"install decoders with {CODECS}, or export it uncompressed",
        ) from error
    if item.frame is not None and frames == 1:
        stored = stored[None]
    shape = (item.rows, item.columns) if item.frame is None else (frames, item.rows, item.columns)
    if stored.shape != shape:
        raise ImageDamaged(f"{path} holds {stored.shape} pixels where its header says {shape}", "export it again")
    return stored


def _check_stored(item: Slice, data: Any, frames: int, compressed: bool) -> None:
    """Check what a header says of how its pixels are stored.

    Raises:
        ImageDamaged: there are too few, or the numbers that decide them cannot be.
    """
    path = item.file
    if data.get("PixelData") is None:
        raise ImageDamaged(f"{path} holds no pixels", "copy or export it again")
    allocated, used = int(data.get("BitsAllocated") or 0), int(data.get("BitsStored") or 0)
    expected = item.rows * item.columns * frames * allocated // 8
    high = data.get("HighBit")
    aligned = high is None or int(high) == used - 1  # other places are retired (DICOM PS3.5, 8.1.1)
    if not expected or not 1 <= used <= allocated or not aligned or data.get("PixelRepresentation") not in (0, 1):
        raise ImageDamaged(f"{path} does not say how its pixels are stored", "export it again")
    if not compressed and len(data.PixelData) < expected:
        raise ImageDamaged(
            f"{path} is truncated: {len(data.PixelData)} of {expected} bytes of pixels are there",
            "copy or export it again",
        )
    if str(data.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1":
        raise ImageDamaged(f"{path} is stored inverted (MONOCHROME1)", "export it as MONOCHROME2")
