"""What SynDiff is trained on: slices of studies, paired or not, and the random numbers of a step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mrimpute.errors import StudyRefused
from mrimpute.generators.syndiff.adversarial import Draws
from mrimpute.generators.syndiff.plan import TrainingPlan
from mrimpute.study import find_series
from mrimpute.training.augment import changed
from mrimpute.training.cases import TrainingCase, load_cases, random_box

MIN_HEAD = 0.02
"""Share of a slice that must not be zero for it to be trained on."""


@dataclass(frozen=True)
class TrainingSet:
    """What is trained on.

    Attributes:
        cases: for each contrast the studies that hold it, one image each; in paired training one
            list twice, of studies with both images.
        slices: for each contrast (case, slice) of every slice with enough head.
    """

    cases: tuple[list[TrainingCase], list[TrainingCase]]
    slices: tuple[list[tuple[int, int]], list[tuple[int, int]]]

    @classmethod
    def of(cls, first: list[TrainingCase], second: list[TrainingCase]) -> "TrainingSet":
        """Pad all slices to one height, and list those with enough head.

        Raises:
            StudyRefused: no study holds one of the contrasts.
        """
        height = max((case.images.shape[2] for case in (*first, *second)), default=0)
        padded = [_padded(case, height) for case in first], [_padded(case, height) for case in second]
        listed = []
        for cases in padded:
            shares = [(case.images > 0).any(0).mean(axis=(0, 1)) for case in cases]
            listed.append([(i, int(k)) for i, share in enumerate(shares) for k in np.flatnonzero(share > MIN_HEAD)])
            if not listed[-1]:
                raise StudyRefused("no study holds one of the two contrasts", "name studies with source and target")
        return cls(padded, (listed[0], listed[1]))


def load_set(folders: Sequence[Path], plan: TrainingPlan) -> TrainingSet:
    """Read and prepare what a plan trains on: unpaired, every study that holds one of the contrasts.

    Raises:
        StudyRefused: a study cannot be read; in paired training, it lacks a contrast; in unpaired
            training, no study holds one of them.
    """
    pair = (plan.first, plan.second)
    if plan.paired:
        cases = load_cases(folders, pair, plan.inputs)
        return TrainingSet.of(cases, cases)
    holders = {contrast: [f for f in folders if contrast in find_series(f).present] for contrast in pair}
    first, second = (load_cases(holders[contrast], (contrast,), plan.inputs) for contrast in pair)
    return TrainingSet.of(first, second)


def _padded(case: TrainingCase, height: int) -> TrainingCase:
    """Return a case whose second axis has `height` voxels, the image in the middle."""
    lack = height - case.images.shape[2]
    sides = ((0, 0), (0, 0), (lack // 2, lack - lack // 2), (0, 0))
    return TrainingCase(case.name, np.pad(case.images, sides), case.voxels)


def draw_slices(
    plan: TrainingPlan, data: TrainingSet, draw: np.random.Generator, device: torch.device
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor] | None]:
    """Draw a batch of slices (B, 1, H, W) in [-1, 1] of both contrasts, and in paired training what
    the networks see of the second and of the first."""
    batches: tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]] = ([], [], [], [])
    for _ in range(plan.batch):
        if plan.paired:
            case, index = data.slices[0][int(draw.integers(len(data.slices[0])))]
            planes = list(data.cases[0][case].images[..., index])
            boxes = [random_box(planes[0].shape, plan.crop, draw)] * 2
        else:
            picked = [listed[int(draw.integers(len(listed)))] for listed in data.slices]
            planes = [cases[i].images[0, :, :, k] for cases, (i, k) in zip(data.cases, picked, strict=True)]
            boxes = [random_box(plane.shape, plan.crop, draw) for plane in planes]
        flipped = draw.random() < plan.augment.mirror
        planes = [plane[box] for plane, box in zip(planes, boxes, strict=True)]
        planes = [plane[::-1] if flipped else plane for plane in planes]
        clean = [torch.from_numpy(np.ascontiguousarray(plane.T)) for plane in planes]  # (H, W)
        seen = [changed(plane[..., None], plan.augment, draw)[..., 0] for plane in reversed(clean)]
        for batch, plane in zip(batches, (*clean, *seen), strict=True):
            batch.append(plane[None] * 2 - 1)
    first, second, seen_second, seen_first = (torch.stack(batch).to(device) for batch in batches)
    return (first, second), ((seen_second, seen_first) if plan.paired else None)


def draw_noise(plan: TrainingPlan, shape: Sequence[int], stream: torch.Generator, device: torch.device) -> Draws:
    """Draw the random numbers of one phase of a step, for slices of this shape (B, 1, H, W)."""

    def both(draw: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        return draw().to(device), draw().to(device)

    def noise() -> Tensor:
        return torch.randn(tuple(shape), generator=stream)

    batch = shape[0]
    return Draws(
        both(lambda: torch.randint(plan.network.timesteps, (batch,), generator=stream)),
        both(noise),
        both(noise),
        both(lambda: torch.randn(batch, plan.network.latent_size, generator=stream)),
        both(noise),
    )
