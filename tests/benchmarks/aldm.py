"""Seconds and memory of ALDM at the authors' size on this CPU: python tests/benchmarks/aldm.py

The stages of one 144x192x144 volume in float32 and bfloat16, random weights, each case in a process of its own. What
counts is the ratio between cases of one run. A goal is a peak of at most 5 GB.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from mrimpute import device
from mrimpute.generators.aldm.autoencoder import FirstStage
from mrimpute.generators.aldm.config import AldmConfig
from mrimpute.generators.aldm.unet import NoisePredictor

VOLUME = (144, 192, 144)
STAGES = ("encode", "code", "spade", "unet", "decode")


def measure(stage: str, precision: str) -> dict[str, float]:
    """Return the seconds of the second of two runs, and the peak memory in GiB with the networks loaded."""
    device.configure(None)
    torch.manual_seed(0)
    config = AldmConfig()
    first, unet = (network(config).eval().requires_grad_(False) for network in (FirstStage, NoisePredictor))
    coarse = [length // config.reduction for length in VOLUME]
    latent = torch.randn(1, config.latent, *coarse)
    volume = torch.rand(1, 1, *VOLUME) * 2 - 1
    step, label = torch.tensor([500]), torch.tensor([2])
    runs: dict[str, Callable[[], object]] = {
        "encode": lambda: first.quant_conv(first.encoder(volume)),
        "code": lambda: first.quantize(latent),
        "spade": lambda: first.spade(latent, [2]),
        "unet": lambda: unet(torch.cat([latent] * 3, dim=1), step, label),
        "decode": lambda: first.decode(latent),
    }
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        for _ in range(2):
            began = time.perf_counter()
            runs[stage]()
            seconds = time.perf_counter() - began
    return {"seconds": seconds, "gibibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        for stage in STAGES:
            exact = 0.0
            for precision in ("float32", "bfloat16"):
                out = subprocess.run([sys.executable, __file__, stage, precision], capture_output=True, check=True)
                result = json.loads(out.stdout)
                exact = exact or result["seconds"]
                told = f"{result['seconds']:7.2f} s, ratio {result['seconds'] / exact:.2f}"
                print(f"{stage:7} {precision:9}: {told}, peak {result['gibibytes']:.2f} GiB", flush=True)
