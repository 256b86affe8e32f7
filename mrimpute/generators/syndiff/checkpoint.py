"""SynDiff checkpoints: record → network, the authors' files → safetensors."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.regression import REGRESSION, take_coefficients, term_count
from mrimpute.generators.syndiff.network import DiffusiveGenerator, NetworkConfig
from mrimpute.registry import Checkpoint
from mrimpute.registry.tensors import load_strictly, read_pickle, read_weights, write_weights

PREFIX = "module."
"""The authors' data-parallel wrapper puts this before every key, up to twice (SPEC section 10)."""


def network_config(checkpoint: Checkpoint) -> NetworkConfig:
    """Return the network's sizes from the record's `network` table.

    Raises:
        WeightsUnavailable: an unknown key, sizes that cannot be, or other slices than the inputs'.
    """
    given = checkpoint.record.network
    table: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    table.pop(REGRESSION, None)
    try:
        config = NetworkConfig(**table, timesteps=checkpoint.record.sampling.timesteps)
    except (TypeError, ValueError) as error:
        raise WeightsUnavailable(f"checkpoint {checkpoint.name}: network: {error}", "correct its record") from error
    inputs = checkpoint.record.inputs
    if inputs.slices is None or inputs.slices[0] != config.image_size or inputs.multiple % config.image_multiple:
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name}: inputs.slices must be {config.image_size} wide, and inputs.multiple "
            f"a multiple of {config.image_multiple}",
            "correct its record",
        )
    return config


def load_network(checkpoint: Checkpoint) -> tuple[DiffusiveGenerator, Tensor | None]:
    """Return the generator with the checkpoint's weights, float32, on the CPU, ready to run, and the
    coefficients of the regression that steadies it, if there is one.

    Raises:
        WeightsUnavailable: unreadable, wrong digest, or tensors that are not this network's.
    """
    config = network_config(checkpoint)
    with torch.device("meta"):
        network = DiffusiveGenerator(config)
    tensors = read_weights(checkpoint)
    coefficients = take_coefficients(checkpoint, tensors, (term_count(len(checkpoint.record.sources)),))
    load_strictly(network, tensors, checkpoint.name)
    return network.eval().requires_grad_(False), coefficients


def convert(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    """Turn one of the authors' `gen_diffusive_*.pth` files into a safetensors file, strictly.

    Raises:
        WeightsUnavailable: the file cannot be read safely, or is not this network's.
    """
    state = {unwrapped(key): tensor for key, tensor in read_pickle(source).items()}
    with torch.device("meta"):
        network = DiffusiveGenerator(network_config(checkpoint))
    load_strictly(network, state, checkpoint.name)
    write_weights(target, network.state_dict())


def unwrapped(key: str) -> str:
    """Return a key without the wrapper's prefixes."""
    return key.removeprefix(PREFIX).removeprefix(PREFIX)


def record_table(config: NetworkConfig, steadied: bool) -> dict[str, Any]:
    """Return the `network` table that describes a configuration."""
    extra = {REGRESSION: True} if steadied else {}
    return extra | {
        "image_size": config.image_size,
        "base_channels": config.base_channels,
        "channel_mult": list(config.channel_mult),
        "res_blocks": config.res_blocks,
        "attention_at": list(config.attention_at),
        "latent_width": config.latent_width,
        "latent_size": config.latent_size,
        "latent_layers": config.latent_layers,
    }
