"""Networks as OpenVINO computes them: converted once, for all sizes, and kept in the store."""

import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mrimpute._version import __version__
from mrimpute.device import OPENVINO, threads_used
from mrimpute.errors import MrimputeError, WeightsUnavailable
from mrimpute.files import new_part, remove_dead_parts, unremoved
from mrimpute.generators.convolution import joined
from mrimpute.registry import Checkpoint, home_folder
from mrimpute.registry.store import exclusively, put
from mrimpute.write.provenance import RECIPE_VERSION

PARTS = ("model.xml", "model.bin")
"""OpenVINO's own two files of a network, which the store keeps as one: a zip, whose checksums tell damage."""


class ConvertedNetwork(nn.Module):
    """A network that OpenVINO computes in bfloat16, compiled for the size of what it gets.

    Args:
        name: of its checkpoint, for messages.
        model: OpenVINO's network; its first input has any size.
    """

    @classmethod
    def of(cls, checkpoint: Checkpoint, network: nn.Module, example: tuple[Tensor, ...]) -> "ConvertedNetwork":
        """Read a checkpoint's network as the store keeps it; convert it where it is not there, or damaged. It is
        tried on the example, so that a machine on which OpenVINO fails is known before anything relies on it.

        Args:
            checkpoint: whose weights the network has.
            network: float32, on the CPU, as it is trained.
            example: inputs; the first is (B, C, X, Y, Z), and of any size later on.

        Raises:
            WeightsUnavailable: OpenVINO cannot compute it, or the store cannot be written.
            ResourcesExhausted: the disk is full.
        """
        with _told(checkpoint.name):
            file = converted_file(checkpoint)
            with exclusively(file.stem):
                model = _read(file)
                if model is None:
                    model = converted_model(network, example)
                    put(file, lambda part: _pack(model, part))
                    _remove_older(file)
        made = cls(checkpoint.name, model)
        made(*example)
        return made

    def __init__(self, name: str, model: Any) -> None:
        super().__init__()
        self._name = name
        self._model = model
        self._compiled: Any = None
        self._shapes: list[list[int]] = []

    def forward(self, *given: Tensor | list[Tensor]) -> Tensor:
        """Compute what the network makes of tensors on the CPU, or lists of maps side by side; its result is float32.

        Raises:
            WeightsUnavailable: OpenVINO fails.
        """
        with _told(self._name):
            inputs = [joined(one) for one in given]
            shapes = [list(one.shape) for one in inputs]
            if shapes != self._shapes:
                self._compiled = None  # two need not fit
                self._model.reshape(dict(enumerate(shapes)))
                self._compiled = _library().compile_model(self._model, "CPU", _settings())
                self._shapes = shapes
            return torch.from_numpy(self._compiled([one.contiguous().numpy() for one in inputs])[0])


def converted_file(checkpoint: Checkpoint) -> Path:
    """Return where a checkpoint's network is kept as OpenVINO takes it, one for each version that makes it otherwise.

    Raises:
        WeightsUnavailable: see `Checkpoint.sha256`.
    """
    made_by = f"recipe{RECIPE_VERSION}-mrimpute{__version__}-openvino{metadata.version(OPENVINO)}"
    return home_folder() / OPENVINO / f"{checkpoint.sha256[:32]}-{made_by}.zip"


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Tell what OpenVINO raises in one line, whatever it is; what a caller can do about it is the same.

    Raises:
        WeightsUnavailable: it raised something; the message has the checkpoint's name.
    """
    try:
        yield
    except MrimputeError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsUnavailable(f"OpenVINO cannot compute {name} ({reason})", "use --precision bfloat16") from error


def _library() -> Any:
    """Import OpenVINO without its telemetry, which tells a server of the import and of each conversion, and makes an
    identity in the user's home folder for it."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _settings() -> dict[str, Any]:
    """Return how networks are compiled: as many threads as elsewhere, tied to no processor, which others may use."""
    return {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": threads_used(), "ENABLE_CPU_PINNING": False}


def converted_model(network: nn.Module, example: tuple[Tensor, ...]) -> Any:
    """Return OpenVINO's network of the same weights, for any size of the first input's three axes."""
    batch, channels = example[0].shape[:2]
    shapes = [[batch, channels, -1, -1, -1], *(list(one.shape) for one in example[1:])]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's: it takes one way of those that are equal algebra
        return _library().convert_model(network, example_input=example, input=shapes)


def _pack(model: Any, part: Path) -> None:
    """Write OpenVINO's two files, in a folder of their own, into one: other runs convert other networks meanwhile."""
    remove_dead_parts(part.parent)
    folder = new_part(part.parent)
    try:
        folder.mkdir()
        _library().save_model(model, folder / PARTS[0], compress_to_fp16=False)
        with zipfile.ZipFile(part, "w") as packed:
            for name in PARTS:
                packed.write(folder / name, name)
    finally:
        unremoved([folder])


def _read(file: Path) -> Any:
    """Return a kept network; None where there is none, or not a whole one."""
    try:
        with zipfile.ZipFile(file) as packed:
            text, weights = (packed.read(name) for name in PARTS)
    except Exception:  # of every kind, by where the damage is
        return None
    return _library().Core().read_model(text, weights)


def _remove_older(file: Path) -> None:
    """Remove what other versions made of the same weights."""
    for other in file.parent.glob(f"{file.name.partition('-')[0]}-*{file.suffix}"):
        if other != file:
            with suppress(OSError):
                other.unlink()
