"""Samplers on a toy whose posterior is known: p(x0 | condition) = N(m, s²) with the exact E[x0 | x_t]."""

import numpy as np
import pytest
import torch

from mrimpute.diffusion.ladder import linear_beta_ladder, official_timesteps, trailing_timesteps
from mrimpute.diffusion.noise import noise_stream
from mrimpute.diffusion.step import Sampler, reverse

MEAN, COUNT = 0.4, 20_000


def std_ratio(sampler: Sampler, timesteps, spread: float) -> float:
    """Return output std / posterior std of a sampler that is driven with the exact predictor."""
    ladder = linear_beta_ladder()
    levels = ladder.alphas_cumprod

    def predict(state: torch.Tensor, timestep: int) -> torch.Tensor:
        level = levels[timestep]
        gain = np.sqrt(level) * spread**2 / (level * spread**2 + 1 - level)
        return MEAN + float(gain) * (state - float(np.sqrt(level)) * MEAN)

    noise = noise_stream(7, (), (COUNT,))
    *_, image = reverse(predict, next(noise), ladder.respaced(timesteps), sampler, noise)
    assert abs(float(image.mean()) - MEAN) < 0.02
    return float(image.std()) / spread


@pytest.mark.parametrize(
    ("steps", "spread", "expected"),
    [
        (1, 0.05, 0.0),
        (2, 0.05, 0.01),
        (4, 0.05, 0.05),
        (10, 0.05, 0.15),
        (50, 0.05, 0.53),
        (4, 0.20, 0.20),
        (10, 0.02, 0.06),
    ],
)
def test_ddim_approaches_the_posterior_mean(steps, spread, expected):
    assert std_ratio(Sampler.DDIM, trailing_timesteps(1000, steps), spread) == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("spread", [0.05, 0.2])
def test_ddpm_with_all_steps_has_the_posterior_spread(spread):
    assert std_ratio(Sampler.DDPM, range(1000), spread) == pytest.approx(1.01, abs=0.02)


def test_naive_respacing_of_ddpm_leaves_several_times_the_noise():
    """Why the command line refuses it (the noise left is 6.84 times the posterior's at 10 steps)."""
    assert std_ratio(Sampler.DDPM, official_timesteps(1000, "10"), 0.05) == pytest.approx(6.84, rel=0.02)


def test_noise_depends_on_seed_and_words_only():
    first = next(noise_stream(1, ("study", "flair"), (100,)))
    assert torch.equal(first, next(noise_stream(1, ("study", "flair"), (100,))))
    for seed, words in ((2, ("study", "flair")), (1, ("study", "t2")), (1, ("studyflair",))):
        assert not torch.equal(first, next(noise_stream(seed, words, (100,))))
