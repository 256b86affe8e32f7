"""SynDiff checkpoints: record and file → networks, the authors' files → safetensors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mrimpute.generators.records import network_table
from mrimpute.generators.regression import COEFFICIENTS, take_coefficients, term_count
from mrimpute.generators.syndiff.config import DERIVED, network_config
from mrimpute.generators.syndiff.method import METHOD
from mrimpute.generators.syndiff.network import DiffusiveGenerator, NetworkConfig
from mrimpute.registry import Checkpoint
from mrimpute.registry.tensors import convert_state, load_strictly, read_pickle, read_weights

__all__ = ["Networks", "convert", "load_networks", "network_config", "record_table", "unwrapped"]

PREFIX = "module."
"""The authors' data-parallel wrapper puts this before every key, up to twice."""


@dataclass(frozen=True)
class Networks:
    """What a checkpoint holds.

    Attributes:
        generator: the diffusive generator.
        coefficients: of the regression that is blended with what it makes; None for the paper's method.
    """

    generator: DiffusiveGenerator
    coefficients: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint file holds."""
        extra = {} if self.coefficients is None else {COEFFICIENTS: self.coefficients}
        return self.generator.state_dict() | extra


def load_networks(checkpoint: Checkpoint) -> Networks:
    """Return the networks with the checkpoint's weights, float32, on the CPU, ready to run.

    Raises:
        WeightsUnavailable: a record that SynDiff does not take, an unreadable file, a wrong digest, or tensors
            that are not this network's.
    """
    METHOD.check(checkpoint)
    tensors = read_weights(checkpoint)
    coefficients = take_coefficients(checkpoint, tensors, (term_count(1),))
    with torch.device("meta"):
        generator = DiffusiveGenerator(network_config(checkpoint))
    load_strictly(generator, tensors, checkpoint.name)
    return Networks(generator.eval().requires_grad_(False), coefficients)


def convert(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    """Turn one of the authors' `gen_diffusive_*.pth` files into a safetensors file, strictly.

    Raises:
        WeightsUnavailable: the file cannot be read safely, or is not this network's.
    """
    state = {unwrapped(key): tensor for key, tensor in read_pickle(source).items()}
    with torch.device("meta"):
        generator = DiffusiveGenerator(network_config(checkpoint))
    convert_state(generator, state, checkpoint.name, target)


def unwrapped(key: str) -> str:
    """Return a key without the wrapper's prefixes."""
    return key.removeprefix(PREFIX).removeprefix(PREFIX)


def record_table(config: NetworkConfig, regression: bool) -> dict[str, Any]:
    """Return the `network` table that describes a configuration, and whether a regression is blended in."""
    return network_table(config, regression, DERIVED)
