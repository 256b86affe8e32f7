"""The state of a training run on disk: saved in one step, resumed exactly, logged as JSON lines."""

import json
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from mrimpute.errors import OutputRefused
from mrimpute.files import replacing
from mrimpute.registry import CHECKPOINT_TOML, MODEL_FILE

RESUME_FILE = "resume.safetensors"
LOG_FILE = "log.jsonl"

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class TrainingState:
    """All that a run must remember between two steps.

    Attributes:
        plan: what decides the run, as text; a state of another plan is refused.
        networks: name → network.
        optimisers: name → the Adam of the network of that name.
        averages: name → averaged weights by key, of the networks that have them.
        data: digest of the studies; '' where a run does not state them.
    """

    plan: str
    networks: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]
    averages: Mapping[str, dict[str, Tensor]] = field(default_factory=dict)
    data: str = ""

    def save(self, folder: Path, step: int) -> None:
        """Write the state after `step` steps; a killed save leaves the one before."""
        tensors: dict[str, Tensor] = {}
        for name, network in self.networks.items():
            tensors |= {f"{name}/raw/{key}": tensor for key, tensor in network.state_dict().items()}
            for key, parameter in network.named_parameters():
                moments = self.optimisers[name].state.get(parameter, {})
                tensors |= {f"{name}/{moment}/{key}": tensor for moment, tensor in moments.items()}
        for name, average in self.averages.items():
            tensors |= {f"{name}/average/{key}": tensor for key, tensor in average.items()}
        cpu = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        with replacing(folder / RESUME_FILE) as temporary:
            temporary.write_bytes(save(cpu, {"step": str(step), "plan": self.plan, "data": self.data}))

    def resume(self, folder: Path) -> int:
        """Load a saved state, if there is one; return the step to go on with.

        Raises:
            OutputRefused: the folder cannot be written, or holds a run of another plan.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputRefused(f"cannot write in {folder} ({error.strerror})", "choose another --out") from error
        file = folder / RESUME_FILE
        if not file.is_file():
            return 0
        try:
            opened = safe_open(file, "pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise OutputRefused(f"{file} is damaged", "remove it to begin anew") from error
        with opened as saved:
            metadata, keys = saved.metadata(), set(saved.keys())
            if metadata["plan"] != self.plan:
                raise OutputRefused(
                    f"{folder} holds a run with other options", "give the same options, or another --out"
                )
            if metadata.get("data", self.data) != self.data:  # a run begun before 0.1 does not state its data
                raise OutputRefused(
                    f"{folder} holds a run on other images under the same names",
                    "give the same studies, or another --out",
                )
            for name, network in self.networks.items():
                network.load_state_dict({key: saved.get_tensor(f"{name}/raw/{key}") for key in network.state_dict()})
                for key, parameter in network.named_parameters():
                    self.optimisers[name].state[parameter] = {
                        moment: saved.get_tensor(f"{name}/{moment}/{key}").to(
                            "cpu" if moment == "step" else parameter.device
                        )
                        for moment in _MOMENTS
                        if f"{name}/{moment}/{key}" in keys
                    }
            for name, average in self.averages.items():
                for key, tensor in average.items():
                    tensor.copy_(saved.get_tensor(f"{name}/average/{key}"))
        return int(metadata["step"])


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a network's weights by key, the start of an average."""
    return {key: tensor.detach().clone() for key, tensor in network.state_dict().items()}


@contextmanager
def using(network: nn.Module, weights: dict[str, Tensor] | None) -> Iterator[None]:
    """Give a network other weights for a while; None for its own."""
    raw = weights_of(network)
    if weights is not None:
        network.load_state_dict(weights)
    try:
        yield
    finally:
        network.load_state_dict(raw)


def average_in(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    """Move averaged weights towards a network's: average ← decay average + (1 - decay) weights."""
    for key, tensor in network.state_dict().items():
        average[key].lerp_(tensor, 1 - decay)


def rising_decay(decay: float, step: int) -> float:
    """Return a decay for step `step` (from 0) that lets early steps count more, so that the average
    does not remember the untrained network."""
    return min(decay, (1 + step) / (10 + step))


def log(folder: Path, entry: dict[str, Any]) -> None:
    """Append one line to the run's log."""
    with (folder / LOG_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def write_checkpoint(
    folder: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any], exact: Set[str] = frozenset()
) -> None:
    """Write a checkpoint folder: weights as float16 safetensors, and the record as TOML, each in one step.

    Args:
        folder: made if it is not there.
        tensors: what the checkpoint's file holds.
        record: keys of a `mrimpute.registry.Record`; None is nowhere in it.
        exact: names of tensors that are written as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    halved = {k: w.to("cpu", w.dtype if k in exact else torch.float16).contiguous() for k, w in tensors.items()}
    with replacing(folder / MODEL_FILE) as temporary:
        temporary.write_bytes(save(halved))
    with replacing(folder / CHECKPOINT_TOML) as temporary:
        temporary.write_text(record_text(record), "utf-8")


def record_text(record: Mapping[str, Any]) -> str:
    """Return a checkpoint.toml."""
    return tomli_w.dumps(record)
