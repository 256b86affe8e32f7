import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from mrimpute.diffusion.ladder import linear_beta_ladder, official_timesteps, trailing_timesteps
from tests.conftest import GOLDENS

TABLES = {
    "betas": "betas",
    "alphas_cumprod": "alphas_cumprod",
    "alphas_cumprod_prev": "alphas_cumprod_prev",
    "posterior_variance": "posterior_variance",
    "posterior_mean_coef1": "posterior_mean_clean",
    "posterior_mean_coef2": "posterior_mean_noisy",
    "fixed_large_variance": "fixed_large_variance",
}


@pytest.mark.parametrize(
    ("prefix", "specification"),
    [("T1000", None), ("respaced_10", "10"), ("respaced_5", "5"), ("respaced_ddim10", "ddim10")],
)
def test_tables_equal_the_authors_to_1e_12(prefix, specification):
    golden = load_file(GOLDENS / "cwdm" / "schedule.safetensors")
    ladder = linear_beta_ladder()
    if specification:
        ladder = ladder.respaced(official_timesteps(1000, specification))
    assert list(ladder.timesteps) == golden[f"{prefix}.timestep_map"].tolist()
    for key, name in TABLES.items():
        np.testing.assert_allclose(getattr(ladder, name), golden[f"{prefix}.{key}"], rtol=1e-12, err_msg=key)
    np.testing.assert_allclose(
        np.log(ladder.fixed_large_variance), golden[f"{prefix}.fixed_large_log_variance"], rtol=1e-12
    )


def test_respacing_keeps_the_authors_timesteps():
    golden = json.loads((GOLDENS / "cwdm" / "respacing.json").read_text())
    for specification, kept in golden.items():
        assert list(official_timesteps(1000, specification)) == kept, specification


@pytest.mark.parametrize("specification", ["ddim3000", "1001", "600,600"])
def test_impossible_respacing_is_a_value_error(specification):
    with pytest.raises(ValueError, match=r"steps"):
        official_timesteps(1000, specification)


@pytest.mark.parametrize(("steps", "expected"), [(1, (999,)), (2, (499, 999)), (4, (249, 499, 749, 999))])
def test_trailing_steps_always_hold_the_noisiest(steps, expected):
    assert trailing_timesteps(1000, steps) == expected


def test_trailing_steps_up_to_the_whole_ladder_are_distinct():
    for steps in (3, 7, 300, 999, 1000):
        assert len(set(trailing_timesteps(1000, steps))) == steps


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_a_count_outside_the_ladder_is_refused(steps):
    with pytest.raises(ValueError, match=f"not {steps}"):
        trailing_timesteps(1000, steps)


def test_respacing_keeps_signal_levels():
    ladder = linear_beta_ladder()
    kept = trailing_timesteps(1000, 4)
    np.testing.assert_allclose(ladder.respaced(kept).alphas_cumprod, ladder.alphas_cumprod[list(kept)], rtol=1e-13)
