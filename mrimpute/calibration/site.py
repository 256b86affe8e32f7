"""What complete studies of one scanner teach, and what follows from it for a study that lacks a contrast; no torch."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from mrimpute.calibration.curve import Joint, NetworkRun, errors_through, fitted
from mrimpute.calibration.gram import RICH, Gram, Kinds, held_coefficients, kinds_of
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import StudyRefused
from mrimpute.metrics import decibels
from mrimpute.registry import InputSpec
from mrimpute.volume import FloatArray

FRAME = InputSpec(
    orientation="LPS",
    spacing_mm=1.0,
    multiple=8,
    clip_quantiles=(0.001, 0.999),
    quantiles_of="head",
    clip_floor=0.0,
)
"""Where matrices are computed: voxels of 1 mm, and the grey values that the built-in networks see."""

MIN_FOR_WIDTH = 3
"""Studies from which on the half-width that holds 90 % of voxels is told."""
HELD = 0.9
"""Share of the head's voxels that a half-width holds."""

CALIBRATED_SHARE = {Contrast.T1: 0.1, Contrast.T2: 0.35, Contrast.FLAIR: 0.1}
"""Share of the structure of a SynDiff network that takes fewer sources than a calibrated regression beside it. Measured
inside the brain on a scanner that neither has seen (4 studies of 3 patients, a fifth for t1; studies of the two others
calibrate), with 0, 0.1, 0.25 and 0.5 of it: t1 21.67, 21.77, 21.46, 20.03 dB; t2 20.92, 21.11, 21.30, 21.29; flair
20.59, 20.48, 20.11, 19.06. On a scanner whose two patients the network has seen, which favours it: t1 19.20, 19.37,
19.43, 19.06; t2 18.17, 18.53, 18.91, 18.97; flair 17.21, 17.24, 17.14, 16.64."""

CALIBRATED_SHARE_ALIKE = {Contrast.T1: 0.25, Contrast.T2: 0.5, Contrast.FLAIR: 0.25}
"""The same of one that takes as many. 0.25 against 0.5, one source, the unseen scanner: t1 +0.69 dB, flair +0.60, t2
-0.49, so t2 keeps 0.5; 0.7 of it from t1 would lose 0.3 there, and gain 0.1 on a scanner that the network knows."""

MORE_SHARE = 0.5
"""Share of the structure of a SynDiff network that takes fewer sources than the package's regression beside it."""

ASTRAY_SHARE = {Contrast.T2: 0.75}
"""The same where that regression, on all sources, says nothing of the scanner. 0.75 against 0.5, t2 of four
studies of such a scanner by SynDiff from flair: +0.66, +0.61, +0.55, +0.55 dB. A flair would lose 0.7 to 1.1."""

OWN_PLACE = 0.75
"""How much the training studies of a study's own scanner count together. Measured with three sources, each of two
patients of one scanner left out, against all alike (0.5): 0.75 gains 0.4 dB on average and loses 0.06 at worst; 1,
without the other scanner, loses 0.4 at worst (8 pairs of patient and target)."""

ContrastPair = tuple[Contrast, Contrast]
"""Two series of a study, in the order of BRATS_FOUR."""


@dataclass(frozen=True)
class Member:
    """One study of a calibration.

    Attributes:
        gram: its matrix.
        voxels: contrast → digest of its voxels, see `Volume.voxel_digest`.
        spacing_mm: contrast → voxel size of its series as acquired, finest axis first.
        seen: whether a network that is known here was trained on it.
        joints: how grey values that networks made of it go with the acquired ones, one per network and sampling.
        place: of the package's own studies, where it was scanned; '' else.
        information: how much each two of its series tell of each other, see `information.information_of`; empty where
            an earlier version learnt it.
    """

    gram: Gram
    voxels: dict[Contrast, str]
    spacing_mm: dict[Contrast, tuple[float, float, float]]
    seen: bool = False
    joints: tuple[Joint, ...] = ()
    place: str = ""
    information: dict[ContrastPair, float] = field(default_factory=dict)

    def joint(self, run: NetworkRun) -> Joint | None:
        """Return what is known of one network and sampling; None for nothing."""
        return next((one for one in self.joints if one.run == run), None)


@dataclass(frozen=True)
class Figure:
    """How well a regression alone, or a curve, does: the mean over studies, each left out of the calibration in turn.

    Attributes:
        target, sources: what from what.
        studies: how many were left out in turn.
        psnr, ssim: in the head, PSNR in dB; None where SSIM was not measured.
        half_width: 90 % of the head's voxels lie no further from the acquired [0, 1]; None below three studies.
        seen: whether a network that is known here was trained on one of the studies.
    """

    target: Contrast
    sources: tuple[Contrast, ...]
    studies: int
    psnr: float
    ssim: float | None = None
    half_width: float | None = None
    seen: bool = False


@dataclass(frozen=True)
class Regressor:
    """What a calibration says for one target of one study.

    Attributes:
        target, sources: what it makes of what, sources in the order of BRATS_FOUR.
        weights: coefficients, see `gram.held_coefficients`.
        studies: how many studies they stand on.
        figure: how well they do; None where fewer than two studies have these contrasts.
        calibration: its digest; '' for the package's own regressions.
        apart: whether the study itself is in the calibration, and was left out.
        warnings: what speaks against it.
        place: where most of it was learnt, because the study's scanner is that of this place; '' for nowhere.
        singles: (terms,) coefficients of the regressions on one source each; how much they count beside `weights`
            follows from the study (see `apply.settled`). None of them for `weights` as they are.
        astray: whether the regression on all sources was found to say nothing of the study's scanner.
    """

    target: Contrast
    sources: tuple[Contrast, ...]
    weights: FloatArray
    studies: int
    figure: Figure | None
    calibration: str
    apart: bool = False
    warnings: tuple[str, ...] = ()
    place: str = ""
    singles: tuple[FloatArray, ...] = ()
    astray: bool = False

    def share_beside(self, sources: int) -> float | None:
        """Return the share of a network's structure beside it; None for that beside a regression on its source.

        Args:
            sources: how many the network takes.
        """
        if len(self.sources) <= sources:
            return CALIBRATED_SHARE_ALIKE.get(self.target) if self.calibration else None
        if self.calibration:
            return CALIBRATED_SHARE.get(self.target, MORE_SHARE)
        return ASTRAY_SHARE.get(self.target, MORE_SHARE) if self.astray else MORE_SHARE

    @property
    def description(self) -> dict[str, object]:
        """What a sidecar tells of it; its figures are of the regression alone, without the network."""
        return _described(self, self.sources, "the regression alone", self.place)


@dataclass(frozen=True)
class Curve:
    """What a calibration says of the grey values that a network makes of one target.

    Attributes:
        run: the network, how it is sampled, and what it makes of what.
        knots: (2, K) made values that rise, and what they mean; see `curve.fitted`.
        studies: how many studies they stand on.
        figure: how well the network does through the curve; None where fewer than two studies tell.
        calibration: its digest.
        apart: whether the study itself is in the calibration, and was left out.
        warnings: what speaks against it.
    """

    run: NetworkRun
    knots: FloatArray
    studies: int
    figure: Figure | None
    calibration: str
    apart: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def description(self) -> dict[str, object]:
        """What a sidecar tells of it, in the words of a regression: it is one, monotone, of the network's image."""
        return _described(self, self.run.sources, "the network's image through a monotone curve")


def _described(found: Regressor | Curve, sources: tuple[Contrast, ...], of: str, place: str = "") -> dict[str, object]:
    figure = found.figure
    expected = figure and {
        "of": f"{of}, each study left out of the calibration in turn",
        "studies": figure.studies,
        "psnr_db": figure.psnr,
        "ssim": figure.ssim,
        "half_width_of_90_percent": figure.half_width,
        "seen": figure.seen,
    }
    return {
        "from": "calibration" if found.calibration else "package",
        "calibration": found.calibration,
        "sources": list(sources),
        "studies": found.studies,
        "own_study_left_out": found.apart,
        "training_site": place,
        "expected": expected,
    }


@dataclass(frozen=True)
class Site:
    """A calibration: what some studies of one scanner teach.

    Attributes:
        name: how messages call it.
        studies: in the order of their digests.
        figures: how well regressions do, by target and sources.
        with_skull: whether the heads have skull.
    """

    name: str
    studies: tuple[Member, ...]
    figures: tuple[Figure, ...] = ()
    with_skull: bool = False

    @cached_property
    def sha256(self) -> str:
        """Digest of all that decides voxels: its matrices, histograms, and the images they stand on.

        Figures and mutual information do not: they are told beside an image, or warned of.
        """
        digest = hashlib.sha256(str(self.with_skull).encode())
        for one in self.studies:
            digest.update(repr(sorted(one.voxels.items())).encode())
            digest.update(np.ascontiguousarray(one.gram.matrix).tobytes())
            for joint in one.joints:
                digest.update(repr(joint.run).encode())
                digest.update(joint.shares.tobytes())
        return digest.hexdigest()

    @property
    def digests(self) -> frozenset[str]:
        """Digests of the voxels of all its images."""
        return frozenset(digest for one in self.studies for digest in one.voxels.values())

    def knows(self, digests: Collection[str]) -> bool:
        """Tell whether an image with one of these voxel digests is in it."""
        return not self.digests.isdisjoint(digests)

    @property
    def places(self) -> tuple[str, ...]:
        """Where its studies were scanned, as far as it says."""
        return tuple(dict.fromkeys(one.place for one in self.studies if one.place))

    @property
    def kinds(self) -> Kinds:
        """Which features of each contrast its matrices have, see `gram.kinds_of`."""
        return kinds_of(self.studies[0].gram.matrix)

    @cached_property
    def plain(self) -> "Site":
        """What it teaches with the plain terms alone, in which names and scanners are judged."""
        return replace(self, studies=tuple(replace(one, gram=one.gram.plain) for one in self.studies))

    @cached_property
    def evened(self) -> "Site":
        """What it teaches for images sharper or noisier than its own, see `Gram.evened`."""
        return replace(self, studies=tuple(replace(one, gram=one.gram.evened) for one in self.studies))

    def of_place(self, place: str) -> "Site":
        """Return the part of it that was scanned at one place."""
        return Site(place, tuple(one for one in self.studies if one.place == place), (), self.with_skull)

    def regressor(
        self,
        target: Contrast,
        present: Collection[Contrast],
        digests: Collection[str],
        place: str = "",
        kinds: Kinds = RICH,
    ) -> Regressor:
        """Return what it says of a target: from as many of the present contrasts as its studies have beside it.

        Args:
            target: what is made.
            present: contrasts of the study that is filled.
            digests: of that study's voxels; a study never stands in its own calibration.
            place: whose studies count OWN_PLACE together; '' for all alike.
            kinds: of features that a regression takes, as far as the studies have them.

        Raises:
            StudyRefused: no study that remains has the target beside one of them.
        """
        others = self.without(digests).studies
        apart = len(others) < len(self.studies)
        for sources in _subsets(target, present):
            holding = [one for one in others if one.gram.holds((*sources, target))]
            if holding:
                matrices, shares = [one.gram.matrix for one in holding], _shares(holding, place)
                weights = held_coefficients(matrices, sources, target, shares, kinds)
                figure = next((one for one in self.figures if (one.target, one.sources) == (target, sources)), None)
                own = place if any(one.place == place for one in holding) else ""
                return Regressor(target, sources, weights, len(holding), figure, self.sha256, apart, place=own)
        raise StudyRefused(
            f"the calibration {self.name} has no {'other ' if apart else ''}study with {target} beside one of "
            f"{', '.join(present)}",
            f"calibrate with a study that has {target}, or leave the calibration out",
        )

    @cached_property
    def network_runs(self) -> tuple[NetworkRun, ...]:
        """Return all networks that it has curves for, with how they are sampled, each once."""
        return tuple(dict.fromkeys(joint.run for one in self.studies for joint in one.joints))

    def curve(self, run: NetworkRun, digests: Collection[str]) -> Curve | None:
        """Return what it says of the grey values that a network makes; None where it has no curve for that.

        Args:
            run: the network and how it is sampled.
            digests: of the voxels of the study that is filled, which never stands in its own calibration.
        """
        others = self.without(digests).studies
        joints = [joint for one in others if (joint := one.joint(run))]
        if not joints:
            return None
        apart = len(others) < len(self.studies)
        return Curve(run, fitted(joints), len(joints), self.curve_figure(run), self.sha256, apart)

    def curve_figure(self, run: NetworkRun) -> Figure | None:
        """Return how well a network does through a curve of the other studies; None with fewer than two studies."""
        held = [(one, joint) for one in self.studies if (joint := one.joint(run))]
        if len(held) < 2:
            return None
        errors = [
            errors_through(joint, fitted([other for _, other in held if other is not joint])) for _, joint in held
        ]
        psnr = float(np.mean([decibels(squared) for squared, _ in errors]))
        width = half_width([within for _, within in errors])
        return Figure(run.target, run.sources, len(held), round(psnr, 2), None, width, any(one.seen for one, _ in held))

    def information(self, pair: ContrastPair, digests: Collection[str]) -> list[float]:
        """Return how much two series tell of each other in each of its studies that says so.

        Args:
            pair: the two.
            digests: of the voxels of the study that is filled, which never counts for itself.
        """
        return [one.information[pair] for one in self.without(digests).studies if pair in one.information]

    def without(self, digests: Collection[str]) -> "Site":
        """Return what its studies teach that hold none of some images: of a study, what the others say of it."""
        return replace(self, studies=tuple(one for one in self.studies if not set(one.voxels.values()) & set(digests)))


def half_width(within: Sequence[FloatArray]) -> float | None:
    """Return the half-width that holds HELD of the head's voxels on average; None below MIN_FOR_WIDTH studies.

    Args:
        within: per study, the share of voxels whose error is at most 1, 2, … steps of [0, 1].
    """
    if len(within) < MIN_FOR_WIDTH:
        return None
    share = np.mean(within, axis=0)
    return float((np.searchsorted(share, HELD) + 1) / len(share))


def _shares(studies: Sequence[Member], place: str) -> list[float] | None:
    """Return how much each study counts, where those of one place count OWN_PLACE together; None for all alike."""
    own = sum(one.place == place for one in studies)
    if not place or own in (0, len(studies)):
        return None
    rest = (1 - OWN_PLACE) / (len(studies) - own)
    return [OWN_PLACE / own if one.place == place else rest for one in studies]


def _subsets(target: Contrast, present: Collection[Contrast]) -> Iterator[tuple[Contrast, ...]]:
    """Yield the sources that a target may have, the most first."""
    usable = [contrast for contrast in BRATS_FOUR if contrast in present and contrast is not target]
    for size in range(len(usable), 0, -1):
        yield from combinations(usable, size)


def source_sets(contrasts: Iterable[Contrast]) -> Iterator[tuple[Contrast, tuple[Contrast, ...]]]:
    """Yield every target of some contrasts with every set of sources, for each target the largest set first."""
    held = tuple(contrasts)
    for target in held:
        for sources in _subsets(target, held):
            yield target, sources


def largest_sets(contrasts: Iterable[Contrast]) -> Iterator[tuple[Contrast, tuple[Contrast, ...]]]:
    """Yield every target of some contrasts with all the others as sources."""
    held = tuple(contrasts)
    for target in held:
        yield target, next(_subsets(target, held))
