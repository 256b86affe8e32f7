"""Slices → series with one regular grid each, or the reason why there is none.

Limits: the distance between slices may vary
by 2 % or 0.1 mm, whichever is more, and positions may drift by 0.2 mm in the plane.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrimpute.files import sha256_of
from mrimpute.io.dicom.facts import Defect, Facts, Slice
from mrimpute.io.nifti import MAX_VOXELS
from mrimpute.volume import LPS, FloatArray, Grid

SAME_DIRECTION = 1e-3
IN_PLANE_MM = (0.2, 10.0)
"""Least and largest pixel that is accepted."""
MIN_DISTANCE_MM, MAX_DISTANCE_MM = 0.2, 20.0
"""Least and largest distance of slices that is accepted."""
SPACING_SHARE = 0.02
SPACING_MM = 0.1
DRIFT_MM = 0.2
ECHO_MS, ECHO_SHARE = 0.5, 0.02
"""Echo times nearer than this, in ms or relative, are one echo."""


@dataclass(frozen=True)
class DicomSeries:
    """Slices that form one image volume.

    Attributes:
        slices: along the slice normal.
        grid: where their voxels lie; array axes are column, row, slice.
        facts: of the first slice.
    """

    slices: tuple[Slice, ...]
    grid: Grid
    facts: Facts

    @property
    def path(self) -> Path:
        """The first file, by name: what stands for the series in messages."""
        return min(item.file for item in self.slices)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file once, in order of the slices."""
        return tuple(dict.fromkeys(item.file for item in self.slices))


@dataclass(frozen=True)
class Broken:
    """Slices that belong together and form no volume.

    Attributes:
        slices: of one series.
        defect: what was seen, and the remedy.
    """

    slices: tuple[Slice, ...]
    defect: Defect

    @property
    def path(self) -> Path:
        """The first file, by name."""
        return min(item.file for item in self.slices)

    @property
    def facts(self) -> Facts:
        """Of the first slice."""
        return self.slices[0].facts


def assemble(slices: Iterable[Slice]) -> list[DicomSeries | Broken]:
    """Group slices into series and put each in order, by position, never by name or number."""
    return [_volume(group) for group in _groups(slices)]


def _groups(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Return slices that share series, frame of reference, direction, size, echo, b-value and type."""
    keyed: dict[object, list[list[Slice]]] = {}
    for item in slices:
        facts = item.facts
        key = (item.series, item.space, item.rows, item.columns, facts.b_value, facts.image_type)
        alike = keyed.setdefault(key, [])
        for group in alike:
            if _same_direction(group[0], item) and _same_echo(group[0], item):
                group.append(item)
                break
        else:
            alike.append([item])
    return [group for alike in keyed.values() for group in alike]


def parallel(one: Slice, other: Slice) -> bool:
    """Tell whether two slices have one direction, or one of them does not say."""
    if isinstance(one.geometry, Defect) or isinstance(other.geometry, Defect):
        return True
    return _same_direction(one, other)


def _same_direction(one: Slice, other: Slice) -> bool:
    if isinstance(one.geometry, Defect) or isinstance(other.geometry, Defect):
        return isinstance(one.geometry, Defect) and isinstance(other.geometry, Defect)
    return bool(np.abs(one.geometry[3:9] - other.geometry[3:9]).max() <= SAME_DIRECTION)


def _same_echo(one: Slice, other: Slice) -> bool:
    first, second = one.facts.echo, other.facts.echo
    if first is None or second is None:
        return first is second
    return abs(first - second) <= max(ECHO_MS, ECHO_SHARE * first)


def _volume(group: list[Slice]) -> DicomSeries | Broken:
    try:
        _check_one_visit(group)
        ordered, positions = _ordered(_without_copies(group))
        grid = _grid(ordered, positions)
    except Defect as defect:
        return Broken(tuple(group), defect)
    return DicomSeries(tuple(ordered), grid, ordered[0].facts)


def _check_one_visit(group: list[Slice]) -> None:
    """Check that all slices are of one patient and one study.

    Raises:
        Defect: they are not.
    """
    for what, count in (
        ("patients", len({item.patient for item in group})),
        ("studies", len({item.study for item in group})),
    ):
        if count > 1:
            raise Defect(f"slices of {count} {what} under one series UID", "keep one of them, or export it again")


def _without_copies(group: list[Slice]) -> list[Slice]:
    """Leave out byte-identical copies of a file.

    Raises:
        Defect: two different files carry one identity.
    """
    kept: dict[tuple[str, int | None], Slice] = {}
    for item in group:
        other = kept.setdefault((item.instance, item.frame), item)
        if other is not item and sha256_of(other.file) != sha256_of(item.file):
            raise Defect("two different files with one instance UID", "remove the wrong one")
    return list(kept.values())


def _ordered(group: list[Slice]) -> tuple[list[Slice], FloatArray]:
    """Return the slices along their normal, with their positions (N, 3).

    Raises:
        Defect: a slice has no geometry.
    """
    placed = []
    for item in group:
        if isinstance(item.geometry, Defect):
            raise item.geometry
        placed.append((item, item.geometry))
    normal = _normal(placed[0][1])
    placed.sort(key=lambda pair: float(pair[1][:3] @ normal))
    return [item for item, _ in placed], np.array([geometry[:3] for _, geometry in placed])


def _normal(geometry: FloatArray) -> FloatArray:
    normal: FloatArray = np.cross(geometry[3:6], geometry[6:9])
    return normal / np.linalg.norm(normal)


def _grid(ordered: list[Slice], positions: FloatArray) -> Grid:
    """Return the grid of slices in order.

    Raises:
        Defect: the distances are not regular, or the stack leans.
    """
    first = ordered[0]
    assert not isinstance(first.geometry, Defect)
    low, high = IN_PLANE_MM
    if not low <= first.geometry[9:].min() <= first.geometry[9:].max() <= high:
        raise Defect(f"pixels outside {low:g} to {high:g} mm", "correct the header, or export the series again")
    spacings = np.array([item.geometry[9:] for item in ordered if not isinstance(item.geometry, Defect)])
    if np.abs(spacings - spacings[0]).max() > 1e-4:
        raise Defect("slices with different pixel spacings")
    if first.rows * first.columns * len(ordered) > MAX_VOXELS:
        raise Defect(f"{first.columns}x{first.rows}x{len(ordered)} voxels, over the limit of 512x512x512")
    if not first.facts.grey:
        raise Defect("colour pixels", "give grey-value images")
    count = len(ordered)
    if count > 1:
        _check_distances(positions, _normal(first.geometry))
    row, column = first.geometry[3:6], first.geometry[6:9]
    between_rows, between_columns = first.geometry[9:]
    step = (positions[-1] - positions[0]) / max(1, count - 1)
    if count == 1:
        step = _normal(first.geometry) * (first.thickness or 1.0)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([row * between_columns, column * between_rows, step])
    affine[:3, 3] = positions[0]
    return Grid((first.columns, first.rows, count), LPS @ affine)


def _check_distances(positions: FloatArray, normal: FloatArray) -> None:
    along = positions @ normal
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if 0.01 <= usual < MIN_DISTANCE_MM:
        raise Defect(f"slices {usual:.3f} mm apart, below {MIN_DISTANCE_MM:g} mm", "correct the header")
    if usual > MAX_DISTANCE_MM:
        raise Defect(f"slices {usual:.1f} mm apart, over the limit of {MAX_DISTANCE_MM:g} mm", "give a denser series")
    if gaps.min() < 0.01:
        repeated = int((gaps < 0.01).sum())
        raise Defect(
            f"{repeated} slices at a position that another one has", "keep one image per position, or split the series"
        )
    allowed = max(SPACING_SHARE * usual, SPACING_MM)
    worst = int(np.abs(gaps - usual).argmax())
    if abs(gaps[worst] - usual) > allowed:
        lacking = round(float(gaps[worst]) / usual) - 1
        seen = f"slices {usual:.2f} mm apart, but {gaps[worst]:.2f} mm after slice {worst + 1}"
        if lacking >= 1 and abs(gaps[worst] - (lacking + 1) * usual) < allowed * (lacking + 1):
            raise Defect(f"{seen}: {lacking} missing", "copy the series again, whole")
        raise Defect(seen, "give a series with equal distances")
    leaning = positions - positions[0] - np.outer(along - along[0], normal)
    drift = float(np.linalg.norm(leaning, axis=1).max())
    if drift > DRIFT_MM:
        raise Defect(f"a stack that leans by {drift:.1f} mm (gantry tilt)", "resample it onto an upright grid first")
