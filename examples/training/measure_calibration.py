"""Measure calibration, and regressions on every source, on a scanner that the built-in networks have not seen.

Usage: python examples/training/measure_calibration.py DATA_DIR

DATA_DIR holds ms-aligned/OPENMSL-PATIENT-VISIT with t1, t2 and flair. Each contrast is left out of each study and made
from the two others with the built-in SynDiff network, in four ways: blended with the regression in its own file (one
source); with the package's regression on both sources; with a calibration from one study of another patient; with one
from a study each of the two other patients. PSNR and SSIM in the brain, in the network's frame. Before that the
regressions alone; then the training patients, each left out of the others: how much those of one's own scanner should
count, and whether OPENMSL beside them helps. After it the package's regressions on every set of sources, likewise.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mrimpute.calibration import FRAME, Gram, builtin_site
from mrimpute.calibration.apply import estimated, gram_of
from mrimpute.calibration.gram import coefficients, squared_error
from mrimpute.calibration.site import source_sets
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.generators import regression
from mrimpute.generators.contract import door, method_of
from mrimpute.metrics import Score, score
from mrimpute.plan import route
from mrimpute.prepare import Prepared, prepare
from mrimpute.prepare.frame import place_beside
from mrimpute.registry import Checkpoint, choose_checkpoint
from mrimpute.study import find_series
from mrimpute.volume import FloatArray, Volume

WAYS = ("one source", "every source", "1 study", "2 studies")


def main() -> None:
    folders = sorted((Path(sys.argv[1]) / "ms-aligned").iterdir())
    volumes = {folder.name: volumes_of(folder) for folder in folders}
    grams = {name: _gram(held) for name, held in volumes.items()}
    _alone(grams)
    _own_scanner(grams)
    print(f"| study | target | {' | '.join(WAYS)} |")
    print("|---|---|---|---|---|---|")
    found: dict[Contrast, list[list[Score]]] = {}
    for name, held in volumes.items():
        others = _first_visits([other for other in grams if _patient(other) != _patient(name)])
        for target in held:
            scores = _measured(held, target, [grams[other] for other in others])
            found.setdefault(target, []).append(scores)
            _row(name, target, scores)
    for target, rows in found.items():
        means = [[np.mean([getattr(row[way], key) for row in rows]) for key in ("psnr", "ssim")] for way in range(4)]
        print(f"| mean | {target} | " + " | ".join(f"{psnr:.2f} / {ssim:.3f}" for psnr, ssim in means) + " |")
    _subsets()


def volumes_of(folder: Path) -> dict[Contrast, Volume]:
    study = find_series(folder)
    return {contrast: study.get(contrast).read() for contrast in BRATS_FOUR if contrast in study.present}


def _gram(volumes: dict[Contrast, Volume]) -> Gram:
    ready = prepare(volumes, FRAME)
    return gram_of(ready.images, ready.head)


def _patient(name: str) -> str:
    return name.rsplit("-", 1)[0]


def _first_visits(names: Sequence[str]) -> list[str]:
    return list({_patient(name): name for name in sorted(names, reverse=True)}.values())


def _alone(grams: dict[str, Gram]) -> None:
    """Print what regressions alone do, their results not clipped: the package's, calibrated, and a study's own."""
    print("| target | from | not calibrated | 1 study | 2 studies | its own | least gain with 1 |\n|" + "---|" * 7)
    package = [one.gram.matrix for one in builtin_site().studies]
    for target, sources in source_sets(next(iter(grams.values())).present):
        rows = []
        for name, own in grams.items():
            others = _first_visits([other for other in grams if _patient(other) != _patient(name)])
            matrices = [grams[other].matrix for other in others]
            ways = [package, *([matrix] for matrix in matrices), matrices, [own.matrix]]
            before, *single, both, best = [_decibels(own, way, target, sources) for way in ways]
            rows.append((before, float(np.mean(single)), both, best))
        means = " | ".join(f"{mean:.2f}" for mean in np.mean(rows, axis=0))
        least = min(one - before for before, one, _, _ in rows)
        print(f"| {target} | {', '.join(sources)} | {means} | {least:.2f} |", flush=True)
    print()


SHARES = (0.5, 0.67, 0.75, 0.85, 1.0)


def _own_scanner(grams: dict[str, Gram]) -> None:
    """Print what the package's regressions on every set of sources do on training patients that are left out."""
    print(
        f"| patient | target | from | alike | own {' | own '.join(map(str, SHARES))} | with OPENMSL |\n|" + "---|" * 10
    )
    others = [grams[name].matrix for name in _first_visits(list(grams))]
    for number, one in enumerate(builtin_site().studies, 1):
        rest = [other for other in builtin_site().studies if other is not one]
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


def _measured(volumes: dict[Contrast, Volume], target: Contrast, others: list[Gram]) -> list[Score]:
    """Return the scores in the four ways; with one study, the mean over the other patients."""
    present = tuple(contrast for contrast in volumes if contrast is not target)
    (job,) = route(present, [target])
    checkpoint = choose_checkpoint("builtin", job.generator, job.sources, target)
    ready = prepare({contrast: volumes[contrast] for contrast in job.sources}, checkpoint.record.inputs)
    further, _ = place_beside({c: volumes[c] for c in volumes if c not in job.sources}, ready.recipe, FRAME)
    images = ready.images | further
    made, own = _network(checkpoint, ready, target)
    truth = images.pop(target)

    def blended(weights: FloatArray) -> Score:
        return _score(made, estimated(images, ready.head, present, weights), ready, truth)

    matrices = [other.matrix for other in others]
    package = builtin_site().regressor(target, present, ())
    single = [blended(coefficients([matrix], present, target)) for matrix in matrices]
    psnr, ssim = (float(np.mean([getattr(one, key) for one in single])) for key in ("psnr", "ssim"))
    one = replace(single[0], psnr=psnr, ssim=ssim)
    return [
        _score(made, own, ready, truth),
        blended(package.weights),
        one,
        blended(coefficients(matrices, present, target)),
    ]


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


def _score(made: FloatArray, estimate: FloatArray, ready: Prepared, truth: FloatArray) -> Score:
    head = torch.from_numpy(np.ascontiguousarray(ready.head))
    image = regression.blended(torch.from_numpy(made), torch.from_numpy(estimate), head).numpy()
    return score(image, truth, {"brain": ready.head})["brain"]


def _row(name: str, target: Contrast, scores: list[Score]) -> None:
    figures = " | ".join(f"{one.psnr:.2f} / {one.ssim:.3f}" for one in scores)
    print(f"| {name} | {target} | {figures} |", flush=True)


def _subsets() -> None:
    """Print what the package's regressions do, each training patient left out in turn."""
    print("\n| target | from | brain PSNR | SSIM |\n|---|---|---|---|")
    for one in builtin_site().figures:
        ssim = f"{one.ssim:.3f}" if one.ssim is not None else ""
        print(f"| {one.target} | {', '.join(one.sources)} | {one.psnr:.2f} | {ssim} |")


if __name__ == "__main__":
    main()
