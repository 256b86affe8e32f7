"""Where a result goes, and how it gets there: whole or not at all, never over acquired data."""

import json
import os
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mrimpute import signals
from mrimpute.contrasts import Contrast
from mrimpute.errors import OutputRefused, ResourcesExhausted
from mrimpute.files import (
    disk_errors,
    new_part,
    put,
    real_path,
    remove_dead_parts,
    standing_sha256,
    take_back,
    unremoved,
    unsynced,
)
from mrimpute.marks import bears_full_mark, read_sidecar
from mrimpute.study import Study
from mrimpute.study.names import BIDS_MADE
from mrimpute.write.layout import Layout
from mrimpute.write.provenance import Fingerprint, OpenKeys

FREE_SPACE_MARGIN = 2**20
MASK_ENDING = "_brain-mask.nii.gz"


@dataclass(frozen=True)
class Destination:
    """Where one result belongs.

    Attributes:
        image: the NIfTI file, or the folder of a DICOM series.
        sidecar: the JSON file of the same stem.
    """

    image: Path
    sidecar: Path

    @property
    def mask(self) -> Path:
        """Where the brain mask that made it belongs."""
        return self.sidecar.with_name(self.sidecar.stem + MASK_ENDING)

    @property
    def spread(self) -> "Destination":
        """Where the spread of several samples belongs."""
        return self._beside("spread", "spread")

    def sample(self, number: int) -> "Destination":
        """Return where one of several samples belongs, counted from 1: a NIfTI file, of a DICOM series too."""
        return self._beside(f"sample-{number:02d}", f"{number:02d}")

    def further(self, samples: int) -> list["Destination"]:
        """Return where, of several samples, each and their spread belong; nowhere of one."""
        return [*(self.sample(number) for number in range(1, samples + 1)), self.spread] if samples > 1 else []

    def _beside(self, word: str, bids_word: str) -> "Destination":
        stem = self.sidecar.stem
        in_bids = f"_{BIDS_MADE}_" in stem
        name = stem.replace(BIDS_MADE, f"{BIDS_MADE}{bids_word}") if in_bids else f"{stem}_{word}"
        return Destination(self.sidecar.with_name(f"{name}.nii.gz"), self.sidecar.with_name(f"{name}.json"))


def place_of_file(study: Study, target: Contrast, out: Path | None, layout: Layout | None = None) -> Destination:
    """Return where the result of one target belongs.

    Args:
        study: the study.
        target: the contrast made.
        out: the user's folder, in which the study gets one of its own; None for beside the
            sources (for BIDS: under derivatives/mrimpute of the data set).
        layout: names of a complete case below `out`, instead of the study's own.
    """
    if layout is not None and out is not None:
        image = layout.image(study, target, out, synthetic=True)
        return Destination(image, image.with_name(image.name.removesuffix(".nii.gz") + ".json"))
    stem = study.naming.stem(target)
    if out is not None:
        folder = out / study.name
    elif study.naming.scheme == "bids":
        folder = _bids_folder(study)
    else:
        folder = _common_folder(study)
    return Destination(folder / f"{stem}.nii.gz", folder / f"{stem}.json")


def place_of_series(study: Study, target: Contrast, out: Path | None) -> Destination:
    """Return where the derived DICOM series of one target belongs: a folder of its own in the study,
    or below `out`. No tag value is in its name."""
    folder = study.folder if out is None else out / study.name
    return Destination(folder / f"mrimpute_{target}", folder / f"mrimpute_{target}.json")


def _common_folder(study: Study) -> Path:
    """Return the one folder inside the study that its series lie in, or the study's own."""
    if any(item.dicom for item in study.series):
        return study.folder
    inside = real_path(study.folder)
    folders = {item.path.parent for item in study.series if real_path(item.path.parent).is_relative_to(inside)}
    return folders.pop() if len(folders) == 1 else study.folder


def _bids_folder(study: Study) -> Path:
    """Return the anat folder below derivatives/mrimpute of the BIDS data set.

    The data set's root is the folder above the study that has a dataset_description.json or the
    subject's folder in it.
    """
    entities = dict(part.split("-", 1) for part in study.naming.prefix.rstrip("_").split("_"))
    subject = f"sub-{entities['sub']}"
    folder = real_path(_common_folder(study))
    roots = (
        a for a in (folder, *folder.parents) if (a / "dataset_description.json").is_file() or (a / subject).is_dir()
    )
    root = next(roots, real_path(study.folder))
    if not study.folder.is_absolute():
        root = Path(os.path.relpath(root))
    session = [f"ses-{entities['ses']}"] if "ses" in entities else []
    return root.joinpath("derivatives", "mrimpute", subject, *session, "anat")


@dataclass(frozen=True)
class Standing:
    """What stood at a place when it was decided what to do there; nothing else is ever replaced.

    Attributes:
        image, sidecar: digests; None where nothing stood.
        finished: whether it is the very image that is wanted, whole.
    """

    image: str | None = None
    sidecar: str | None = None
    finished: bool = False


def standing_at(place: Destination) -> Standing:
    """Return what stands at a place, if it is ours.

    Raises:
        OutputRefused: something is there that mrimpute did not make.
    """
    record = read_sidecar(place.sidecar)
    with disk_errors(place.image.parent):
        found = Standing(standing_sha256(place.image), standing_sha256(place.sidecar))
    if found.sidecar and not record:
        raise OutputRefused(f"{place.sidecar} exists and was not made by mrimpute", "move it, or choose another --out")
    image = record.get("image", {})
    proven = found.image in (image.get("sha256"), image.get("replaces"))
    if found.image and not proven and not (place.image.is_file() and bears_full_mark(place.image)):
        raise OutputRefused(
            f"{place.image} exists and was not made by mrimpute; it is never overwritten", "move it away"
        )
    return found


def already_made(
    place: Destination,
    fingerprint: Fingerprint,
    overwrite: bool,
    open_to: OpenKeys | None = None,
    checks: bool = True,
) -> Standing:
    """Decide what an existing file at the place means.

    Args:
        place: where the result belongs.
        fingerprint: what decides its voxels.
        overwrite: whether an image of ours may be replaced.
        open_to: see `Fingerprint.same_as`.
        checks: whether its sources must have been checked, as they are where its sidecar does not say otherwise.

    Returns:
        What stands there and may be replaced, or the very image, finished.

    Raises:
        OutputRefused: a file is there that mrimpute did not make, or made by another recipe
            or without the checks and may not overwrite.
    """
    found = standing_at(place)
    if found.image is None or overwrite:
        return found
    record = read_sidecar(place.sidecar)
    image = record.get("image", {})
    equal = fingerprint.same_as(record.get("fingerprint"), open_to)
    if equal and image.get("sha256") == found.image:
        if checks and not record.get("checked", True):
            raise OutputRefused(f"{place.image} was made with --no-checks", "add --overwrite to check and replace it")
        return replace(found, finished=True)
    if equal and image.get("replaces") == found.image:  # a run with --overwrite was killed between its two renames
        return found
    raise OutputRefused(
        f"{place.image} was made before by another recipe, or was changed since", "add --overwrite to replace it"
    )


def check_room(place: Destination, voxels: int) -> None:
    """Check, before anything heavy, that the result can be written.

    Raises:
        OutputRefused: the folder is not writable.
        ResourcesExhausted: too little free space for an uncompressed image.
    """
    folder = place.image.parent
    with disk_errors(folder):
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise OutputRefused(f"cannot write in {folder}", "choose another folder with --out")
        needed, free = 4 * voxels + FREE_SPACE_MARGIN, shutil.disk_usage(folder).free
    if free < needed:
        raise ResourcesExhausted(
            f"{folder} has {free / 1e6:.0f} MB free and up to {needed / 1e6:.0f} MB are needed",
            "free some space, or choose another folder with --out",
        )


def write_beside(place: Destination, write: Callable[[Callable[[], Path]], None]) -> tuple[str, ...]:
    """Have a result written under temporary names beside its place, and published from there.

    Args:
        place: where it belongs.
        write: writes and publishes it; called with what gives temporary names. What is left under them is removed.

    Returns:
        What the disk refused after the result had its place, to be told.

    Raises:
        OutputRefused: the folder refuses.
        ResourcesExhausted: the disk is full.
    """
    folder = place.image.parent
    parts: list[Path] = []

    def another() -> Path:
        parts.append(new_part(folder))
        return parts[-1]

    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stale = remove_dead_parts(folder)
        try:
            write(another)
            notes = unsynced(folder)
        finally:
            left = unremoved(parts)
    return (*stale, *notes, *left)


def sidecar_text(sidecar: dict[str, Any], standing: Standing) -> bytes:
    """Return the bytes of a sidecar, with the digest of the image that it replaces."""
    content = {**sidecar, "image": {**sidecar["image"], "replaces": standing.image}}
    return (json.dumps(content, indent=2) + "\n").encode()


def publish_pair(place: Destination, image_part: Path, sidecar_part: Path, standing: Standing) -> None:
    """Give an image and its sidecar their places, or leave there what stood there.

    The sidecar comes first: killed in between, it describes an image that is not there, and
    the next run makes it.

    Args:
        place: where.
        image_part, sidecar_part: what was written; afterwards these names hold what was replaced.
        standing: what may be replaced.

    Raises:
        OutputRefused: something else appeared at the place.
        OSError: the disk refuses.
    """
    with signals.held():
        put(sidecar_part, place.sidecar, standing.sidecar)
        try:
            put(image_part, place.image, standing.image)
        except BaseException:
            with suppress(OSError):
                take_back(sidecar_part, place.sidecar, standing.sidecar)
            raise


def check_free(places: Collection[Destination], samples: int = 1) -> None:
    """Check, before anything is read, that not every place is taken by something that is not ours; the rest is made.

    Args:
        places: of the results.
        samples: of how many images each is the mean; each has a place of its own, and so has their spread.

    Raises:
        OutputRefused: every one is.
    """
    taken = []
    for place in places:
        try:
            for one in (place, *place.further(samples)):
                standing_at(one)
        except OutputRefused as error:
            taken.append(error)
    if taken and len(taken) == len(places):
        raise taken[0]


def check_place(place: Destination, voxels: int, with_mask: bool, samples: int = 1) -> None:
    """Check, before anything heavy, that a result, perhaps its brain mask and its samples can be written.

    Args:
        place: where it belongs.
        voxels: how many it has at most.
        with_mask: whether a brain mask is written too.
        samples: see `check_free`; those that stand already take no more room.

    Raises:
        OutputRefused: the folder is not writable, or a file that is not ours stands where the mask belongs.
        ResourcesExhausted: too little free space for an uncompressed image of so many voxels.
    """
    if with_mask:
        check_mask_place(place)
    check_room(place, voxels * (1 + sum(not one.image.exists() for one in place.further(samples))))


def check_mask_place(place: Destination) -> str | None:
    """Return the digest of the mask of ours that stands where the brain mask belongs; None where nothing does.

    Raises:
        OutputRefused: something else stands there.
    """
    found = standing_sha256(place.mask)
    if found and not (place.mask.is_file() and bears_full_mark(place.mask)):
        raise OutputRefused(f"{place.mask} exists and was not made by mrimpute", "move it away")
    return found


def mask_left_out(place: Destination, wanted: bool) -> tuple[str, ...]:
    """Return what to tell where an image was there already, and a mask that is wanted is not."""
    if not wanted or place.mask.exists():
        return ()
    return (f"{place.image} was there already, so no mask was written; add --overwrite",)
