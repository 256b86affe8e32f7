"""Weights files: read safely, matched strictly, written whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mrimpute.errors import WeightsUnavailable
from mrimpute.registry.store import Checkpoint

MAX_HEADER_BYTES = 8 * 2**20
"""Longest list of tensors in a safetensors file: some ten times the largest published network's."""
_CALLBACKS = ("pytorch_lightning.callbacks.", "lightning.pytorch.callbacks.")


def read_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint's safetensors file, after its digest was compared.

    Raises:
        WeightsUnavailable: unreadable, or not the recorded file.
    """
    _ = checkpoint.sha256
    try:
        with checkpoint.path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > MAX_HEADER_BYTES:
                raise ValueError("a list of tensors that no network has")
        return load_file(checkpoint.path)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name}: {checkpoint.path} is not a readable safetensors file", "get it again"
        ) from error


def read_pickle(source: Path) -> dict[str, Tensor]:
    """Return the state dict of a published PyTorch or Lightning file; weights-only loading runs no code.

    Lightning 1 keyed what its callbacks remember by their classes; empty classes stand in for these.

    Raises:
        WeightsUnavailable: the file cannot be read safely, or holds no state dict.
    """
    try:
        with torch.serialization.safe_globals(_stubs(source)):
            content = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsUnavailable(
            f"{source} cannot be read safely ({type(error).__name__}): it holds more than tensors, or is damaged",
            "ask its authors for the state dict alone",
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    plain = isinstance(state, dict) and all(isinstance(key, str) for key in state)
    if not plain or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsUnavailable(f"{source} holds no state dict of tensors", "give the authors' file as it is")
    return dict(state)


def _stubs(source: Path) -> list[Any]:
    """Return empty classes for the callbacks of Lightning that a file names, each with that name."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(source)
    except Exception:  # no file of torch's; loading tells why
        return []
    return [(type("Callback", (), {}), name) for name in names if name.startswith(_CALLBACKS)]


def write_weights(target: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors; of tensors that share memory each gets its own."""
    target.write_bytes(save({key: tensor.detach().clone().contiguous() for key, tensor in tensors.items()}))


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Assign tensors to a network, key by key, as float32.

    Raises:
        WeightsUnavailable: a missing or unknown key, a wrong shape or kind of tensor, a value that is not finite.
    """
    expected = network.state_dict()
    for key in expected.keys() | tensors.keys():
        problem = _problem(expected.get(key), tensors.get(key))
        if problem:
            raise WeightsUnavailable(f"checkpoint {name}: tensor {key} {problem}", "it belongs to another network")
    network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()}, assign=True)


def convert_state(network: nn.Module, state: Mapping[str, Tensor], name: str, target: Path) -> None:
    """Write a published state dict as safetensors, float32, after it was matched with a network key by key.

    Args:
        network: on the meta device; it takes the tensors.
        state: what was published.
        name: of the checkpoint.
        target: the file.

    Raises:
        WeightsUnavailable: see `load_strictly`.
    """
    load_strictly(network, state, name)
    write_weights(target, network.state_dict())


def _problem(expected: Tensor | None, given: Tensor | None) -> str:
    if given is None:
        return "is missing"
    if expected is None:
        return "is unknown"
    if given.shape != expected.shape:
        return f"has shape {tuple(given.shape)}, not {tuple(expected.shape)}"
    if given.is_meta or given.layout is not torch.strided or given.is_quantized or not given.is_floating_point():
        return f"is of kind {given.dtype}, {given.layout}, on {given.device.type}: no plain real numbers"
    return "" if bool(torch.isfinite(given.float()).all()) else "holds values that are not finite as float32"
