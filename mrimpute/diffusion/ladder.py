"""Noise ladders: signal levels per step, and everything a sampler derives from them.

Names and equations (Ho et al., Denoising Diffusion Probabilistic Models, 2020):

| here | paper | meaning |
| --- | --- | --- |
| betas | beta_t | variance added at step t |
| alphas_cumprod | alpha-bar_t | share of signal variance left at step t (eq. 4) |
| posterior_variance | beta-tilde_t | variance of q(x_{t-1} | x_t, x_0) (eq. 7) |
| posterior_mean_clean, posterior_mean_noisy | coefficients of x_0 and x_t in mu-tilde_t (eq. 7) | |

Tables are float64; a step casts the one value it needs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Ladder:
    """A descending ladder of signal levels.

    Attributes:
        timesteps: (N,) original timestep of each rung, ascending: what the network is told.
        betas: (N,) variance added between neighbouring rungs.
    """

    timesteps: tuple[int, ...]
    betas: Table

    def __len__(self) -> int:
        return len(self.timesteps)

    @cached_property
    def alphas_cumprod(self) -> Table:
        """(N,) share of signal variance left at each rung."""
        return np.asarray(np.cumprod(1.0 - self.betas), np.float64)

    @cached_property
    def alphas_cumprod_prev(self) -> Table:
        """(N,) the same one rung below; 1 below the first."""
        return np.concatenate(([1.0], self.alphas_cumprod[:-1]))

    @cached_property
    def posterior_variance(self) -> Table:
        """(N,) variance of q(x_{t-1} | x_t, x_0)."""
        return self.betas * (1.0 - self.alphas_cumprod_prev) / (1.0 - self.alphas_cumprod)

    @cached_property
    def posterior_mean_clean(self) -> Table:
        """(N,) weight of the clean image in the posterior mean."""
        return self.betas * np.sqrt(self.alphas_cumprod_prev) / (1.0 - self.alphas_cumprod)

    @cached_property
    def posterior_mean_noisy(self) -> Table:
        """(N,) weight of the state in the posterior mean."""
        return (1.0 - self.alphas_cumprod_prev) * np.sqrt(1.0 - self.betas) / (1.0 - self.alphas_cumprod)

    @cached_property
    def fixed_large_variance(self) -> Table:
        """Variance of the ancestral step in the cWDM code: beta_t, and the posterior's at t = 0."""
        first = self.posterior_variance[min(1, len(self) - 1)]
        return np.concatenate(([first], self.betas[1:]))

    def respaced(self, timesteps: Sequence[int]) -> "Ladder":
        """Return the ladder that visits only some of this one's rungs.

        Betas are recomputed so that the signal level at each kept rung is unchanged
        (Nichol & Dhariwal, Improved DDPM, 2021, section 4).
        """
        kept = sorted(set(timesteps))
        level = self.alphas_cumprod[[self.timesteps.index(t) for t in kept]]
        before = np.concatenate(([1.0], level[:-1]))
        return Ladder(tuple(kept), 1.0 - level / before)


def linear_beta_ladder(count: int = 1000, first: float = 1e-4, last: float = 0.02) -> Ladder:
    """Return the ladder whose betas rise linearly (Ho et al. 2020, section 4; cWDM's own)."""
    return Ladder(tuple(range(count)), np.linspace(first, last, count, dtype=np.float64))


def root_linear_ladder(count: int = 1000, first: float = 0.0015, last: float = 0.0195) -> Ladder:
    """Return the ladder whose betas rise linearly in their roots (latent diffusion models, ALDM among
    them; others call it scaled-linear)."""
    return Ladder(tuple(range(count)), np.linspace(first**0.5, last**0.5, count, dtype=np.float64) ** 2)


def variance_preserving_ladder(count: int, beta_min: float = 0.1, beta_max: float = 20.0) -> Ladder:
    """Return the ladder of a few large steps that SynDiff takes: the variance preserving process of Song
    et al. 2021 at `count` + 1 times.

    Betas are rounded to float32, from which the authors' tables follow.
    """
    first = 1e-3
    times = np.arange(count + 1) / count * (1.0 - first) + first
    log_mean = -0.25 * times**2 * (beta_max - beta_min) - 0.5 * times * beta_min
    level = np.exp(2.0 * log_mean)
    betas = (1.0 - level[1:] / level[:-1]).astype(np.float32)
    return Ladder(tuple(range(count)), betas.astype(np.float64))


LADDERS: dict[str, Callable[[int], Ladder]] = {
    "linear-beta": linear_beta_ladder,
    "root-linear": root_linear_ladder,
    "variance-preserving": variance_preserving_ladder,
}
"""What a record's `sampling.ladder` means: name → ladder of so many rungs."""


def trailing_timesteps(total: int, steps: int) -> tuple[int, ...]:
    """Return `steps` evenly spaced timesteps, ascending, that always include the noisiest one.

    Raises:
        ValueError: steps is not between 1 and total.
    """
    if not 1 <= steps <= total:
        raise ValueError(f"steps must be between 1 and {total}, not {steps}")
    return tuple(sorted(round(total - k * total / steps) - 1 for k in range(steps)))


def official_timesteps(total: int, specification: str) -> tuple[int, ...]:
    """Return the timesteps that the authors' respacing keeps (Nichol & Dhariwal 2021, section 4).

    For research that must follow published respaced runs; the command line offers trailing
    steps only, because ancestral sampling on these leaves several times the posterior's noise.

    Args:
        total: length of the full ladder.
        specification: 'ddimN' (smallest integer stride that gives N steps), or a
            comma-separated list of counts, one per equal section of the ladder.

    Raises:
        ValueError: no stride gives that count, or a section is shorter than its count.
    """
    if specification.startswith("ddim"):
        count = int(specification.removeprefix("ddim"))
        for stride in range(1, total):
            if len(range(0, total, stride)) == count:
                return tuple(range(0, total, stride))
        raise ValueError(f"no integer stride gives {count} of {total} steps")
    counts = [int(word) for word in specification.split(",")]
    size, extra = divmod(total, len(counts))
    kept: list[int] = []
    start = 0
    for section, keep in enumerate(counts):
        length = size + (1 if section < extra else 0)
        if keep > length:
            raise ValueError(f"cannot keep {keep} of {length} steps")
        gap = 1.0 if keep <= 1 else (length - 1) / (keep - 1)
        position = 0.0
        for _ in range(max(keep, 1)):
            kept.append(start + round(position))
            position += gap
        start += length
    return tuple(sorted(set(kept)))
