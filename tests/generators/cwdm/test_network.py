import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mrimpute.generators.blocks import lay_out
from mrimpute.generators.cwdm.network import NetworkConfig, WaveletUNet
from tests.conftest import GOLDENS

CPU = torch.device("cpu")
SMALL = NetworkConfig(base_channels=32, channel_mult=(1, 2, 2), res_blocks=2, groups=32)


@pytest.fixture(scope="module", params=["as it is trained", "laid out"])
def small_network(request, reference: Path) -> WaveletUNet:
    network = WaveletUNet(SMALL)
    state = load_file(reference / "unet_small_state_f16.safetensors")
    network.load_state_dict({key: tensor.float() for key, tensor in state.items()}, strict=True)
    if request.param == "laid out":
        lay_out(network, CPU, torch.float32)
    return network.eval().requires_grad_(False)


def test_the_default_network_has_the_official_keys_in_order():
    official = json.loads((GOLDENS / "cwdm" / "state_dict.json").read_text())
    with torch.device("meta"):
        state = WaveletUNet(NetworkConfig()).state_dict()
    assert [[key, list(value.shape), "float32"] for key, value in state.items()] == official["entries"]
    assert sum(value.numel() for value in state.values()) == official["parameter_count"]


def test_small_network_equals_the_authors(small_network, reference):
    golden = load_file(reference / "unet_small_io.safetensors")
    with torch.inference_mode():
        output = small_network(golden["x"], golden["timesteps"])
        probe = small_network(golden["x_small_scale"], golden["timesteps"])
    assert (output - golden["output"]).abs().max() < 3e-5
    assert (probe - golden["output_small_scale"]).abs().max() < 5e-5


def test_small_network_equals_the_authors_layer_by_layer(small_network, reference):
    golden = load_file(reference / "unet_small_io.safetensors")
    recorded = json.loads((reference / "meta.json").read_text())["unet_small"]["activations"]
    modules, seen = dict(small_network.named_modules()), set()

    def check(name):
        def hook(_module, _inputs, output):
            expected = recorded[name]
            assert list(output.shape) == expected["shape"], name
            values = output.contiguous().flatten()[expected["probe_index"]]
            assert (values - torch.tensor(expected["probe"])).abs().max() < 5e-5, name
            assert abs(float(output.std(correction=0)) - expected["std"]) < 1e-4, name
            seen.add(name)

        return hook

    hooks = [modules[name].register_forward_hook(check(name)) for name in recorded if name in modules]
    with torch.inference_mode():
        small_network(golden["x"], golden["timesteps"])
    for hook in hooks:
        hook.remove()
    assert len(seen) == len(recorded)


def test_official_size_network_equals_the_authors():
    """Weights and input follow from a published recipe; 81.5 million parameters."""
    meta = json.loads((GOLDENS / "cwdm" / "meta.json").read_text())["unet_official_generated"]
    entries = json.loads((GOLDENS / "cwdm" / "state_dict.json").read_text())["entries"]
    draw = np.random.default_rng(77001)
    state = {}
    for key, shape, _ in entries:
        z = draw.standard_normal(shape)
        if key.endswith(".bias"):
            z = 0.1 * z
        elif len(shape) == 1:
            z = 1 + 0.2 * z
        else:
            z /= np.sqrt(np.prod(shape[1:]))
        state[key] = torch.from_numpy(z.astype(np.float32))
    x = np.random.default_rng(77002).standard_normal((1, 32, 32, 48, 16)).astype(np.float32)
    assert hashlib.sha256(x.tobytes()).hexdigest() == meta["input_check"]["sha256"]
    for key, check in meta["weight_checks"].items():
        assert hashlib.sha256(state[key].numpy().tobytes()).hexdigest() == check["sha256"], key
    with torch.device("meta"):
        network = WaveletUNet(NetworkConfig())
    network.load_state_dict(state, strict=True, assign=True)
    golden = load_file(GOLDENS / "cwdm" / "unet_official_output.safetensors")["output"]
    network.eval().requires_grad_(False)
    made = []
    for dtype in (None, torch.float32, torch.bfloat16):
        if dtype is not None:
            lay_out(network, CPU, dtype)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            made.append(network(torch.from_numpy(x), torch.tensor([321])).float())
    assert (made[0] - golden).abs().max() < 3e-5
    assert (made[1] - golden).abs().max() < 3e-5
    assert (made[2] - golden).norm() < 0.02 * golden.norm()


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (NetworkConfig(4, (1, 2), 1, 2), (4, 6, 2)),
        (NetworkConfig(8, (1, 1, 3), 2, 4), (8, 4, 12)),
        (NetworkConfig(4, (1,), 1, 4, in_channels=16), (3, 5, 7)),
    ],
)
def test_every_configuration_keeps_the_grid(config, size):
    network = WaveletUNet(config)
    output = network(torch.randn(2, config.in_channels, *size), torch.tensor([0, 999]))
    assert output.shape == (2, 8, *size)
    assert torch.count_nonzero(output) == 0  # zero-initialised, as the authors' network


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channel_mult": (2, 2)}, "begin with 1"),
        ({"channel_mult": ()}, "begin with 1"),
        ({"base_channels": 40}, "divisible"),
        ({"res_blocks": 0}, "res_blocks"),
    ],
)
def test_impossible_sizes_fail_in_the_constructor(fields, message):
    with pytest.raises(ValueError, match=message):
        NetworkConfig(**fields)
