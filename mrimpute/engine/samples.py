"""Several samples of one target, each kept and found again; their mean is the result, and their spread beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mrimpute import io
from mrimpute.errors import OutputRefused
from mrimpute.marks import read_sidecar
from mrimpute.prepare.intensity import GreyRange
from mrimpute.volume import FloatArray
from mrimpute.write import Result
from mrimpute.write.nifti import write_spread, write_volume
from mrimpute.write.place import Destination, Standing
from mrimpute.write.provenance import Fingerprint
from mrimpute.write.result import recorded_fingerprint


@dataclass(frozen=True)
class Further:
    """One of several samples, or their spread.

    Attributes:
        place: where it belongs.
        fingerprint: what decides it; of a sample, that of a run with its seed alone.
        standing: what stands there.
        kind: see `Result`.
    """

    place: Destination
    fingerprint: Fingerprint
    standing: Standing
    kind: str

    def of(self, result: Result) -> Result:
        """Return it as a result, from what their mean is to be."""
        return replace(
            result, destination=self.place, fingerprint=self.fingerprint, standing=self.standing, kind=self.kind
        )


def further_of(
    place: Destination,
    fingerprint: Fingerprint,
    standing: Standing,
    standing_of: Callable[[Destination, Fingerprint], Standing],
) -> list[Further]:
    """Return the samples and, last, their spread, each with what stands at its place; of one image nothing.

    Of a mean that stands finished they are held against its own recipe, which another machine may have chosen in part,
    else against that of this run: a mean is never of samples that machines of two kinds made.

    Args:
        place: where their mean belongs.
        fingerprint: what decides it in this run.
        standing: what stands there.
        standing_of: tells what stands at a place.

    Raises:
        OutputRefused: something that may not be replaced stands at one of the places, or one is missing that only
            another machine makes as the mean says.
    """
    count = fingerprint.samples
    if count == 1:
        return []
    made = recorded_fingerprint(place) if standing.finished else fingerprint
    seeds = [replace(made, seed=made.seed + number, samples=1) for number in range(count)]
    kinds = [f"sample {number} of {count}" for number in range(1, count + 1)]
    listed = zip(place.further(count), [*seeds, made], [*kinds, f"spread of {count} samples"], strict=True)
    further = [Further(one, recipe, standing_of(one, recipe), kind) for one, recipe, kind in listed]
    missing = [one.place.image.name for one in further if not one.standing.finished]
    if missing and made != fingerprint:
        raise OutputRefused(
            f"{', '.join(missing)} is missing beside {place.image}, and this run would make it otherwise than its "
            f"recipe (device {made.device}, precision {made.precision}, engine {made.engine})",
            "run again on such a machine, or add --overwrite to make all anew",
        )
    return further


def sampled(
    result: Result, further: Sequence[Further], make: Callable[[Result], Result], scaled: bool
) -> tuple[Result, tuple[Path, ...], tuple[str, ...]]:
    """Make several samples and their spread, those that are there already excepted.

    Args:
        result: where their mean belongs, and what decides it.
        further: the samples and their spread.
        make: makes one sample.
        scaled: whether grey values are on the study's scale.

    Returns:
        The mean, to be written, the files of samples and spread, and what is to be told of them. The mean is that of
        the samples as written, so that a run that was killed in between ends with the same voxels.

    Raises:
        OutputRefused, ResourcesExhausted: the folder refuses, or the disk is full.
    """
    *samples, spread = further
    count = len(samples)
    total = squares = np.zeros(1)
    notes: list[str] = []
    for one in samples:
        if not one.standing.finished:
            notes += write_volume(make(one.of(result)), scaled).warnings
        unit = _unit(one.place)
        total, squares = total + unit, squares + np.square(unit)
    mean, variance = total / count, (squares - np.square(total) / count) / (count - 1)
    if not spread.standing.finished:
        notes += write_spread(_showing(spread.of(result), np.sqrt(np.clip(variance, 0, None))), scaled)
    made = replace(_showing(result, mean), kind=f"mean of {count} samples")
    return made, tuple(one.place.image for one in further), tuple(notes)


def _showing(result: Result, unit: FloatArray) -> Result:
    """Return a result with other voxels, values in [0, 1]."""
    return replace(result, image=replace(result.image, unit=unit.astype(np.float32)))


def _unit(place: Destination) -> FloatArray:
    """Return the values in [0, 1] of a written image, (X, Y, Z) float64."""
    grey = read_sidecar(place.sidecar)["intensity"]
    return GreyRange(grey["zero"], grey["one"]).exactly(io.read_volume(place.image).voxels)
