"""ALDM training in three stages (Kim & Park 2024, section 3).

autoencoder  encoder, code book and decoder on single volumes: reconstruction, code book, adversarial
spade        the SPADE stack on registered pairs, everything else frozen: latents, images, and back again
diffusion    the noise predictor on registered pairs, everything else frozen

The paper gives no weights of its losses, and its published code trains on L1 alone, which leaves the code book
where it began. The preset 'mrimpute' is our choice; 'code' is theirs.

Ours trains the code book so: at first latents are not quantised; then the codes are drawn from them. At
the end latents are brought to mean 0 and variance 1, which diffusion assumes.

Every random choice of a step follows from (seed, step), so a run that was killed goes on exactly as
if it had not been (in float32).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.diffusion.ladder import root_linear_ladder
from mrimpute.files import replacing
from mrimpute.generators import regression
from mrimpute.generators.aldm.autoencoder import FirstStage, begin_code_book, standardise_latents
from mrimpute.generators.aldm.checkpoint import Networks, load_networks, stage_of
from mrimpute.generators.aldm.discriminator import VolumeDiscriminator
from mrimpute.generators.aldm.examples import EncodedStudy, encode_studies, random_pairs, random_volumes
from mrimpute.generators.aldm.method import TIMESTEPS
from mrimpute.generators.aldm.perceptual import PerceptualLoss, load_perceptual
from mrimpute.generators.aldm.plan import TrainingPlan, checkpoint_toml
from mrimpute.generators.aldm.unet import NoisePredictor
from mrimpute.registry import CHECKPOINT_TOML, MODEL_FILE, Checkpoint
from mrimpute.training.cases import TrainingCase, random_box
from mrimpute.training.state import TrainingState, average_in, log, rising_decay, save_half, weights_of

BOOK_BOXES = 16
"""Batches of volumes whose latents the codes are drawn from."""
IMAGE_EDGE = 64
"""Edge in voxels of the random box that the spade stage decodes: a whole volume's gradients take 30 GB at
the authors' size."""

Report = Callable[[int, dict[str, float]], None]
"""Called with (step, mean losses since the last call and, with validation studies, measures)."""


def train(
    plan: TrainingPlan,
    cases: Sequence[TrainingCase],
    before: Checkpoint | None,
    folder: Path,
    device: torch.device,
    report: Report,
    save_every: int = 200,
    validation: Sequence[TrainingCase] = (),
    perceptual: Path | None = None,
) -> None:
    """Train one stage, or go on where a killed run stopped, and write a checkpoint folder.

    Args:
        plan: the stage and its options.
        cases: prepared studies, images in the order of the classes.
        before: the checkpoint of the stage before, or of this stage, to go on with; None for the autoencoder.
        folder: gets checkpoint weights, log and resume state.
        device: CPU or CUDA.
        report: called at every save.
        save_every: steps between two saves of the resume state.
        validation: prepared studies that are not trained on; measured at every save of the first two stages.
        perceptual: weights of the autoencoder's loss on features, which the paper names and its code lacks.

    Raises:
        UsageError: boxes of the studies do not fit in a batch.
        OutputRefused: the folder holds a run of another plan, or from another start.
        WeightsUnavailable: the stage before, or the perceptual loss, cannot be read.
    """
    plan.check_batch(cases)
    torch.manual_seed(plan.seed)
    features = load_perceptual(perceptual).to(device) if perceptual else None
    loaded = load_networks(before) if before else Networks(FirstStage(plan.network))
    unet = loaded.unet or NoisePredictor(plan.network) if plan.stage == "diffusion" else None
    stage = loaded.first_stage.to(device).requires_grad_(False)
    trained = _trained(plan, stage, unet).to(device)
    if plan.stage == "spade" and plan.identity and before and stage_of(before) != "spade":
        stage.spade.begin_as_identity()
    if unet is not None and plan.identity and loaded.unet is None:
        unet.begin_as_identity()
    networks: dict[str, nn.Module] = {"trained": trained}
    if plan.stage == "autoencoder" and plan.losses.adversarial:
        networks["judge"] = VolumeDiscriminator().to(device)
    optimisers = {name: _optimiser(plan, network) for name, network in networks.items()}
    average = weights_of(trained)
    given = [before.sha256 if before else "", features.sha256 if features else ""]
    text = json.dumps([asdict(plan), [case.name for case in cases], given], sort_keys=True)
    state = TrainingState(text, networks, optimisers, {"trained": average})
    start = state.resume(folder)
    encodes = plan.stage != "autoencoder" and start < plan.steps
    studies = encode_studies(plan, stage, cases, device) if encodes else []
    trained.requires_grad_(True)
    run = _Run(plan, stage, networks, optimisers, cases, studies, features, device)
    seen: list[dict[str, float]] = []
    for step in range(start, plan.steps):
        for optimiser in optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = _rate(plan, step)
        draw = np.random.default_rng([plan.seed, step])
        if plan.stage == "autoencoder" and step == _book_start(plan) > 0:
            boxes = (random_volumes(plan, cases, draw, device) for _ in range(BOOK_BOXES))
            begin_code_book(stage, boxes, draw)
            average |= weights_of(trained)
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.half_precision):
            seen.append(_STEPS[plan.stage](run, step, draw))
        average_in(average, trained, rising_decay(plan.ema, step) if plan.ema else 0.0)
        if (step + 1) % save_every == 0 or step + 1 == plan.steps:
            figures = {name: float(np.mean([one[name] for one in seen if name in one])) for name in seen[-1]}
            seen.clear()
            figures |= _measured(run, step, average, validation)
            log(folder, {"step": step + 1, "rate": _rate(plan, step), **figures})
            state.save(folder, step + 1)
            report(step + 1, figures)
    trained.load_state_dict(average)
    if plan.stage == "autoencoder" and _book_start(plan) > 0:
        draw = np.random.default_rng([plan.seed, plan.steps])
        standardise_latents(stage, (random_volumes(plan, cases, draw, device) for _ in range(BOOK_BOXES)))
    tensors = Networks(stage, unet, _regressions(cases) if plan.regression else None).tensors()
    save_half(folder / MODEL_FILE, tensors, {regression.COEFFICIENTS} & tensors.keys())
    with replacing(folder / CHECKPOINT_TOML) as temporary:
        temporary.write_text(checkpoint_toml(plan, cases), "utf-8")


def _book_start(plan: TrainingPlan) -> int:
    """Return the step at which the code book takes part."""
    return round(plan.losses.quantise_from * plan.steps)


def _regressions(cases: Sequence[TrainingCase]) -> Tensor:
    """Return the coefficients of each class on each, (source, target, terms); zeros for itself."""
    images = [torch.from_numpy(case.images) for case in cases]
    classes = range(len(images[0]))
    found = torch.zeros(len(classes), len(classes), regression.term_count(1))
    for source, target in permutations(classes, 2):
        found[source, target] = regression.fit((one[[source]], one[target]) for one in images)
    return found


def _trained(plan: TrainingPlan, first_stage: FirstStage, unet: NoisePredictor | None) -> nn.Module:
    """Return the part of the networks that a stage trains."""
    if plan.stage == "diffusion":
        assert unet is not None  # made just before
        return unet
    if plan.stage == "spade":
        return first_stage.spade
    parts = ("encoder", "decoder", "quantize", "quant_conv", "post_quant_conv")
    return nn.ModuleDict({name: getattr(first_stage, name) for name in parts})


def _optimiser(plan: TrainingPlan, network: nn.Module) -> torch.optim.Optimizer:
    """Return the authors' optimiser of a stage."""
    if plan.stage == "diffusion":
        return torch.optim.AdamW(network.parameters(), lr=plan.learning_rate)
    return torch.optim.Adam(network.parameters(), lr=plan.learning_rate, betas=(0.5, 0.9))


def _rate(plan: TrainingPlan, step: int) -> float:
    fall = 0.5 * (1 + np.cos(np.pi * step / plan.steps)) if plan.cosine else 1.0
    return float(plan.learning_rate * fall)


@dataclass(frozen=True)
class _Run:
    """What every step of a run needs.

    Attributes:
        plan: the run's options.
        stage: the first stage; frozen but for what the run trains.
        networks, optimisers: by name, "trained" and perhaps "judge".
        cases: prepared studies (autoencoder).
        studies: the same, encoded (later stages).
        perceptual: a loss on features, if its weights were given.
        device: CPU or CUDA.
    """

    plan: TrainingPlan
    stage: FirstStage
    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    cases: Sequence[TrainingCase]
    studies: Sequence[EncodedStudy]
    perceptual: PerceptualLoss | None
    device: torch.device


def _train_autoencoder(run: _Run, step: int, draw: np.random.Generator) -> dict[str, float]:
    """Reconstruct volumes; from the start step on against a discriminator (hinge loss)."""
    plan, stage, weights = run.plan, run.stage, run.plan.losses
    volume = random_volumes(plan, run.cases, draw, run.device)
    latent = stage.quant_conv(stage.encoder(volume))
    losses = {}
    if step >= _book_start(plan):
        latent, _, losses["codebook"] = stage.quantize(latent)
    made = stage.decode(latent).float()
    losses["l1"] = F.l1_loss(made, volume)
    total = losses["l1"] + weights.codebook * losses.get("codebook", 0.0)
    if run.perceptual is not None:
        x, y, z = (int(draw.integers(size)) for size in volume.shape[2:])
        losses["perceptual"] = run.perceptual(made, volume, (x, y, z)).float()
        total = total + weights.perceptual * losses["perceptual"]
    judge = run.networks.get("judge")
    judged = judge is not None and step >= weights.adversarial_from * plan.steps
    if judge is not None and judged:
        judge.requires_grad_(False)
        losses["adversarial"] = -judge(made).float().mean()
        total = total + weights.adversarial * losses["adversarial"]
    _descend(total, run.optimisers["trained"])
    if judge is not None and judged:
        judge.requires_grad_(True)
        losses["judge"] = F.relu(1 - judge(volume).float()).mean() + F.relu(1 + judge(made.detach()).float()).mean()
        _descend(losses["judge"], run.optimisers["judge"])
    return _numbers(losses)


def _train_spade(run: _Run, _step: int, draw: np.random.Generator) -> dict[str, float]:
    """Move a source's latent to a target's, and back."""
    plan, stage, weights = run.plan, run.stage, run.plan.losses
    pairs = random_pairs(plan, run.studies, draw, run.device)
    sources, targets = pairs.classes
    moved = stage.spade(pairs.source, targets)
    losses = {"latent": F.l1_loss(moved.float(), pairs.target)}
    total = losses["latent"]
    if weights.image:
        reduction = plan.network.reduction
        box = random_box(tuple(moved.shape[2:]), IMAGE_EDGE // reduction, draw)
        x, y, z = (slice(reduction * part.start, reduction * part.stop) for part in box)
        losses["image"] = F.l1_loss(stage.decode(moved[(..., *box)]).float(), pairs.image[..., x, y, z])
        total = total + weights.image * losses["image"]
    if weights.cycle:
        losses["cycle"] = F.l1_loss(stage.spade(moved, sources).float(), pairs.source)
        total = total + weights.cycle * losses["cycle"]
    _descend(total, run.optimisers["trained"])
    return _numbers(losses)


def _train_diffusion(run: _Run, _step: int, draw: np.random.Generator) -> dict[str, float]:
    """Predict the noise in a target's latent: mean squared error, also of the clean latent."""
    weights = run.plan.losses
    pairs = random_pairs(run.plan, run.studies, draw, run.device)
    _, targets = pairs.classes
    with torch.no_grad():
        moved = run.stage.spade(pairs.source, targets).float()
    timesteps = torch.from_numpy(draw.integers(TIMESTEPS, size=run.plan.batch)).to(run.device)
    noise = torch.from_numpy(draw.standard_normal(pairs.target.shape, dtype=np.float32)).to(run.device)
    levels = torch.from_numpy(root_linear_ladder().alphas_cumprod).float().to(run.device)[timesteps]
    level = levels[:, None, None, None, None]
    noisy = level.sqrt() * pairs.target + (1 - level).sqrt() * noise
    predicted = run.networks["trained"](
        torch.cat([noisy, pairs.source, moved], dim=1), timesteps, torch.tensor(targets, device=run.device)
    )
    error = (predicted.float() - noise).square()
    losses = {"noise": error.mean()}
    total = losses["noise"]
    if weights.clean:
        losses["clean"] = (error * ((1 - level) / level).clamp(max=weights.clean_ratio)).mean()
        total = total + weights.clean * losses["clean"]
    _descend(total, run.optimisers["trained"])
    return _numbers(losses)


_STEPS = {"autoencoder": _train_autoencoder, "spade": _train_spade, "diffusion": _train_diffusion}


def _descend(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def _numbers(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(loss.detach()) for name, loss in losses.items()}


def _measured(run: _Run, step: int, average: dict[str, Tensor], validation: Sequence[TrainingCase]) -> dict[str, float]:
    """Return the mean brain PSNR in dB of the validation studies with the weights that would be saved:
    of reconstructions in the autoencoder's stage, else of what the SPADE stack makes of each other contrast."""
    plan, stage, trained = run.plan, run.stage, run.networks["trained"]
    if not validation or plan.stage == "diffusion":
        return {}
    quantised = plan.stage != "autoencoder" or step >= _book_start(plan)
    classes = range(len(plan.classes))
    pairs = [(one, one) for one in classes] if plan.stage == "autoencoder" else list(permutations(classes, 2))
    raw = weights_of(trained)
    trained.load_state_dict(average)
    figures: dict[str, list[float]] = {}
    for case in validation:
        brain = (case.images > 0).any(0)
        with torch.inference_mode(), torch.autocast(run.device.type, torch.bfloat16, enabled=plan.half_precision):
            volumes = [torch.from_numpy(image)[None, None].to(run.device) * 2 - 1 for image in case.images]
            latents = [stage.quant_conv(stage.encoder(volume)) for volume in volumes]
            latents = [stage.quantize(latent)[0] for latent in latents] if quantised else latents
            for source, target in pairs:
                moved = latents[source] if source == target else stage.spade(latents[source], [target])
                made = ((stage.decode(moved).float()[0, 0] + 1) / 2).clamp(0, 1).cpu().numpy()
                error = np.square(made - case.images[target].clip(0, 1))[brain].mean()
                name = f"{plan.classes[source]}_to_{plan.classes[target]}_psnr_db"
                figures.setdefault(name, []).append(-10 * float(np.log10(error)))
    trained.load_state_dict(raw)
    return {name: float(np.mean(values)) for name, values in figures.items()}
