"""Networks as OpenVINO computes them: converted once, for all sizes, and kept in the store."""

import sys
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mrimpute.device import threads_used
from mrimpute.errors import WeightsUnavailable
from mrimpute.registry.store import Checkpoint, converted_file, exclusively, put

PARTS = ("model.xml", "model.bin")
"""OpenVINO's own two files of a network, which the store keeps as one: a zip, whose checksums tell damage."""


class ConvertedNetwork(nn.Module):
    """A network that OpenVINO computes in bfloat16, compiled for the size of what it gets.

    Args:
        model: OpenVINO's network; its first input has any size.
    """

    @classmethod
    def of(cls, checkpoint: Checkpoint, network: nn.Module, example: tuple[Tensor, ...]) -> "ConvertedNetwork":
        """Read a checkpoint's network as the store keeps it; convert it where it is not there, or damaged.

        Args:
            checkpoint: whose weights the network has.
            network: float32, on the CPU, as it is trained.
            example: inputs; the first is (B, C, X, Y, Z), and of any size later on.

        Raises:
            WeightsUnavailable: OpenVINO cannot take it, or the store cannot be written.
            ResourcesExhausted: the disk is full.
        """
        file = converted_file(checkpoint)
        with exclusively(file.stem):
            model = _read(file)
            if model is None:
                model = converted_model(checkpoint.name, network, example)
                put(file, lambda part: _pack(model, part))
                _remove_older(file)
        return cls(model)

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model
        self._compiled: Any = None
        self._shapes: list[list[int]] = []

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute what the network makes of tensors on the CPU; its one result is float32."""
        shapes = [list(one.shape) for one in inputs]
        if shapes != self._shapes:
            self._compiled = None  # two need not fit
            self._model.reshape(dict(enumerate(shapes)))
            self._compiled = _library().compile_model(self._model, "CPU", _settings())
            self._shapes = shapes
        return torch.from_numpy(self._compiled([one.contiguous().numpy() for one in inputs])[0])


def _library() -> Any:
    """Import OpenVINO without its telemetry, which tells a server of the import and of each conversion, and makes an
    identity in the user's home folder for it."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _settings() -> dict[str, Any]:
    """Return how networks are compiled: as many threads as elsewhere, tied to no processor, which others may use."""
    return {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": threads_used(), "ENABLE_CPU_PINNING": False}


def converted_model(name: str, network: nn.Module, example: tuple[Tensor, ...]) -> Any:
    """Return OpenVINO's network of the same weights, for any size of the first input's three axes.

    Raises:
        WeightsUnavailable: OpenVINO cannot take it; the message has the name.
    """
    batch, channels = example[0].shape[:2]
    shapes = [[batch, channels, -1, -1, -1], *(list(one.shape) for one in example[1:])]
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the tracer's: it takes one way of those that are equal algebra
            return _library().convert_model(network, example_input=example, input=shapes)
    except Exception as error:  # of every kind; what a caller can do about it is the same
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsUnavailable(f"{name} cannot be converted ({reason})", "use --precision bfloat16") from error


def _pack(model: Any, part: Path) -> None:
    """Write OpenVINO's two files, under names that the next run writes over, into one."""
    places = [part.with_name(f".{name}") for name in PARTS]
    try:
        _library().save_model(model, places[0], compress_to_fp16=False)
        with zipfile.ZipFile(part, "w") as packed:
            for place, name in zip(places, PARTS, strict=True):
                packed.write(place, name)
    finally:
        for place in places:
            place.unlink(missing_ok=True)


def _read(file: Path) -> Any:
    """Return a kept network; None where there is none, or not a whole one."""
    try:
        with zipfile.ZipFile(file) as packed:
            text, weights = (packed.read(name) for name in PARTS)
    except (OSError, KeyError, zipfile.BadZipFile):
        return None
    return _library().Core().read_model(text, weights)


def _remove_older(file: Path) -> None:
    """Remove what other versions made of the same weights."""
    for other in file.parent.glob(f"{file.name.partition('-')[0]}-*{file.suffix}"):
        if other != file:
            with suppress(OSError):
                other.unlink()
