"""cWDM training (SPEC section 8): clean sub-bands from noisy ones, squared error, all bands equal.

Every random choice of a step follows from (seed, step number), so a run that was killed goes on
exactly as if it had not been (in float32; PyTorch's bfloat16 convolutions on the CPU differ in
the last bit from run to run). Options that depart from the paper are off by default.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from mrimpute import io
from mrimpute.contrasts import Contrast
from mrimpute.diffusion.ladder import linear_beta_ladder
from mrimpute.errors import OutputRefused, StudyRefused, UsageError
from mrimpute.generators.cwdm import _wavelet
from mrimpute.generators.cwdm.checkpoint import record_table
from mrimpute.generators.cwdm.network import NetworkConfig, WaveletUNet
from mrimpute.prepare import prepare
from mrimpute.registry import CHECKPOINT_TOML, MODEL_FILE, InputSpec
from mrimpute.study import find_series
from mrimpute.volume import FloatArray

RESUME_FILE = "resume.safetensors"
LOG_FILE = "log.jsonl"
LADDER_STEPS = 1000
DEFAULT_DDIM_STEPS = 2
LEFT_RIGHT_AXIS = 0


@dataclass(frozen=True)
class TrainingPlan:
    """What decides a training run.

    Attributes:
        sources, target: the task.
        network: sizes.
        steps: optimiser steps (paper: 1,200,000).
        learning_rate: of AdamW without weight decay (paper: 1e-5).
        cosine: let the learning rate fall to zero along a half cosine, after a warm-up of 2 %.
        crop: edge in voxels of the random cubes that are trained on; 0 for the whole window.
        window: voxels of the network's window; None for the box around the head.
        ema: decay of the averaged weights that are saved; 0 saves the raw ones (paper).
        augment: mirror left and right, and bend each source's grey values a little.
        half_precision: run convolutions in bfloat16, about twice as fast.
        seed: of every random choice.
    """

    sources: tuple[Contrast, ...]
    target: Contrast
    network: NetworkConfig
    steps: int = 1_200_000
    learning_rate: float = 1e-5
    cosine: bool = False
    crop: int = 0
    window: tuple[int, int, int] | None = (224, 224, 160)
    ema: float = 0.0
    augment: bool = False
    half_precision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.crop < 0 or self.crop % self.network.image_multiple:
            raise UsageError(f"--crop {self.crop} is not a multiple of {self.network.image_multiple}", "round it")
        if self.steps < 1 or self.learning_rate <= 0 or not 0 <= self.ema < 1:
            raise UsageError("steps and learning rate must be positive, EMA between 0 and 1", "correct the option")

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


@dataclass(frozen=True)
class TrainingCase:
    """One study in the network's frame: (C, X, Y, Z) float32, sources then target."""

    name: str
    images: FloatArray


def load_cases(folders: Sequence[Path], plan: TrainingPlan) -> list[TrainingCase]:
    """Read and prepare the studies that hold all sources and the target.

    Raises:
        StudyRefused: a study lacks a contrast, or cannot be read.
    """
    wanted = (*plan.sources, plan.target)
    cases = []
    for folder in folders:
        study = find_series(folder)
        absent = [contrast for contrast in wanted if contrast not in study.present]
        if absent:
            raise StudyRefused(f"{folder} lacks {', '.join(absent)}", "train on studies that have every contrast")
        prepared = prepare({c: io.read_volume(study.get(c).path) for c in wanted}, plan.inputs)
        cases.append(TrainingCase(study.name, np.stack([prepared.images[c] for c in wanted])))
    return cases


def train(
    plan: TrainingPlan,
    cases: Sequence[TrainingCase],
    folder: Path,
    device: torch.device,
    report: Callable[[int, float], None],
    save_every: int = 200,
) -> None:
    """Train, or go on where a killed run of the same plan stopped, and write a checkpoint folder.

    Args:
        plan: the task and its options.
        cases: prepared studies, at least one.
        folder: gets checkpoint weights, log and resume state.
        device: CPU or CUDA.
        report: called with (step, loss) at every save.
        save_every: steps between two saves of the resume state.

    Raises:
        OutputRefused: the folder holds a run of another plan.
    """
    torch.manual_seed(plan.seed)
    network = WaveletUNet(plan.network).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=0.0)
    average = {key: tensor.detach().clone() for key, tensor in network.state_dict().items()}
    start = _resume(folder / RESUME_FILE, plan, network, optimiser, average)
    levels = torch.from_numpy(linear_beta_ladder(LADDER_STEPS).alphas_cumprod).float()
    losses = []
    for step in range(start, plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(plan, step)
        loss = _loss(network, *_draw(plan, cases, levels, step, device), plan.half_precision)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if plan.ema:
            decay = min(plan.ema, (1 + step) / (10 + step))
            for key, tensor in network.state_dict().items():
                average[key].lerp_(tensor, 1 - decay)
        if (step + 1) % save_every == 0 or step + 1 == plan.steps:
            mean = float(np.mean(losses))
            losses.clear()
            _log(folder / LOG_FILE, {"step": step + 1, "loss": mean, "learning_rate": _learning_rate(plan, step)})
            _save_state(folder / RESUME_FILE, plan, step + 1, network, optimiser, average)
            report(step + 1, mean)
    weights = average if plan.ema else network.state_dict()
    with _replacing(folder / MODEL_FILE) as temporary:
        temporary.write_bytes(
            save({key: tensor.to("cpu", torch.float16).contiguous() for key, tensor in weights.items()})
        )
    with _replacing(folder / CHECKPOINT_TOML) as temporary:
        temporary.write_text(checkpoint_toml(plan, cases), "utf-8")


def checkpoint_toml(plan: TrainingPlan, cases: Sequence[TrainingCase]) -> str:
    """Return the record of a trained network as TOML."""
    names = ", ".join(case.name for case in cases)
    top = {
        "generator": "cwdm",
        "sources": [*plan.sources],
        "target": plan.target,
        "origin": "trained",
    }
    tables: dict[str, dict[str, Any]] = {
        "network": record_table(plan.network),
        "inputs": {key: value for key, value in plan.inputs.model_dump().items() if value is not None},
        "sampling": {
            "ladder": "linear-beta",
            "timesteps": LADDER_STEPS,
            "predicts": "clean",
            "steps": DEFAULT_DDIM_STEPS,
            "output_floor": 0.04,
        },
        "about": {
            "licence": "that of your data",
            "trained_on": f"{len(cases)} studies ({names}), {plan.steps} steps",
            "cite": "Friedrich et al., cWDM, 2024, arXiv 2411.17203",
        },
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _draw(
    plan: TrainingPlan, cases: Sequence[TrainingCase], levels: Tensor, step: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one training example: network input (1, 32, …), timestep (1,), clean bands (1, 8, …)."""
    draw = np.random.default_rng([plan.seed, step])
    case = cases[int(draw.integers(len(cases)))]
    images = case.images[(slice(None), *_crop(case.images.shape[1:], plan.crop, draw))]
    if plan.augment:
        images = _augment(images, draw)
    packed = [_wavelet.pack(torch.from_numpy(image.copy())[None, None].to(device)) for image in images]
    clean = packed[-1]
    timestep = int(draw.integers(LADDER_STEPS))
    level = levels[timestep]
    noise = torch.from_numpy(draw.standard_normal(clean.shape, dtype=np.float32)).to(device)
    noisy = level.sqrt() * clean + (1 - level).sqrt() * noise
    return torch.cat([noisy, *packed[:-1]], dim=1), torch.tensor([timestep], device=device), clean


def _crop(shape: tuple[int, ...], edge: int, draw: np.random.Generator) -> tuple[slice, ...]:
    """Return a random box of at most `edge` voxels per axis."""
    sizes = [min(edge or length, length) for length in shape]
    starts = [int(draw.integers(length - size + 1)) for length, size in zip(shape, sizes, strict=True)]
    return tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))


def _augment(images: FloatArray, draw: np.random.Generator) -> FloatArray:
    """Mirror all images alike; raise each source, not the target, to a power near 1."""
    if draw.random() < 0.5:
        images = np.flip(images, axis=1 + LEFT_RIGHT_AXIS)
    powers = np.exp(draw.normal(0, 0.15, len(images) - 1))
    bent = [image ** np.float32(power) for image, power in zip(images[:-1], powers, strict=True)]
    return np.stack([*bent, images[-1]])


def _loss(network: WaveletUNet, inputs: Tensor, timestep: Tensor, clean: Tensor, half: bool) -> Tensor:
    """Squared error of the predicted bands, mean over space and then over bands."""
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=half):
        predicted = network(inputs, timestep)
    error: Tensor = (predicted.float() - clean).square().mean()
    return error


def _learning_rate(plan: TrainingPlan, step: int) -> float:
    if not plan.cosine:
        return plan.learning_rate
    warm = min(1.0, (step + 1) / max(1, plan.steps // 50))
    return float(plan.learning_rate * warm * 0.5 * (1 + np.cos(np.pi * step / plan.steps)))


def _fingerprint(plan: TrainingPlan) -> str:
    return json.dumps(asdict(plan), sort_keys=True)


def _save_state(
    file: Path,
    plan: TrainingPlan,
    step: int,
    network: WaveletUNet,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
) -> None:
    tensors = {f"raw.{key}": tensor for key, tensor in network.state_dict().items()}
    tensors |= {f"average.{key}": tensor for key, tensor in average.items()}
    for key, parameter in network.named_parameters():
        state = optimiser.state[parameter]
        tensors |= {f"first.{key}": state["exp_avg"], f"second.{key}": state["exp_avg_sq"]}
    with _replacing(file) as temporary:
        cpu = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        temporary.write_bytes(save(cpu, {"step": str(step), "plan": _fingerprint(plan)}))


def _resume(
    file: Path, plan: TrainingPlan, network: WaveletUNet, optimiser: torch.optim.Optimizer, average: dict[str, Tensor]
) -> int:
    """Load a saved state into network, optimiser and average; return the step to go on with."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputRefused(f"cannot write in {file.parent} ({error.strerror})", "choose another --out") from error
    if not file.is_file():
        return 0
    with safe_open(file, "pt", device="cpu") as saved:
        metadata = saved.metadata()
        if metadata["plan"] != _fingerprint(plan):
            raise OutputRefused(
                f"{file.parent} holds a run with other options", "give the same options, or another --out"
            )
        step = int(metadata["step"])
        network.load_state_dict({key: saved.get_tensor(f"raw.{key}") for key in network.state_dict()})
        for key, tensor in average.items():
            tensor.copy_(saved.get_tensor(f"average.{key}"))
        for key, parameter in network.named_parameters():
            optimiser.state[parameter] = {
                "step": torch.tensor(float(step)),
                "exp_avg": saved.get_tensor(f"first.{key}").to(parameter.device),
                "exp_avg_sq": saved.get_tensor(f"second.{key}").to(parameter.device),
            }
    return step


def _log(file: Path, entry: dict[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")


@contextmanager
def _replacing(file: Path) -> Iterator[Path]:
    """Give a temporary path beside a file; on success it replaces the file in one step.

    The name is always the same, so that what a killed run left is written over by the next;
    safetensors' own save_file would leave a file of a random name.
    """
    temporary = file.with_name(f".{file.name}.part")
    try:
        yield temporary
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
