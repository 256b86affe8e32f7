"""The options that every training has, and their checks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from mrimpute.errors import UsageError
from mrimpute.training.augment import Augmentation


@dataclass(frozen=True, kw_only=True)
class CommonPlan:
    """What decides a training run, whatever the method.

    Attributes:
        steps: optimiser steps.
        batch: examples per step, over all processes.
        crop: edge in voxels of the random boxes that are trained on; 0 for the whole window.
        ema: decay of the averaged weights that are saved; 0 for the raw ones.
        augment: random changes to what the networks see.
        regression: fit a voxelwise regression on the same studies, which will be blended with the network.
        half_precision: run the networks in bfloat16, about twice as fast.
        seed: of every random choice.
    """

    steps: int
    batch: int = 1
    crop: int = 0
    ema: float = 0.0
    augment: Augmentation = field(default_factory=Augmentation)
    regression: bool = False
    half_precision: bool = False
    seed: int = 0

    def check_common(self, rates: Sequence[float], multiple: int) -> None:
        """Check the options that every training has.

        Args:
            rates: the learning rates.
            multiple: of which a crop must be one: as often the network halves its input.

        Raises:
            UsageError: one of them cannot be.
        """
        if min(self.steps, self.batch) < 1 or not all(0 < rate < inf for rate in rates):
            raise UsageError("steps, batch and learning rates must be positive", "correct the option")
        if not 0 <= self.ema < 1 or not 0 <= self.seed < 2**63:
            raise UsageError("the seed must be from 0 to below 2^63, EMA from 0 to below 1", "correct the option")
        if self.crop < 0 or self.crop % multiple:
            raise UsageError(f"--crop {self.crop} is not a multiple of {multiple}", "round it")
