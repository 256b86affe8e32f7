"""Folders of studies → prepared cases in memory, and random boxes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.prepare import choose_reference, prepare
from mrimpute.prepare.register import align
from mrimpute.registry import InputSpec
from mrimpute.study import find_series
from mrimpute.volume import FloatArray


@dataclass(frozen=True)
class TrainingCase:
    """One study in the network's frame: (C, X, Y, Z) float32 in [0, 1], in the asked order."""

    name: str
    images: FloatArray


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
        cases.append(TrainingCase(study.name, np.stack([prepared.images[c] for c in wanted])))
    return cases


def random_box(shape: tuple[int, ...], edge: int, draw: np.random.Generator) -> tuple[slice, ...]:
    """Return a random box of at most `edge` voxels per axis; 0 for the whole."""
    sizes = [min(edge or length, length) for length in shape]
    starts = [int(draw.integers(length - size + 1)) for length, size in zip(shape, sizes, strict=True)]
    return tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
