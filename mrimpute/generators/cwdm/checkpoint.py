"""cWDM checkpoints: record → network, and network → checkpoint folder."""

from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.cwdm._wavelet import BANDS
from mrimpute.generators.cwdm.network import NetworkConfig, WaveletUNet
from mrimpute.registry import Checkpoint


def network_config(checkpoint: Checkpoint) -> NetworkConfig:
    """Return the network's sizes from the record's `network` table.

    Raises:
        WeightsUnavailable: an unknown key, or sizes that cannot be.
    """
    table = dict(checkpoint.record.network)
    try:
        table["channel_mult"] = tuple(table.get("channel_mult", NetworkConfig.channel_mult))
        config = NetworkConfig(**table, in_channels=BANDS * (1 + len(checkpoint.record.sources)))
    except (TypeError, ValueError) as error:
        raise WeightsUnavailable(f"checkpoint {checkpoint.name}: network: {error}", "correct its record") from error
    if checkpoint.record.inputs.multiple % config.image_multiple:
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name}: inputs.multiple must be a multiple of {config.image_multiple}",
            "correct its record",
        )
    return config


def load_network(checkpoint: Checkpoint) -> WaveletUNet:
    """Return the network with the checkpoint's weights, float32, on the CPU, ready to run.

    Raises:
        WeightsUnavailable: unreadable, wrong digest, or tensors that are not this network's.
    """
    config = network_config(checkpoint)
    _ = checkpoint.sha256
    try:
        tensors = load_file(checkpoint.path)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name}: {checkpoint.path} is not a readable safetensors file", "get it again"
        ) from error
    with torch.device("meta"):
        network = WaveletUNet(config)
    load_strictly(network, tensors, checkpoint.name)
    return network.eval().requires_grad_(False)


def load_strictly(network: WaveletUNet, tensors: dict[str, Tensor], name: str) -> None:
    """Assign tensors to a network, key by key, as float32.

    Raises:
        WeightsUnavailable: a missing or unknown key, a wrong shape, a value that is not finite.
    """
    expected = network.state_dict()
    for key in expected.keys() | tensors.keys():
        problem = _problem(expected.get(key), tensors.get(key))
        if problem:
            raise WeightsUnavailable(f"checkpoint {name}: tensor {key} {problem}", "it belongs to another network")
    network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()}, assign=True)


def _problem(expected: Tensor | None, given: Tensor | None) -> str:
    if given is None:
        return "is missing"
    if expected is None:
        return "is unknown"
    if given.shape != expected.shape:
        return f"has shape {tuple(given.shape)}, not {tuple(expected.shape)}"
    return "" if bool(torch.isfinite(given).all()) else "holds values that are not finite"


def record_table(config: NetworkConfig) -> dict[str, Any]:
    """Return the `network` table that describes a configuration."""
    return {
        "base_channels": config.base_channels,
        "channel_mult": list(config.channel_mult),
        "res_blocks": config.res_blocks,
        "groups": config.groups,
    }
