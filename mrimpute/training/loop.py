"""The loop that every training runs; what a method does in each step stands in its own room."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mrimpute.training.state import TrainingState, average_in, log
from mrimpute.training.world import World

Figures = dict[str, float]
"""Losses and measures by name."""

Report = Callable[[int, Figures], None]
"""Called with (steps done, mean losses since the last call, learning rate and, with validation studies, measures)."""

ALONE = World()


class Trainer(Protocol):
    """What a method does in each step of its training."""

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        ...

    def rate(self, network: str, step: int) -> float:
        """Return the learning rate of a network, by its name in the state, at a step counted from 0."""
        ...

    def advance(self, step: int) -> Figures:
        """Draw the examples of a step, take it, and return its losses."""
        ...

    def decay(self, step: int) -> float:
        """Return how much of the averaged weights is kept after a step; 0 for none."""
        ...

    def measure(self, step: int) -> Figures:
        """Return what validation studies tell of the weights that would be saved after a step."""
        ...


def run_training(
    trainer: Trainer, state: TrainingState, folder: Path, report: Report, save_every: int, world: World = ALONE
) -> None:
    """Train, or go on exactly where a killed run of the same plan stopped.

    The log gets a line per save: step, rate (of the first network), losses, measures.

    Args:
        trainer: what each step does.
        state: networks, optimisers and averages, which are changed in place.
        folder: gets the log and the resume state.
        report: called at every save.
        save_every: steps between two saves; the last step is saved too.
        world: this process among several; only the main one measures, logs, saves and reports.

    Raises:
        OutputRefused: the folder cannot be written, or holds a run of another plan.
    """
    seen: list[Figures] = []
    for step in range(state.resume(folder), trainer.steps):
        for name, optimiser in state.optimisers.items():
            _set_rate(optimiser, trainer.rate(name, step))
        seen.append(trainer.advance(step))
        for name, average in state.averages.items():
            average_in(average, state.networks[name], trainer.decay(step))
        done = step + 1
        if done % save_every == 0 or done == trainer.steps:
            if world.is_main:
                figures = _means(seen) | trainer.measure(step)
                rate = trainer.rate(next(iter(state.optimisers)), step)
                log(folder, {"step": done, "rate": rate, **figures})
                state.save(folder, done)
                report(done, figures | {"rate": rate})
            seen.clear()


def descend(loss: Tensor, *optimisers: torch.optim.Optimizer) -> None:
    """Take one step of some optimisers down the gradient of a loss."""
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()
    for optimiser in optimisers:
        optimiser.step()


def half_cosine(step: int, steps: int) -> float:
    """Return a factor that falls from 1 at step 0 to 0 at the end, along half a cosine."""
    return float(0.5 * (1 + np.cos(np.pi * step / steps)))


def to_figures(losses: dict[str, Tensor]) -> Figures:
    """Return losses as plain numbers."""
    return {name: float(loss.detach()) for name, loss in losses.items()}


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _means(seen: Sequence[Figures]) -> Figures:
    """Return the mean of each loss over the steps that had it."""
    names = dict.fromkeys(name for one in seen for name in one)
    return {name: float(np.mean([one[name] for one in seen if name in one])) for name in names}
