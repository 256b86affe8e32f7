"""ALDM training in three stages (Kim & Park 2024, section 3; SPEC sections 9 and 11).

autoencoder  encoder, code book and decoder on single volumes: reconstruction, code book, adversarial
spade        the SPADE stack on registered pairs, everything else frozen: latents, images, and back again
diffusion    the noise predictor on registered pairs, everything else frozen

The paper gives no weights of its losses, and its published code trains on L1 alone, which leaves the code book
where it began. The preset 'mrimpute' is our choice; 'code' is theirs. A perceptual loss is not offered yet.

Every random choice of a step follows from (seed, step), so a run that was killed goes on exactly as
if it had not been (in float32).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.contrasts import Contrast
from mrimpute.diffusion.ladder import root_linear_ladder
from mrimpute.errors import UsageError
from mrimpute.generators.aldm.autoencoder import FirstStage
from mrimpute.generators.aldm.checkpoint import STAGES, Stage, load_networks, record_table, stage_of, tensors_of
from mrimpute.generators.aldm.config import AldmConfig
from mrimpute.generators.aldm.discriminator import VolumeDiscriminator
from mrimpute.generators.aldm.unet import NoisePredictor
from mrimpute.registry import CHECKPOINT_TOML, MODEL_FILE, Checkpoint, InputSpec
from mrimpute.training.augment import Augmentation, changed, mirrored
from mrimpute.training.cases import TrainingCase, random_box
from mrimpute.training.state import (
    TrainingState,
    average_in,
    checkpoint_text,
    log,
    replacing,
    rising_decay,
    save_half,
    weights_of,
)

LADDER_STEPS = 1000
DEFAULT_STEPS = 10
LEAST_EDGE = 32
"""The discriminator halves its input three times, and convolves twice more."""
CITE = "Kim & Park, Adaptive Latent Diffusion Model for 3D Medical Image to Image Translation, WACV 2024"

Report = Callable[[int, dict[str, float]], None]
"""Called with (step, mean losses since the last call and, with validation studies, measures)."""


@dataclass(frozen=True)
class Losses:
    """Weights of the losses.

    Attributes:
        codebook: of the code book's loss (autoencoder).
        adversarial: of the discriminator's verdict (autoencoder), from `start` on.
        start: share of the steps after which the discriminator takes part.
        image: of the decoded image's L1 beside the latent's (spade).
        cycle: of the L1 between a latent and what comes back from a target's class (spade).
    """

    codebook: float = 1.0
    adversarial: float = 0.05
    start: float = 0.5
    image: float = 1.0
    cycle: float = 0.5


PRESETS = {"mrimpute": Losses(), "code": Losses(codebook=0, adversarial=0, image=0, cycle=0)}


@dataclass(frozen=True)
class TrainingPlan:
    """What decides the training of one stage.

    Attributes:
        stage: which.
        classes: the contrasts, in the order of the network's classes.
        network: sizes.
        losses: weights of the losses.
        steps: optimiser steps.
        learning_rate: of Adam; it falls along half a cosine where `cosine` is set.
        cosine: see learning_rate; off in the authors' code.
        batch: examples per step.
        crop: edge in voxels of the random cubes that are trained on; 0 for the whole window.
        window: voxels of the network's window; None for the box around the head.
        ema: decay of the averaged weights that are saved (authors: 0.9999, of the diffusion only).
        augment: random changes to what the networks see.
        half_precision: run the networks in bfloat16.
        seed: of every random choice.
    """

    stage: Stage
    classes: tuple[Contrast, ...]
    network: AldmConfig = field(default_factory=AldmConfig)
    losses: Losses = field(default_factory=Losses)
    steps: int = 200_000
    learning_rate: float = 4e-5
    cosine: bool = False
    batch: int = 1
    crop: int = 0
    window: tuple[int, int, int] | None = (144, 192, 144)
    ema: float = 0.9999
    augment: Augmentation = field(default_factory=Augmentation)
    half_precision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.crop < 0 or self.crop % self.network.image_multiple:
            raise UsageError(f"--crop {self.crop} is not a multiple of {self.network.image_multiple}", "round it")
        if min(self.steps, self.batch) < 1 or self.learning_rate <= 0 or not 0 <= self.ema < 1 or self.seed < 0:
            raise UsageError(
                "steps, batch and learning rate must be positive, the seed at least 0, EMA from 0 to below 1",
                "correct the option",
            )
        if self.batch > 1 and not self.crop and self.window is None:
            raise UsageError("heads differ in size, so whole ones do not fit in a batch", "add --crop, or --batch 1")
        if self.stage == "autoencoder" and self.losses.adversarial and 0 < self.crop < LEAST_EDGE:
            raise UsageError(f"the discriminator needs cubes of at least {LEAST_EDGE} voxels", "raise --crop")
        if len(self.classes) != self.network.classes or self.network.classes < 2:
            raise UsageError("ALDM needs at least two contrasts", "name them with --contrasts")

    @property
    def inputs(self) -> InputSpec:
        """The frame that the networks are trained in, which their record states."""
        return InputSpec(
            orientation="RAS",
            spacing_mm=1.0,
            window=self.window,
            multiple=self.network.image_multiple,
            clip_quantiles=(0.005, 0.995),
            quantiles_of="window",
        )


def check_start(stage: Stage, before: Checkpoint | None) -> None:
    """Check that a stage goes on from the one before it.

    Raises:
        UsageError: it does not.
    """
    if stage not in STAGES:
        raise UsageError(f"unknown stage {stage!r}", f"use {', '.join(STAGES)}")
    needed = None if stage == STAGES[0] else STAGES[STAGES.index(stage) - 1]
    given = stage_of(before) if before else None
    if given != needed:
        hint = f"give a checkpoint of the stage {needed} with --start" if needed else "leave --start out"
        raise UsageError(f"the stage {stage} goes on from {needed or 'nothing'}, not from {given or 'nothing'}", hint)


def train(
    plan: TrainingPlan,
    cases: Sequence[TrainingCase],
    before: Checkpoint | None,
    folder: Path,
    device: torch.device,
    report: Report,
    save_every: int = 200,
    validation: Sequence[TrainingCase] = (),
) -> None:
    """Train one stage, or go on where a killed run stopped, and write a checkpoint folder.

    Args:
        plan: the stage and its options.
        cases: prepared studies, images in the order of the classes.
        before: the checkpoint of the stage before; None for the autoencoder.
        folder: gets checkpoint weights, log and resume state.
        device: CPU or CUDA.
        report: called at every save.
        save_every: steps between two saves of the resume state.
        validation: prepared studies that are not trained on; measured at every save of the first two stages.

    Raises:
        OutputRefused: the folder holds a run of another plan, or from another start.
        WeightsUnavailable: the stage before cannot be read.
    """
    torch.manual_seed(plan.seed)
    first_stage, unet = load_networks(before) if before else (FirstStage(plan.network), None)
    if plan.stage == "diffusion":
        unet = NoisePredictor(plan.network)
    first_stage.to(device).requires_grad_(False)
    trained = _trained(plan, first_stage, unet).to(device).requires_grad_(True)
    networks: dict[str, nn.Module] = {"trained": trained}
    if plan.stage == "autoencoder" and plan.losses.adversarial:
        networks["judge"] = VolumeDiscriminator().to(device)
    optimisers: dict[str, torch.optim.Optimizer] = {
        name: torch.optim.Adam(network.parameters(), lr=plan.learning_rate, betas=(0.5, 0.9))
        for name, network in networks.items()
    }
    average = weights_of(trained)
    names = [case.name for case in cases]
    text = json.dumps([asdict(plan), names, before.sha256 if before else ""], sort_keys=True)
    state = TrainingState(text, networks, optimisers, {"trained": average})
    start = state.resume(folder)
    seen: list[dict[str, float]] = []
    for step in range(start, plan.steps):
        for optimiser in optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = _rate(plan, step)
        draw = np.random.default_rng([plan.seed, step])
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.half_precision):
            seen.append(_STEPS[plan.stage](plan, first_stage, networks, optimisers, cases, draw, step, device))
        average_in(average, trained, rising_decay(plan.ema, step) if plan.ema else 0.0)
        if (step + 1) % save_every == 0 or step + 1 == plan.steps:
            figures = {name: float(np.mean([one[name] for one in seen if name in one])) for name in seen[-1]}
            seen.clear()
            figures |= _measured(plan, trained, average, first_stage, validation, device)
            log(folder, {"step": step + 1, "rate": _rate(plan, step), **figures})
            state.save(folder, step + 1)
            report(step + 1, figures)
    trained.load_state_dict(average)
    save_half(folder / MODEL_FILE, tensors_of(first_stage, unet))
    with replacing(folder / CHECKPOINT_TOML) as temporary:
        temporary.write_text(checkpoint_toml(plan, cases), "utf-8")


def checkpoint_toml(plan: TrainingPlan, cases: Sequence[TrainingCase]) -> str:
    """Return the record of trained networks as TOML."""
    top = {"generator": "aldm", "sources": [*plan.classes], "origin": "trained"}
    tables = {
        "network": record_table(plan.network, plan.stage),
        "inputs": plan.inputs.model_dump(exclude_none=True),
        "sampling": {
            "ladder": "root-linear",
            "timesteps": LADDER_STEPS,
            "predicts": "noise",
            "steps": DEFAULT_STEPS,
        },
        "about": {
            "licence": "that of your data",
            "trained_on": f"{len(cases)} studies, {plan.stage}, {plan.steps} steps",
            "cite": CITE,
        },
    }
    return checkpoint_text(top, tables)


def _trained(plan: TrainingPlan, first_stage: FirstStage, unet: NoisePredictor | None) -> nn.Module:
    """Return the part of the networks that a stage trains."""
    if plan.stage == "diffusion":
        assert unet is not None  # made just before
        return unet
    if plan.stage == "spade":
        return first_stage.spade
    parts = ("encoder", "decoder", "quantize", "quant_conv", "post_quant_conv")
    return nn.ModuleDict({name: getattr(first_stage, name) for name in parts})


def _rate(plan: TrainingPlan, step: int) -> float:
    fall = 0.5 * (1 + np.cos(np.pi * step / plan.steps)) if plan.cosine else 1.0
    return float(plan.learning_rate * fall)


def _volumes(
    plan: TrainingPlan, cases: Sequence[TrainingCase], draw: np.random.Generator, device: torch.device, count: int
) -> tuple[Tensor, Tensor, list[list[int]]]:
    """Draw `count` different contrasts of the same box, per example of a batch.

    Returns:
        What the networks see and what they should make, (count, B, 1, X, Y, Z) in [-1, 1], and the
        classes, count lists of B.
    """
    seen, clean, classes = [], [], []
    for _ in range(plan.batch):
        case = cases[int(draw.integers(len(cases)))]
        images = case.images[(slice(None), *random_box(case.images.shape[1:], plan.crop, draw))]
        images = mirrored(images, plan.augment.mirror, draw)
        picked = draw.permutation(len(plan.classes))[:count]
        exact = [torch.from_numpy(images[number].copy()) for number in picked]
        clean.append(torch.stack(exact))
        seen.append(torch.stack([changed(image, plan.augment, draw) for image in exact]))
        classes.append([int(number) for number in picked])
    both = [torch.stack(volumes, dim=1)[:, :, None].to(device) * 2 - 1 for volumes in (seen, clean)]
    return both[0], both[1], [list(numbers) for numbers in zip(*classes, strict=True)]


def _train_autoencoder(
    plan: TrainingPlan,
    stage: FirstStage,
    networks: dict[str, nn.Module],
    optimisers: dict[str, torch.optim.Optimizer],
    cases: Sequence[TrainingCase],
    draw: np.random.Generator,
    step: int,
    device: torch.device,
) -> dict[str, float]:
    """Reconstruct one volume; from the start step on against a discriminator (hinge loss)."""
    seen, _, _ = _volumes(plan, cases, draw, device, 1)
    volume = seen[0]
    latent, _, codebook = stage.quantize(stage.quant_conv(stage.encoder(volume)))
    made = stage.decode(latent).float()
    losses = {"l1": F.l1_loss(made, volume), "codebook": codebook}
    total = losses["l1"] + plan.losses.codebook * codebook
    judge = networks.get("judge")
    judged = judge is not None and step >= plan.losses.start * plan.steps
    if judge is not None and judged:
        judge.requires_grad_(False)
        losses["adversarial"] = -judge(made).float().mean()
        total = total + plan.losses.adversarial * losses["adversarial"]
    _descend(total, optimisers["trained"])
    if judge is not None and judged:
        judge.requires_grad_(True)
        losses["judge"] = F.relu(1 - judge(volume).float()).mean() + F.relu(1 + judge(made.detach()).float()).mean()
        _descend(losses["judge"], optimisers["judge"])
    return _numbers(losses)


def _train_spade(
    plan: TrainingPlan,
    stage: FirstStage,
    _networks: dict[str, nn.Module],
    optimisers: dict[str, torch.optim.Optimizer],
    cases: Sequence[TrainingCase],
    draw: np.random.Generator,
    _step: int,
    device: torch.device,
) -> dict[str, float]:
    """Move a source's latent to a target's, and back."""
    seen, clean, (sources, targets) = _volumes(plan, cases, draw, device, 2)
    with torch.no_grad():
        source, target = stage.encode(seen[0]), stage.encode(clean[1])
    moved = stage.spade(source, targets)
    losses = {"latent": F.l1_loss(moved.float(), target)}
    total = losses["latent"]
    if plan.losses.image:
        losses["image"] = F.l1_loss(stage.decode(moved).float(), clean[1])
        total = total + plan.losses.image * losses["image"]
    if plan.losses.cycle:
        losses["cycle"] = F.l1_loss(stage.spade(moved, sources).float(), source)
        total = total + plan.losses.cycle * losses["cycle"]
    _descend(total, optimisers["trained"])
    return _numbers(losses)


def _train_diffusion(
    plan: TrainingPlan,
    stage: FirstStage,
    networks: dict[str, nn.Module],
    optimisers: dict[str, torch.optim.Optimizer],
    cases: Sequence[TrainingCase],
    draw: np.random.Generator,
    _step: int,
    device: torch.device,
) -> dict[str, float]:
    """Predict the noise in a target's latent: mean squared error (SPEC section 6)."""
    seen, clean, (_, targets) = _volumes(plan, cases, draw, device, 2)
    with torch.no_grad():
        source, target = stage.encode(seen[0]), stage.encode(clean[1])
        moved = stage.spade(source, targets).float()
    timesteps = torch.from_numpy(draw.integers(LADDER_STEPS, size=plan.batch)).to(device)
    noise = torch.from_numpy(draw.standard_normal(target.shape, dtype=np.float32)).to(device)
    levels = torch.from_numpy(root_linear_ladder().alphas_cumprod).float().to(device)[timesteps]
    level = levels[:, None, None, None, None]
    noisy = level.sqrt() * target + (1 - level).sqrt() * noise
    predicted = networks["trained"](
        torch.cat([noisy, source, moved], dim=1), timesteps, torch.tensor(targets, device=device)
    )
    loss = F.mse_loss(predicted.float(), noise)
    _descend(loss, optimisers["trained"])
    return _numbers({"noise": loss})


_STEPS = {"autoencoder": _train_autoencoder, "spade": _train_spade, "diffusion": _train_diffusion}


def _descend(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def _numbers(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(loss.detach()) for name, loss in losses.items()}


def _measured(
    plan: TrainingPlan,
    trained: nn.Module,
    average: dict[str, Tensor],
    stage: FirstStage,
    validation: Sequence[TrainingCase],
    device: torch.device,
) -> dict[str, float]:
    """Return the mean brain PSNR in dB of the validation studies with the weights that would be saved:
    of reconstructions in the autoencoder's stage, else of what the SPADE stack makes of each other contrast."""
    if not validation or plan.stage == "diffusion":
        return {}
    raw = weights_of(trained)
    trained.load_state_dict(average)
    figures: dict[str, list[float]] = {}
    for case in validation:
        brain = (case.images > 0).any(0)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=plan.half_precision):
            latents = [stage.encode(torch.from_numpy(image)[None, None].to(device) * 2 - 1) for image in case.images]
            for number, truth in enumerate(case.images):
                for origin, latent in enumerate(latents):
                    if (origin == number) != (plan.stage == "autoencoder"):
                        continue
                    moved = latent if plan.stage == "autoencoder" else stage.spade(latent, [number])
                    made = ((stage.decode(moved).float()[0, 0] + 1) / 2).clamp(0, 1).cpu().numpy()
                    error = np.square(made - truth.clip(0, 1))[brain].mean()
                    name = f"{plan.classes[origin]}_to_{plan.classes[number]}_psnr_db"
                    figures.setdefault(name, []).append(-10 * float(np.log10(error)))
    trained.load_state_dict(raw)
    return {name: float(np.mean(values)) for name, values in figures.items()}
