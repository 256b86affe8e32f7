"""Three iterations of the authors' training function, on their draws."""

import pytest
import torch
from safetensors.torch import load_file

from mrimpute.diffusion.ladder import variance_preserving_ladder
from mrimpute.generators.syndiff.adversarial import DISCRIMINATORS, GENERATORS, AdversarialStep, Draws, LossWeights
from mrimpute.generators.syndiff.network import DiffusiveGenerator, NetworkConfig
from mrimpute.generators.syndiff.training_networks import DiffusiveDiscriminator, OneShotGenerator, PatchDiscriminator
from mrimpute.training.state import average_in, weights_of
from tests.generators.syndiff.conftest import read_json, set_weights

SMALL = NetworkConfig(64, 16, (1, 2, 2), 2, latent_width=32)
LIMITS = (1e-5, 1e-3, 5e-3)
"""Relative, of the losses of each iteration."""


def networks(seeds):
    made = {}
    for number, name in enumerate((*GENERATORS, *DISCRIMINATORS)):
        kind = (DiffusiveGenerator, OneShotGenerator, DiffusiveDiscriminator, PatchDiscriminator)[number // 2]
        sizes = {DiffusiveGenerator: (SMALL,), DiffusiveDiscriminator: (8, 32)}.get(kind, ())
        gain = 1.7 if kind is DiffusiveDiscriminator else 1.0
        made[name] = set_weights(kind(*sizes), seeds[name], gain).train()
    return made


def draws(golden, prefix):
    def both(*names):
        return tuple(golden[f"{prefix}.{name}"] for name in names)

    return Draws(
        both("t1", "t2"),
        both("x1.noise_tp1", "x2.noise_tp1"),
        both("x1.noise_t", "x2.noise_t"),
        both("z1", "z2"),
        both("post1.noise", "post2.noise"),
    )


def true_zero(name, key):
    """Biases before an instance norm, and of attention keys: their gradient is rounding noise."""
    if "NIN_1.b" in key:
        return True
    if not key.endswith("bias") or name.startswith(("gen_diffusive", "disc_diffusive")):
        return False
    return not key.endswith(("model.23.bias", "model.0.bias", "model.11.bias"))


def test_three_iterations_equal_the_authors(goldens):
    golden, recorded = load_file(goldens / "train_iter.safetensors"), read_json("train_iter", goldens)
    nets = networks(recorded["net_seeds"])
    rates = {name: recorded["config"]["lr_g" if name in GENERATORS else "lr_d"] for name in nets}
    optimisers = {n: torch.optim.Adam(net.parameters(), lr=rates[n], betas=(0.5, 0.9)) for n, net in nets.items()}
    adversarial = AdversarialStep(
        nets, optimisers, variance_preserving_ladder(4), LossWeights(penalty=10.0, penalty_every=2)
    )
    norms = {}

    def remember(name):
        def hook(optimiser, _args, _kwargs):
            if name not in norms:
                norms[name] = {k: float(p.grad.double().norm()) for k, p in nets[name].named_parameters()}

        return hook

    for name, optimiser in optimisers.items():
        optimiser.register_step_pre_hook(remember(name))
    averages = {}
    for step, expected in enumerate(recorded["iterations"]):
        slices = golden[f"it{step}.real_data1"], golden[f"it{step}.real_data2"]
        losses = adversarial.take(slices, draws(golden, f"it{step}.D"), draws(golden, f"it{step}.G"), step)
        assert ("grad1_penalty" in losses) == expected["r1_applied"]
        for name, value in losses.items():
            assert value == pytest.approx(expected["losses"][name], rel=LIMITS[step]), (step, name)
        assert losses.keys() >= {"errG", "errG1", "errG2_L1", "errG1_cycle", "errD_cycle2_fake", "errD2_real"}
        for name in GENERATORS:
            averages.setdefault(name, weights_of(nets[name]))
            if step:
                average_in(averages[name], nets[name], 0.999)
    compared = 0
    for name, expected in recorded["iterations"][0]["grad_l2"].items():
        for key, value in expected.items():
            if not true_zero(name, key):
                limit = 5e-3 if key.endswith("model.23.bias") else 2e-4
                assert norms[name][key.replace("module.", "")] == pytest.approx(value, rel=limit), (name, key)
                compared += 1
    assert compared > 400
    for name, key in ((n, k) for n in ("gen_diffusive_1", "gen_diffusive_2") for k in recorded["final"][n]["params"]):
        if not true_zero(name, key):
            expected, plain = recorded["final"][name]["params"][key], key.replace("module.", "")
            assert float(nets[name].state_dict()[plain].norm()) == pytest.approx(expected["l2"], rel=5e-4), key
            assert float(averages[name][plain].norm()) == pytest.approx(expected["ema_l2"], rel=5e-4), key


def test_paired_training_needs_no_one_shot_networks():
    torch.manual_seed(0)
    nets = {
        "gen_diffusive_1": DiffusiveGenerator(SMALL),
        "gen_diffusive_2": DiffusiveGenerator(SMALL),
        "disc_diffusive_1": DiffusiveDiscriminator(4, 16),
        "disc_diffusive_2": DiffusiveDiscriminator(4, 16),
    }
    optimisers = {n: torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.5, 0.9)) for n, net in nets.items()}
    adversarial = AdversarialStep(nets, optimisers, variance_preserving_ladder(4), LossWeights())

    def drawn():
        def both(*shape):
            return torch.randn(shape), torch.randn(shape)

        times = torch.randint(4, (1,)), torch.randint(4, (1,))
        return Draws(times, both(1, 1, 64, 64), both(1, 1, 64, 64), both(1, 100), both(1, 1, 64, 64))

    slices = torch.full((1, 1, 64, 64), -0.7), torch.full((1, 1, 64, 64), 0.6)
    first = adversarial.take(slices, drawn(), drawn(), 0, slices[::-1])
    assert set(first) == {
        *("errD1_real", "errD2_real", "grad1_penalty", "grad2_penalty", "errD_fake"),
        *("errG1", "errG2", "errG1_L1", "errG2_L1", "errG"),
    }
    for step in range(1, 12):
        last = adversarial.take(slices, drawn(), drawn(), step, slices[::-1])
    assert last["errG1_L1"] < 0.9 * first["errG1_L1"]
