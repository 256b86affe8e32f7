"""One step of each of ALDM's training stages: examples → losses, and a step down their gradient."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.diffusion.ladder import root_linear_ladder
from mrimpute.generators.aldm.autoencoder import FirstStage
from mrimpute.generators.aldm.examples import Pairs
from mrimpute.generators.aldm.method import TIMESTEPS
from mrimpute.generators.aldm.perceptual import PerceptualLoss
from mrimpute.generators.aldm.plan import TrainingPlan
from mrimpute.training.cases import random_box
from mrimpute.training.loop import Figures, descend, to_figures

IMAGE_EDGE = 64
"""Edge in voxels of the random box that the spade stage decodes: a whole volume's gradients take 30 GB at
the authors' size."""
DISCRIMINATOR_LOSS = "judge"
"""Its name in the log."""


@dataclass(frozen=True)
class Learning:
    """What the steps of one stage work on.

    Attributes:
        plan: the run's options.
        first_stage: frozen but for what the stage trains.
        trained, optimiser: what it trains, and how.
        discriminator, discriminator_optimiser: of the autoencoder's stage, with an adversarial loss.
        perceptual: a loss on features, if its weights were given.
        device: CPU or CUDA.
    """

    plan: TrainingPlan
    first_stage: FirstStage
    trained: nn.Module
    optimiser: torch.optim.Optimizer
    discriminator: nn.Module | None
    discriminator_optimiser: torch.optim.Optimizer | None
    perceptual: PerceptualLoss | None
    device: torch.device


def train_autoencoder(stage: Learning, volume: Tensor, step: int, draw: np.random.Generator) -> Figures:
    """Reconstruct volumes (B, 1, X, Y, Z) in [-1, 1]; from the start step on against a discriminator (hinge loss)."""
    plan, first_stage, weights = stage.plan, stage.first_stage, stage.plan.losses
    latent = first_stage.quant_conv(first_stage.encoder(volume))
    losses = {}
    if step >= plan.book_start:
        latent, _, losses["codebook"] = first_stage.quantize(latent)
    made = first_stage.decode(latent).float()
    losses["l1"] = F.l1_loss(made, volume)
    total = losses["l1"] + weights.codebook * losses.get("codebook", 0.0)
    if stage.perceptual is not None:
        x, y, z = (int(draw.integers(size)) for size in volume.shape[2:])
        losses["perceptual"] = stage.perceptual(made, volume, (x, y, z)).float()
        total = total + weights.perceptual * losses["perceptual"]
    against = stage.discriminator if step >= weights.adversarial_from * plan.steps else None
    if against is not None:
        against.requires_grad_(False)
        losses["adversarial"] = -against(made).float().mean()
        total = total + weights.adversarial * losses["adversarial"]
    descend(total, stage.optimiser)
    if against is not None and stage.discriminator_optimiser is not None:
        against.requires_grad_(True)
        acquired, copied = against(volume).float(), against(made.detach()).float()
        losses[DISCRIMINATOR_LOSS] = F.relu(1 - acquired).mean() + F.relu(1 + copied).mean()
        descend(losses[DISCRIMINATOR_LOSS], stage.discriminator_optimiser)
    return to_figures(losses)


def train_spade(stage: Learning, pairs: Pairs, draw: np.random.Generator) -> Figures:
    """Move a source's latent to a target's, and back."""
    first_stage, weights = stage.first_stage, stage.plan.losses
    sources, targets = pairs.classes
    moved = first_stage.spade(pairs.source, targets)
    losses = {"latent": F.l1_loss(moved.float(), pairs.target)}
    total = losses["latent"]
    if weights.image:
        reduction = stage.plan.network.reduction
        box = random_box(tuple(moved.shape[2:]), IMAGE_EDGE // reduction, draw)
        x, y, z = (slice(reduction * part.start, reduction * part.stop) for part in box)
        losses["image"] = F.l1_loss(first_stage.decode(moved[(..., *box)]).float(), pairs.image[..., x, y, z])
        total = total + weights.image * losses["image"]
    if weights.cycle:
        losses["cycle"] = F.l1_loss(first_stage.spade(moved, sources).float(), pairs.source)
        total = total + weights.cycle * losses["cycle"]
    descend(total, stage.optimiser)
    return to_figures(losses)


def train_diffusion(stage: Learning, pairs: Pairs, draw: np.random.Generator) -> Figures:
    """Predict the noise in a target's latent: mean squared error, also of the clean latent."""
    weights, device = stage.plan.losses, stage.device
    _, targets = pairs.classes
    with torch.no_grad():
        moved = stage.first_stage.spade(pairs.source, targets).float()
    timesteps = torch.from_numpy(draw.integers(TIMESTEPS, size=stage.plan.batch)).to(device)
    noise = torch.from_numpy(draw.standard_normal(pairs.target.shape, dtype=np.float32)).to(device)
    levels = torch.from_numpy(root_linear_ladder().alphas_cumprod).float().to(device)[timesteps]
    level = levels[:, None, None, None, None]
    noisy = level.sqrt() * pairs.target + (1 - level).sqrt() * noise
    predicted = stage.trained(
        torch.cat([noisy, pairs.source, moved], dim=1), timesteps, torch.tensor(targets, device=device)
    )
    error = (predicted.float() - noise).square()
    losses = {"noise": error.mean()}
    total = losses["noise"]
    if weights.clean:
        losses["clean"] = (error * ((1 - level) / level).clamp(max=weights.clean_ratio)).mean()
        total = total + weights.clean * losses["clean"]
    descend(total, stage.optimiser)
    return to_figures(losses)
