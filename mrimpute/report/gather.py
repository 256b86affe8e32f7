"""A result on disk → its record, its voxels, and the sources that it names, brought together."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mrimpute import io
from mrimpute.calibration import FRAME, Site, builtin_site
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import ImageDamaged, StudyRefused
from mrimpute.files import real_path, sha256_of
from mrimpute.io import nifti
from mrimpute.io.dicom.headers import is_dicom, read_headers
from mrimpute.io.dicom.pixels import read_volume as read_series
from mrimpute.io.dicom.series import Broken, assemble
from mrimpute.marks import read_sidecar
from mrimpute.prepare import Prepared, prepare
from mrimpute.prepare.frame import boxed
from mrimpute.prepare.intensity import GreyRange
from mrimpute.report.record import Record, Register, read_record
from mrimpute.study.names import BIDS_MADE
from mrimpute.verify import images_at
from mrimpute.volume import FloatArray, Grid, Volume
from mrimpute.write.place import Destination
from mrimpute.write.verdict import Verdict, recorded

Reader = Callable[[], Volume]
"""Reads one image."""

MAIN_KINDS = ("image", "mean of ")
"""How `kind` begins in the sidecar of a result; samples and spreads are shown with their mean."""


@dataclass(frozen=True)
class Made:
    """One result of mrimpute and its record.

    Attributes:
        place: its image, or the folder of its DICOM series, and its sidecar.
        record: what its sidecar says.
        verdict: what the checks made of it.
    """

    place: Destination
    record: Record
    verdict: Verdict

    @property
    def target(self) -> Contrast:
        """What was made."""
        return self.record.target

    @property
    def study(self) -> str:
        """Name of the folder that it lies in, or of the BIDS subject."""
        folder = real_path(self.place.image.parent)
        return self.place.image.name.split("_desc-")[0] if f"_{BIDS_MADE}" in self.place.image.name else folder.name

    def read(self) -> tuple[FloatArray, Grid]:
        """Return its values in [0, 1] (X, Y, Z) and its grid.

        Raises:
            ImageDamaged: it cannot be read.
        """
        volume = _read(self.place.image)
        grey = self.record.intensity
        return GreyRange(grey.zero, grey.one).normalise(volume.voxels), volume.grid

    def glance(self) -> tuple[FloatArray, Grid]:
        """Return its voxels as they are stored (X, Y, Z) and its grid, unchecked: for thumbnails.

        Raises:
            ImageDamaged: it cannot be read.
        """
        if self.place.image.is_dir():
            volume = _read(self.place.image)
            return volume.voxels, volume.grid
        return nifti.glance(self.place.image)

    def spread(self) -> tuple[FloatArray, Grid] | None:
        """Return the spread of its samples in the units of [0, 1]; None where it has none."""
        place = self.place.spread
        if not place.image.is_file() or not read_sidecar(place.sidecar):
            return None
        volume, grey = _read(place.image), self.record.intensity
        return GreyRange(0.0, grey.one - grey.zero).normalise(volume.voxels), volume.grid


def sidecars_at(path: Path) -> list[Path]:
    """Return where the sidecars are, or should be, of what a path stands for: a result, its sidecar, or a folder."""
    return sorted({_sidecar_of(candidate.path) for candidate in images_at(path)})


def result_at(sidecar: Path) -> Made | None:
    """Return the result that a sidecar describes; None where it is no sidecar of ours, or of a sample or spread.

    Raises:
        ImageDamaged: it lacks what a report shows.
    """
    record = read_record(sidecar)
    if record is None or not record.kind.startswith(MAIN_KINDS):
        return None
    image = sidecar.with_name(Path(record.image.file).name)
    return Made(Destination(image, sidecar), record, recorded(read_sidecar(sidecar)))


def _sidecar_of(path: Path) -> Path:
    image = path.parent if path.suffix == ".dcm" else path
    return image.with_name(f"{io.split_suffix(image.name)[0].removesuffix('.json')}.json")


def _read(path: Path) -> Volume:
    """Read a result, whatever its voxels are: a bad one is what a report is for."""
    if not path.is_dir():
        return nifti.read(path)
    whole = [one for one in assemble(read_headers(path).slices) if not isinstance(one, Broken)]
    if len(whole) != 1:
        raise ImageDamaged(f"{path} is not one whole DICOM series", "make it again")
    return read_series(whole[0])


@dataclass(frozen=True)
class Pictures:
    """A result and its sources in one box of 1 mm voxels, LPS.

    Attributes:
        ready: the sources, (X, Y, Z) float32 in [0, 1] each.
        made: the result.
        predicted: sources predicted from the others.
        spread: of several samples; None where there are none.
        note: why sources are not predicted; '' where they are.
    """

    ready: Prepared
    made: FloatArray
    predicted: Mapping[Contrast, FloatArray]
    spread: FloatArray | None
    note: str = ""


def pictures_of(made: Made, sources: Mapping[Contrast, Volume], site: Site | None) -> Pictures:
    """Bring a result and its sources into one box.

    Args:
        made: the result.
        sources: as they lie on it.
        site: the calibration that it was made with; None for the package's own regressions.

    Raises:
        ImageDamaged: the result cannot be read.
    """
    unit, grid = made.read()
    volumes = dict(sources)
    onto = Volume(unit, grid, made.place.image, "")
    ready = prepare(volumes, FRAME, (made.target, onto))
    predicted, note = _predicted(made, ready, volumes, site)
    spread = made.spread()
    box = boxed(spread[0], spread[1], ready.recipe) if spread else None
    return Pictures(ready, boxed(unit, grid, ready.recipe), predicted, box, note)


def _predicted(
    made: Made, ready: Prepared, volumes: Mapping[Contrast, Volume], site: Site | None
) -> tuple[Mapping[Contrast, FloatArray], str]:
    """Return what the verdict's regressions make of the sources, or why not."""
    from mrimpute.selfcheck.figures import predicted

    known, wanted = site or builtin_site().plain, made.record.fingerprint.calibration
    if not made.verdict.figures:
        return {}, "no series was predicted from the others: see the verdict"
    if wanted and (site is None or site.sha256 != wanted):
        return {}, "the predicted series are not shown: the calibration was not given (--calibration)"
    if made.record.brain_mask:
        return {}, "the predicted series are not shown: a brain mask was used"
    images = {one: image for one, image in ready.images.items() if one in BRATS_FOUR}
    return predicted(images, ready.head, known, [one.voxel_digest for one in volumes.values()]), ""


class Shelves:
    """What lies at places, by digest; each place is looked through once, however many results are shown."""

    def __init__(self) -> None:
        self._held: dict[Path, dict[str, Reader]] = {}

    def at(self, place: Path) -> dict[str, Reader]:
        """Return what reads each image at a place, or below a folder, by the digest that sources are named by.

        Args:
            place: a file, a file of a DICOM series, or a folder of them.

        Raises:
            ImageDamaged: a DICOM series cannot be read.
        """
        if place not in self._held:
            self._held[place] = dict(_readers_at(place))
        return self._held[place]


def sources_of(made: Made, places: Iterable[Path], shelves: Shelves) -> dict[Contrast, Volume]:
    """Read the sources of a result as they lay on its grid, by contrast.

    Args:
        made: the result.
        places: where they may be: files, DICOM series, or folders of them.
        shelves: what was found at places before.

    Raises:
        StudyRefused: one is not there.
        ImageDamaged: one cannot be read.
    """
    wanted = {item.sha256: item.contrast for item in made.record.sources}
    found: dict[Contrast, Volume] = {}
    for path in places:
        if len(found) < len(wanted):
            held = shelves.at(path)
            found |= {contrast: held[digest]() for digest, contrast in wanted.items() if digest in held}
    lacking = [contrast for contrast in wanted.values() if contrast not in found]
    if lacking:
        raise StudyRefused(
            f"{made.place.image}: its sources {', '.join(lacking)} are not there, or have changed",
            "name their folder with --source",
        )
    moved = made.record.register_
    return {contrast: _moved(found[contrast], moved.get(contrast)) for contrast in wanted.values()}


def _readers_at(place: Path) -> Iterator[tuple[str, Reader]]:
    """Yield the digest of each image at a place, or below a folder, and what reads it."""
    folder = place.is_dir()
    for file in sorted(place.rglob("*")) if folder else [place]:
        if io.split_suffix(file.name)[1] and file.is_file():
            yield sha256_of(file), partial(io.read_volume, file)
    listed = assemble(read_headers(place if folder else place.parent).slices) if folder or is_dicom(place) else []
    for series in listed:
        if not isinstance(series, Broken) and (folder or place in series.files):
            yield read_series(series).sha256, partial(read_series, series)


def likely_places(made: Made) -> list[Path]:
    """Return where the sources of a result probably are: beside it; of BIDS derivatives in the data set."""
    folder = real_path(made.place.image.parent)
    beside = [made.place.image.parent]
    parts = folder.parts
    if parts[-4:-2] and "derivatives" in parts:
        root = len(parts) - 1 - parts[::-1].index("derivatives")
        beside.append(Path(*parts[:root], *parts[root + 2 :]))
    return [place for place in beside if place.is_dir()]


def _moved(volume: Volume, register: Register | str | None) -> Volume:
    """Return a source where registration put it; the motion goes into the grid."""
    motion = register.moved_by if isinstance(register, Register) else None
    if not motion:
        return volume
    affine = np.linalg.inv(np.array(motion)) @ volume.grid.affine
    return replace(volume, grid=Grid(volume.grid.shape, affine))
