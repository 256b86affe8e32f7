"""Measure small ALDM networks on patients they have not seen, beside a copy and two regressions.

Usage: python examples/training/measure_aldm.py DATA_DIR STATE_DIR [sweep]

STATE_DIR is what examples/training/train_aldm.sh wrote for the folds OPENMS-07 and OPENMS-19. The table
gives each contrast after encoding and decoding (the ceiling of all that the networks can make), then
translations by the SPADE stack, raw and blended with the regression. 'sweep' puts diffusion after it on
OPENMS-07, with several numbers of steps.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from measure_builtin import PATIENTS, brain_of, images_of
from measure_syndiff import simple

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.generators.aldm.checkpoint import load_networks
from mrimpute.generators.aldm.generator import load
from mrimpute.generators.contract import Sampling
from mrimpute.metrics import score, texture
from mrimpute.prepare import Prepared, prepare, restore
from mrimpute.registry import Checkpoint, read_checkpoint_folder
from mrimpute.study import Study, find_series
from mrimpute.volume import FloatArray

PAIRS = ((Contrast.T1, Contrast.T2), (Contrast.T2, Contrast.FLAIR), (Contrast.T1, Contrast.T1C))
CPU = torch.device("cpu")


def main() -> None:
    data, state = Path(sys.argv[1]), Path(sys.argv[2])
    sweep = sys.argv[3:] == ["sweep"]
    images = {patient: images_of(data / patient) for patient in PATIENTS}
    print("| left out | images | method | brain PSNR / SSIM | sharpness | s |")
    print("|---|---|---|---|---|---|")
    for patient in PATIENTS[: 1 if sweep else 2]:
        checkpoint = read_checkpoint_folder(state / "aldm" / Path(patient).name / ("diffusion" if sweep else "spade"))
        brain = brain_of(images[patient])
        study = find_series(data / patient)

        def row(
            kind: str,
            method: str,
            made: FloatArray,
            target: Contrast,
            seconds: float = 0,
            patient: str = patient,
            brain: np.ndarray = brain,
        ) -> None:
            unit, truth = np.clip(made, 0, 1) * brain, images[patient][target]
            found, look = score(unit, truth, {"brain": brain})["brain"], texture(unit, truth, brain, 2)
            told = f"{found.psnr:.2f} / {found.ssim:.3f} | {look.sharpness:.2f} | {seconds:.0f}"
            print(f"| {Path(patient).name} | {kind} | {method} | {told} |", flush=True)

        def seen(contrast: Contrast, study: Study = study, checkpoint: Checkpoint = checkpoint) -> Prepared:
            return prepare({contrast: study.get(contrast).read()}, checkpoint.record.inputs)

        if not sweep:
            for contrast in BRATS_FOUR:
                row(f"{contrast} itself", "autoencoder", _reconstructed(checkpoint, seen(contrast), contrast), contrast)
        others = [images[other] for other in PATIENTS if other != patient]
        for source, target in PAIRS:
            pair = f"{source} → {target}"
            if not sweep:
                for method, made in simple(images[patient], others, source, target):
                    row(pair, method, made, target)
            for steps in (0, 1, 2, 5, 10, 20, 50) if sweep else (0,):
                method = f"diffusion, {steps} steps" if steps else "SPADE alone"
                for kind, made, seconds in _made(checkpoint, seen(source), target, steps):
                    row(pair, f"{method}{kind}", made, target, seconds)


def _reconstructed(checkpoint: Checkpoint, prepared: Prepared, contrast: Contrast) -> FloatArray:
    """Return what encoder, code book and decoder leave of an image."""
    stage = load_networks(checkpoint).first_stage
    volume = torch.from_numpy(prepared.images[contrast])[None, None] * 2 - 1
    with torch.inference_mode():
        made = stage.decode(stage.encode(volume))[0, 0]
    return restore(((made + 1) / 2).clamp(0, 1).numpy(), prepared.recipe)


def _made(
    checkpoint: Checkpoint, prepared: Prepared, target: Contrast, steps: int
) -> list[tuple[str, FloatArray, float]]:
    """Return (kind, image, seconds): raw, and as the tool gives it."""
    generator = load(checkpoint, Sampling("ddim" if steps else "none", steps), CPU, torch.float32)
    raw = replace(generator, networks=replace(generator.networks, coefficients=None))
    began = time.perf_counter()
    (one,) = raw(prepared, (target,), 0, lambda _done, _total: None)
    seconds = time.perf_counter() - began
    blended = generator.blended(torch.from_numpy(one.voxels), prepared, target)
    found = [(", raw", one.voxels), ("", blended.numpy())]
    return [(kind, restore(image, prepared.recipe), seconds) for kind, image in found]


if __name__ == "__main__":
    main()
