"""cWDM checkpoints: record and file → network, and what a record says of it."""

from pathlib import Path
from typing import Any

import torch

from mrimpute.generators.cwdm.config import DERIVED, network_config
from mrimpute.generators.cwdm.denoiser import Denoiser
from mrimpute.generators.cwdm.method import METHOD
from mrimpute.generators.cwdm.network import NetworkConfig, WaveletUNet
from mrimpute.generators.records import network_table
from mrimpute.generators.regression import take_coefficients, term_count
from mrimpute.registry import Checkpoint
from mrimpute.registry.tensors import convert_state, load_strictly, read_pickle, read_weights

__all__ = ["convert", "load_networks", "network_config", "record_table"]


def load_networks(checkpoint: Checkpoint) -> Denoiser:
    """Return the network with the checkpoint's weights, float32, on the CPU, ready to run.

    Raises:
        WeightsUnavailable: a record that cWDM does not take, an unreadable file, a wrong digest, or tensors that
            are not this network's.
    """
    METHOD.check(checkpoint)
    tensors = read_weights(checkpoint)
    coefficients = take_coefficients(checkpoint, tensors, (term_count(len(checkpoint.record.sources)),))
    with torch.device("meta"):
        network = Denoiser(network_config(checkpoint))
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
    convert_state(network, read_pickle(source), checkpoint.name, target)


def record_table(config: NetworkConfig, regression: bool) -> dict[str, Any]:
    """Return the `network` table that describes a configuration, and whether a regression is blended in."""
    return network_table(config, regression, DERIVED)
