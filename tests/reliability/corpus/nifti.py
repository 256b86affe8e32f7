"""Headers, containers and voxels of NIfTI files that are damaged, lying, or no image."""

import gzip
import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from mrimpute.contrasts import Contrast
from tests.conftest import WIDE, head_voxels, write_study
from tests.io.test_nifti import HEADER_DEFECTS
from tests.reliability.corpus.case import Case

SHAPE = (20, 24, 18)
VOXELS = head_voxels(Contrast.T2, SHAPE)
MORE_DEFECTS = {
    "form code 99": (252, "h", (99,)),
    "form code 98": (254, "h", (98,)),
    "an axis less": (40, "8h", (3, 19, 24, 18, 1, 1, 1, 1)),
    "a row less": (40, "8h", (3, 20, 23, 18, 1, 1, 1, 1)),
    "a slice less": (40, "8h", (3, 20, 24, 17, 1, 1, 1, 1)),
    "voxels of 1 um": (280, "12f", (1e-3, 0, 0, 0, 0, 1e-3, 0, 0, 0, 0, 1e-3, 0)),
    "sform of one plane": (280, "12f", (4.0, 0, 0, 0, 0, 4.0, 0, 0, 4.0, 4.0, 0, 0)),
    "an infinite origin": (292, "f", (float("inf"),)),
    "1000 cubed": (40, "8h", (3, 1000, 1000, 1000, 1, 1, 1, 1)),
    "five dimensions": (40, "8h", (5, 20, 24, 9, 1, 2, 1, 1)),
}
"""Beyond those of the suite: name → offset, layout and values in the header."""


def raw(study: Path) -> bytes:
    """Return the unpacked bytes of the study's T2."""
    return gzip.decompress((study / "study-t2w.nii.gz").read_bytes())


def put(study: Path, content: bytes, packed: bool = True) -> None:
    """Put other bytes in the place of the study's T2."""
    (study / "study-t2w.nii.gz").unlink()
    name = "study-t2w.nii.gz" if packed else "study-t2w.nii"
    (study / name).write_bytes(gzip.compress(content, 1) if packed else content)


def patched(study: Path, offset: int, layout: str, values: tuple[float, ...], packed: bool) -> None:
    content = bytearray(raw(study))
    struct.pack_into("<" + layout, content, offset, *values)
    put(study, bytes(content), packed)


def cut_packed(study: Path, length: int) -> None:
    path = study / "study-t2w.nii.gz"
    path.write_bytes(path.read_bytes()[:length])


def cut_plain(study: Path, length: int) -> None:
    put(study, raw(study)[:length], packed=False)


def flipped_check_sum(study: Path) -> None:
    path = study / "study-t2w.nii.gz"
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(content)


def bomb(study: Path, shape: tuple[int, int, int], megabytes: int) -> None:
    header = bytearray(raw(study)[:352])
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    put(study, bytes(header) + bytes(megabytes * 2**20))


def sparse(study: Path, packed: bool) -> None:
    content = raw(study)
    put(study, content, packed)
    os.truncate(study / ("study-t2w.nii.gz" if packed else "study-t2w.nii"), 60 * 2**30)


def many_members(study: Path) -> None:
    path = study / "study-t2w.nii.gz"
    path.write_bytes(gzip.compress(raw(study)) + gzip.compress(b"") * 200_000)


def surplus(study: Path, packed: bool) -> None:
    put(study, raw(study) + bytes(3 * 2**20), packed)


def bytes_of(content: bytes) -> Callable[[Path], object]:
    return lambda study: (study / "study-t2w.nii.gz").write_bytes(content)


def voxels(study: Path, values: np.ndarray) -> None:
    image = nib.Nifti1Image(values, WIDE)
    image.set_sform(WIDE, code=1)
    image.to_filename(study / "study-t2w.nii.gz")


def _one_value(value: float) -> np.ndarray:
    changed = VOXELS.astype(np.float32)
    changed[10, 12, 9] = value
    return changed


def _corner() -> np.ndarray:
    values = np.zeros(SHAPE, np.int16)
    values[:3, :3, :3] = np.arange(27).reshape(3, 3, 3)
    return values


IMPOSSIBLE = {
    "a NaN": _one_value(np.nan),
    "an infinity": _one_value(np.inf),
    "minus infinity": _one_value(-np.inf),
    "all NaN": np.full(SHAPE, np.nan, np.float32),
    "all zero": np.zeros(SHAPE, np.int16),
    "one value": np.full(SHAPE, 7, np.int16),
    "a mask": (VOXELS > 0).astype(np.uint8),
    "beyond float32": VOXELS.astype(np.float64) * 1e300,
    "almost empty": _corner(),
    "a flat one": VOXELS[:, :, 9:10],
    "a row": VOXELS[:, 12:13, 9:10],
}


def malformed() -> Iterator[Case]:
    """Yield studies whose T2 is malformed: packed and plain headers, containers, voxels."""
    defects = {name: values[:3] for name, values in HEADER_DEFECTS.items()} | MORE_DEFECTS
    for packed, kind in ((True, "packed"), (False, "plain")):
        for name, values in defects.items():
            yield _case(f"{name} ({kind})", partial(patched_by, values=values, packed=packed))
    for length in (0, 1, 2, 12, 300, 1000):
        yield _case(f"gzip cut at {length}", partial(cut_packed, length=length))
    for length in (0, 10, 347, 348, 352, 2000):
        yield _case(f"cut at {length}", partial(cut_plain, length=length))
    yield _case("wrong check sum", flipped_check_sum)
    yield _case("a bomb that tells", partial(bomb, shape=(2000, 2000, 1000), megabytes=64))
    yield _case("a bomb that lies", partial(bomb, shape=SHAPE, megabytes=512))
    for packed in (True, False):
        yield _case(f"60 GB on no disk, packed {packed}", partial(sparse, packed=packed))
        yield _case(f"3 MB too many, packed {packed}", partial(surplus, packed=packed))
    yield _case("200,000 members", many_members)
    for name, content in {
        "a text": b"no image\n",
        "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(500),
        "a zip": b"PK\x03\x04" + bytes(500),
        "HTML of a login page": b"<!DOCTYPE html><html>sign in</html>",
        "an LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    }.items():
        yield _case(name, bytes_of(content))
    for name, values in IMPOSSIBLE.items():
        yield _case(name, partial(voxels, values=values))


def patched_by(study: Path, values: tuple[int, str, tuple[float, ...]], packed: bool) -> None:
    patched(study, *values, packed)


def _case(name: str, spoil: Callable[[Path], object]) -> Case:
    def build(study: Path) -> None:
        write_study(study, shape=SHAPE, affine=WIDE)
        spoil(study)

    return Case(name, build, ("study-t2w",))
