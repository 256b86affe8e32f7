"""What ALDM's stages are trained on: random boxes of volumes, and pairs of latents of studies encoded once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mrimpute.generators.aldm.autoencoder import FirstStage
from mrimpute.generators.aldm.plan import TrainingPlan
from mrimpute.training.augment import changed, mirrored
from mrimpute.training.cases import TrainingCase, random_box
from mrimpute.volume import FloatArray


@dataclass(frozen=True)
class EncodedStudy:
    """One study, mirrored or not, its sources changed at random.

    Attributes:
        images: the unchanged volumes, (C, X, Y, Z) float32 in [0, 1].
        seen, exact: quantised latents of the changed and of the unchanged volumes, (C, latent, X/r, Y/r, Z/r).
    """

    images: FloatArray
    seen: Tensor
    exact: Tensor


@dataclass(frozen=True)
class Pairs:
    """A batch of sources and targets.

    Attributes:
        source, target: quantised latents, (B, latent, X/r, Y/r, Z/r).
        image: the targets themselves, (B, 1, X, Y, Z) in [-1, 1].
        classes: of the sources, and of the targets.
    """

    source: Tensor
    target: Tensor
    image: Tensor
    classes: tuple[list[int], list[int]]


def random_volumes(
    plan: TrainingPlan, cases: Sequence[TrainingCase], draw: np.random.Generator, device: torch.device
) -> Tensor:
    """Return a batch of single contrasts, (B, 1, X, Y, Z) in [-1, 1]."""
    volumes = []
    for _ in range(plan.batch):
        case = cases[int(draw.integers(len(cases)))]
        images = case.images[(slice(None), *random_box(case.images.shape[1:], plan.crop, draw))]
        image = mirrored(images, plan.augment.mirror, draw)[int(draw.integers(len(plan.classes)))]
        volumes.append(changed(torch.from_numpy(image.copy()), plan.augment, draw))
    return torch.stack(volumes)[:, None].to(device) * 2 - 1


def encode_studies(
    plan: TrainingPlan, stage: FirstStage, cases: Sequence[TrainingCase], device: torch.device
) -> list[EncodedStudy]:
    """Encode every variant of every study, whole: latents of boxes would have other statistics."""
    studies = []
    for number, case in enumerate(cases):
        exact: dict[bool, Tensor] = {}
        for variant in range(plan.variants):
            draw = np.random.default_rng([plan.seed, number, variant, 1])  # a step's draws take two numbers
            images = mirrored(case.images, plan.augment.mirror, draw) if variant else case.images
            side = images is case.images
            volumes = torch.from_numpy(images.copy())
            if side not in exact:
                exact[side] = _encoded(plan, stage, volumes, device)
            seen = torch.stack([changed(volume, plan.augment, draw) for volume in volumes]) if variant else volumes
            same = torch.equal(seen, volumes)
            latents = exact[side] if same else _encoded(plan, stage, seen, device)
            studies.append(EncodedStudy(images, latents, exact[side]))
    return studies


def random_pairs(
    plan: TrainingPlan, studies: Sequence[EncodedStudy], draw: np.random.Generator, device: torch.device
) -> Pairs:
    """Draw different contrasts of the same box, one pair per example."""
    reduction = plan.network.reduction
    sources, targets, images, classes = [], [], [], []
    for _ in range(plan.batch):
        study = studies[int(draw.integers(len(studies)))]
        first, second = (int(number) for number in draw.permutation(len(plan.classes))[:2])
        box = random_box(tuple(study.exact.shape[2:]), plan.crop // reduction, draw)
        fine = tuple(slice(part.start * reduction, part.stop * reduction) for part in box)
        sources.append(study.seen[first][(slice(None), *box)])
        targets.append(study.exact[second][(slice(None), *box)])
        images.append(torch.from_numpy(study.images[second][fine].copy()))
        classes.append((first, second))
    before, after = (list(numbers) for numbers in zip(*classes, strict=True))
    latents = torch.stack(sources).to(device), torch.stack(targets).to(device)
    return Pairs(*latents, torch.stack(images)[:, None].to(device) * 2 - 1, (before, after))


def _encoded(plan: TrainingPlan, stage: FirstStage, volumes: Tensor, device: torch.device) -> Tensor:
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=plan.half_precision):
        return torch.cat([stage.encode(volume[None, None].to(device) * 2 - 1).float().cpu() for volume in volumes])
