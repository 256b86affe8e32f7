"""DDIM on latents as the authors' code runs it (SPEC section 6)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from mrimpute.diffusion.ladder import Ladder, root_linear_ladder
from mrimpute.diffusion.step import noise_step
from mrimpute.errors import UsageError

PredictNoise = Callable[[Tensor, int], Tensor]
"""(noisy latent, original timestep) → predicted noise, of the same shape."""


@dataclass(frozen=True)
class Descent:
    """The steps of a sampler, from the noisiest on.

    Attributes:
        timesteps: original timesteps, descending: what the network is told.
        levels: share of signal variance at each.
        before: the same one step further; after the last that of timestep 0, not 1.
    """

    timesteps: tuple[int, ...]
    levels: tuple[float, ...]
    before: tuple[float, ...]


def official_timesteps(total: int, steps: int) -> tuple[int, ...]:
    """Return the timesteps of the authors' sampler, ascending: an even stride, shifted by one.

    Raises:
        UsageError: the stride gives another count, or runs past the table.
    """
    kept = tuple(range(1, total + 1, total // steps)) if 1 <= steps <= total else ()
    if len(kept) != steps or max(kept, default=total) >= total:
        good = [n for n in range(1, total // 2 + 1) if total % n == 0]
        raise UsageError(
            f"--steps {steps} does not fit ALDM's table of {total} timesteps", f"use one of {', '.join(map(str, good))}"
        )
    return kept


def descent(steps: int, ladder: Ladder | None = None) -> Descent:
    """Return the sampler's steps.

    Raises:
        UsageError: see `official_timesteps`.
    """
    ladder = ladder or root_linear_ladder()
    kept = official_timesteps(len(ladder), steps)
    levels = [float(ladder.alphas_cumprod[index]) for index in kept]
    before = [float(ladder.alphas_cumprod[0]), *levels[:-1]]
    return Descent(kept[::-1], tuple(levels[::-1]), tuple(before[::-1]))


def ddim(
    predict_noise: PredictNoise, start: Tensor, steps: Descent, eta: float, noise: Iterator[Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (latent, clean estimate) after each step.

    Args:
        predict_noise: the network, wrapped.
        start: standard normal.
        steps: from `descent`.
        eta: 0 for deterministic, 1 for the authors' own.
        noise: one standard normal tensor of start's shape per step, drawn also where eta is 0.
    """
    state = start
    for timestep, level, before in zip(steps.timesteps, steps.levels, steps.before, strict=True):
        state, clean = noise_step(predict_noise(state, timestep), state, level, before, eta, next(noise))
        yield state, clean
