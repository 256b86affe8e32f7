"""Complete studies → a calibration: read, screened, their matrices computed, each left out of the others in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrimpute.calibration.apply import Errors, errors_of, estimated, gram_of
from mrimpute.calibration.gram import EVERY, RICH, Gram, held_coefficients
from mrimpute.calibration.information import information_of
from mrimpute.calibration.screen import Candidate, screened, sorted_spacing
from mrimpute.calibration.site import FRAME, Figure, Member, Site, half_width, source_sets
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import StudyRefused, UsageError
from mrimpute.metrics import decibels, score
from mrimpute.prepare import Prepared, prepare
from mrimpute.prepare.doubles import check_doubles
from mrimpute.prepare.reading import read_volumes
from mrimpute.prepare.skull import BrainMask, masked, strip
from mrimpute.prepare.sources import choose_sources
from mrimpute.registry import load_registry
from mrimpute.study import Series, find_series
from mrimpute.volume import Volume

Pair = tuple[Contrast, tuple[Contrast, ...]]
"""A target, and the sources it is made from."""


@dataclass(frozen=True)
class LeftOut:
    """A study that teaches nothing, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Learnt:
    """What studies taught.

    Attributes:
        site: the calibration.
        used: the studies that it stands on.
        left_out: the others.
    """

    site: Site
    used: tuple[Path, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class _Tally:
    """How a regression did in one study: its errors, and its SSIM where that was measured."""

    errors: Errors
    ssim: float | None


def learn(
    folders: Sequence[Path],
    name: str,
    targets: Sequence[Contrast] = (),
    screen: bool = True,
    skull_strip: bool = False,
    every: int = EVERY,
) -> Learnt:
    """Learn a calibration from studies, one at a time in memory.

    Args:
        folders: studies, NIfTI or DICOM; those that cannot be used are left out, with the reason.
        name: how messages call the calibration.
        targets: a study must hold one of them; empty for any two of the four contrasts.
        screen: whether studies that are not of one protocol are left out.
        skull_strip: whether the stripper on PATH takes the skull off heads that have one.
        every: of the head's voxels, every so many-th teaches; all of them take five times as long and tell the same.

    Raises:
        StudyRefused: no study is left.
        ResourcesExhausted: there is no stripper, or it failed.
    """
    candidates, left_out = [], []
    for folder in folders:
        try:
            candidates.append(_candidate(folder, targets, skull_strip, every))
        except (StudyRefused, UsageError) as error:
            left_out.append(LeftOut(folder, error.text))
    candidates, outliers = screened(candidates) if screen else (candidates, [])
    left_out += [LeftOut(one.folder, reason) for one, reason in outliers]
    if not candidates:
        reasons = "; ".join(f"{one.folder}: {one.reason}" for one in left_out)
        raise StudyRefused(f"no study is left to calibrate with ({reasons})", "give complete studies of the scanner")
    candidates.sort(key=lambda one: sorted(one.member.voxels.values()))
    members = tuple(one.member for one in candidates)
    site = Site(name, members, _figures(candidates), candidates[0].with_skull)
    return Learnt(site, tuple(one.folder for one in candidates), tuple(left_out))


def _candidate(folder: Path, targets: Sequence[Contrast], skull_strip: bool, every: int) -> Candidate:
    """Read and check one study, and compute its matrix.

    Raises:
        StudyRefused: it cannot be used, or holds too little.
    """
    series = _series_of(folder)
    held = [one.contrast for one in series]
    if len(series) < 2:
        raise StudyRefused(f"it holds {', '.join(held) or 'none'} of {', '.join(BRATS_FOUR)}; two are the least")
    if targets and not set(held) & set(targets):
        raise StudyRefused(f"it lacks {' and '.join(targets)}")
    read = read_volumes({one.contrast: [one] for one in series})
    check_doubles({one.contrast: read[one.path] for one in series})
    sources = choose_sources(series, None, read, register=False, mask=None)
    mask = strip(sources.onto, gpu=None) if skull_strip and sources.with_skull else None
    ready = _prepared(sources.volumes, mask)
    voxels = {contrast: sources.volumes[contrast].voxel_digest for contrast in held}
    spacing = {one.contrast: sorted_spacing(one.grid.spacing) for one in series}
    seen = any(set(voxels.values()) & set(known.record.trained_on_voxels or ()) for known in load_registry().values())
    gram, information = gram_of(ready.images, ready.head, every, RICH), information_of(ready)
    member = Member(gram, voxels, spacing, seen, information=information)
    return Candidate(folder, member, bool(sources.with_skull) and mask is None, mask)


def _series_of(folder: Path) -> list[Series]:
    study = find_series(folder)
    return [study.get(contrast) for contrast in BRATS_FOUR if contrast in study.present]


def _figures(candidates: Sequence[Candidate]) -> tuple[Figure, ...]:
    """Measure what the studies say of each other: each read again, and left out of what is fitted."""
    found: dict[Pair, list[_Tally]] = {}
    for one in candidates:
        others = [other.member.gram for other in candidates if other is not one]
        weights = _weights(one.member.gram, others)
        if weights:
            for pair, tally in _tallies(one, weights).items():
                found.setdefault(pair, []).append(tally)
    seen = any(one.member.seen for one in candidates)
    order = list(source_sets(BRATS_FOUR))
    return tuple(_figure(pair, found[pair], seen) for pair in order if len(found.get(pair, ())) > 1)


def _weights(own: Gram, others: Sequence[Gram]) -> dict[Pair, np.ndarray]:
    """Return the coefficients that other studies give for all that a study can show."""
    weights = {}
    for target, sources in source_sets(own.present):
        holding = [other.matrix for other in others if other.holds((*sources, target))]
        if holding:
            weights[target, sources] = held_coefficients(holding, sources, target)
    return weights


def _tallies(one: Candidate, weights: Mapping[Pair, np.ndarray]) -> dict[Pair, _Tally]:
    ready = _prepared({series.contrast: series.read() for series in _series_of(one.folder)}, one.mask)
    errors = errors_of(ready.images, ready.head, weights)
    tallies: dict[Pair, _Tally] = {}
    measured: set[Contrast] = set()
    for pair, weight in weights.items():
        target, sources = pair
        ssim = None
        if target not in measured:  # the largest set comes first
            made = estimated(ready.images, ready.head, sources, weight)
            ssim = score(made, ready.images[target], {"head": ready.head})["head"].ssim
            measured.add(target)
        tallies[pair] = _Tally(errors[pair], ssim)
    return tallies


def _prepared(volumes: Mapping[Contrast, Volume], mask: BrainMask | None) -> Prepared:
    return prepare(masked(volumes, mask), FRAME)


def _figure(pair: Pair, tallies: Sequence[_Tally], seen: bool) -> Figure:
    """Sum up what the studies that were left out in turn show."""
    target, sources = pair
    psnr = float(np.mean([decibels(one.errors.squared) for one in tallies]))
    similar = [one.ssim for one in tallies if one.ssim is not None]
    ssim = float(np.mean(similar)) if len(similar) == len(tallies) else None
    width = half_width([one.errors.within for one in tallies])
    return Figure(target, sources, len(tallies), round(psnr, 2), ssim and round(ssim, 4), width, seen)
