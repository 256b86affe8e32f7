"""cWDM training (Friedrich et al. 2024, section 2): clean sub-bands from noisy ones, squared error, all bands equal.

Every random choice of an example follows from (seed, step, its place in the step), so a run that
was killed goes on exactly as if it had not been (in float32; PyTorch's bfloat16 convolutions on the
CPU differ in the last bit from run to run), and two processes of one example each learn what one
process of two learns. Options that depart from the paper are off by default.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from mrimpute.contrasts import Contrast
from mrimpute.diffusion.ladder import linear_beta_ladder
from mrimpute.errors import UsageError
from mrimpute.files import replacing
from mrimpute.generators import regression
from mrimpute.generators.cwdm import _wavelet
from mrimpute.generators.cwdm.checkpoint import record_table
from mrimpute.generators.cwdm.config import BANDS
from mrimpute.generators.cwdm.denoiser import Denoiser
from mrimpute.generators.cwdm.network import NetworkConfig
from mrimpute.registry import CHECKPOINT_TOML, MODEL_FILE, InputSpec
from mrimpute.training.augment import Augmentation, changed, mirrored
from mrimpute.training.cases import TrainingCase, random_box
from mrimpute.training.state import TrainingState, average_in, checkpoint_text, log, rising_decay, save_half, weights_of
from mrimpute.training.world import World

LADDER_STEPS = 1000
DEFAULT_DDIM_STEPS = 1

Report = Callable[[int, float, float | None], None]
"""Called with (step, mean loss since the last call, brain PSNR in dB of the validation studies)."""


@dataclass(frozen=True)
class TrainingPlan:
    """What decides a training run.

    Attributes:
        sources, target: the task.
        network: sizes.
        steps: optimiser steps (paper: 1,200,000).
        learning_rate: of AdamW without weight decay (paper: 1e-5).
        schedule: 'constant' (paper), or 'cosine': down to zero along half a cosine.
        warmup: steps over which the learning rate rises to its value.
        batch: examples per step, over all processes (paper: 1).
        crop: edge in voxels of the random cubes that are trained on; 0 for the whole window.
        window: voxels of the network's window; None for the box around the head.
        ema: decay of the averaged weights that are saved; 0 saves the raw ones (paper).
        augment: random changes to the examples.
        regression: fit a voxelwise regression on the same studies, which will steady the network.
        half_precision: run convolutions in bfloat16, about twice as fast.
        seed: of every random choice.
    """

    sources: tuple[Contrast, ...]
    target: Contrast
    network: NetworkConfig
    steps: int = 1_200_000
    learning_rate: float = 1e-5
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    batch: int = 1
    crop: int = 0
    window: tuple[int, int, int] | None = (224, 224, 160)
    ema: float = 0.0
    augment: Augmentation = field(default_factory=Augmentation)
    regression: bool = False
    half_precision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.crop < 0 or self.crop % self.network.image_multiple:
            raise UsageError(f"--crop {self.crop} is not a multiple of {self.network.image_multiple}", "round it")
        if (
            self.steps < 1
            or self.learning_rate <= 0
            or not 0 <= self.ema < 1
            or self.warmup < 0
            or self.batch < 1
            or self.seed < 0
        ):
            raise UsageError(
                "steps, batch and learning rate must be positive, warm-up and seed at least 0, EMA from 0 to below 1",
                "correct the option",
            )
        if self.schedule not in ("constant", "cosine"):
            raise UsageError(f"unknown schedule {self.schedule!r}", "use constant or cosine")

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Sources, then target: the order of a case's images."""
        return (*self.sources, self.target)

    @property
    def inputs(self) -> InputSpec:
        """The frame that the network is trained in, which its record states."""
        return InputSpec(
            orientation="LPS",
            spacing_mm=1.0,
            window=self.window,
            multiple=self.network.image_multiple,
            clip_quantiles=(0.001, 0.999),
        )


def train(
    plan: TrainingPlan,
    cases: Sequence[TrainingCase],
    folder: Path,
    device: torch.device,
    report: Report,
    save_every: int = 200,
    validation: Sequence[TrainingCase] = (),
    world: World | None = None,
) -> None:
    """Train, or go on where a killed run of the same plan stopped, and write a checkpoint folder.

    Args:
        plan: the task and its options.
        cases: prepared studies (images in the plan's order), at least one.
        folder: gets checkpoint weights, log and resume state.
        device: CPU or CUDA.
        report: called at every save.
        save_every: steps between two saves of the resume state.
        validation: prepared studies that are not trained on; measured at every save.
        world: this process among several; None for alone.

    Raises:
        OutputRefused: the folder holds a run of another plan.
        UsageError: the batch cannot be shared evenly by the processes.
    """
    world = world or World()
    share, uneven = divmod(plan.batch, world.size)
    if uneven:
        raise UsageError(
            f"--batch {plan.batch} cannot be shared by {world.size} processes", "use a multiple of their number"
        )
    torch.manual_seed(plan.seed)
    denoiser = _denoiser(plan, cases).to(device)
    optimiser = torch.optim.AdamW(denoiser.parameters(), lr=plan.learning_rate, weight_decay=0.0)
    average = weights_of(denoiser)
    state = TrainingState(_fingerprint(plan, cases), {"unet": denoiser}, {"unet": optimiser}, {"unet": average})
    start = state.resume(folder)
    shared = world.share(denoiser)
    levels = torch.from_numpy(linear_beta_ladder(LADDER_STEPS).alphas_cumprod).float()
    losses = []
    for step in range(start, plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(plan, step)
        optimiser.zero_grad(set_to_none=True)
        for turn in range(share):
            place = turn * world.size + world.rank
            with world.hold_back(shared, turn + 1 < share):
                loss = _loss(plan, denoiser, shared, draw_example(plan, cases, levels, step, place), device)
                (loss / share).backward()
            losses.append(float(loss.detach()))
        optimiser.step()
        if plan.ema:
            average_in(average, denoiser, rising_decay(plan.ema, step))
        if ((step + 1) % save_every == 0 or step + 1 == plan.steps) and world.leads:
            mean = float(np.mean(losses))
            losses.clear()
            quality = _validated(plan, denoiser, average, validation, device)
            entry = {"step": step + 1, "loss": mean, "learning_rate": learning_rate(plan, step)}
            log(folder, entry | ({} if quality is None else {"validation_psnr_db": quality}))
            state.save(folder, step + 1)
            report(step + 1, mean, quality)
    if not world.leads:
        return
    if plan.ema:
        denoiser.load_state_dict(average)
    tensors = denoiser.tensors()
    exact = {regression.COEFFICIENTS} & tensors.keys()
    save_half(folder / MODEL_FILE, tensors, exact)
    with replacing(folder / CHECKPOINT_TOML) as temporary:
        temporary.write_text(checkpoint_toml(plan, cases), "utf-8")


def _denoiser(plan: TrainingPlan, cases: Sequence[TrainingCase]) -> Denoiser:
    """Return an untrained network for the plan, with its regression fitted."""
    coefficients = None
    if plan.regression:
        pairs = ((torch.from_numpy(case.images[:-1]), torch.from_numpy(case.images[-1])) for case in cases)
        coefficients = regression.fit(pairs)
    return Denoiser(plan.network, coefficients)


def checkpoint_toml(plan: TrainingPlan, cases: Sequence[TrainingCase]) -> str:
    """Return the record of a trained network as TOML."""
    top = {
        "generator": "cwdm",
        "sources": [*plan.sources],
        "target": plan.target,
        "origin": "trained",
    }
    tables: dict[str, dict[str, Any]] = {
        "network": record_table(plan.network, plan.regression),
        "inputs": plan.inputs.model_dump(exclude_none=True),
        "sampling": {
            "ladder": "linear-beta",
            "timesteps": LADDER_STEPS,
            "predicts": "clean",
            "steps": DEFAULT_DDIM_STEPS,
            "output_floor": 0.04,
        },
        "about": {
            "licence": "that of your data",
            "trained_on": f"{len(cases)} studies, {plan.steps} steps",
            "cite": "Friedrich et al., cWDM, 2024, arXiv 2411.17203",
        },
    }
    return checkpoint_text(top, tables)


@dataclass(frozen=True)
class Example:
    """One training example.

    Attributes:
        sources: (S, X, Y, Z) in [0, 1].
        clean: the target's packed sub-bands, (1, 8, X/2, Y/2, Z/2).
        noisy: their mixture with noise, of the same shape.
        timestep: how much noise, 0 to 999.
    """

    sources: Tensor
    clean: Tensor
    noisy: Tensor
    timestep: int


def draw_example(
    plan: TrainingPlan, cases: Sequence[TrainingCase], levels: Tensor, step: int, place: int = 0
) -> Example:
    """Draw the example at one place of a step: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise."""
    draw = np.random.default_rng([plan.seed, step, place])
    case = cases[int(draw.integers(len(cases)))]
    images = case.images[(slice(None), *random_box(case.images.shape[1:], plan.crop, draw))]
    images = mirrored(images, plan.augment.mirror, draw)
    *sources, target = (torch.from_numpy(image.copy()) for image in images)
    clean = _wavelet.pack(target[None, None])
    timestep = int(draw.integers(LADDER_STEPS))
    noise = torch.from_numpy(draw.standard_normal(clean.shape, dtype=np.float32))
    noisy = levels[timestep].sqrt() * clean + (1 - levels[timestep]).sqrt() * noise
    return Example(torch.stack([changed(source, plan.augment, draw) for source in sources]), clean, noisy, timestep)


def _loss(plan: TrainingPlan, denoiser: Denoiser, shared: nn.Module, example: Example, device: torch.device) -> Tensor:
    """Squared error of the predicted bands, mean over space and then over bands."""
    timestep = torch.tensor([example.timestep], device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=plan.half_precision):
        condition = denoiser.condition(example.sources.to(device))
        predicted = shared(example.noisy.to(device), condition, timestep)
    error: Tensor = (predicted - example.clean.to(device)).square().mean()
    return error


def _validated(
    plan: TrainingPlan,
    denoiser: Denoiser,
    average: dict[str, Tensor],
    validation: Sequence[TrainingCase],
    device: torch.device,
) -> float | None:
    """Return the mean brain PSNR in dB of one step from pure noise, with the weights that would be
    saved; None without validation studies."""
    if not validation:
        return None
    raw = weights_of(denoiser)
    if plan.ema:
        denoiser.load_state_dict(average)
    found = []
    for case in validation:
        truth, sources = case.images[-1], torch.from_numpy(case.images[:-1]).to(device)
        brain = (case.images > 0).any(0)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=plan.half_precision):
            condition = denoiser.condition(sources)
            noise = np.random.default_rng(plan.seed).standard_normal((1, BANDS, *condition.shape[2:]), dtype=np.float32)
            last = torch.tensor([LADDER_STEPS - 1], device=device)
            estimate = denoiser.estimate(sources, torch.from_numpy(brain).to(device))
            made = denoiser.image(torch.from_numpy(noise).to(device), condition, last, estimate)[0, 0].cpu().numpy()
        found.append(-10 * float(np.log10(np.square(made - truth)[brain].mean())))
    denoiser.load_state_dict(raw)
    return float(np.mean(found))


def learning_rate(plan: TrainingPlan, step: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    warm = min(1.0, (step + 1) / plan.warmup) if plan.warmup else 1.0
    fall = 0.5 * (1 + np.cos(np.pi * step / plan.steps)) if plan.schedule == "cosine" else 1.0
    return float(plan.learning_rate * warm * fall)


def _fingerprint(plan: TrainingPlan, cases: Sequence[TrainingCase]) -> str:
    return json.dumps(asdict(plan) | {"cases": [case.name for case in cases]}, sort_keys=True)
