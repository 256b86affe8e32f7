"""What looking at a study's series costs before anything is made: python tests/benchmarks/checks.py STUDY [THREADS]

The study's series that regressions know are read and brought into the frame of calibrations, named and predicted from
each other, as `fill` does for a network that takes one of them. CPU seconds, median of three, and the ratio to reading
and comparing the study, which every run does.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mrimpute.calibration.naming import fit_in
from mrimpute.calibration.present import Present
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.make import prepare_sources
from mrimpute.prepare.reading import read_inputs
from mrimpute.prepare.sources import Sources
from mrimpute.registry import load_registry
from mrimpute.selfcheck import evidence_of
from mrimpute.study import find_series

REPEATS = 3


def main() -> None:
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    study = find_series(Path(sys.argv[1]))
    first, *others = [study.get(contrast) for contrast in BRATS_FOUR if contrast in study.present]
    target = next(contrast for contrast in BRATS_FOUR if contrast is not first.contrast)
    rows: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        found = work()
        rows.setdefault(name, []).append(time.process_time() - began)
        return found

    wanted, beside = {target: [first]}, {target: others}
    for _ in range(REPEATS):
        inputs = timed("read and compared", lambda: read_inputs(wanted, others, None, False, None, beside))
        _look(inputs.sources[target], timed)
    least = statistics.median(rows["read and compared"])
    for name, seconds in rows.items():
        print(f"{name:32} {statistics.median(seconds):5.2f} s of CPU, {statistics.median(seconds) / least:.2f}")


def _look(sources: Sources, timed: Callable[[str, Callable[[], Any]], Any]) -> None:
    checkpoint = load_registry()["aldm-small"]
    ready = prepare_sources(sources, checkpoint.record, None)
    present = Present(ready, sources, None, checkpoint.record.inputs)
    timed("brought into one frame", lambda: present.framed)
    timed("names and scanner", lambda: fit_in(present, None))
    timed("predicted from each other", lambda: evidence_of(present, checkpoint, None))


if __name__ == "__main__":
    main()
