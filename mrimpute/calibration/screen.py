"""Which of several studies are of one protocol: the rest would spoil a calibration, and are left out with a reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrimpute.calibration.gram import Gram, coefficients, squared_error
from mrimpute.calibration.site import Member, largest_sets
from mrimpute.contrasts import Contrast
from mrimpute.prepare.skull import BrainMask

MAX_SPACING_RATIO = 1.6
"""Voxel sizes of one protocol differ by less than this along every axis. Slices of 3 and 4 mm teach each other (5
studies, within 0.1 dB); 1 mm cubes among them are another protocol."""
MAX_GAP = 0.35
"""How much worse (natural logarithm of the rms error) the others' coefficients may do in a study than its own.
Measured: 0.02 to 0.22 among studies of one site, 0.47 to 0.54 for one of another site among them (8 studies,
3 sites)."""
MIN_JUDGES = 2
"""Others that it takes to call one study's grey values strange: of two that disagree nobody knows which is right."""


@dataclass(frozen=True)
class Candidate:
    """A study that can be read and lies in register.

    Attributes:
        folder: of it.
        member: what it would add.
        with_skull: whether its heads have skull.
        mask: what took the skull off; None for images as they are.
    """

    folder: Path
    member: Member
    with_skull: bool
    mask: BrainMask | None = None


Outlier = tuple[Candidate, str]
"""A study that is left out, and the reason."""


def screened(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Outlier]]:
    """Return the studies that teach one thing, and those that are left out."""
    kept, outliers = list(candidates), list[Outlier]()
    rules: tuple[Callable[[list[Candidate]], list[Outlier]], ...] = (_repeated, _other_skull, _other_voxels, _strange)
    for rule in rules:
        found = rule(kept)
        outliers += found
        kept = [one for one in kept if all(one is not other for other, _ in found)]
    return kept, outliers


def _repeated(candidates: list[Candidate]) -> list[Outlier]:
    found: list[Outlier] = []
    for number, one in enumerate(candidates):
        digests = set(one.member.voxels.values())
        twin = next((two for two in candidates[:number] if digests & set(two.member.voxels.values())), None)
        if twin:
            found.append((one, f"it holds an image of {twin.folder}"))
    return found


def _other_skull(candidates: list[Candidate]) -> list[Outlier]:
    full = [one for one in candidates if one.with_skull]
    stripped = [one for one in candidates if not one.with_skull]
    if len(full) > len(stripped):
        return [(one, "it is skull-stripped, and most others are not") for one in stripped]
    return [(one, "it has skull, and others are stripped") for one in full if stripped]


def _other_voxels(candidates: list[Candidate]) -> list[Outlier]:
    if not candidates:
        return []
    usual = max(candidates, key=lambda one: sum(_alike(one, other) for other in candidates))
    return [
        (one, f"another protocol: its voxels have {_sizes(one)}, those of {usual.folder} {_sizes(usual)}")
        for one in candidates
        if not _alike(usual, one)
    ]


def _alike(one: Candidate, other: Candidate) -> bool:
    """Tell whether the contrasts that two studies share were measured with voxels of about one size."""
    first, second = one.member.spacing_mm, other.member.spacing_mm
    shared = [contrast for contrast in first if contrast in second]
    return all(spacing_ratio(first[contrast], second[contrast]) < MAX_SPACING_RATIO for contrast in shared)


def sorted_spacing(spacing: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return a voxel size in mm, finest axis first, to a micrometre."""
    x, y, z = sorted(round(length, 3) for length in spacing)
    return x, y, z


def spacing_ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest ratio between two voxel sizes along any axis, at least 1."""
    return max(max(a / b, b / a) for a, b in zip(one, other, strict=True))


def _sizes(one: Candidate) -> str:
    return f"{', '.join(dict.fromkeys(words_of(size) for size in one.member.spacing_mm.values()))} mm"


def words_of(spacing: Sequence[float]) -> str:
    """Return a voxel size in words, for instance '0.719x0.719x3'."""
    return "x".join(f"{length:.3g}" for length in spacing)


def _strange(candidates: list[Candidate]) -> list[Outlier]:
    """Return the studies whose grey values behave otherwise than the rest's, the worst first."""
    kept, found = list(candidates), list[Outlier]()
    while len(kept) > MIN_JUDGES:
        plain = [one.member.gram.plain for one in kept]
        gaps = [_gap(one, [other for other in plain if other is not one]) for one in plain]
        worst = int(np.argmax(gaps))
        if gaps[worst] <= MAX_GAP:
            break
        found.append((kept.pop(worst), f"its grey values behave otherwise than the others' (gap {gaps[worst]:.2f})"))
    return found


def _gap(own: Gram, others: Sequence[Gram]) -> float:
    """Return how much worse the others' coefficients do than its own: the mean over targets of the difference of the
    logarithms of the rms errors; 0 where nothing can be compared."""
    gaps = []
    for target, sources in largest_sets(own.present):
        holding = [other.matrix for other in others if other.holds((*sources, target))]
        if len(holding) >= MIN_JUDGES:
            gaps.append(_log_error(own, holding, target, sources) - _log_error(own, [own.matrix], target, sources))
    return float(np.mean(gaps)) if gaps else 0.0


def _log_error(own: Gram, matrices: Sequence[np.ndarray], target: Contrast, sources: tuple[Contrast, ...]) -> float:
    weights = coefficients(matrices, sources, target)
    return 0.5 * float(np.log(max(squared_error(own.matrix, sources, target, weights), 1e-12)))
