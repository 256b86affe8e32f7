"""Measure the small cWDM networks on patients they have not seen: PSNR in the brain.

Usage: python examples/measure_builtin.py DATA_DIR STATE_DIR [STEPS]

STATE_DIR is what examples/train_builtin.sh wrote. For every patient and target the fold's network
(trained without that patient) makes the image, beside it the shipped one (which has seen it).
Normalisation, brain and PSNR are those of data/BASELINES.md.
"""

import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from mrimpute import Contrast, Options, fill, find_series
from mrimpute.contrasts import BRATS_FOUR

PATIENTS = ("ms-mni/OPENMS-19", "ms-mni/OPENMS-07", "glioma-brats-space/TCGA-DU-7294")


def normalised(path: Path) -> np.ndarray:
    values = nib.load(path).get_fdata()
    low, high = max(0.0, float(np.quantile(values, 0.001))), float(np.quantile(values, 0.999))
    return (np.clip(values, low, high) - low) / (high - low)


def measure(folder: Path, target: Contrast, weights: Path, steps: int | None, keep: Path | None) -> tuple[float, float]:
    """Return brain PSNR in dB and wall seconds of one leave-one-sequence-out fill."""
    study = find_series(folder)
    paths = {contrast: study.get(contrast).path for contrast in BRATS_FOUR}
    brain = np.any([nib.load(path).get_fdata() != 0 for path in paths.values()], axis=0)
    with tempfile.TemporaryDirectory() as scratch:
        for contrast, path in paths.items():
            if contrast is not target:
                (Path(scratch) / path.name).symlink_to(path.resolve())
        started = time.monotonic()
        options = Options(weights=(str(weights),), intensity="unit", steps=steps)
        made = fill(Path(scratch), [target], options).outputs[0].path
        seconds = time.monotonic() - started
        image = nib.load(made).get_fdata()
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{study.name}-{target}.nii.gz").write_bytes(made.read_bytes())
    error = (image - normalised(paths[target]))[brain]
    return -10 * float(np.log10(np.mean(error**2))), seconds


def main() -> None:
    data, state = Path(sys.argv[1]), Path(sys.argv[2])
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else None
    print("patient         target  unseen dB  seen dB  seconds")
    for patient in PATIENTS:
        folder = data / patient
        for target in BRATS_FOUR:
            unseen = state / folder.name / target
            values = [float("nan"), 0.0]
            if (unseen / "checkpoint.toml").is_file():
                values = list(measure(folder, target, unseen, steps, state / "pictures" / "unseen"))
            seen, seconds = measure(folder, target, state / "none" / target, steps, state / "pictures" / "seen")
            print(f"{folder.name:<15} {target:<6}  {values[0]:9.2f}  {seen:7.2f}  {seconds:7.1f}", flush=True)


main()
