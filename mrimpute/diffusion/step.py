"""One reverse step, and the loop over a ladder.

A step sees the clean estimate x_0, the state x_t, the rung's index, the ladder and fresh noise;
what a network predicts (x_0, noise, …) was turned into x_0 before.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from mrimpute.diffusion.ladder import Ladder

PredictClean = Callable[[Tensor, int], Tensor]
"""(state x_t, original timestep) → estimate of the clean x_0, of the same shape."""


class Sampler(StrEnum):
    """How a state moves down one rung."""

    DDIM = "ddim"
    DDPM = "ddpm"


def ddpm_step(clean: Tensor, state: Tensor, index: int, ladder: Ladder, noise: Tensor) -> Tensor:
    """Ancestral step with fixed-large variance (Ho et al. 2020, eq. 6-7), as cWDM samples."""
    mean = _f32(ladder.posterior_mean_clean[index]) * clean + _f32(ladder.posterior_mean_noisy[index]) * state
    if index == 0:
        return mean
    log_variance = _f32(np.log(ladder.fixed_large_variance[index]))
    return mean + float(np.exp(np.float32(0.5 * log_variance))) * noise


def posterior_step(clean: Tensor, state: Tensor, index: Tensor, ladder: Ladder, noise: Tensor) -> Tensor:
    """Sample q(x_{t-1} | x_t, x_0) (Ho et al. 2020, eq. 6-7), as SynDiff samples.

    Args:
        clean, state, noise: x_0, x_t and standard normal noise, (B, 1, H, W) each.
        index: (B,) rung of each item; at rung 0 the result is x_0.
        ladder: the steps.
    """
    deviation = np.sqrt(np.maximum(ladder.posterior_variance, 0.0))
    tables = (ladder.posterior_mean_clean, ladder.posterior_mean_noisy, deviation)
    weights = (torch.from_numpy(table.astype(np.float32)).to(state.device)[index] for table in tables)
    c, s, d = (weight[:, None, None, None] for weight in weights)
    return c * clean + s * state + d * noise


def ddim_step(clean: Tensor, state: Tensor, index: int, ladder: Ladder) -> Tensor:
    """Deterministic step, eta = 0 (Song et al., DDIM, 2021, eq. 12)."""
    if index == 0:
        return clean
    level, before = ladder.alphas_cumprod[index], ladder.alphas_cumprod_prev[index]
    return _f32(np.sqrt(before)) * clean + _f32(np.sqrt(1.0 - before)) * implied_noise(clean, state, level)


def noise_step(
    predicted: Tensor, state: Tensor, level: float, before: float, eta: float, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Step of a network that predicts noise (Song et al., DDIM, 2021, eq. 12 and 16).

    Args:
        predicted, state, noise: predicted noise, x_t, and standard normal noise, of one shape.
        level, before: share of signal variance at this step and at the next.
        eta: 0 for deterministic, 1 for as much noise as the ancestral sampler adds.

    Returns:
        x at the next step, and the estimate of the clean x_0.
    """
    level = _f32(level)
    deviation = eta * np.sqrt((1 - before) / (1 - level)) * np.sqrt(1 - level / before)
    clean = (state - _f32(np.sqrt(1 - level)) * predicted) / _f32(np.sqrt(np.float32(level)))
    rest = _f32(np.sqrt(1 - before - deviation**2))
    return _f32(np.sqrt(before)) * clean + rest * predicted + _f32(deviation) * noise, clean


def implied_noise(clean: Tensor, state: Tensor, level: float) -> Tensor:
    """Return the noise that, with this clean estimate, makes up the state at a signal level."""
    return (_f32(np.sqrt(1.0 / level)) * state - clean) / _f32(np.sqrt(1.0 / level - 1.0))


def reverse(
    predict_clean: PredictClean, start: Tensor, ladder: Ladder, sampler: Sampler, noise: Iterator[Tensor]
) -> Iterator[Tensor]:
    """Yield the state after each rung, from the noisiest to the clean image.

    Args:
        predict_clean: the network, wrapped.
        start: x_T, standard normal.
        ladder: the rungs to visit.
        sampler: DDIM draws no noise; DDPM draws one tensor of start's shape per rung, also for
            the last one, where it is not used (so do the authors).
        noise: source of standard normal tensors on start's device.
    """
    state = start
    for index in reversed(range(len(ladder))):
        clean = predict_clean(state, ladder.timesteps[index])
        if sampler is Sampler.DDIM:
            state = ddim_step(clean, state, index, ladder)
        else:
            state = ddpm_step(clean, state, index, ladder, next(noise))
        yield state


def _f32(value: float) -> float:
    """Round a float64 table value to float32, as the published samplers do at use."""
    return float(np.float32(value))
