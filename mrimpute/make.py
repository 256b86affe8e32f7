"""Prepared sources + a generator → an image on the study's grid. No disk, no options."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mrimpute.calibration import FRAME, Curve, Regressor
from mrimpute.calibration.curve import corrected
from mrimpute.calibration.use import Correction
from mrimpute.contrasts import Contrast
from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.contract import Generator
from mrimpute.prepare import Image, Prepared, prepare, restore
from mrimpute.prepare.frame import image_of, place_beside
from mrimpute.prepare.once import once_in_a_row
from mrimpute.prepare.skull import BrainMask, masked
from mrimpute.prepare.sources import Sources
from mrimpute.registry import InputSpec, Record
from mrimpute.volume import Volume

StepsDone = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


def prepare_sources(sources: Sources, record: Record, mask: BrainMask | None) -> Prepared:
    """Bring the sources of one target into the frame that a checkpoint was trained in; the next target of a study, if
    it is made from the same in the same frame, shares what came of it.

    Args:
        sources: as they lie on their reference.
        record: of the checkpoint: which of them it takes, and its frame.
        mask: where the brain is; what it leaves out is 0. None for the images as they are.

    Raises:
        StudyRefused: the sources do not lie on each other, or one has no grey values.
    """
    volumes = {contrast: sources.volumes[contrast] for contrast in record.sources if contrast in sources.volumes}
    seen = masked(volumes, mask)
    return _prepared((sources.onto, *seen.values()), (tuple(seen), record.inputs, sources.reference.contrast))


@once_in_a_row
def _prepared(volumes: Sequence[Volume], wish: tuple[tuple[Contrast, ...], InputSpec, Contrast]) -> Prepared:
    """Prepare sources, which stand behind the reference."""
    (onto, *sources), (contrasts, inputs, reference) = volumes, wish
    return prepare(dict(zip(contrasts, sources, strict=True)), inputs, (reference, onto))


def with_correction(ready: Prepared, sources: Sources, mask: BrainMask | None, correction: Correction) -> Prepared:
    """Add what a network is blended with, or the curve that its result goes through.

    Args:
        ready: the network's sources in its frame.
        sources, mask: what it was prepared from.
        correction: None for neither, or the regression in the network's own file.

    Raises:
        StudyRefused: a series has no grey values.
    """
    if isinstance(correction, Regressor):
        return with_estimate(ready, sources, mask, correction)
    return with_curve(ready, correction) if correction else ready


def with_estimate(ready: Prepared, sources: Sources, mask: BrainMask | None, regressor: Regressor) -> Prepared:
    """Add what a regression makes of all present sources, for the network to be blended with.

    Args:
        ready: the network's sources in its frame, whose grey values are the calibration's.
        sources, mask: what it was prepared from; the regression takes what lies beside the network's sources too.
        regressor: its coefficients.

    Raises:
        StudyRefused: a series has no grey values.
    """
    from mrimpute.calibration.apply import estimated, settled

    beside = {one: volume for one, volume in sources.beside.items() if one in regressor.sources}
    further, ranges = place_beside(masked(beside, mask), ready.recipe, FRAME)
    images = ready.images | further
    regressor = settled(images, ready.head, regressor)
    made = estimated(images, ready.head, regressor.sources, regressor.weights)
    recipe = replace(ready.recipe, ranges=ready.recipe.ranges | ranges)
    warnings = (*ready.warnings, *regressor.warnings)
    return replace(
        ready,
        recipe=recipe,
        warnings=warnings,
        estimates={regressor.target: made},
        network_share=regressor.share_beside(len(ready.images)),
        regression=regressor.description,
    )


def with_curve(ready: Prepared, curve: Curve) -> Prepared:
    """Add the curve that a network's result goes through."""
    warnings = (*ready.warnings, *curve.warnings)
    return replace(ready, curve=curve.knots, warnings=warnings, regression=curve.description)


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
    if ready.curve is not None:
        unit = corrected(unit, ready.recipe.head, ready.curve)
    if mask:
        unit = np.where(mask.on(ready.recipe.grid), unit, np.float32(0))
    return image_of(ready, target, unit)
