"""Measure calibration, and regressions on every source, on a scanner that the built-in networks have not seen.

Usage: python examples/training/measure_calibration.py DATA_DIR

DATA_DIR holds ms-aligned/OPENMSL-PATIENT-VISIT with t1, t2, flair and a mask of the brain. Each contrast is left out
of each study and made from the two others with the built-in SynDiff network, in several ways: blended with the
regression in its own file (one source); as it is made without a calibration; with a calibration from one study of
another patient; with one from a study each of the two other patients. Then the network without any regression: as it
is, and through a curve from one and from two studies of other patients. PSNR and SSIM in the head, in the network's
frame, and PSNR inside the mask, without the rim where brain and air were interpolated; the share of voxels that the
half-width from the other patients' studies holds; seconds and memory. Before that the regressions alone, after it the
package's own on every set of sources, each training patient left out in turn: how much those of one's own scanner
should count, and whether OPENMSL's studies beside them help.
"""

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mrimpute.calibration import FRAME, Gram, builtin_site
from mrimpute.calibration.apply import ERROR_BINS, estimated, gram_of, settled
from mrimpute.calibration.curve import Joint, NetworkRun, corrected, fitted, joint_of
from mrimpute.calibration.gram import EVERY, RICH, coefficients, held_coefficients, squared_error
from mrimpute.calibration.site import CALIBRATED_SHARE, half_width, source_sets
from mrimpute.calibration.use import steadied
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.generators import regression
from mrimpute.generators.contract import door, method_of
from mrimpute.generators.syndiff.generator import SOURCE_SHARE
from mrimpute.io import read_whole
from mrimpute.metrics import score
from mrimpute.plan import route
from mrimpute.prepare import Prepared, prepare
from mrimpute.prepare.frame import boxed, place_beside
from mrimpute.registry import Checkpoint, choose_checkpoint
from mrimpute.study import find_series
from mrimpute.volume import BoolArray, FloatArray, Volume

Figures = tuple[float, ...]
"""PSNR in dB and SSIM in the head, PSNR inside the mask."""

WAYS = (
    "one source",
    "not calibrated",
    "1 study",
    "2 studies",
    "network alone",
    "curve, 1 study",
    "curve, 2 studies",
)


@dataclass(frozen=True)
class Case:
    """One target of one study: what the network made, and all that a blend needs.

    Attributes:
        made, own: the network alone, and the regression in its own file.
        images: of the other contrasts.
        truth: the acquired image.
        head: where all are compared.
        inside: where the mask fills a voxel.
        joint: made against acquired.
    """

    made: FloatArray
    own: FloatArray
    images: dict[Contrast, FloatArray]
    truth: FloatArray
    head: BoolArray
    inside: BoolArray
    joint: Joint


def main() -> None:
    folders = sorted((Path(sys.argv[1]) / "ms-aligned").iterdir())
    began = time.process_time()
    grams = {folder.name: _gram(volumes_of(folder)) for folder in folders}
    print(f"one study to its matrix: {(time.process_time() - began) / len(folders):.0f} s of CPU time")
    _alone(grams)
    _own_scanner(grams)
    print(f"| target | study | {' | '.join(WAYS)} |\n|" + "---|" * (2 + len(WAYS)))
    held = []
    for target in next(iter(grams.values())).present:
        cases = {folder.name: _case(folder, target) for folder in folders}
        rows = []
        for name, case in cases.items():
            others = _first_visits([other for other in cases if _patient(other) != _patient(name)])
            rows.append(_measured(case, target, [grams[one] for one in others], [cases[one].joint for one in others]))
            _row(target, name, rows[-1])
            held.append((target, name, _within(cases, target, name, grams)))
        _row(target, "mean", [tuple(np.mean(way, axis=0)) for way in zip(*rows, strict=True)])
    print("\n| target | study | half-width | regression within | finished image within |\n|---|---|---|---|---|")
    for target, name, (width, regressed, finished) in held:
        print(f"| {target} | {name} | {width:.3f} | {regressed:.3f} | {finished:.3f} |")
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


def volumes_of(folder: Path) -> dict[Contrast, Volume]:
    study = find_series(folder)
    return {contrast: study.get(contrast).read() for contrast in BRATS_FOUR if contrast in study.present}


def _gram(volumes: dict[Contrast, Volume]) -> Gram:
    ready = prepare(volumes, FRAME)
    return gram_of(ready.images, ready.head, EVERY, RICH)


def _patient(name: str) -> str:
    return name.rsplit("-", 1)[0]


def _first_visits(names: Sequence[str]) -> list[str]:
    return list({_patient(name): name for name in sorted(names, reverse=True)}.values())


def _alone(grams: dict[str, Gram]) -> None:
    """Print what regressions alone do, not clipped: the package's on the 45 terms, calibrated, and a study's own."""
    print("| target | from | not calibrated | 1 study | 2 studies | its own | least gain with 1 |\n|" + "---|" * 7)
    package = [one.gram.matrix for one in builtin_site().plain.studies]
    for target, sources in source_sets(next(iter(grams.values())).present):
        rows = []
        for name, own in grams.items():
            others = _first_visits([other for other in grams if _patient(other) != _patient(name)])
            matrices = [grams[other].matrix for other in others]
            ways = [*([matrix] for matrix in matrices), matrices, [own.matrix]]
            before = _decibels(own.plain, package, target, sources)
            *single, both, best = [_decibels(own, way, target, sources) for way in ways]
            rows.append((before, float(np.mean(single)), both, best))
        means = " | ".join(f"{mean:.2f}" for mean in np.mean(rows, axis=0))
        least = min(one - before for before, one, _, _ in rows)
        print(f"| {target} | {', '.join(sources)} | {means} | {least:.2f} |", flush=True)
    print()


SHARES = (0.5, 0.67, 0.75, 0.85, 1.0)


def _own_scanner(grams: dict[str, Gram]) -> None:
    """Print what the package's regressions on every set of sources, of the 45 terms, do on patients left out."""
    print(
        f"| patient | target | from | alike | own {' | own '.join(map(str, SHARES))} | with OPENMSL |\n|" + "---|" * 10
    )
    others = [grams[name].plain.matrix for name in _first_visits(list(grams))]
    studies = builtin_site().plain.studies
    for number, one in enumerate(studies, 1):
        rest = [other for other in studies if other is not one]
        places = [other.place == one.place for other in rest]
        for target, sources in source_sets(BRATS_FOUR):
            matrices = [other.gram.matrix for other in rest]
            weighed = [_weighed(places, share) for share in SHARES] if any(places) else [None] * len(SHARES)
            ways = [(matrices, shares) for shares in (None, *weighed)]
            if Contrast.T1C not in (target, *sources):
                ways.append((matrices + others, None))
            found = [f"{_decibels(one.gram, learnt, target, sources, shares):.2f}" for learnt, shares in ways]
            print(f"| {number} {one.place} | {target} | {', '.join(sources)} | {' | '.join(found)} |", flush=True)
    print()


def _weighed(own: Sequence[bool], share: float) -> list[float]:
    """Return how much each study counts where the own ones count `share` together."""
    count = sum(own)
    return [share / count if one else (1 - share) / (len(own) - count) for one in own]


def _decibels(
    own: Gram,
    learnt: Sequence[FloatArray],
    target: Contrast,
    sources: tuple[Contrast, ...],
    shares: Sequence[float] | None = None,
) -> float:
    weights = coefficients(learnt, sources, target, shares=shares)
    return -10 * float(np.log10(squared_error(own.matrix, sources, target, weights)))


def _case(folder: Path, target: Contrast) -> Case:
    """Make one target with its network alone."""
    volumes = volumes_of(folder)
    present = tuple(contrast for contrast in volumes if contrast is not target)
    (job,) = route(present, [target])
    checkpoint = choose_checkpoint("builtin", job.generator, job.sources, target)
    ready = prepare({contrast: volumes[contrast] for contrast in job.sources}, checkpoint.record.inputs)
    further, _ = place_beside({c: volumes[c] for c in volumes if c not in job.sources}, ready.recipe, FRAME)
    made, own = _network(checkpoint, ready, target)
    images = ready.images | further
    truth = images.pop(target)
    joint = joint_of(NetworkRun(checkpoint.sha256, "", 0, target, job.sources), made, truth, ready.head)
    mask = read_whole(folder / f"{folder.name}-mask.nii.gz")
    inside = boxed((mask.voxels > 0).astype(np.float32), mask.grid, ready.recipe) > 0.99
    return Case(made, own, {contrast: images[contrast] for contrast in present}, truth, ready.head, inside, joint)


def _measured(case: Case, target: Contrast, grams: list[Gram], joints: list[Joint]) -> list[Figures]:
    """Return PSNR and SSIM in all ways; with one study, the mean over the other patients."""
    present, matrices = tuple(case.images), [one.matrix for one in grams]

    def blended(weights: FloatArray, share: float) -> Figures:
        return _score(case, _blend(case, estimated(case.images, case.head, present, weights), share))

    package = steadied(target, present, ())
    package = settled(case.images, case.head, package)

    def curved(some: list[Joint]) -> Figures:
        return _score(case, corrected(case.made, case.head, fitted(some)))

    share, own_share = CALIBRATED_SHARE[target], SOURCE_SHARE.get(target, regression.NETWORK_SHARE)
    single = [blended(held_coefficients([matrix], present, target), share) for matrix in matrices]
    return [
        _score(case, _blend(case, case.own, own_share)),
        blended(package.weights, package.share_beside(1) or own_share),
        tuple(np.mean(single, axis=0)),
        blended(held_coefficients(matrices, present, target), share),
        _score(case, case.made),
        tuple(np.mean([curved([joint]) for joint in joints], axis=0)),
        curved(joints),
    ]


def _within(cases: dict[str, Case], target: Contrast, name: str, grams: dict[str, Gram]) -> Figures:
    """Return the half-width that the other patients' studies tell, each left out of the others in turn, and the shares
    of the head's voxels that lie within: of the regression's image, and of the finished one."""
    others = [other for other in grams if _patient(other) != _patient(name)]

    def errors(of: str, learnt: list[str], finished: bool = False) -> FloatArray:
        case = cases[of]
        present = tuple(case.images)
        weights = held_coefficients([grams[one].matrix for one in learnt], present, target)
        made = estimated(case.images, case.head, present, weights)
        image = _blend(case, made, CALIBRATED_SHARE[target]) if finished else made
        return np.abs(image - case.truth)[case.head]

    apart = [errors(one, [other for other in others if other != one]) for one in others]
    steps = np.linspace(0, 1, ERROR_BINS + 1)[1:]
    width = half_width([np.searchsorted(np.sort(error), steps, side="right") / len(error) for error in apart])
    assert width is not None
    regressed, finished = (float(np.mean(errors(name, others, way) <= width)) for way in (False, True))
    return width, regressed, finished


def _network(checkpoint: Checkpoint, ready: Prepared, target: Contrast) -> tuple[FloatArray, FloatArray]:
    """Return what the network alone and what the regression in its file make."""
    sampling = method_of("syndiff").choose_sampling(checkpoint, None, None)
    generator = door("syndiff", "generator").load(checkpoint, sampling, torch.device("cpu"), torch.float32)
    alone = replace(generator, coefficients=None)
    (made,) = alone(ready, (target,), 0, lambda _done, _total: None)
    (image,) = ready.images.values()
    head = torch.from_numpy(ready.head)
    own = regression.estimate(torch.from_numpy(np.ascontiguousarray(image))[None], generator.coefficients, head)
    return made.voxels, own.numpy()


def _blend(case: Case, estimate: FloatArray, share: float) -> FloatArray:
    made, head = torch.from_numpy(case.made), torch.from_numpy(np.ascontiguousarray(case.head))
    return regression.blended(made, torch.from_numpy(estimate), head, share).numpy()


def _score(case: Case, image: FloatArray) -> Figures:
    found = score(image, case.truth, {"head": case.head, "inside": case.inside})
    return found["head"].psnr, found["head"].ssim, found["inside"].psnr


def _row(target: Contrast, name: str, scores: Sequence[Figures]) -> None:
    print(
        f"| {target} | {name} | {' | '.join('{:.2f} / {:.3f} / {:.2f}'.format(*one) for one in scores)} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
