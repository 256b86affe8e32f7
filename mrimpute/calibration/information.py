"""Do two series tell as much of each other as those of a calibration's studies? Two that lie apart tell less.

Measured by normalised mutual information, (H(a) + H(b)) / H(a, b), of Studholme, Hill and Hawkes (Pattern Recognition
32(1), 1999), less 1. It depends on the scanner as much as on a shift: t1 and t2 of one scanner that lie 3 mm apart have
0.044 to 0.081, those of another in register 0.045. So only studies of the same scanner can be compared with.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from mrimpute.calibration.present import Present
from mrimpute.calibration.site import ContrastPair, Site
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.prepare import Prepared
from mrimpute.prepare.rigid import MIN_LITRES
from mrimpute.prepare.sources import Sources
from mrimpute.volume import BoolArray, FloatArray

BINS = 32
"""Of each series' grey values, [0, 1]."""
EVERY = 20
"""Of the head's voxels, every twentieth is looked at."""
LEAST_SHARE = 0.85
"""Share of the lowest among other patients of the scanner, below which a pair is told of. Measured (7 studies of 5
patients, 2 scanners): 1 of 27 clean pairs is told of, 59 of 81 that lie 1 mm apart, 54 of 54 at 3 mm; turns were not
measured. With 0.90 it is 3, 68 and 54, with 0.80 it is 1, 45 and 53."""


@dataclass(frozen=True)
class Shared:
    """How much two series of a study tell of each other.

    Attributes:
        pair: the two.
        found: normalised mutual information less 1.
        lowest: that of the calibration's other studies.
        studies: how many these are.
    """

    pair: ContrastPair
    found: float
    lowest: float
    studies: int

    @property
    def is_low(self) -> bool:
        """Whether it is so much below the other studies' that the two may lie apart."""
        return self.found < LEAST_SHARE * self.lowest

    @property
    def description(self) -> dict[str, object]:
        """What a sidecar tells of it."""
        return {"between": list(self.pair), "found": self.found, "lowest": self.lowest, "studies": self.studies}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Shared":
        """Return what a sidecar tells of: the way back from `description`."""
        one, other = told["between"]
        return cls((one, other), told["found"], told["lowest"], told["studies"])


def with_information(ready: Prepared, present: Present, site: Site) -> Prepared:
    """Say how much each two series tell of each other, and warn of two that tell less than those of a calibration.

    Where its studies hold no such pair, or do not tell because an earlier version wrote it, and of a small head,
    nothing is said.

    Args:
        ready: the series in the network's frame.
        present: the same.
        site: the calibration.

    Raises:
        StudyRefused: they do not lie on each other, or one has no grey values.
    """
    digests = present.sources.digests
    pairs = combinations(present.volumes, 2)
    known = {pair: values for pair in pairs if (values := site.information(pair, digests))}
    if not known or present.litres < MIN_LITRES:
        return ready
    found = information_of(present.framed)
    told = [Shared(pair, found[pair], min(values), len(values)) for pair, values in known.items()]
    fit = (ready.fit or {}) | {"mutual_information": [one.description for one in told]}
    return replace(ready, fit=fit, warnings=(*ready.warnings, *_notes(told, site, present.sources)))


def information_of(ready: Prepared) -> dict[ContrastPair, float]:
    """Return how much each two series of a study tell of each other: normalised mutual information less 1, in [0, 1].

    Args:
        ready: its series in the frame of calibrations.
    """
    held = [one for one in BRATS_FOUR if one in ready.images]
    levels = {one: _levels(ready.images[one], ready.head) for one in held}
    return {(one, other): _shared(levels[one], levels[other]) for one, other in combinations(held, 2)}


def _levels(image: FloatArray, head: BoolArray) -> FloatArray:
    """Return the bins that some of the head's voxels fall into, (N,) integers."""
    levels: FloatArray = np.clip(image.ravel()[np.flatnonzero(head)[::EVERY]] * BINS, 0, BINS - 1).astype(int)
    return levels


def _shared(one: FloatArray, other: FloatArray) -> float:
    """Return the normalised mutual information less 1 of two series, to four digits; 0 of images of one grey value."""
    joint = np.bincount(one * BINS + other, minlength=BINS * BINS).reshape(BINS, BINS) / one.size
    both = _entropy(joint)
    return round((_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))) / both - 1, 4) if both else 0.0


def _entropy(shares: FloatArray) -> float:
    held = shares[shares > 0]
    return float(-(held * np.log(held)).sum())


def _notes(told: list[Shared], site: Site, sources: Sources) -> Iterator[str]:
    """Yield what the user should know of pairs that tell too little of each other."""
    for one in told:
        if one.is_low:
            yield (
                f"{' and '.join(one.pair)} fit each other worse than those of the studies of the calibration "
                f"{site.name} ({one.found:.3f}, lowest there {one.lowest:.3f}); {_measured(one.pair, sources)}: "
                "look at them"
            )


def _measured(pair: ContrastPair, sources: Sources) -> str:
    """Say what the register check measured of two series."""
    found = [
        f"{one} {lay.mean_mm:.1f} mm off {sources.reference.contrast}{' and moved it' if lay.moved else ''}"
        for one, lay in sources.alignments.items()
        if one in pair
    ]
    return f"the register check found {', '.join(found)}" if found else "the register check could not measure them"
