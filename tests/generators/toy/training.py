"""Toy training: the shared loop with least squares."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from mrimpute.contrasts import Contrast
from mrimpute.registry import InputSpec
from mrimpute.training.cases import TrainingCase
from mrimpute.training.loop import Figures, Report, descend, run_training, to_figures
from mrimpute.training.plan import CommonPlan
from mrimpute.training.state import TrainingState, weights_of, write_checkpoint

from .checkpoint import record_table
from .method import METHOD, ToyConfig
from .network import Toy


@dataclass(frozen=True)
class TrainingPlan(CommonPlan):
    sources: tuple[Contrast, ...]
    target: Contrast
    steps: int = field(default=4, kw_only=True)

    def __post_init__(self) -> None:
        self.check_common([1e-2], 1)

    @property
    def inputs(self) -> InputSpec:
        return InputSpec(orientation="LPS", spacing_mm=1.0, multiple=1, clip_quantiles=(0.001, 0.999))


@dataclass(frozen=True)
class _Trainer:
    plan: TrainingPlan
    cases: Sequence[TrainingCase]
    state: TrainingState

    @property
    def steps(self) -> int:
        return self.plan.steps

    def rate(self, _network: str, _step: int) -> float:
        return 1e-2

    def decay(self, _step: int) -> float:
        return self.plan.ema

    def advance(self, step: int) -> Figures:
        draw = np.random.default_rng([self.plan.seed, step])
        images = torch.from_numpy(self.cases[int(draw.integers(len(self.cases)))].images)
        noise = torch.from_numpy(draw.standard_normal(images.shape[1:], dtype=np.float32))
        losses = {"loss": F.mse_loss(self.state.networks["toy"](images[:-1], noise), images[-1])}
        descend(losses["loss"], self.state.optimisers["toy"])
        return to_figures(losses)

    def measure(self, _step: int) -> Figures:
        return {}


def train(
    plan: TrainingPlan, cases: Sequence[TrainingCase], folder: Path, report: Report, save_every: int = 200
) -> None:
    network = Toy(len(plan.sources))
    average = weights_of(network)
    text = json.dumps([asdict(plan), [case.name for case in cases]], sort_keys=True)
    state = TrainingState(text, {"toy": network}, {"toy": torch.optim.Adam(network.parameters())}, {"toy": average})
    run_training(_Trainer(plan, cases, state), state, folder, report, save_every)
    write_checkpoint(folder, average, record_of(plan, cases))


def record_of(plan: TrainingPlan, cases: Sequence[TrainingCase]) -> dict[str, Any]:
    return {
        "generator": METHOD.name,
        "sources": [*plan.sources],
        "target": plan.target,
        "origin": "trained",
        "network": record_table(ToyConfig(len(plan.sources)), plan.regression),
        "inputs": plan.inputs.model_dump(exclude_none=True),
        "sampling": {"ladder": METHOD.ladders[0], "timesteps": 1000, "predicts": METHOD.predictions[0], "steps": 1},
        "about": {"licence": "none", "trained_on": f"{len(cases)} studies", "cite": METHOD.citation},
    }
