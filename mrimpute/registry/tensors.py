"""Weights files: read safely, matched strictly, written whole."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mrimpute.errors import WeightsUnavailable
from mrimpute.registry.store import Checkpoint


def read_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint's safetensors file, after its digest was compared.

    Raises:
        WeightsUnavailable: unreadable, or not the recorded file.
    """
    _ = checkpoint.sha256
    try:
        return load_file(checkpoint.path)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name}: {checkpoint.path} is not a readable safetensors file", "get it again"
        ) from error


def read_pickle(source: Path) -> dict[str, Tensor]:
    """Return a published PyTorch state dict, read with weights-only loading, which runs no code.

    Raises:
        WeightsUnavailable: the file cannot be read safely, or is no plain state dict.
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
    return state


def read_checkpoint_file(source: Path) -> dict[str, Tensor]:
    """Return the state dict inside a PyTorch Lightning checkpoint, or of a plain file, read with
    weights-only loading, which runs no code.

    Raises:
        WeightsUnavailable: the file cannot be read safely, or holds no state dict.
    """
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsUnavailable(
            f"{source} cannot be read safely ({type(error).__name__}): it holds more than tensors",
            "where it was trained, save its weights alone: "
            "torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'weights.pt'), and import that",
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsUnavailable(f"{source} holds no state dict", "give the authors' file as it is")
    return state


def write_weights(target: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors."""
    target.write_bytes(save({key: tensor.contiguous() for key, tensor in tensors.items()}))


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
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
    return "" if bool(torch.isfinite(given).all()) else "holds values that are not finite"
