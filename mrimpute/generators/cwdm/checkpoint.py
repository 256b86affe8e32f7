"""cWDM checkpoints: record → network, and network → checkpoint folder."""

from pathlib import Path
from typing import Any

import torch

from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.cwdm._wavelet import BANDS
from mrimpute.generators.cwdm.denoiser import Denoiser
from mrimpute.generators.cwdm.network import NetworkConfig, WaveletUNet
from mrimpute.generators.regression import REGRESSION, take_coefficients, term_count
from mrimpute.registry import Checkpoint
from mrimpute.registry.tensors import load_strictly, read_pickle, read_weights, write_weights


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
    tensors = read_weights(checkpoint)
    coefficients = take_coefficients(checkpoint, tensors, (term_count(len(checkpoint.record.sources)),))
    with torch.device("meta"):
        network = Denoiser(config)
    network.coefficients = coefficients
    load_strictly(network.unet, tensors, checkpoint.name)
    return network.eval().requires_grad_(False)


def convert(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    """Turn the authors' pickled state dict into a safetensors file, strictly.

    Raises:
        WeightsUnavailable: the file cannot be read safely, or is not this network's.
    """
    with torch.device("meta"):
        network = WaveletUNet(network_config(checkpoint))
    load_strictly(network, read_pickle(source), checkpoint.name)
    write_weights(target, network.state_dict())


def record_table(config: NetworkConfig, steadied: bool) -> dict[str, Any]:
    """Return the `network` table that describes a configuration."""
    extra = {REGRESSION: True} if steadied else {}
    return extra | {
        "base_channels": config.base_channels,
        "channel_mult": list(config.channel_mult),
        "res_blocks": config.res_blocks,
        "groups": config.groups,
    }
