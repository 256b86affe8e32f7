"""DDIM on latents as the authors' code runs it (Song et al., DDIM, 2021, eq. 12)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from mrimpute.diffusion.ladder import Ladder
from mrimpute.diffusion.step import noise_step
from mrimpute.generators.aldm.method import official_timesteps

PredictNoise = Callable[[Tensor, int], Tensor]
"""(noisy latent, original timestep) → predicted noise, of the same shape."""


@dataclass(frozen=True)
class DdimSchedule:
    """The steps of a sampler, from the noisiest on.

    Attributes:
        timesteps: original timesteps, descending: what the network is told.
        levels: share of signal variance at each.
        before: the same one step further; after the last that of timestep 0, not 1.
    """

    timesteps: tuple[int, ...]
    levels: tuple[float, ...]
    before: tuple[float, ...]


def ddim_schedule(steps: int, ladder: Ladder) -> DdimSchedule:
    """Return the sampler's steps on a ladder; `method.check_steps` tells which counts it has."""
    kept = official_timesteps(steps, len(ladder))
    levels = [float(ladder.alphas_cumprod[index]) for index in kept]
    before = [float(ladder.alphas_cumprod[0]), *levels[:-1]]
    return DdimSchedule(kept[::-1], tuple(levels[::-1]), tuple(before[::-1]))


def ddim(
    predict_noise: PredictNoise, start: Tensor, schedule: DdimSchedule, eta: float, noise: Iterator[Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (latent, clean estimate) after each step.

    Args:
        predict_noise: the network, wrapped.
        start: standard normal.
        schedule: from `ddim_schedule`.
        eta: 0 for deterministic, 1 for the authors' own.
        noise: one standard normal tensor of start's shape per step, drawn also where eta is 0.
    """
    state = start
    for timestep, level, before in zip(schedule.timesteps, schedule.levels, schedule.before, strict=True):
        state, clean = noise_step(predict_noise(state, timestep), state, level, before, eta, next(noise))
        yield state, clean
