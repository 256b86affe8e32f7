"""Measure small SynDiff networks on patients they have not seen, beside a copy and two regressions.

Usage: python examples/training/measure_syndiff.py DATA_DIR STATE_DIR [unpaired]

STATE_DIR is what examples/training/train_syndiff.sh wrote for the folds OPENMS-07 and OPENMS-19. The copy
is the source with its brain's histogram matched to the other patients' target; the regressions are
quadratic in the source, and in the source and its 3x3x3 mean, fitted in the brain on the other two patients.
"""

import sys
import tempfile
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from measure_builtin import PATIENTS, brain_of, images_of

from mrimpute import Engine, Options
from mrimpute.contrasts import Contrast
from mrimpute.evaluate import leave_one_out
from mrimpute.generators import regression
from mrimpute.metrics import score, texture
from mrimpute.study import find_series

Images = dict[Contrast, np.ndarray]
DIRECTIONS = tuple(permutations((Contrast.T1, Contrast.T2, Contrast.FLAIR), 2))


def main() -> None:
    data, state = Path(sys.argv[1]), Path(sys.argv[2])
    how = sys.argv[3] if len(sys.argv) > 3 else "paired"
    images = {patient: images_of(data / patient) for patient in PATIENTS}
    print("| left out | direction | method | brain PSNR / SSIM | sharpness | neighbouring slices | s |")
    print("|---|---|---|---|---|---|---|")
    for patient in PATIENTS[:2]:
        others = [images[other] for other in PATIENTS if other != patient]
        brain = brain_of(images[patient])
        for source, target in DIRECTIONS:
            made = dict(simple(images[patient], others, source, target))
            seconds = {}
            for pair in (f"{source}-{target}", f"{target}-{source}"):
                weights = state / f"syndiff-{how}" / Path(patient).name / pair / f"{source}-to-{target}"
                if weights.is_dir():
                    made["SynDiff"], seconds["SynDiff"] = _ours(data / patient, source, target, weights)
            truth = images[patient][target]
            for method, image in made.items():
                unit = np.clip(image, 0, 1) * brain
                found, look = score(unit, truth, {"brain": brain})["brain"], texture(unit, truth, brain, 2)
                print(
                    f"| {Path(patient).name} | {source} → {target} | {method} | {found.psnr:.2f} / {found.ssim:.3f} "
                    f"| {look.sharpness:.2f} | {look.between_slices:.2f} | {seconds.get(method, 0):.0f} |",
                    flush=True,
                )


def simple(
    images: Images, others: list[Images], source: Contrast, target: Contrast
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (method, prediction) of what needs no network."""
    brain = brain_of(images)
    wanted = np.concatenate([patient[target][brain_of(patient)] for patient in others])
    copy = np.zeros_like(images[target])
    ranks = images[source][brain].argsort().argsort() / max(1, brain.sum() - 1)
    copy[brain] = np.interp(ranks, np.linspace(0, 1, len(wanted)), np.sort(wanted))
    yield "copy", copy

    known = np.concatenate([patient[source][brain_of(patient)] for patient in others])
    powers = np.polynomial.Polynomial.fit(known, wanted, 2)
    yield "regression", powers(images[source])

    def maps(patient: Images) -> torch.Tensor:
        return torch.from_numpy(patient[source][None]).float()

    pairs = ((maps(patient), torch.from_numpy(patient[target]).float()) for patient in others)
    coefficients = regression.fit(pairs)
    yield (
        "regression with means",
        regression.estimate(maps(images), coefficients, torch.from_numpy(brain)).double().numpy(),
    )


def _ours(study: Path, source: Contrast, target: Contrast, weights: Path) -> tuple[np.ndarray, float]:
    """Return what a network makes, and the seconds it took, from a study of the two sequences alone."""
    found = find_series(study)
    options = Options(weights=(str(weights),), device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        for contrast in (source, target):
            path = found.get(contrast).path
            (Path(scratch) / path.name).symlink_to(path.resolve())
        (item,) = leave_one_out(Path(scratch), [target], options, Engine(options), seen=True)
    return item.images[0], item.seconds


if __name__ == "__main__":
    main()
