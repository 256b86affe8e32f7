"""Toy checkpoints: record and file → network."""

from pathlib import Path
from typing import Any

from mrimpute.generators.records import network_table, read_sizes
from mrimpute.registry import Checkpoint
from mrimpute.registry.tensors import convert_state, load_strictly, read_pickle, read_weights

from .method import METHOD, ToyConfig
from .network import Toy


def network_config(checkpoint: Checkpoint) -> ToyConfig:
    return read_sizes(checkpoint, ToyConfig)


def load_networks(checkpoint: Checkpoint) -> Toy:
    METHOD.check(checkpoint)
    network = Toy(network_config(checkpoint).sources)
    load_strictly(network, read_weights(checkpoint), checkpoint.name)
    return network.eval().requires_grad_(False)


def convert(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    convert_state(Toy(network_config(checkpoint).sources), read_pickle(source), checkpoint.name, target)


def record_table(config: ToyConfig, regression: bool) -> dict[str, Any]:
    return network_table(config, regression)
