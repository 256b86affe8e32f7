"""Folders that are no study, or one with something in the way: pipes, devices, links, settings of somebody else."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from mrimpute.contrasts import Contrast
from tests.conftest import WIDE, head_voxels, write_nifti, write_study
from tests.reliability.corpus import dicom
from tests.reliability.corpus.case import FILL, Case

SHAPE = (20, 24, 18)
DRY = (*FILL, "--dry-run")


def whole(study: Path) -> None:
    write_study(study, shape=SHAPE, affine=WIDE)


def t2(study: Path) -> Path:
    return study / "study-t2w.nii.gz"


def instead_of_t2(study: Path, make: Callable[[Path], object]) -> None:
    t2(study).unlink()
    make(t2(study))


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def two_loops(path: Path) -> None:
    path.symlink_to("other")
    path.with_name("other").symlink_to(path.name)


def to_zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def to_random(path: Path) -> None:
    path.symlink_to("/dev/urandom")


def to_nowhere(path: Path) -> None:
    path.symlink_to("/nowhere/at/all.nii.gz")


def character_device(path: Path) -> None:
    if os.geteuid():
        path.symlink_to("/dev/full")
    else:
        os.mknod(path, 0o20666, os.makedev(1, 7))  # /dev/full


def twice(study: Path) -> None:
    shutil.copy(t2(study), study / "other-t2w.nii.gz")


def t2_twice_alike(study: Path) -> None:
    write_nifti(study / "study_t2.nii.gz", head_voxels(Contrast.T2, SHAPE, 5), WIDE)


def one_file_for_two(study: Path) -> None:
    shutil.copy(study / "study-t1n.nii.gz", study / "study-t1c.nii.gz")


def far_away(study: Path) -> None:
    affine = WIDE.copy()
    affine[:3, 3] += 500
    write_nifti(t2(study), head_voxels(Contrast.T2, SHAPE), affine)


def another_patient(study: Path) -> None:
    for path in (study / "t2").iterdir():
        dicom.edit(path, lambda data: setattr(data, "PatientID", "OTHER"))


def another_visit(study: Path) -> None:
    for path in (study / "t2").iterdir():
        dicom.edit(
            path, lambda data: (setattr(data, "StudyInstanceUID", "1.9"), setattr(data, "StudyDate", "20250101"))
        )


def small(study: Path) -> None:
    for path in study.iterdir():
        write_nifti(path, head_voxels(Contrast.T1, SHAPE), WIDE @ np.diag([0.1, 0.1, 0.1, 1]))


def only(study: Path, *names: str) -> None:
    for path in list(study.iterdir()):
        if not path.name.endswith(tuple(f"{name}.nii.gz" for name in names)):
            path.unlink()


def settings(study: Path, text: str | bytes) -> None:
    (study / "mrimpute.toml").write_bytes(text if isinstance(text, bytes) else text.encode())


def at_the_place(study: Path, name: str, make: Callable[[Path], object]) -> None:
    make(study / name)


def text(path: Path) -> None:
    path.write_text("somebody's")


def acquired(path: Path) -> None:
    """Put an image there that is no source: its sidecar says that it is a mask."""
    write_nifti(path, (head_voxels(Contrast.T2, SHAPE) > 0).astype(np.uint8), WIDE)


WORDS = {
    "an absent folder": ("fill", "{study}/absent"),
    "a file": ("fill", "{study}/study-t1n.nii.gz"),
    "a name too long": ("fill", "{study}/" + "x" * 300),
    "a path too long": ("fill", "{study}/" + "x/" * 3000),
    "/dev/null": ("fill", "/dev/null"),
    "a NUL in a path": ("fill", "a\0b"),
}
IN_PLACE = {
    "a folder": os.mkdir,
    "a pipe": os.mkfifo,
    "a loop": loop,
    "two loops": two_loops,
    "/dev/zero": to_zero,
    "/dev/urandom": to_random,
    "a link to nowhere": to_nowhere,
    "a device": character_device,
}
STUDIES = {
    "two T2 of two patients": (twice, (3,)),
    "two T2": (t2_twice_alike, (3,)),
    "one file for two contrasts": (one_file_for_two, (3,)),
    "a T2 half a metre away": (far_away, (3,)),
    "a head of 9 mm": (small, (3,)),
}
SETTINGS = {
    "weights from the Hub": 'weights = "hf://evil/repo"',
    "weights from a folder": 'weights = "/tmp"',
    "weights beside": 'weights = "../evil"',
    "no TOML": "weights = ",
    "an unknown key": "colour = 1",
    "a wrong kind": "weights = 7",
    "a table": "[weights]\nx = 1",
    "no UTF-8": b'weights = "\xff\xfe"',
    "nested without end": "weights = " + "[" * 100_000,
    "escapes for the terminal": 'weights = "\\u001b[2J\\u0007evil"',
    "a calibration from a folder": 'calibration = "/tmp/evil"',
}
LATE = {
    "a foreign sidecar": ("study-t2f.json", text, 6),
    "a pipe for a sidecar": ("study-t2f.json", os.mkfifo, 6),
    "a folder for a sidecar": ("study-t2f.json", os.mkdir, 6),
    "/dev/zero for a sidecar": ("study-t2f.json", to_zero, 6),
}


def malformed() -> Iterator[Case]:
    """Yield what is no study, and studies in which something stands in the way."""
    for name, words in WORDS.items():
        yield Case(name, whole, (), (2, 3), words)
    yield Case("an empty folder", lambda study: study.mkdir(exist_ok=True))
    yield Case("texts only", lambda study: (study / "read.me").write_text("no image"))
    yield Case("20,000 texts", many_texts)
    yield Case("40 folders deep", deep, (), (3,), DRY)
    for name, make in IN_PLACE.items():
        yield Case(f"{name} for a T2", _spoiled(partial(instead_of_t2, make=make)), ("study-t2w",))
    for name, (spoil, codes) in STUDIES.items():
        yield Case(name, _spoiled(spoil), (), codes)
    for spoil in (another_patient, another_visit):
        yield Case(spoil.__name__.replace("_", " "), _dicom(spoil))
    yield Case("all four", _four, (), (0,), (*DRY[:2], *DRY[4:]))
    yield Case("CT from T1", whole, (), (0,), ("fill", "{study}", "--missing", "ct", "--dry-run"))
    yield Case("a CT alone", _alone, (), (3,))
    for name, content in SETTINGS.items():
        yield Case(
            f"settings: {name}",
            _spoiled(partial(settings, text=content)),
            (),
            (2, 3, 4),
            ("fill", "{study}", "-m", "flair", "--device", "cpu"),
        )
    for name, make in (("a pipe", os.mkfifo), ("/dev/zero", to_zero)):
        spoil = partial(at_the_place, name="mrimpute.toml", make=make)
        yield Case(f"settings: {name}", _spoiled(spoil), (), (0, 2, 3), (*DRY,))
    for name, (place, make, code) in LATE.items():
        yield Case(name, _spoiled(partial(at_the_place, name=place, make=make)), ("not made by mrimpute",), (code,))
    for name, make in (("a pipe", os.mkfifo), ("/dev/zero", to_zero), ("a loop", loop)):
        spoil = partial(at_the_place, name="study-t1n.json", make=make)
        yield Case(f"{name} for a source's sidecar", _spoiled(spoil), (), (0, 3), DRY)


def many_texts(study: Path) -> None:
    for number in range(20_000):
        (study / f"{number}.txt").touch()


def deep(study: Path) -> None:
    whole(study.joinpath(*["x"] * 40, "study"))


def _four(study: Path) -> None:
    write_study(study, tuple(Contrast(word) for word in ("t1", "t1c", "t2", "flair")), SHAPE, WIDE)


def _alone(study: Path) -> None:
    write_nifti(study / "study_ct.nii.gz", head_voxels(Contrast.CT, SHAPE), WIDE)


def _spoiled(spoil: Callable[[Path], object]) -> Callable[[Path], object]:
    def build(study: Path) -> None:
        whole(study)
        spoil(study)

    return build


def _dicom(spoil: Callable[[Path], object]) -> Callable[[Path], object]:
    def build(study: Path) -> None:
        dicom.plain(study)
        spoil(study)

    return build
