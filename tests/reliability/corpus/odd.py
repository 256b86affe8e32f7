"""Odd but valid series, each of which must be read exactly: voxels equal, and in their place to 1e-3 mm."""

import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from mrimpute.contrasts import Contrast
from mrimpute.study import find_series
from tests.conftest import OBLIQUE, head_voxels
from tests.dicom_builders import GAP, ROTATION, SPACING, enhance, write_series
from tests.reliability.corpus.dicom import edit

T2 = Contrast.T2
VOXELS = head_voxels(T2, (20, 24, 18))
SLICES = head_voxels(T2, (40, 48, 9))
PLACE_MM = 1e-3


@dataclass(frozen=True)
class Odd:
    """A study with a T2, and what reading that must give.

    Attributes:
        name: once.
        build: writes the study.
        voxels: as stored, along the axes of `affine`.
        affine: voxel → RAS mm.
    """

    name: str
    build: Callable[[Path], object]
    voxels: np.ndarray
    affine: np.ndarray


def misread(case: Odd, study: Path) -> str:
    """Return how a study's T2 is misread; '' where it is read exactly."""
    try:
        volume = find_series(study).get(T2).read()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if volume.voxels.shape != case.voxels.shape or not np.array_equal(volume.voxels, case.voxels):
        return "other voxels"
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in case.voxels.shape])).reshape(3, -1).T
    moved = np.abs(volume.grid.corners() - nib.affines.apply_affine(case.affine, corners)).max()
    return "" if moved < PLACE_MM else f"{moved:.3g} mm off"


def image(
    study: Path,
    voxels: np.ndarray = VOXELS,
    affine: np.ndarray = OBLIQUE,
    name: str = "study-t2w.nii.gz",
    kind: type = nib.Nifti1Image,
    endian: str = "<",
    scale: tuple[float, float] | None = None,
    codes: tuple[int, int] = (1, 1),
) -> Path:
    """Write a T2 as NIfTI file."""
    header = kind.header_class(endianness=endian)
    header.set_data_dtype(voxels.dtype.newbyteorder(endian))
    picture = kind(voxels, affine, header, dtype=voxels.dtype)
    picture.set_sform(affine, code=codes[0])
    picture.set_qform(affine, code=codes[1], strip_shears=True)
    picture.header.set_xyzt_units("mm")
    if scale:
        picture.header.set_slope_inter(*scale)
    (study / name).parent.mkdir(parents=True, exist_ok=True)
    picture.to_filename(study / name)
    return study / name


def with_extension(study: Path) -> None:
    path = image(study)
    picture = nib.load(path)
    picture.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"of a scanner" * 40))
    voxels = np.asarray(picture.dataobj)
    nib.save(nib.Nifti1Image(voxels, picture.affine, picture.header), path)


def rewrapped(study: Path, wrap: Callable[[bytes], bytes], name: str) -> None:
    path = image(study)
    content = gzip.decompress(path.read_bytes())
    path.unlink()
    (study / name).write_bytes(wrap(content))


def linked(study: Path) -> None:
    outside = image(study.parent / "annex", name="abc.nii.gz")
    study.mkdir(exist_ok=True)
    (study / "study-t2w.nii.gz").symlink_to(outside)


def two_members(content: bytes) -> bytes:
    return gzip.compress(content[:5000]) + gzip.compress(content[5000:])


def nifti() -> Iterator[Odd]:
    """Yield odd NIfTI files."""
    low = (VOXELS % 250).astype(np.uint8)
    for kind in (nib.Nifti1Image, nib.Nifti2Image):
        for dtype in (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64):
            values = (low % 120).astype(dtype)
            yield Odd(
                f"{kind.__name__} of {np.dtype(dtype)}", partial(image, voxels=values, kind=kind), values, OBLIQUE
            )
        for dtype in (np.int16, np.float32):
            values = VOXELS.astype(dtype)
            build = partial(image, voxels=values, kind=kind, endian=">")
            yield Odd(f"big-endian {kind.__name__} of {np.dtype(dtype)}", build, values, OBLIQUE)
    for number, angles in enumerate(((0.3, 0, 0), (0, 0.4, 0), (0, 0, 0.5), (0.2, 0.3, -0.4))):
        affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(*angles) @ np.diag([4.0, 4.2, 5.0]), [-40, 3, 9])
        yield Odd(f"oblique {number}", partial(image, affine=affine), VOXELS, affine)
    for codes in ("RAS", "LAS", "ASL", "SPR", "IPL"):
        turn = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(tuple(codes)), VOXELS.shape)
        turned = nib.orientations.apply_orientation(VOXELS, nib.orientations.axcodes2ornt(tuple(codes)))
        affine = OBLIQUE @ turn
        yield Odd(f"axes {codes} of it", partial(image, voxels=turned, affine=affine), turned, affine)
    yield Odd("4-D of one volume", partial(image, voxels=VOXELS[..., None]), VOXELS, OBLIQUE)
    yield Odd("5-D of one volume", partial(image, voxels=VOXELS[..., None, None]), VOXELS, OBLIQUE)
    yield Odd("scaled", partial(image, scale=(2.0, 5.0)), VOXELS * 2.0 + 5, OBLIQUE)
    yield Odd("sform only", partial(image, codes=(2, 0)), VOXELS, OBLIQUE)
    yield Odd("qform only", partial(image, codes=(0, 1)), VOXELS, OBLIQUE)
    yield Odd("codes 4 and 2", partial(image, codes=(4, 2)), VOXELS, OBLIQUE)
    yield Odd("an extension", with_extension, VOXELS, OBLIQUE)
    for name in ("study_T2.nii.gz", "STUDY-T2W.NII.GZ", "st udy-t2w.nii.gz", "stüdy-t2w.nii.gz", "a.b.c-t2w.nii.gz"):
        yield Odd(f"the name {name}", partial(image, name=name), VOXELS, OBLIQUE)
    yield Odd("a name that is no UTF-8", partial(image, name=os.fsdecode(b"st\xe4dy-t2w.nii.gz")), VOXELS, OBLIQUE)
    yield Odd("in a folder below", partial(image, name="anat/study-t2w.nii.gz"), VOXELS, OBLIQUE)
    yield Odd("plain, called packed", partial(rewrapped, wrap=bytes, name="study-t2w.nii.gz"), VOXELS, OBLIQUE)
    yield Odd("packed, called plain", partial(rewrapped, wrap=gzip.compress, name="study-t2w.nii"), VOXELS, OBLIQUE)
    yield Odd("two members", partial(rewrapped, wrap=two_members, name="study-t2w.nii.gz"), VOXELS, OBLIQUE)
    yield Odd("a link", linked, VOXELS, OBLIQUE)


def series_affine(count: int = 9) -> np.ndarray:
    """Return voxel → RAS mm of the builders' series."""
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = ROTATION[:, 0] * SPACING[0], ROTATION[:, 1] * SPACING[1]
    affine[:3, 2], affine[:3, 3] = ROTATION[:, 2] * GAP, (-20.0, -25.0, 5.0)
    return np.diag([-1.0, -1, 1, 1]) @ affine


def series(study: Path, change: Callable[[Dataset, int], object] | None = None, suffix: str = ".dcm") -> list[Path]:
    folder = write_series(study / "t2", T2, change=change, suffix=suffix)
    return sorted(folder.iterdir())


def resaved(study: Path, syntax: str) -> None:
    for path in series(study):
        data = dcmread(path)
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(path, enforce_file_format=True)


def compressed(study: Path, syntax: str) -> None:
    for path in series(study):
        edit(path, lambda data: data.compress(syntax, generate_instance_uid=False))


def without_preamble(study: Path) -> None:
    for path in series(study):
        path.write_bytes(path.read_bytes()[132:])


def renamed(study: Path, name: Callable[[int], str]) -> None:
    for index, path in enumerate(series(study)):
        target = path.parent / name(index)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def renumbered(data: Dataset, index: int) -> None:
    data.InstanceNumber = 100 - index


def jitter(data: Dataset, index: int) -> None:
    x, y, z = data.ImagePositionPatient
    data.ImagePositionPatient = [x, y, z + (5e-4 if index % 2 else 0)]


def unsigned(data: Dataset, _index: int) -> None:
    data.PixelRepresentation, data.BitsStored, data.HighBit = 0, 12, 11


def extras(data: Dataset, _index: int) -> None:
    data.add_new((0x0009, 0x0010), "LO", "ACME")
    data.add_new((0x0009, 0x1001), "UN", b"\x01\x02\x03\x04")
    data.add_new((0x6000, 0x0010), "US", 48)
    data.add_new((0x6000, 0x3000), "OW", bytes(240))


def group_lengths(data: Dataset, _index: int) -> None:
    data.add_new((0x0008, 0x0000), "UL", 4)
    data.add_new((0x0028, 0x0000), "UL", 4)


def charset(data: Dataset, _index: int, word: str, name: str) -> None:
    data.SpecificCharacterSet, data.PatientName = word, name


def rescaled(data: Dataset, _index: int) -> None:
    data.RescaleSlope, data.RescaleIntercept = "2", "5"


def empty_rescale(data: Dataset, _index: int) -> None:
    data.RescaleSlope = data.RescaleIntercept = None


def clutter(study: Path) -> None:
    series(study)
    (study / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(400))
    (study / "t2" / "report.pdf").write_bytes(b"%PDF-1.4\n" + bytes(400))
    (study / ".DS_Store").write_bytes(bytes(400))
    (study / "DICOMDIR").write_bytes(bytes(132))


def doubled(study: Path) -> None:
    for path in series(study):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))


def enhanced(study: Path) -> None:
    series(study)
    enhance(study / "t2")


def dicom() -> Iterator[Odd]:
    """Yield odd DICOM series."""
    affine = series_affine()
    builds: dict[str, Callable[[Path], object]] = {
        "implicit": partial(resaved, syntax=ImplicitVRLittleEndian),
        "deflated": partial(resaved, syntax=DeflatedExplicitVRLittleEndian),
        "RLE": partial(compressed, syntax=RLELossless),
        "JPEG-LS": partial(compressed, syntax=JPEGLSLossless),
        "JPEG 2000": partial(compressed, syntax=JPEG2000Lossless),
        "no preamble": without_preamble,
        "no ending": partial(renamed, name=lambda index: f"IM{index}"),
        "IMA": partial(series, suffix=".IMA"),
        "names in reverse": partial(renamed, name=lambda index: f"{99 - index}.dcm"),
        "names of dots": partial(renamed, name=lambda index: f"1.2.840.{index}.1"),
        "a folder for each": partial(renamed, name=lambda index: f"{index}/x.dcm"),
        "numbers in reverse": partial(series, change=renumbered),
        "jitter": partial(series, change=jitter),
        "12 bits, unsigned": partial(series, change=unsigned),
        "overlays and private tags": partial(series, change=extras),
        "group lengths": partial(series, change=group_lengths),
        "empty rescale": partial(series, change=empty_rescale),
        "clutter": clutter,
        "every file twice": doubled,
    }
    for word, name in (
        ("GB18030", "王^小东"),
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "Åsa^Ö"),
        ("ISO_IR 144", "Люк"),
    ):
        builds[f"a name in {word}"] = partial(series, change=partial(charset, word=word, name=name))
    for title, build in builds.items():
        values = np.where(SLICES < 0, 0, SLICES) if title == "12 bits, unsigned" else SLICES
        yield Odd(title, build, values, affine)
    yield Odd("rescaled", partial(series, change=rescaled), SLICES * 2.0 + 5, affine)
    yield Odd("enhanced", enhanced, SLICES * 2.0, affine)
