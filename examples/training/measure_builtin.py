"""Measure small cWDM networks on patients they have not seen, beside two regressions.

Usage: python examples/training/measure_builtin.py DATA_DIR STATE_DIR

STATE_DIR is what examples/training/train_builtin.sh wrote for the folds OPENMS-07, OPENMS-19 and
TCGA-DU-7294. The regressions are (iii) linear in the three sources and (iv) quadratic in the sources
and their 3x3x3 means, fitted in the brain on the other two patients.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mrimpute import Engine, Options, io
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.evaluate import leave_one_out, normalised
from mrimpute.generators import regression
from mrimpute.metrics import Score, score
from mrimpute.study import find_series

PATIENTS = ("ms-mni/OPENMS-07", "ms-mni/OPENMS-19", "glioma-brats-space/TCGA-DU-7294")


def main() -> None:
    data, state = Path(sys.argv[1]), Path(sys.argv[2])
    images = {patient: images_of(data / patient) for patient in PATIENTS}
    print("| left out | target | method | whole PSNR / SSIM | brain PSNR / SSIM | lesion PSNR / SSIM | s |")
    print("|---|---|---|---|---|---|---|")
    for patient in PATIENTS:
        others = [images[other] for other in PATIENTS if other != patient]
        for target in BRATS_FOUR:
            weights = str(state / Path(patient).name / target)
            options = Options(weights=(weights,), device="cpu")
            for item in leave_one_out(data / patient, [target], options, Engine(options), seen=True):
                _row(patient, target, "cWDM", item.scores, f"{item.seconds:.1f}")
            truth = images[patient][target]
            lesion = io.read_mask(next((data / patient).glob("*-seg.nii.gz")))
            brain = brain_of(images[patient])
            regions = {"whole": np.ones_like(brain), "brain": brain, "lesion": lesion}
            for name, made in _regressed(images[patient], others, target):
                _row(patient, target, name, score(np.clip(made, 0, 1) * brain, truth, regions))


def images_of(folder: Path) -> dict[Contrast, np.ndarray]:
    study = find_series(folder)
    return {contrast: normalised(io.read_volume(study.get(contrast).path)) for contrast in BRATS_FOUR}


def brain_of(images: dict[Contrast, np.ndarray]) -> np.ndarray:
    return np.logical_or.reduce([image > 0 for image in images.values()])


def _regressed(
    images: dict[Contrast, np.ndarray], others: list[dict[Contrast, np.ndarray]], target: Contrast
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (method, prediction) for both regressions."""
    names = [contrast for contrast in BRATS_FOUR if contrast is not target]

    def sources(patient: dict[Contrast, np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack([patient[name] for name in names])).float()

    linear = np.concatenate([_linear(sources(patient))[:, brain_of(patient)] for patient in others], axis=1)
    wanted = np.concatenate([patient[target][brain_of(patient)] for patient in others])
    solved = np.linalg.lstsq(linear.T, wanted, rcond=None)[0]
    yield "(iii)", np.tensordot(solved, _linear(sources(images)), axes=1)
    pairs = ((sources(patient), torch.from_numpy(patient[target]).float()) for patient in others)
    coefficients = regression.fit(pairs, ridge=0.0)
    yield (
        "(iv)",
        regression.estimate(sources(images), coefficients, torch.from_numpy(brain_of(images))).double().numpy(),
    )


def _linear(sources: torch.Tensor) -> np.ndarray:
    return torch.cat([torch.ones_like(sources[:1]), sources]).double().numpy()


def _row(patient: str, target: Contrast, method: str, scores: dict[str, Score], seconds: str = "") -> None:
    figures = " | ".join(f"{scores[name].psnr:.2f} / {scores[name].ssim:.3f}" for name in ("whole", "brain", "lesion"))
    print(f"| {Path(patient).name} | {target} | {method} | {figures} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
