"""The seam between the line in fill.py and the generators: what goes in, what comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from mrimpute.contrasts import Contrast
from mrimpute.prepare import Prepared
from mrimpute.registry import Checkpoint
from mrimpute.volume import FloatArray

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


@dataclass(frozen=True)
class Synthetic:
    """What a generator makes of one target.

    Attributes:
        target: its contrast.
        voxels: (X, Y, Z) float32 in [0, 1], in the frame of the `Prepared` it was made from.
    """

    target: Contrast
    voxels: FloatArray


@dataclass(frozen=True)
class Sampling:
    """How a network is sampled: the sampler's name and its number of steps."""

    sampler: str
    steps: int


class Generator(Protocol):
    """A loaded network with its sampler. One call makes one image per target."""

    def __call__(
        self, prepared: Prepared, targets: tuple[Contrast, ...], seed: int, progress: Progress
    ) -> list[Synthetic]:
        """Make the targets from prepared sources; see the generator's own class."""
        ...


def door(generator: str, name: str) -> Any:
    """Return one door of a generator's room: its module `checkpoint`, `generator`, …"""
    return import_module(f"mrimpute.generators.{generator}.{name}")


def convert(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    """Turn a file that a generator's authors published into a safetensors file, strictly.

    Raises:
        WeightsUnavailable: the file cannot be read safely, or is not this network's.
    """
    door(checkpoint.record.generator, "checkpoint").convert(checkpoint, source, target)


def method_of(name: str) -> Any:
    class Shim:
        @staticmethod
        def choose_sampling(checkpoint: Checkpoint, sampler: str | None, steps: int | None) -> Sampling:
            from mrimpute.sampling import choose_sampling

            return Sampling(*choose_sampling(checkpoint, sampler, steps))

    return Shim
