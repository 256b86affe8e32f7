"""cWDM checkpoints: record → network, and network → checkpoint folder."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.cwdm._wavelet import BANDS
from mrimpute.generators.cwdm.denoiser import Denoiser
from mrimpute.generators.cwdm.network import NetworkConfig
from mrimpute.generators.cwdm.regression import COEFFICIENTS, term_count
from mrimpute.registry import Checkpoint

REGRESSION = "regression"
"""Key of a record's `network` table: whether a regression steadies the network."""


def network_config(checkpoint: Checkpoint) -> NetworkConfig:
    """Return the network's sizes from the record's `network` table.

    Raises:
        WeightsUnavailable: an unknown key, or sizes that cannot be.
    """
    table = dict(checkpoint.record.network)
    try:
        table["channel_mult"] = tuple(table.get("channel_mult", NetworkConfig.channel_mult))
        table.pop(REGRESSION, None)
        config = NetworkConfig(**table, in_channels=BANDS * (1 + len(checkpoint.record.sources)))
    except (TypeError, ValueError) as error:
        raise WeightsUnavailable(f"checkpoint {checkpoint.name}: network: {error}", "correct its record") from error
    if checkpoint.record.inputs.multiple % config.image_multiple:
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name}: inputs.multiple must be a multiple of {config.image_multiple}",
            "correct its record",
        )
    return config


def load_network(checkpoint: Checkpoint) -> Denoiser:
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
    coefficients = None
    if checkpoint.record.network.get(REGRESSION):
        coefficients = torch.empty(term_count(len(checkpoint.record.sources)))
    with torch.device("meta"):
        network = Denoiser(config)
    network.coefficients = coefficients
    load_strictly(network, tensors, checkpoint.name)
    return network.eval().requires_grad_(False)


def load_strictly(network: Denoiser, tensors: dict[str, Tensor], name: str) -> None:
    """Assign tensors to a network, key by key, as float32.

    Raises:
        WeightsUnavailable: a missing or unknown key, a wrong shape, a value that is not finite.
    """
    expected = network.tensors()
    for key in expected.keys() | tensors.keys():
        problem = _problem(expected.get(key), tensors.get(key))
        if problem:
            raise WeightsUnavailable(f"checkpoint {name}: tensor {key} {problem}", "it belongs to another network")
    if network.coefficients is not None:
        network.coefficients = tensors.pop(COEFFICIENTS).float()
    network.unet.load_state_dict({key: tensor.float() for key, tensor in tensors.items()}, assign=True)


def _problem(expected: Tensor | None, given: Tensor | None) -> str:
    if given is None:
        return "is missing"
    if expected is None:
        return "is unknown"
    if given.shape != expected.shape:
        return f"has shape {tuple(given.shape)}, not {tuple(expected.shape)}"
    return "" if bool(torch.isfinite(given).all()) else "holds values that are not finite"


def convert(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    """Turn the authors' pickled state dict into a safetensors file, strictly.

    The pickle is read with weights-only loading, which runs no code from the file.

    Raises:
        WeightsUnavailable: the file cannot be read safely, or is not this network's.
    """
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsUnavailable(
            f"{source} cannot be read safely as a PyTorch state dict ({type(error).__name__})",
            "ask its authors for a plain state dict or a safetensors file",
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsUnavailable(f"{source} is not a plain state dict", "give the authors' file as it is")
    with torch.device("meta"):
        network = Denoiser(network_config(checkpoint))
    load_strictly(network, state, checkpoint.name)
    target.write_bytes(save({key: tensor.contiguous() for key, tensor in network.tensors().items()}))


def record_table(config: NetworkConfig, steadied: bool) -> dict[str, Any]:
    """Return the `network` table that describes a configuration."""
    extra = {REGRESSION: True} if steadied else {}
    return extra | {
        "base_channels": config.base_channels,
        "channel_mult": list(config.channel_mult),
        "res_blocks": config.res_blocks,
        "groups": config.groups,
    }
