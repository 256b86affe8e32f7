"""SynDiff training: both directions of one pair of contrasts at once, unpaired.

Every random choice follows from (seed, iteration), so a run that was killed goes on exactly as if it
had not been (in float32). Rates follow the authors' cosine by iteration instead of by epoch.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mrimpute.contrasts import Contrast
from mrimpute.diffusion.ladder import variance_preserving_ladder
from mrimpute.errors import StudyRefused, UsageError
from mrimpute.files import replacing
from mrimpute.generators import regression
from mrimpute.generators.syndiff.checkpoint import record_table
from mrimpute.generators.syndiff.generator import SliceDraws, SyndiffGenerator
from mrimpute.generators.syndiff.network import DiffusiveGenerator, NetworkConfig
from mrimpute.generators.syndiff.procedure import GENERATORS, JUDGES, ONE_SHOT, Draws, Procedure, Weights
from mrimpute.generators.syndiff.training_networks import DiffusiveDiscriminator, OneShotGenerator, PatchDiscriminator
from mrimpute.metrics import score
from mrimpute.registry import CHECKPOINT_TOML, MODEL_FILE, InputSpec
from mrimpute.study import find_series
from mrimpute.training.augment import Augmentation, changed
from mrimpute.training.cases import TrainingCase, load_cases, random_box
from mrimpute.training.state import TrainingState, average_in, checkpoint_text, log, save_half, weights_of
from mrimpute.volume import FloatArray

RATE_FLOOR = 1e-5
LEAST_HEAD = 0.02
"""Share of a slice that must not be zero for it to be trained on."""
MEASURED_SLICES = 24
LEAST_EDGE = 64
"""The diffusive discriminator halves its input six times."""
CITE = "Özbey et al., SynDiff, IEEE TMI 42(12), 2023, doi 10.1109/TMI.2023.3290149"

Report = Callable[[int, dict[str, float]], None]
"""Called with (iteration, mean losses since the last call and, with validation studies, measures)."""


@dataclass(frozen=True)
class TrainingPlan:
    """What decides a training run.

    Attributes:
        first, second: the pair of contrasts; both directions are trained.
        network: sizes of the two diffusive generators.
        judge_width, judge_embedding: sizes of the diffusive discriminators.
        one_shot_width: of the one-shot generators and the patch discriminators.
        steps: iterations (authors: 500 epochs of 2,500 slices).
        generator_rate, judge_rate: of Adam (authors' command: 1.6e-4, 1e-4).
        pixel_weight: of the L1 losses (lambda).
        penalty, penalty_every: weight of the gradient penalty (gamma of R1), and iterations between two.
        ema: decay of the averaged weights that are saved (authors: 0.999).
        batch: slices per iteration.
        crop: edge of random squares that are trained on, 0 for whole slices; only for networks
            without attention but at the coarsest level.
        paired: learn from registered pairs of the same study instead of unpaired slices.
        augment: random changes to what the networks see; in unpaired training only the mirror.
        regression: with paired, fit a voxelwise regression for each direction, which will steady it.
        ct_range: Hounsfield units that 0 and 1 stand for, where a contrast is CT.
        half_precision: run the networks in bfloat16.
        seed: of every random choice.
    """

    first: Contrast
    second: Contrast
    network: NetworkConfig = field(default_factory=NetworkConfig)
    judge_width: int = 64
    judge_embedding: int = 256
    one_shot_width: int = 64
    steps: int = 1_250_000
    generator_rate: float = 1.6e-4
    judge_rate: float = 1e-4
    pixel_weight: float = 0.5
    penalty: float = 1.0
    penalty_every: int = 10
    ema: float = 0.999
    batch: int = 1
    crop: int = 0
    paired: bool = False
    augment: Augmentation = field(default_factory=Augmentation)
    regression: bool = False
    ct_range: tuple[float, float] = (-1000.0, 2000.0)
    half_precision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.first is self.second:
            raise UsageError("source and target are the same contrast", "name two")
        if min(self.steps, self.batch, self.judge_width, self.one_shot_width, self.judge_embedding - 3) < 1:
            raise UsageError("steps, batch and widths must be positive", "correct the option")
        if min(self.generator_rate, self.judge_rate) <= 0 or not 0 <= self.ema < 1:
            raise UsageError("rates must be positive, EMA from 0 to below 1", "correct the option")
        if min(self.pixel_weight, self.penalty) < 0 or self.penalty_every < 1:
            raise UsageError("weights of losses must not be negative", "correct the option")
        if self.seed < 0:
            raise UsageError("the seed must be at least 0", "correct --seed")
        if self.ct_range[0] >= self.ct_range[1]:
            raise UsageError("the range of CT must rise", "write --ct-range LOW HIGH")
        if self.regression and not self.paired:
            raise UsageError("--regression needs registered pairs", "add --paired")
        if self.crop < 0 or self.crop % self.network.image_multiple:
            raise UsageError(f"--crop {self.crop} is not a multiple of {self.network.image_multiple}", "round it")
        if (self.crop or self.network.image_size) < LEAST_EDGE:
            raise UsageError(f"the discriminators need at least {LEAST_EDGE} pixels", "raise --crop or --size")
        if self.crop and self.network.attention_at:
            raise UsageError("--crop needs a network without attention at its finer levels", "add --attention none")

    @property
    def weights(self) -> Weights:
        """Weights of the losses."""
        return Weights(self.pixel_weight, self.penalty, self.penalty_every)

    @property
    def inputs(self) -> InputSpec:
        """The frame that the networks are trained in, which their records state."""
        multiple = self.network.image_multiple
        ct = [contrast for contrast in (self.first, self.second) if contrast is Contrast.CT]
        return InputSpec(
            orientation="LPS",
            spacing_mm=1.0,
            slices=(self.network.image_size, -(-LEAST_EDGE // multiple) * multiple),
            multiple=multiple,
            clip_quantiles=(0.001, 0.999),
            ranges=dict.fromkeys(ct, self.ct_range),
        )


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
            listed.append([(i, int(k)) for i, share in enumerate(shares) for k in np.flatnonzero(share > LEAST_HEAD)])
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
    return TrainingCase(case.name, np.pad(case.images, sides))


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
    """
    torch.manual_seed(plan.seed)
    networks = _networks(plan, device)
    coefficients = _coefficients(plan, data)
    optimisers: dict[str, torch.optim.Optimizer] = {
        name: torch.optim.Adam(network.parameters(), lr=_first_rate(plan, name), betas=(0.5, 0.9))
        for name, network in networks.items()
    }
    averages = {name: weights_of(networks[name]) for name in GENERATORS if name in networks}
    names = [[case.name for case in cases] for cases in data.cases]
    state = TrainingState(json.dumps([asdict(plan), names], sort_keys=True), networks, optimisers, averages)
    start = state.resume(folder)
    ladder = variance_preserving_ladder(plan.network.timesteps)
    procedure = Procedure(networks, optimisers, ladder, plan.weights, plan.half_precision)
    seen: list[dict[str, float]] = []
    for step in range(start, plan.steps):
        for name, optimiser in optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = _rate(plan, name, step)
        draw = np.random.default_rng([plan.seed, step])
        slices, sources = _draw_slices(plan, data, draw, device)
        stream = torch.Generator().manual_seed(int(draw.integers(2**62)))
        judging, making = (_draw_noise(plan, slices[0].shape, stream, device) for _ in range(2))
        seen.append(procedure.iterate(slices, judging, making, step, sources))
        for name, average in averages.items():
            average_in(average, networks[name], plan.ema if step else 0.0)
        if (step + 1) % save_every == 0 or step + 1 == plan.steps:
            figures = {key: float(np.mean([one[key] for one in seen if key in one])) for key in seen[-1] | seen[0]}
            seen.clear()
            figures |= _measured(plan, averages, coefficients, validation, device)
            log(folder, {"step": step + 1, "rate": _rate(plan, GENERATORS[0], step), **figures})
            state.save(folder, step + 1)
            report(step + 1, figures)
    made = []
    for number, (source, target) in {2: (plan.first, plan.second), 1: (plan.second, plan.first)}.items():
        place = folder / f"{source}-to-{target}"
        place.mkdir(exist_ok=True)
        extra = {regression.COEFFICIENTS: coefficients[number]} if plan.regression else {}
        save_half(place / MODEL_FILE, averages[f"gen_diffusive_{number}"] | extra, extra.keys())
        with replacing(place / CHECKPOINT_TOML) as temporary:
            temporary.write_text(checkpoint_toml(plan, source, target, data), "utf-8")
        made.append(place)
    return made[0], made[1]


def checkpoint_toml(plan: TrainingPlan, source: Contrast, target: Contrast, data: TrainingSet) -> str:
    """Return the record of one direction as TOML."""
    names = sorted({case.name for cases in data.cases for case in cases})
    how = "registered pairs" if plan.paired else "unpaired slices"
    top = {"generator": "syndiff", "sources": [source], "target": target, "origin": "trained"}
    steps = plan.network.timesteps
    # one noise for all slices: the same PSNR, and neighbouring slices fit (measured: examples/)
    sampling = {
        "ladder": "variance-preserving",
        "timesteps": steps,
        "predicts": "clean",
        "steps": steps,
        "shared_noise": True,
    }
    tables = {
        "network": record_table(plan.network, plan.regression),
        "inputs": plan.inputs.model_dump(exclude_none=True),
        "sampling": sampling,
        "about": {
            "licence": "that of your data",
            "trained_on": f"{len(names)} studies, {how}, {plan.steps} iterations",
            "cite": CITE,
        },
    }
    return checkpoint_text(top, tables)


def _networks(plan: TrainingPlan, device: torch.device) -> dict[str, nn.Module]:
    """Return the untrained networks that the plan needs, by the authors' names."""
    made: dict[str, nn.Module] = {}
    for number, name in enumerate((*GENERATORS, *JUDGES)):
        if plan.paired and name in ONE_SHOT:
            continue
        kind: tuple[Callable[[], nn.Module], ...] = (
            lambda: DiffusiveGenerator(plan.network),
            lambda: OneShotGenerator(plan.one_shot_width),
            lambda: DiffusiveDiscriminator(plan.judge_width, plan.judge_embedding),
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


def _first_rate(plan: TrainingPlan, name: str) -> float:
    return plan.generator_rate if name in GENERATORS else plan.judge_rate


def _rate(plan: TrainingPlan, name: str, step: int) -> float:
    """Return a network's rate at one iteration: half a cosine down to RATE_FLOOR."""
    top = _first_rate(plan, name)
    return RATE_FLOOR + (top - RATE_FLOOR) * (1 + math.cos(math.pi * step / plan.steps)) / 2


def _draw_slices(
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


def _draw_noise(plan: TrainingPlan, shape: Sequence[int], stream: torch.Generator, device: torch.device) -> Draws:
    """Draw the random numbers of one phase for slices of this shape (B, 1, H, W)."""

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


def _measured(
    plan: TrainingPlan,
    averages: dict[str, dict[str, Tensor]],
    coefficients: dict[int, Tensor],
    validation: Sequence[TrainingCase],
    device: torch.device,
) -> dict[str, float]:
    """Return brain PSNR and SSIM of both directions over the middle slices of the validation studies,
    made with the weights that would be saved."""
    figures: dict[str, list[float]] = {}
    for number, target in ((1, plan.first), (2, plan.second)):
        network = DiffusiveGenerator(plan.network).to(device).eval()
        network.load_state_dict(averages[f"gen_diffusive_{number}"])
        source = plan.second if number == 1 else plan.first
        ladder = variance_preserving_ladder(plan.network.timesteps)
        dtype = torch.bfloat16 if plan.half_precision else torch.float32
        steadying = coefficients.get(number)
        sampler = SyndiffGenerator(network, source, target, ladder, False, 1, device, dtype, steadying)
        for case in validation:
            middle = case.images.shape[3] // 2
            part = case.images[..., max(0, middle - MEASURED_SLICES // 2) : middle + MEASURED_SLICES // 2]
            made = np.stack([_translated(sampler, part[2 - number, :, :, k], k) for k in range(part.shape[3])], 2)
            brain = np.asarray((part > 0).any(0))
            made = sampler.blended(made, part[2 - number], brain)
            result = score(made, part[number - 1], {"brain": brain})["brain"]
            figures.setdefault(f"{source}_to_{target}_psnr_db", []).append(result.psnr)
            figures.setdefault(f"{source}_to_{target}_ssim", []).append(result.ssim)
    return {name: float(np.mean(values)) for name, values in figures.items()}


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
