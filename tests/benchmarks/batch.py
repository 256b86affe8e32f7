"""One call for many studies against one call each, by hand: python tests/benchmarks/batch.py [COUNT]

Small heads, the built-in FLAIR network, the real command line; both ways in one run.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mrimpute.contrasts import Contrast
from tests.conftest import OBLIQUE, WORDS, head_voxels, write_nifti

SOURCES = (Contrast.T1, Contrast.T1C, Contrast.T2)


def make_cohort(folder: Path, count: int) -> list[str]:
    for number in range(count):
        for contrast in SOURCES:
            name = f"case{number:02d}"
            path = folder / name / f"{name}{WORDS['brats23'][contrast]}.nii.gz"
            write_nifti(path, head_voxels(contrast, seed=number), OBLIQUE)
    return [str(path) for path in sorted(folder.iterdir())]


def timed(calls: list[list[str]]) -> float:
    started = time.monotonic()
    for studies in calls:
        subprocess.run(
            [sys.executable, "-m", "mrimpute", "fill", *studies, "--weights", "builtin", "-q"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return time.monotonic() - started


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["MRIMPUTE_STATE"] = f"{scratch}/home"
        together = timed([make_cohort(Path(scratch) / "one", count)])
        apart = timed([[study] for study in make_cohort(Path(scratch) / "each", count)])
    print(f"{count} studies: one call {together:.1f} s, {count} calls {apart:.1f} s, ratio {apart / together:.1f}")


main()
