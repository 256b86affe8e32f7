"""Speed and memory of cWDM at the authors' size, by hand: python tests/benchmarks/cwdm.py

Random weights, the whole BraTS window, `--sampler ddim --steps 2`. Prints seconds per step and peak
memory, then bfloat16 over float32 as a ratio taken in one run.
"""

import resource
import statistics
import sys
import time

import numpy as np
import torch

from mrimpute import device
from mrimpute.contrasts import Contrast
from mrimpute.diffusion.ladder import linear_beta_ladder, trailing_timesteps
from mrimpute.diffusion.step import Sampler
from mrimpute.generators.cwdm.denoiser import Denoiser
from mrimpute.generators.cwdm.generator import CwdmGenerator
from mrimpute.generators.cwdm.network import NetworkConfig
from mrimpute.prepare import Prepared
from mrimpute.prepare.geometry import BRATS_WINDOW

SOURCES = (Contrast.T1, Contrast.T1C, Contrast.T2)


def main() -> None:
    device.configure(None)
    where = device.choose_device("auto")
    torch.manual_seed(0)
    network = Denoiser(NetworkConfig()).eval().requires_grad_(False)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.01)
    network.to(where)
    draw = np.random.default_rng(0)
    images = {c: draw.random(BRATS_WINDOW, dtype=np.float32) for c in SOURCES}
    prepared = Prepared(images, np.ones(BRATS_WINDOW, bool), None, ("a",))  # type: ignore[arg-type]
    ladder = linear_beta_ladder().respaced(trailing_timesteps(1000, 2))
    medians = {}
    for dtype in (torch.float32, torch.bfloat16):
        generator = CwdmGenerator(network, SOURCES, Contrast.FLAIR, ladder, Sampler.DDIM, 0.04, where, dtype)
        marks: list[float] = []  # the first is the start of the first step
        generator(prepared, (Contrast.FLAIR,), 0, lambda _done, _total, marks=marks: marks.append(time.monotonic()))
        steps = np.diff(marks)
        medians[dtype] = statistics.median(steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{dtype}: seconds per step {', '.join(f'{s:.1f}' for s in steps)}; peak so far {peak:.2f} GiB", flush=True
        )
    print(f"bfloat16 / float32: {medians[torch.bfloat16] / medians[torch.float32]:.2f}")


if __name__ == "__main__":
    sys.exit(main())
