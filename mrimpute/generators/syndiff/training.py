"""SynDiff training: both directions of one pair of contrasts at once, unpaired.

Every random choice follows from (seed, iteration), so a run that was killed goes on exactly as if it
had not been (in float32). Rates follow the authors' cosine by iteration instead of by epoch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mrimpute.contrasts import Contrast
from mrimpute.diffusion.ladder import variance_preserving_ladder
from mrimpute.generators import regression
from mrimpute.generators.syndiff.adversarial import (
    DISCRIMINATORS,
    GENERATORS,
    ONE_SHOT,
    AdversarialStep,
    LossWeights,
)
from mrimpute.generators.syndiff.checkpoint import Networks
from mrimpute.generators.syndiff.generator import SliceDraws, SyndiffGenerator
from mrimpute.generators.syndiff.network import DiffusiveGenerator
from mrimpute.generators.syndiff.plan import TrainingPlan, record_of
from mrimpute.generators.syndiff.slices import TrainingSet, draw_noise, draw_slices, load_set
from mrimpute.generators.syndiff.training_networks import DiffusiveDiscriminator, OneShotGenerator, PatchDiscriminator
from mrimpute.metrics import score
from mrimpute.training.cases import TrainingCase, check_held_out, digest_of, voxels_of
from mrimpute.training.loop import Figures, Report, run_training
from mrimpute.training.state import TrainingState, weights_of, write_checkpoint
from mrimpute.volume import FloatArray

__all__ = ["LossWeights", "TrainingPlan", "TrainingSet", "load_set", "record_of", "train"]

RATE_FLOOR = 1e-5
MEASURED_SLICES = 24


def train(
    plan: TrainingPlan,
    data: TrainingSet,
    folder: Path,
    device: torch.device,
    report: Report,
    save_every: int = 500,
    validation: Sequence[TrainingCase] = (),
) -> tuple[Path, Path]:
    """Train, or go on where a killed run of the same plan stopped, and write two checkpoint folders.

    Args:
        plan: the task and its options.
        data: the slices.
        folder: gets log, resume state, and one checkpoint folder per direction.
        device: CPU or CUDA.
        report: called at every save.
        save_every: iterations between two saves of the resume state.
        validation: studies with both contrasts in register, measured at every save.

    Returns:
        The checkpoint folders: second from first, first from second.

    Raises:
        OutputRefused: the folder holds a run of another plan, or cannot be written.
        UsageError: a validation study is trained on.
    """
    every = [case for cases in data.cases for case in cases]
    check_held_out(every, validation)
    torch.manual_seed(plan.seed)
    networks = _networks(plan, device)
    coefficients = _coefficients(plan, data)
    optimisers: dict[str, torch.optim.Optimizer] = {
        name: torch.optim.Adam(network.parameters(), lr=_first_rate(plan, name), betas=(0.5, 0.9))
        for name, network in networks.items()
    }
    averages = {name: weights_of(networks[name]) for name in GENERATORS if name in networks}
    names = [[case.name for case in cases] for cases in data.cases]
    state = TrainingState(plan.text(names), networks, optimisers, averages, digest_of(every))
    ladder = variance_preserving_ladder(plan.network.timesteps)
    step = AdversarialStep(networks, optimisers, ladder, plan.weights, plan.half_precision)
    trainer = _Trainer(plan, data, step, averages, coefficients, validation, device)
    run_training(trainer, state, folder, report, save_every)
    studies = len({name for part in names for name in part})
    made = []
    for number, source, target in ((2, plan.first, plan.second), (1, plan.second, plan.first)):
        made.append(folder / f"{source}-to-{target}")
        tensors = trainer.networks(number).tensors()
        record = record_of(plan, source, target, studies) | voxels_of(every)
        write_checkpoint(made[-1], tensors, record, {regression.COEFFICIENTS})
    return made[0], made[1]


@dataclass(frozen=True)
class _Trainer:
    """What each step does; `averages` are the state's, `coefficients` by the number of the contrast that is made."""

    plan: TrainingPlan
    data: TrainingSet
    step: AdversarialStep
    averages: dict[str, dict[str, Tensor]]
    coefficients: dict[int, Tensor]
    validation: Sequence[TrainingCase]
    device: torch.device

    @property
    def steps(self) -> int:
        return self.plan.steps

    def rate(self, network: str, step: int) -> float:
        return rate_of(self.plan, network, step)

    def decay(self, step: int) -> float:
        return self.plan.ema if step else 0.0

    def advance(self, step: int) -> Figures:
        draw = np.random.default_rng([self.plan.seed, step])
        slices, sources = draw_slices(self.plan, self.data, draw, self.device)
        stream = torch.Generator().manual_seed(int(draw.integers(2**62)))
        discriminating, making = (draw_noise(self.plan, slices[0].shape, stream, self.device) for _ in range(2))
        return self.step.take(slices, discriminating, making, step, sources)

    def networks(self, number: int) -> Networks:
        """Return the networks that would be saved for making contrast 1 or 2."""
        generator = DiffusiveGenerator(self.plan.network).to(self.device).eval()
        generator.load_state_dict(self.averages[f"gen_diffusive_{number}"])
        return Networks(generator, self.coefficients.get(number))

    def measure(self, _step: int) -> Figures:
        """Return brain PSNR and SSIM of both directions over the middle slices of the validation studies,
        made with the weights that would be saved."""
        figures: dict[str, list[float]] = {}
        for number, source, target in ((1, self.plan.second, self.plan.first), (2, self.plan.first, self.plan.second)):
            sampler = self._sampler(number, source, target)
            for case in self.validation:
                middle = case.images.shape[3] // 2
                part = case.images[..., max(0, middle - MEASURED_SLICES // 2) : middle + MEASURED_SLICES // 2]
                made = np.stack([_translated(sampler, part[2 - number, :, :, k], k) for k in range(part.shape[3])], 2)
                brain = np.asarray((part > 0).any(0))
                made = sampler.blended(made, part[2 - number], brain)
                result = score(made, part[number - 1], {"brain": brain})["brain"]
                figures.setdefault(f"{source}_to_{target}_psnr_db", []).append(result.psnr)
                figures.setdefault(f"{source}_to_{target}_ssim", []).append(result.ssim)
        return {name: float(np.mean(values)) for name, values in figures.items()}

    def _sampler(self, number: int, source: Contrast, target: Contrast) -> SyndiffGenerator:
        dtype = torch.bfloat16 if self.plan.half_precision else torch.float32
        networks, ladder = self.networks(number), self.step.ladder
        return SyndiffGenerator(
            networks.generator, source, target, ladder, False, 1, self.device, dtype, networks.coefficients
        )


def _networks(plan: TrainingPlan, device: torch.device) -> dict[str, nn.Module]:
    """Return the untrained networks that the plan needs, by the authors' names."""
    made: dict[str, nn.Module] = {}
    for number, name in enumerate((*GENERATORS, *DISCRIMINATORS)):
        if plan.paired and name in ONE_SHOT:
            continue
        kind: tuple[Callable[[], nn.Module], ...] = (
            lambda: DiffusiveGenerator(plan.network),
            lambda: OneShotGenerator(plan.one_shot_width),
            lambda: DiffusiveDiscriminator(plan.discriminator_width, plan.discriminator_embedding),
            lambda: PatchDiscriminator(plan.one_shot_width),
        )
        made[name] = kind[number // 2]().to(device)
    return made


def _coefficients(plan: TrainingPlan, data: TrainingSet) -> dict[int, Tensor]:
    """Return the coefficients for making contrast 1 and contrast 2; empty without a regression."""
    if not plan.regression:
        return {}
    images = [torch.from_numpy(case.images) for case in data.cases[0]]
    return {number: regression.fit((pair[[2 - number]], pair[number - 1]) for pair in images) for number in (1, 2)}


def _first_rate(plan: TrainingPlan, network: str) -> float:
    return plan.generator_rate if network in GENERATORS else plan.discriminator_rate


def rate_of(plan: TrainingPlan, network: str, step: int) -> float:
    """Return a network's learning rate at one step: half a cosine down to RATE_FLOOR."""
    top = _first_rate(plan, network)
    return RATE_FLOOR + (top - RATE_FLOOR) * (1 + math.cos(math.pi * step / plan.steps)) / 2


def _translated(sampler: SyndiffGenerator, plane: FloatArray, index: int) -> FloatArray:
    """Return one slice (X, Y) in [0, 1] translated, with noise of its own."""
    source = torch.from_numpy(np.ascontiguousarray(plane.T))[None] * 2 - 1
    stream = torch.Generator().manual_seed(index)
    steps = range(len(sampler.ladder))
    start = torch.randn(source.shape, generator=stream)
    latents = [torch.randn(sampler.network.config.latent_size, generator=stream) for _ in steps]
    draws = SliceDraws(start, latents, [torch.randn(source.shape, generator=stream) for _ in steps])
    made = sampler.sample(source[None].to(sampler.device), [draws])[0, 0]
    unit: FloatArray = ((made + 1) / 2).clamp(0, 1).cpu().numpy().T
    return unit
