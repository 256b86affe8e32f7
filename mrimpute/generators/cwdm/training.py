"""cWDM training (Friedrich et al. 2024, section 2): clean sub-bands from noisy ones, squared error, all bands equal.

Every random choice of an example follows from (seed, step, its place in the step), so a run that
was killed goes on exactly as if it had not been (in float32; PyTorch's bfloat16 convolutions on the
CPU differ in the last bit from run to run), and two processes of one example each learn what one
process of two learns. Options that depart from the paper are off by default.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from mrimpute.contrasts import Contrast
from mrimpute.diffusion.ladder import linear_beta_ladder
from mrimpute.errors import UsageError
from mrimpute.generators import regression
from mrimpute.generators.cwdm import _wavelet
from mrimpute.generators.cwdm.checkpoint import record_table
from mrimpute.generators.cwdm.config import BANDS
from mrimpute.generators.cwdm.denoiser import Denoiser
from mrimpute.generators.cwdm.method import METHOD
from mrimpute.generators.cwdm.network import NetworkConfig
from mrimpute.registry import InputSpec
from mrimpute.training.augment import changed, mirrored
from mrimpute.training.cases import TrainingCase, check_held_out, digest_of, random_box, voxels_of
from mrimpute.training.loop import Figures, Report, half_cosine, run_training
from mrimpute.training.plan import CommonPlan
from mrimpute.training.state import TrainingState, rising_decay, using, weights_of, write_checkpoint
from mrimpute.training.world import World

NETWORK = "unet"
"""The network's name in the resume state."""
LADDER_STEPS = 1000
DEFAULT_DDIM_STEPS = 1


@dataclass(frozen=True)
class TrainingPlan(CommonPlan):
    """What decides a training run; the defaults are the paper's.

    Attributes:
        sources, target: the task.
        network: sizes.
        learning_rate: of AdamW without weight decay.
        schedule: 'constant', or 'cosine': down to zero along half a cosine.
        warmup: steps over which the learning rate rises to its value.
        window: voxels of the network's window; None for the box around the head.
    """

    sources: tuple[Contrast, ...]
    target: Contrast
    network: NetworkConfig
    steps: int = field(default=1_200_000, kw_only=True)
    learning_rate: float = 1e-5
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    window: tuple[int, int, int] | None = (224, 224, 160)

    def __post_init__(self) -> None:
        self.check_common([self.learning_rate], self.network.image_multiple)
        if self.warmup < 0:
            raise UsageError("the warm-up must be at least 0", "correct --warmup")
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
            quantiles_of="volume" if self.window else "head",
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
        UsageError: the batch cannot be shared evenly by the processes, or a validation study is trained on.
    """
    world = world or World()
    if plan.batch % world.size:
        raise UsageError(
            f"--batch {plan.batch} cannot be shared by {world.size} processes", "use a multiple of their number"
        )
    check_held_out(cases, validation)
    torch.manual_seed(plan.seed)
    denoiser = _denoiser(plan, cases).to(device)
    optimiser = torch.optim.AdamW(denoiser.parameters(), lr=plan.learning_rate, weight_decay=0.0)
    averages = {NETWORK: weights_of(denoiser)} if plan.ema else {}
    learned = {NETWORK: denoiser}, {NETWORK: optimiser}, averages
    state = TrainingState(_fingerprint(plan, cases), *learned, digest_of(cases))
    trainer = _Trainer(plan, cases, validation, state, world, device)
    run_training(trainer, state, folder, report, save_every, world)
    if not world.is_main:
        return
    if plan.ema:
        denoiser.load_state_dict(averages[NETWORK])
    write_checkpoint(folder, denoiser.tensors(), record_of(plan, cases) | voxels_of(cases), {regression.COEFFICIENTS})


@dataclass(frozen=True)
class _Trainer:
    """What each step does; the state is the run's, with the networks in it."""

    plan: TrainingPlan
    cases: Sequence[TrainingCase]
    validation: Sequence[TrainingCase]
    state: TrainingState
    world: World
    device: torch.device

    @property
    def steps(self) -> int:
        return self.plan.steps

    @property
    def denoiser(self) -> Denoiser:
        network = self.state.networks[NETWORK]
        assert isinstance(network, Denoiser)  # see `train`
        return network

    @cached_property
    def shared(self) -> nn.Module:
        """The network as it must be called for gradients to be averaged over processes."""
        return self.world.share(self.denoiser)

    @cached_property
    def levels(self) -> Tensor:
        """(T,) share of signal variance left at each timestep."""
        return torch.from_numpy(linear_beta_ladder(LADDER_STEPS).alphas_cumprod).float()

    def rate(self, _network: str, step: int) -> float:
        return learning_rate(self.plan, step)

    def decay(self, step: int) -> float:
        return rising_decay(self.plan.ema, step)

    def advance(self, step: int) -> Figures:
        """Take a step on this process's share of the batch."""
        optimiser, share = self.state.optimisers[NETWORK], self.plan.batch // self.world.size
        optimiser.zero_grad(set_to_none=True)
        losses = []
        for turn in range(share):
            example = draw_example(self.plan, self.cases, self.levels, step, turn * self.world.size + self.world.rank)
            with self.world.no_sync(self.shared, turn + 1 < share):
                loss = _loss(self.plan, self.denoiser, self.shared, example, self.device)
                (loss / share).backward()
            losses.append(float(loss.detach()))
        optimiser.step()
        return {"loss": float(np.mean(losses))}

    def measure(self, _step: int) -> Figures:
        """Return the mean brain PSNR in dB of one step from pure noise, with the weights that would be saved."""
        if not self.validation:
            return {}
        with using(self.denoiser, self.state.averages.get(NETWORK)):
            found = [_psnr(self.plan, self.denoiser, case, self.device) for case in self.validation]
        return {"validation_psnr_db": float(np.mean(found))}


def _denoiser(plan: TrainingPlan, cases: Sequence[TrainingCase]) -> Denoiser:
    """Return an untrained network for the plan, with its regression fitted."""
    coefficients = None
    if plan.regression:
        pairs = ((torch.from_numpy(case.images[:-1]), torch.from_numpy(case.images[-1])) for case in cases)
        coefficients = regression.fit(pairs)
    return Denoiser(plan.network, coefficients)


def record_of(plan: TrainingPlan, cases: Sequence[TrainingCase]) -> dict[str, Any]:
    """Return the record of a trained network."""
    return {
        "generator": METHOD.name,
        "sources": [*plan.sources],
        "target": plan.target,
        "origin": "trained",
        "network": record_table(plan.network, plan.regression),
        "inputs": plan.inputs.model_dump(exclude_none=True),
        "sampling": {
            "ladder": METHOD.ladders[0],
            "timesteps": LADDER_STEPS,
            "predicts": METHOD.predictions[0],
            "steps": DEFAULT_DDIM_STEPS,
            "output_floor": 0.04,
        },
        "about": {
            "licence": "that of your data",
            "trained_on": f"{len(cases)} studies, {plan.steps} steps",
            "cite": METHOD.citation,
        },
    }


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


def _psnr(plan: TrainingPlan, denoiser: Denoiser, case: TrainingCase, device: torch.device) -> float:
    """Return the brain PSNR in dB of one step from pure noise."""
    truth, sources = case.images[-1], torch.from_numpy(case.images[:-1]).to(device)
    brain = (case.images > 0).any(0)
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=plan.half_precision):
        condition = denoiser.condition(sources)
        shape = (1, BANDS, *condition.shape[2:])
        noise = np.random.default_rng(plan.seed).standard_normal(shape, dtype=np.float32)
        last = torch.tensor([LADDER_STEPS - 1], device=device)
        estimate = denoiser.estimate(sources, torch.from_numpy(brain).to(device))
        made = denoiser.image(torch.from_numpy(noise).to(device), condition, last, estimate)[0, 0].cpu().numpy()
    return -10 * float(np.log10(np.square(made - truth)[brain].mean()))


def learning_rate(plan: TrainingPlan, step: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    warm = min(1.0, (step + 1) / plan.warmup) if plan.warmup else 1.0
    fall = half_cosine(step, plan.steps) if plan.schedule == "cosine" else 1.0
    return plan.learning_rate * warm * fall


def _fingerprint(plan: TrainingPlan, cases: Sequence[TrainingCase]) -> str:
    return json.dumps(asdict(plan) | {"cases": [case.name for case in cases]}, sort_keys=True)
