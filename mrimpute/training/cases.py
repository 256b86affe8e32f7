"""Folders of studies → prepared cases in memory, and random boxes of them."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused, UsageError
from mrimpute.prepare import choose_reference, prepare
from mrimpute.prepare.register import align
from mrimpute.registry import InputSpec
from mrimpute.study import find_series
from mrimpute.volume import FloatArray


@dataclass(frozen=True)
class TrainingCase:
    """One study in the network's frame.

    Attributes:
        name: of the study.
        images: (C, X, Y, Z) float32 in [0, 1], in the asked order.
        voxels: digests of its images as they were read, see `Volume.voxel_digest`; empty where they are not known.
    """

    name: str
    images: FloatArray
    voxels: tuple[str, ...] = ()

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """Digest of each image's voxels."""
        return tuple(hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in self.images)


def digest_of(cases: Iterable[TrainingCase]) -> str:
    """Return one digest of the images of all studies, in their order."""
    return hashlib.sha256("".join(digest for case in cases for digest in case.digests).encode()).hexdigest()


def voxels_of(cases: Collection[TrainingCase]) -> dict[str, list[str]]:
    """Return the key of a record that tells which images were trained on; nothing where one is not known."""
    if not all(case.voxels for case in cases):
        return {}
    return {"trained_on_voxels": sorted({digest for case in cases for digest in case.voxels})}


def check_held_out(cases: Iterable[TrainingCase], validation: Sequence[TrainingCase]) -> None:
    """Check that no study is measured that is trained on.

    Raises:
        UsageError: an image of a validation study is among those trained on, whatever its folder is called.
    """
    seen = {digest for case in cases for digest in case.digests}
    for case in validation:
        if seen & set(case.digests):
            raise UsageError(
                f"the validation study {case.name} is one of the training studies", "leave it out of one of the two"
            )


def load_cases(folders: Sequence[Path], wanted: Sequence[Contrast], inputs: InputSpec) -> list[TrainingCase]:
    """Read and prepare the studies that hold every wanted contrast.

    Raises:
        StudyRefused: a study lacks a contrast, cannot be read, or is out of register.
    """
    cases = []
    for folder in folders:
        study = find_series(folder)
        absent = [contrast for contrast in wanted if contrast not in study.present]
        if absent:
            raise StudyRefused(f"{folder} lacks {', '.join(absent)}", "train on studies that have every contrast")
        volumes = {contrast: study.get(contrast).read() for contrast in wanted}
        align(volumes[choose_reference(volumes)], volumes, register=False)
        prepared = prepare(volumes, inputs)
        images = np.stack([prepared.images[c] for c in wanted])
        cases.append(TrainingCase(study.name, images, tuple(volumes[c].voxel_digest for c in wanted)))
    return cases


def random_box(shape: tuple[int, ...], edge: int, draw: np.random.Generator) -> tuple[slice, ...]:
    """Return a random box of at most `edge` voxels per axis; 0 for the whole."""
    sizes = [min(edge or length, length) for length in shape]
    starts = [int(draw.integers(length - size + 1)) for length, size in zip(shape, sizes, strict=True)]
    return tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
