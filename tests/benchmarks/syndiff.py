"""Seconds and memory of SynDiff at the authors' size on this CPU: python tests/benchmarks/syndiff.py

Four steps of one 256x256 slice in float32 and bfloat16, one slice at a time and four at once, each case in
a process of its own. What counts is the ratio between cases of one run.
"""

import json
import resource
import subprocess
import sys
import time

import torch

from mrimpute.contrasts import Contrast
from mrimpute.diffusion.ladder import variance_preserving_ladder
from mrimpute.generators.syndiff.generator import SliceDraws, SyndiffGenerator
from mrimpute.generators.syndiff.network import DiffusiveGenerator, NetworkConfig

CASES = [("float32", 1), ("float32", 4), ("bfloat16", 1), ("bfloat16", 4)]


def measure(precision: str, batch: int) -> dict[str, float]:
    """Return the seconds per slice of the quicker of two runs, and the peak memory in MiB."""
    torch.manual_seed(0)
    network = DiffusiveGenerator(NetworkConfig()).eval().requires_grad_(False)
    ladder = variance_preserving_ladder(4)
    dtype = getattr(torch, precision)
    generator = SyndiffGenerator(network, Contrast.T1, Contrast.T2, ladder, False, batch, torch.device("cpu"), dtype)
    plane = (1, 256, 256)
    draws = SliceDraws(torch.randn(plane), [torch.randn(100) for _ in range(4)], [torch.randn(plane) for _ in range(4)])
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        generator.sample(torch.rand(batch, *plane) * 2 - 1, [draws] * batch)
        seconds.append((time.perf_counter() - began) / batch)
    return {"seconds": min(seconds), "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        first = None
        for precision, batch in CASES:
            out = subprocess.run([sys.executable, __file__, precision, str(batch)], capture_output=True, check=True)
            result = json.loads(out.stdout)
            first = first or result["seconds"]
            told = f"{result['seconds']:6.2f} s a slice, ratio {result['seconds'] / first:.2f}"
            print(f"{precision:9} batch {batch}: {told}, peak {result['mebibytes']:.0f} MiB", flush=True)
