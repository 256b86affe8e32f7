"""The seam between the line in fill.py and the generators: what goes in, what comes out. No torch.

A generator is a folder here with five doors, which are all that outsiders import:

method      what it is, and which records and words on sampling it takes (a `Method`); no torch
network     the networks
checkpoint  record and file → networks
generator   networks → a `Generator`
training    prepared studies → a checkpoint folder
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from mrimpute.contrasts import Contrast
from mrimpute.errors import WeightsUnavailable
from mrimpute.prepare import Prepared
from mrimpute.registry import Checkpoint
from mrimpute.volume import FloatArray

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


@dataclass(frozen=True)
class Sampling:
    """How a run is sampled: the name of a sampler, and how many steps it takes (0: none)."""

    sampler: str
    steps: int


class Method(Protocol):
    """What a generator is, and what it takes; the object METHOD in a room's `method`."""

    @property
    def name(self) -> str:
        """The room's name, which a record's `generator` states."""
        ...

    @property
    def citation(self) -> str:
        """The publication, for records and provenance."""
        ...

    @property
    def bibtex(self) -> str:
        """The same as a BibTeX entry, for `mrimpute cite`."""
        ...

    @property
    def samplers(self) -> tuple[str, ...]:
        """Words that --sampler may be."""
        ...

    @property
    def ladders(self) -> tuple[str, ...]:
        """Names of the noise ladders that a record's `sampling.ladder` may be."""
        ...

    @property
    def predictions(self) -> tuple[str, ...]:
        """What a record's `sampling.predicts` may be."""
        ...

    def check(self, checkpoint: Checkpoint) -> None:
        """Check that the generator does what a checkpoint's record says; no file is read.

        Raises:
            WeightsUnavailable: it does not; the message names the entry and the key.
        """
        ...

    def choose_sampling(self, checkpoint: Checkpoint, sampler: str | None, steps: int | None) -> Sampling:
        """Return how a checkpoint is sampled, after its record was checked.

        Args:
            checkpoint: what will run.
            sampler, steps: the user's words; None for the checkpoint's own.

        Raises:
            WeightsUnavailable: see `check`.
            UsageError: the words cannot be honoured.
        """
        ...


@dataclass(frozen=True)
class Synthetic:
    """What a generator makes of one target.

    Attributes:
        target: its contrast.
        voxels: (X, Y, Z) float32 in [0, 1], in the frame of the `Prepared` it was made from.
    """

    target: Contrast
    voxels: FloatArray


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


def method_of(generator: str) -> Method:
    """Return the method of a generator, without importing torch.

    Raises:
        WeightsUnavailable: no generator has this name.
    """
    try:
        method: Method = door(generator, "method").METHOD
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("mrimpute.generators."):
            raise
        raise WeightsUnavailable(f"no generator is called {generator!r}", "correct the checkpoint's record") from error
    return method


def convert(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    """Turn a file that a generator's authors published into a safetensors file, strictly.

    Raises:
        WeightsUnavailable: the file cannot be read safely, or is not this network's.
    """
    door(checkpoint.record.generator, "checkpoint").convert(checkpoint, source, target)
