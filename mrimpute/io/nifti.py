"""NIfTI in and out, strictly: a damaged or contradictory file is refused, never repaired.

nibabel decodes; this module adds what nibabel lets pass:
the gzip check sum, declared against present bytes, form codes that are absent, singular or
contradict each other, voxel sizes and units out of range.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import nibabel as nib
import numpy as np

from mrimpute.device import side_by_side
from mrimpute.errors import ImageDamaged, MrimputeError, SeveralVolumes
from mrimpute.volume import FloatArray, Grid, Volume

MAX_IMAGE_BYTES = 2 * 2**30
"""Largest uncompressed image accepted; a gzip bomb is refused by its header, before unpacking."""
GZIP_MAGIC = b"\x1f\x8b"
LEVEL = 6
"""How hard files are packed: 9 takes 1.5 to 2 times as long for half a hundredth less (three images, 7 to 18 MB)."""
GZIP_HEAD = GZIP_MAGIC + b"\x08\0\0\0\0\0\0\xff"
"""Deflate, no name, no time, no system."""
PART = 2**22
"""Bytes that are packed as one."""
GZIP_OVERHEAD = 2**20
"""By how much a packed file may be longer than what it holds."""
MAX_VOXELS = 512**3
"""Most voxels of an image: every step keeps several numbers of each in memory."""
MAX_MEMBERS = 2**17
"""Most parts of a gzip file; of 2 GiB in the blocks of bgzip there are 2**15."""
_PIECE = 2**20
FORM_CODES = range(6)
"""Form codes that the standard knows."""
SPACING_RANGE_MM = (0.2, 10.0)
SHEAR_NOTICED = 1e-4
SHEAR_LIMIT = 1e-2
"""Largest |cosine| between two axes that is accepted; from SHEAR_NOTICED on with a warning."""
FORM_ORIGIN_MM = 0.01
FORM_ANGLE_DEG = 0.1
FORM_SPACING = 1e-3
"""How far sform and qform may differ: origin, rotation, relative voxel size."""
MIN_SLICES = 5

_HEADERS = {348: (nib.Nifti1Header, b"n+1\0", 352), 540: (nib.Nifti2Header, b"n+2\0\r\n\x1a\n", 544)}
Result = TypeVar("Result")

_READABLE_KINDS = "iuf"
_MM_UNITS = (0, 2)


@dataclass(frozen=True)
class ImageInfo:
    """What a header tells: the grid, the header itself, and warnings about it."""

    grid: Grid
    header: Any
    warnings: tuple[str, ...] = ()


def read_info(path: Path) -> ImageInfo:
    """Read and check a NIfTI header; voxels are not touched.

    Raises:
        ImageDamaged: the header is unreadable, or describes no usable 3-D volume.
    """
    return _guard(path, lambda: _check_header(path, _parse_header(path, _head_bytes(path))))


def read_texts(path: Path) -> dict[str, str]:
    """Return the text fields of a NIfTI file of any shape; what its header tells of the grid is not checked.

    Raises:
        ImageDamaged: absent, unreadable or no single-file NIfTI.
    """
    header = _guard(path, lambda: _parse_header(path, _head_bytes(path)))
    return {name: bytes(header[name].item()).decode("latin-1") for name in ("descrip", "aux_file")}


def read(path: Path) -> Volume:
    """Read a NIfTI volume with every check of the module.

    Returns:
        voxels (X, Y, Z) as float32 where that is exact (float64 otherwise), scaled by the
        header's slope and intercept. Where an intercept leaves no stored whole number for 0, the one
        nearest to it is 0: background is told from tissue by that.

    Raises:
        ImageDamaged: the file is truncated, corrupt, contradictory, or not a 3-D image of
            finite, varying real numbers.
    """
    return _guard(path, lambda: _read(path))


def glance(path: Path) -> tuple[FloatArray, Grid]:
    """Return voxels as they are stored (X, Y, Z) and their grid, for a thumbnail: no digest, no check sum.

    Raises:
        ImageDamaged: it cannot be read.
    """

    def read_quickly() -> tuple[FloatArray, Grid]:
        image: Any = nib.load(path)
        grid = read_info(path).grid
        return np.asanyarray(image.dataobj).reshape(grid.shape), grid

    return _guard(path, read_quickly)


def encode(voxels: FloatArray, grid: Grid, header: Any, description: str) -> bytes:
    """Return the bytes of a compressed NIfTI file with float32 voxels on a source's grid.

    The source's form codes, units and 4-D shape are kept; its extensions and free-text fields
    are not, since they may name a patient. Equal inputs give equal bytes.

    Args:
        voxels: (X, Y, Z).
        grid: the grid of the reference source.
        header: nibabel header of the reference source, or None where it was not NIfTI.
        description: text for `descrip`, at most 79 ASCII characters.
    """
    shape: tuple[int, ...] = voxels.shape
    if header is None:
        new = nib.Nifti1Header()
        new.set_xyzt_units("mm")
        new.set_sform(grid.affine, code=1)
        new.set_qform(grid.affine, code=1)
    else:
        new = header.copy()
        shape = tuple(header.get_data_shape())
        for name in {"data_type", "db_name", "intent_name"} & set(new):
            new[name] = b""
        for name in ("intent_code", "cal_min", "cal_max", "vox_offset"):
            new[name] = 0
    new.set_data_dtype(np.float32)
    new.set_slope_inter(None, None)
    new["descrip"] = description.encode("ascii")
    new["aux_file"] = description.encode("ascii")[:23]
    kind = nib.Nifti2Image if isinstance(new, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(np.asarray(voxels, np.float32).reshape(shape), None, new)
    return _packed(image.to_bytes())


def _packed(content: bytes) -> bytes:
    """Return bytes as one gzip member without a time (RFC 1952), its parts packed side by side as pigz does: each ends
    on a whole byte, so that they follow each other as one stream (RFC 1951). The parts do not depend on the CPUs."""
    view = memoryview(content)
    starts = range(0, len(content), PART)

    def deflated(start: int) -> bytes:
        stream = zlib.compressobj(LEVEL, wbits=-zlib.MAX_WBITS)
        last = start == starts[-1]
        part = stream.compress(view[start : start + PART])
        return part + stream.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)

    end = struct.pack("<II", zlib.crc32(content), len(content) % 2**32)
    return b"".join((GZIP_HEAD, *side_by_side(deflated, starts), end))


def _guard(path: Path, action: Callable[[], Result]) -> Result:
    """Run action; whatever a parser throws on foreign bytes becomes ImageDamaged."""
    try:
        return action()
    except (MrimputeError, MemoryError):
        raise
    except OSError as error:
        raise ImageDamaged(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:
        raise ImageDamaged(f"cannot read {path}: not a valid NIfTI image ({type(error).__name__})") from error


def _read(path: Path) -> Volume:
    info = read_info(path)
    expected = int(info.header["vox_offset"]) + _voxel_bytes(info.header)
    slack = _slack(info.header)
    if path.stat().st_size > expected + slack + GZIP_OVERHEAD:
        raise _too_long(path)
    raw = path.read_bytes()
    payload = _payload(path, raw, expected, slack)
    kind = nib.Nifti2Image if isinstance(info.header, nib.Nifti2Header) else nib.Nifti1Image
    image = kind.from_bytes(payload)
    voxels = np.asanyarray(image.dataobj).reshape(info.grid.shape)
    exact = voxels.dtype == np.float32 or (voxels.dtype.kind in "iu" and voxels.dtype.itemsize <= 2)
    voxels = np.ascontiguousarray(voxels, dtype=np.float32 if exact else np.float64)
    slope, intercept = info.header.get_slope_inter()
    if info.header.get_data_dtype().kind in "iu" and intercept:
        voxels[np.abs(voxels) < abs(slope) / 2] = 0  # the stored value that an exact 0 became
    return Volume(voxels, info.grid, path, hashlib.sha256(raw).hexdigest(), info.header)


def _head_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return _head_of(file.read(64 * 1024))


def _head_of(raw: bytes) -> bytes:
    """Return the first 1 KiB of the image's bytes, uncompressed if need be."""
    if raw[:2] == GZIP_MAGIC:
        return zlib.decompressobj(wbits=31).decompress(raw[: 64 * 1024], 1024)
    return raw[:1024]


def _parse_header(path: Path, head: bytes) -> Any:
    """Return the nibabel header, from the header size and magic alone (either byte order)."""
    for size, (kind, magic, _) in _HEADERS.items():
        for order in "<>":
            if len(head) < size or struct.unpack(f"{order}i", head[:4]) != (size,):
                continue
            at = 344 if size == 348 else 4
            if head[at : at + len(magic)] != magic:
                raise ImageDamaged(f"{path} is not a single-file NIfTI image (wrong magic)", _CONVERT)
            header = kind(head[:size], endianness=order, check=False)
            if header["pixdim"][0] == 0:  # the standard's qfac: 0 means 1
                header["pixdim"][0] = 1
            return header
    raise ImageDamaged(f"{path} is not a NIfTI image ({len(head)} header bytes)", _CONVERT)


_CONVERT = "convert it again, for instance with dcm2niix"


def _check_header(path: Path, header: Any) -> ImageInfo:
    """Check everything a header can get wrong; return its grid."""

    def refuse(what: str, hint: str = _CONVERT) -> ImageDamaged:
        return ImageDamaged(f"{path}: {what}", hint)

    count = int(header["dim"][0])
    dims = [int(n) for n in header["dim"][1 : max(count, 0) + 1]]
    if not 3 <= count <= 7 or min(dims) < 1:
        raise refuse(f"is not a 3-D volume (dimensions {dims if 0 < count <= 7 else count})")
    if max(dims[3:], default=1) > 1:
        shape = "x".join(map(str, dims))
        raise SeveralVolumes(
            f"{path} is a 4-D file ({shape}) with several volumes",
            "split it into one 3-D file per contrast, named after its contrast (for instance with fslsplit)",
        )
    if min(dims[:3]) < MIN_SLICES:
        raise refuse(f"has only {min(dims[:3])} slices along one axis", f"at least {MIN_SLICES} are needed")
    code = int(header["datatype"])
    if code not in nib.nifti1.data_type_codes or header.get_data_dtype().kind not in _READABLE_KINDS:
        raise refuse(f"voxel type {code} is not a real number", "convert it to a grey-value image")
    _check_size(header, dims, refuse)
    smallest = next(low for kind, _, low in _HEADERS.values() if type(header) is kind)
    if not smallest <= float(header["vox_offset"]) <= MAX_IMAGE_BYTES:
        raise refuse(f"voxel offset {float(header['vox_offset']):g} points into the header or past the file")
    if int(header["xyzt_units"]) % 8 not in _MM_UNITS:
        raise refuse("is measured in metres or micrometres, not in millimetres")
    pixdim = np.asarray(header["pixdim"][1:4], float)
    if not np.isfinite(pixdim).all() or (pixdim == 0).any():
        raise refuse(f"voxel size {pixdim.tolist()} is not valid")
    affine, form_warning = _affine(header, refuse)
    grid = Grid((dims[0], dims[1], dims[2]), affine)
    low, high = SPACING_RANGE_MM
    if not low <= min(grid.spacing) <= max(grid.spacing) <= high:
        raise refuse(f"voxel size {_mm(grid.spacing)} mm is outside {low:g} to {high:g} mm")
    if grid.shear > SHEAR_LIMIT:
        raise refuse(
            f"its axes are sheared by {grid.shear:.3g}, over {SHEAR_LIMIT:g}", "resample it to a rectangular grid"
        )
    warnings = [f"{path}: {form_warning}"] if form_warning else []
    if grid.shear > SHEAR_NOTICED:
        warnings.append(f"{path}: axes sheared by {grid.shear:.2g}; the shear is kept")
    return ImageInfo(grid, header, tuple(warnings))


def _check_size(header: Any, dims: list[int], refuse: Callable[[str], ImageDamaged]) -> None:
    """Check that an image is not too large to be worked on.

    Raises:
        ImageDamaged: it is.
    """
    if _voxel_bytes(header) > MAX_IMAGE_BYTES:
        raise refuse(f"declares {_voxel_bytes(header) / 2**30:.1f} GiB of voxels, over the limit of 2 GiB")
    if np.prod(dims, dtype=object) > MAX_VOXELS:
        raise refuse(f"declares {'x'.join(map(str, dims[:3]))} voxels, over the limit of 512x512x512")


def _affine(header: Any, refuse: Any) -> tuple[FloatArray, str]:
    """Return the RAS affine that the form codes state, and a warning where two forms differ."""
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    if sform_code <= 0 and qform_code <= 0:
        raise refuse("does not state its orientation (sform and qform codes are both 0)")
    if not {sform_code, qform_code} <= set(FORM_CODES):
        raise refuse(f"its form codes are {qform_code} and {sform_code}, and the standard knows 0 to 5", "correct them")
    if qform_code > 0:
        try:
            header.get_qform()
        except ValueError as error:
            hint = "correct the header, or convert it again"
            raise refuse("its qform is no rotation (the numbers of its quaternion are too large)", hint) from error
    affine = np.asarray(header.get_sform() if sform_code > 0 else header.get_qform(), float)
    name = "sform" if sform_code > 0 else "qform"
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise refuse(f"its {name} is not a valid position in space (singular or not finite)")
    difference = form_difference(header)
    if not difference:
        return affine, ""
    mirrored = np.linalg.det(affine[:3, :3]) * np.linalg.det(header.get_qform()[:3, :3]) < 0
    if sform_code == qform_code or mirrored:
        raise refuse(f"sform and qform contradict each other ({difference})", "correct the header, or convert again")
    return affine, f"sform and qform state different spaces ({difference}); the sform is used, both are kept"


def form_difference(header: Any) -> str:
    """Say how a header's qform differs from its sform without shear; '' where they agree, or one alone is stated."""
    if int(header["sform_code"]) <= 0 or int(header["qform_code"]) <= 0:
        return ""
    sform, qform = (np.asarray(form, float) for form in (header.get_sform(), header.get_qform()))
    spacing = np.linalg.norm(sform[:3, :3], axis=0)
    left, _, right = np.linalg.svd(sform[:3, :3] / spacing)
    other = np.linalg.norm(qform[:3, :3], axis=0)
    rotation = (left @ right).T @ (qform[:3, :3] / other)
    angle = np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
    shift = float(np.abs(sform[:3, 3] - qform[:3, 3]).max())
    if shift > FORM_ORIGIN_MM:
        return f"origins {shift:.2f} mm apart"
    if angle > FORM_ANGLE_DEG:
        return f"rotated by {angle:.1f} degrees"
    if np.abs(other / spacing - 1).max() > FORM_SPACING:
        return f"voxel sizes {_mm(spacing)} and {_mm(other)} mm"
    return ""


def _mm(spacing: Any) -> str:
    return "x".join(f"{value:.4g}" for value in spacing)


def _voxel_bytes(header: Any) -> int:
    count = int(header["dim"][0])
    voxels = int(np.prod([int(n) for n in header["dim"][1 : count + 1]], dtype=object))
    return voxels * int(header.get_data_dtype().itemsize)


def _slack(header: Any) -> int:
    """Return how many bytes too many are padding: less than one plane of voxels, or the image is another one."""
    x, y, z = (int(n) for n in header["dim"][1:4])
    return min(x * y, y * z, x * z) * int(header.get_data_dtype().itemsize) - 1


def _too_long(path: Path) -> ImageDamaged:
    return ImageDamaged(f"{path} holds more data than its header declares", _CONVERT)


def _payload(path: Path, raw: bytes, expected: int, slack: int) -> bytes:
    """Return exactly the expected bytes of header and voxels, after reading all there is.

    Raises:
        ImageDamaged: fewer bytes than declared, a failed check sum, or too many bytes.
    """
    compressed = raw[:2] == GZIP_MAGIC
    out = BytesIO()
    for chunk in _gunzip(path, raw) if compressed else iter((raw,)):
        out.write(chunk)
        if out.tell() > expected + slack:
            raise _too_long(path)
    if out.tell() < expected:
        raise ImageDamaged(
            f"{path} is truncated: {out.tell()} of {expected} bytes are there", "copy or convert it again"
        )
    return out.getvalue()[:expected]


def _gunzip(path: Path, raw: bytes) -> Iterator[bytes]:
    """Yield the bytes of all gzip members; zlib compares each member's check sum."""
    view, at, members = memoryview(raw), 0, 0
    while bytes(view[at : at + 2]) == GZIP_MAGIC:
        members += 1
        if members > MAX_MEMBERS:
            raise ImageDamaged(f"{path} is packed in more than {MAX_MEMBERS} parts", "pack it again")
        stream = zlib.decompressobj(wbits=31)
        try:
            while not stream.eof:
                piece = view[at : at + _PIECE]
                chunk = stream.decompress(piece, _PIECE)
                at += len(piece) - len(stream.unconsumed_tail) - len(stream.unused_data)
                yield chunk
                if not chunk and not piece and not stream.eof:
                    raise ImageDamaged(f"{path} is truncated: its gzip stream ends early", "copy it again")
        except zlib.error as error:
            raise ImageDamaged(f"{path} is corrupt ({error})", "copy or convert it again") from error
