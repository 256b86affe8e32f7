"""The seam between the line in fill.py and the generators: what goes in, what comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mrimpute.contrasts import Contrast
from mrimpute.prepare import Prepared
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


class Generator(Protocol):
    """A loaded network with its sampler. One call makes one image per target."""

    def __call__(
        self, prepared: Prepared, targets: tuple[Contrast, ...], seed: int, progress: Progress
    ) -> list[Synthetic]:
        """Make the targets from prepared sources; see the generator's own class."""
        ...
