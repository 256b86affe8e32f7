"""Prepared sources + a generator → an image on the study's grid. No disk, no options."""

from collections.abc import Callable

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.contract import Generator
from mrimpute.prepare import Image, Prepared, prepare, restore
from mrimpute.prepare.skull import BrainMask
from mrimpute.prepare.sources import Sources
from mrimpute.registry import Record

StepsDone = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


def prepare_sources(sources: Sources, record: Record, mask: BrainMask | None) -> Prepared:
    """Bring the sources of one target into the frame that a checkpoint was trained in.

    Args:
        sources: as they lie on their reference.
        record: of the checkpoint: which of them it takes, and its frame.
        mask: where the brain is; what it leaves out is 0. None for the images as they are.

    Raises:
        StudyRefused: the sources do not lie on each other, or one has no grey values.
    """
    volumes = {contrast: sources.volumes[contrast] for contrast in record.sources if contrast in sources.volumes}
    if mask:
        volumes = {contrast: mask.applied(volume) for contrast, volume in volumes.items()}
    return prepare(volumes, record.inputs, (sources.reference.contrast, sources.onto))


def synthesise(
    ready: Prepared, generator: Generator, target: Contrast, seed: int, mask: BrainMask | None, progress: StepsDone
) -> Image:
    """Make one target and bring it back onto the reference series' grid.

    Args:
        ready: the sources in the network's frame.
        generator: a loaded network.
        target: what it makes.
        seed: of the noise.
        mask: what it leaves out is 0 in the result, holes too.
        progress: called as the steps go on.

    Raises:
        WeightsUnavailable: what it makes is not finite, as of overflowing weights.
    """
    (made,) = generator(ready, (target,), seed, progress)
    if not np.isfinite(made.voxels).all():
        raise WeightsUnavailable(
            f"the network makes a {target} that is not finite", "its weights are damaged; get others"
        )
    unit = restore(made.voxels, ready.recipe)
    if mask:
        unit = np.where(mask.on(ready.recipe.grid), unit, np.float32(0))
    return Image(target, unit, ready.recipe, ready.warnings)
