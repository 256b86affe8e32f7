"""The small folder that keeps a calibration, and where the user's store has it.

It holds `calibration.toml` and `grams.safetensors`: a matrix of 231x231 numbers per study, a joint histogram per study
and network that was run on it, how much each two of its series tell of each other, digests of voxels, voxel sizes and
figures. No image, no name, no tag of a patient is in it.
"""

import hashlib
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tomli_w
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mrimpute.calibration.curve import BINS, Joint, NetworkRun
from mrimpute.calibration.gram import PLAIN, RICH, Gram, term_count
from mrimpute.calibration.site import FRAME, ContrastPair, Figure, Member, Site
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import OutputRefused, UsageError, WeightsUnavailable
from mrimpute.files import disk_errors, new_part, put, standing_sha256, unremoved, unsynced, write_through
from mrimpute.registry import BUILTIN_FOLDER, InputSpec, home_folder
from mrimpute.volume import FloatArray

CALIBRATION_TOML, GRAMS_FILE = "calibration.toml", "grams.safetensors"
SCHEMA: Literal["mrimpute.calibration/1"] = "mrimpute.calibration/1"
BUILTIN = BUILTIN_FOLDER / "regression"
"""What the built-in networks' training studies taught."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ASYMMETRY = 1e-9


def choose_site(word: str) -> Site:
    """Return the calibration that a user's word means: a name in the store, or a folder.

    Raises:
        WeightsUnavailable: there is none, or it is not valid.
    """
    if _NAME.fullmatch(word) and place_of(word).is_dir():
        return read_site(place_of(word))
    if Path(word).is_dir():
        site = read_site(Path(word))
        if site.places:
            raise WeightsUnavailable(
                f"{word} is what the built-in networks learnt from, no calibration of a scanner", "name another"
            )
        return site
    raise WeightsUnavailable(
        f"no calibration and no folder is called {word!r}", f"make one: mrimpute calibrate STUDY… --name {word}"
    )


def site_in_store(name: str) -> Site:
    """Return a calibration by its name in the user's store; a study's own settings may choose no other place.

    Raises:
        WeightsUnavailable: there is none, or it is not valid.
    """
    if not _NAME.fullmatch(name) or not place_of(name).is_dir():
        raise WeightsUnavailable(
            f"the store holds no calibration called {name!r}",
            f"make it: mrimpute calibrate STUDY… --name {name}, or name a folder with --calibration",
        )
    return read_site(place_of(name))


def place_of(name: str) -> Path:
    """Return where the store keeps the calibration of a name.

    Raises:
        UsageError: it is no name.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a calibration", "use letters, digits, dots, dashes and underscores")
    return home_folder() / "calibrations" / name


def sites_in_store() -> tuple[list[Site], list[str]]:
    """Return the calibrations in the user's store by name, and what to tell of those that cannot be used."""
    sites, unusable = [], []
    place = home_folder() / "calibrations"
    for folder in sorted(place.iterdir()) if place.is_dir() else ():
        if folder.is_dir() and _NAME.fullmatch(folder.name):
            try:
                sites.append(read_site(folder))
            except WeightsUnavailable as error:
                unusable.append(str(error))
    return sites, unusable


@cache
def builtin_site() -> Site:
    """Return what the built-in networks' training studies taught."""
    return read_site(BUILTIN)


def read_site(folder: Path) -> Site:
    """Read a calibration's folder.

    Args:
        folder: where it lies.

    Raises:
        WeightsUnavailable: it is none, was changed, or was made in another frame.
    """
    try:
        raw, grams = (folder / CALIBRATION_TOML).read_bytes(), (folder / GRAMS_FILE).read_bytes()
        table = _Table.model_validate(tomllib.loads(raw.decode()))
        tensors = load(grams)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise _unusable(folder, f"{CALIBRATION_TOML}: {key}: {first['msg']}") from error
    except (OSError, ValueError, SafetensorError) as error:
        raise _unusable(folder, str(error)) from error
    if hashlib.sha256(grams).hexdigest() != table.grams_sha256:
        raise _unusable(folder, f"{GRAMS_FILE} is not the file that {CALIBRATION_TOML} names")
    if InputSpec.model_validate(table.frame) != FRAME:
        raise _unusable(folder, "it was made by another version, for other grey values")
    matrices, shares = tensors.get("grams", np.empty(0)), tensors.get("joints", np.empty((0, BINS, BINS), np.float32))
    terms = term_count(RICH)
    if matrices.shape == (len(table.studies), term_count(PLAIN), term_count(PLAIN)):
        raise _unusable(folder, "it was made by an earlier version, whose regressions knew less of a study")
    if matrices.shape != (len(table.studies), terms, terms) or not np.isfinite(matrices).all():
        raise _unusable(folder, f"{GRAMS_FILE} must hold {len(table.studies)} matrices of {terms}x{terms} numbers")
    if np.abs(matrices - matrices.transpose(0, 2, 1)).max() > _ASYMMETRY:
        raise _unusable(folder, f"{GRAMS_FILE} holds a matrix that is not symmetric")
    curved = [(number, run) for number, one in enumerate(table.studies) for run in one.joints]
    if shares.shape != (len(curved), BINS, BINS) or not (np.isfinite(shares).all() and (shares >= 0).all()):
        raise _unusable(folder, f"{GRAMS_FILE} must hold {len(curved)} histograms of {BINS}x{BINS} shares")
    if (shares.sum(axis=(1, 2)) <= 0).any():
        raise _unusable(folder, f"{GRAMS_FILE} holds a histogram of nothing")
    joints = [(number, Joint(run.run(), one)) for (number, run), one in zip(curved, shares, strict=True)]
    members = tuple(
        one.member(matrix, tuple(joint for other, joint in joints if other == number))
        for number, (one, matrix) in enumerate(zip(table.studies, matrices, strict=True))
    )
    figures = tuple(one.figure() for one in table.figures)
    return Site(folder.resolve().name, members, figures, table.with_skull)


def _unusable(folder: Path, why: str) -> WeightsUnavailable:
    hint = "make it again with mrimpute calibrate --overwrite, one of a batch with fill --recalibrate"
    return WeightsUnavailable(f"{folder} is no usable calibration: {why}", hint)


def write_site(site: Site, folder: Path, replace: bool = False) -> tuple[str, ...]:
    """Write a calibration's folder, whole or not at all.

    Args:
        site: what was learnt.
        folder: where; nothing may be there, unless it is a calibration that is to be replaced.
        replace: whether it may be.

    Returns:
        What the disk refused after the folder had its place, to be told.

    Raises:
        OutputRefused: something is there, or the place refuses.
        ResourcesExhausted: the disk is full.
    """
    table, grams = content_of(site)
    there = folder.exists()
    if there and not (replace and is_site(folder)):
        remedy = "add --overwrite to replace it" if is_site(folder) else "choose another place"
        raise OutputRefused(f"{folder} exists already", remedy)
    with disk_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = new_part(folder.parent)
        try:
            part.mkdir()
            write_through(part / CALIBRATION_TOML, table)
            write_through(part / GRAMS_FILE, grams)
            put(part, folder, standing_sha256(folder) if there else None)
            notes = unsynced(folder.parent)
        finally:
            left = unremoved([part])
    return (*notes, *left)


def content_of(site: Site) -> tuple[bytes, bytes]:
    """Return the bytes of CALIBRATION_TOML and GRAMS_FILE."""
    tensors = {"grams": np.stack([one.gram.matrix for one in site.studies])}
    joints = [joint.shares for one in site.studies for joint in one.joints]
    grams = save(tensors | ({"joints": np.stack(joints)} if joints else {}))
    table = _Table(
        schema=SCHEMA,
        frame=FRAME.model_dump(exclude_defaults=True),
        with_skull=site.with_skull,
        grams_sha256=hashlib.sha256(grams).hexdigest(),
        studies=[_MemberTable.of(one) for one in site.studies],
        figures=[_FigureTable.of(one) for one in site.figures],
    )
    return tomli_w.dumps(table.model_dump(by_alias=True, exclude_none=True, mode="json")).encode(), grams


def is_site(folder: Path) -> bool:
    """Tell whether a folder holds a calibration and nothing else."""
    return folder.is_dir() and {path.name for path in folder.iterdir()} == {CALIBRATION_TOML, GRAMS_FILE}


_Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
_PairName = Annotated[str, StringConstraints(pattern=f"^({'|'.join(BRATS_FOUR)})-({'|'.join(BRATS_FOUR)})$")]
_Spacing = Annotated[float, Field(gt=0)]


class _Model(BaseModel):
    """A TOML table; a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class _JointTable(_Model):
    network_sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    sampler: str
    steps: int = Field(ge=0)
    target: Contrast
    sources: tuple[Contrast, ...] = Field(min_length=1)

    @classmethod
    def of(cls, one: NetworkRun) -> "_JointTable":
        return cls(
            network_sha256=one.sha256, sampler=one.sampler, steps=one.steps, target=one.target, sources=one.sources
        )

    def run(self) -> NetworkRun:
        return NetworkRun(self.network_sha256, self.sampler, self.steps, self.target, self.sources)


class _MemberTable(_Model):
    contrasts: tuple[Contrast, ...] = Field(min_length=2)
    head_voxels: int = Field(ge=1)
    voxels: dict[Contrast, _Digest]
    spacing_mm: dict[Contrast, tuple[_Spacing, _Spacing, _Spacing]]
    seen: bool = False
    joints: list[_JointTable] = []
    place: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9-]{1,32}$")] | None = None
    information: dict[_PairName, Annotated[float, Field(ge=0, le=1)]] = {}

    @classmethod
    def of(cls, one: Member) -> "_MemberTable":
        gram = one.gram
        return cls(
            contrasts=gram.present,
            head_voxels=gram.voxels,
            voxels=one.voxels,
            spacing_mm=one.spacing_mm,
            seen=one.seen,
            joints=[_JointTable.of(joint.run) for joint in one.joints],
            place=one.place or None,
            information={"-".join(pair): value for pair, value in one.information.items()},
        )

    def member(self, matrix: FloatArray, joints: tuple[Joint, ...]) -> Member:
        gram = Gram(matrix, self.head_voxels, self.contrasts)
        return Member(gram, self.voxels, self.spacing_mm, self.seen, joints, self.place or "", self._information())

    def _information(self) -> dict[ContrastPair, float]:
        pairs = (name.split("-") for name in self.information)
        return {(Contrast(one), Contrast(two)): self.information[f"{one}-{two}"] for one, two in pairs}


class _FigureTable(_Model):
    target: Contrast
    sources: tuple[Contrast, ...] = Field(min_length=1)
    studies: int = Field(ge=2)
    psnr_db: float
    ssim: float | None = None
    half_width: float | None = Field(default=None, ge=0)
    seen: bool = False

    @classmethod
    def of(cls, one: Figure) -> "_FigureTable":
        return cls(
            target=one.target,
            sources=one.sources,
            studies=one.studies,
            psnr_db=one.psnr,
            ssim=one.ssim,
            half_width=one.half_width,
            seen=one.seen,
        )

    def figure(self) -> Figure:
        return Figure(self.target, self.sources, self.studies, self.psnr_db, self.ssim, self.half_width, self.seen)


class _Table(_Model):
    schema_name: Literal["mrimpute.calibration/1"] = Field(alias="schema")
    with_skull: bool
    grams_sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    frame: dict[str, Any]
    studies: list[_MemberTable] = Field(min_length=1)
    figures: list[_FigureTable] = []
