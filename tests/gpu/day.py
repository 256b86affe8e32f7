"""All that a day with a GPU is for, in one line: python tests/gpu/day.py OUT [--minutes 25] [--toy]

First what must hold (tests marked cuda, CPU against CUDA, equal bytes twice, a device that is not there, memory that
runs out, two studies at once), then a table of seconds and memory, then trainings in order of worth until the time is
up. Every step's result stands in OUT/results.json as soon as it is there and as a table in OUT/table.md; the same line
again does what is left, and goes on with a training that was stopped. Without CUDA, and with --toy, the same steps run
on small parts on whatever is there: that is how the suite holds this script.

Trainings need MRIMPUTE_TEST_DATA, a folder with data/ms-mni and data/glioma-brats-space.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mrimpute import device
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.fill import Options, fill
from mrimpute.generators.blocks import lay_out
from mrimpute.generators.cwdm.network import NetworkConfig, WaveletUNet
from mrimpute.generators.cwdm.training import TrainingPlan, record_of
from mrimpute.training.state import record_text
from tests.benchmarks.table import machine, study, waken
from tests.conftest import ROOT, WIDE, WORDS, head_voxels, write_nifti

Result = dict[str, Any]
SOURCES = (Contrast.T1, Contrast.T1C, Contrast.T2)
SMALLEST_NETWORK = NetworkConfig(8, (1, 2), 1, 2)
NEAR = 0.02
"""How far an image of CUDA may lie from that of the CPU, of its largest value, anywhere; most voxels are far nearer."""


@dataclass(frozen=True)
class Day:
    """What the steps share.

    Attributes:
        out: where results go.
        where: the device that is tried.
        toy: whether small parts are enough.
        ends: when no further training begins, on the clock of time.monotonic.
    """

    out: Path
    where: torch.device
    toy: bool
    ends: float

    @property
    def word(self) -> str:
        """What --device is given."""
        return self.where.type

    def line(self, *words: object, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """Run the command line in a process of its own."""
        command = [sys.executable, "-m", "mrimpute", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)


def case_of(day: Day, contrasts: Sequence[Contrast]) -> Path:
    """Return a study of these contrasts, written once: the computed head, or a small one."""
    folder = day.out / "work" / "+".join(contrasts)
    if not folder.exists():
        if day.toy:
            for contrast in contrasts:
                write_nifti(
                    folder / f"case{WORDS['brats23'][contrast]}.nii.gz", head_voxels(contrast, (20, 24, 18)), WIDE
                )
        else:
            study(folder)
            for contrast in set(SOURCES) - set(contrasts):
                (folder / f"case{WORDS['brats23'][contrast]}.nii.gz").unlink()
    return folder


def tiny_checkpoint(day: Day) -> Path:
    """Return a checkpoint folder of a network with random weights that runs in no time."""
    folder = day.out / "work" / "tiny"
    if not folder.exists():
        torch.manual_seed(0)
        plan = TrainingPlan(SOURCES, Contrast.FLAIR, SMALLEST_NETWORK, steps=1, window=None)
        record = record_of(plan, [])
        record["inputs"]["spacing_mm"] = 2.3
        folder.mkdir(parents=True)
        save_file(waken(WaveletUNet(plan.network)).state_dict(), folder / "model.safetensors")
        (folder / "checkpoint.toml").write_text(record_text(record))
    return folder


@dataclass(frozen=True)
class Job:
    """A fill by one generator: of which study, with which weights, and what it makes."""

    generator: str
    case: Path
    weights: str
    missing: tuple[Contrast, ...]

    @property
    def words(self) -> list[str]:
        """The same for the command line."""
        asked = [word for contrast in self.missing for word in ("--missing", contrast)]
        return ["fill", str(self.case), *asked, "--weights", self.weights, "--no-checks"]


def jobs(day: Day) -> list[Job]:
    """Return a fill by each generator; of a toy one alone."""
    flair = (Contrast.FLAIR,)
    if day.toy:
        return [Job("cwdm", case_of(day, SOURCES), str(tiny_checkpoint(day)), flair)]
    lone = case_of(day, SOURCES[:1])
    return [
        Job("cwdm", case_of(day, SOURCES), "builtin", flair),
        Job("syndiff", lone, "builtin", flair),
        Job("aldm", lone, "builtin", (Contrast.T2, Contrast.FLAIR)),
    ]


def filled(day: Day, job: Job, device_word: str, name: str) -> dict[str, Path]:
    """Fill a study into a folder of its own; return the images by name."""
    options = Options(
        weights=(job.weights,), device=device_word, out=day.out / "work" / name, overwrite=True, checks=False
    )
    return {output.path.name: output.path for output in fill(job.case, job.missing, options).outputs}


def marked_tests(day: Day) -> Result:
    """Run the tests marked cuda."""
    if day.where.type != "cuda":
        return {"skipped": "no CUDA device"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "cuda", str(ROOT / "tests")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    return {"holds": done.returncode == 0, "said": done.stdout.strip().splitlines()[-1:]}


def same_as_cpu(day: Day) -> Result:
    """Compare the images of the CPU with those of the device, generator by generator."""
    found: Result = {"holds": True}
    for job in jobs(day):
        ours = filled(day, job, day.word, f"{job.generator}-device")
        for name, path in filled(day, job, "cpu", f"{job.generator}-cpu").items():
            exact, made = (np.asarray(nib.load(one).dataobj, np.float64) for one in (path, ours[name]))
            off = np.abs(made - exact) / exact.max()
            found[f"{job.generator} {name}"] = {"largest": float(off.max()), "mean": float(off.mean())}
            found["holds"] &= bool(off.max() <= NEAR)
    return found


def equal_bytes(day: Day) -> Result:
    """Fill twice on the device; the files must be equal."""
    found: Result = {"holds": True}
    for job in jobs(day):
        images = (filled(day, job, day.word, f"{job.generator}-{turn}") for turn in ("once", "again"))
        first, second = ({name: path.read_bytes() for name, path in one.items()} for one in images)
        found[job.generator] = first == second
        found["holds"] &= first == second
    return found


def absent_device(day: Day) -> Result:
    """Ask for a GPU that is not there: code 5 and one line."""
    done = day.line(*jobs(day)[0].words, "--device", f"cuda:{torch.cuda.device_count()}", "--out", day.out / "never")
    lines = done.stderr.strip().splitlines()
    return {"holds": done.returncode == 5 and len(lines) == 1, "code": done.returncode, "said": lines[-1:]}


def out_of_memory(day: Day) -> Result:
    """Leave the process next to no memory on the device: code 5, one line, nothing written."""
    if day.where.type != "cuda":
        return {"skipped": "no CUDA device"}
    target = day.out / "work" / "no-memory"
    program = (
        "import torch, sys; torch.cuda.set_per_process_memory_fraction(1e-4); "
        "from mrimpute.cli.app import main; main(sys.argv[1:])"
    )
    line = [sys.executable, "-c", program, *jobs(day)[0].words, "--device", "cuda", "--out", str(target), "-q"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    lines, left = done.stderr.strip().splitlines(), list(target.rglob("*.nii.gz"))
    return {"holds": done.returncode == 5 and len(lines) == 1 and not left, "code": done.returncode, "said": lines[-1:]}


def two_at_once(day: Day) -> Result:
    """Fill the same study in two processes on one device; both must make what one alone makes."""
    job = jobs(day)[0]
    alone = filled(day, job, day.word, f"{job.generator}-alone")
    targets = [day.out / "work" / f"{job.generator}-at-once-{number}" for number in range(2)]
    line = [sys.executable, "-m", "mrimpute", *job.words, "--device", day.word, "-q", "--overwrite"]
    running = [
        subprocess.Popen(
            [*line, "--out", str(target)],
            env={**os.environ, "MRIMPUTE_STATE": f"{target}-state"},  # else the study is locked by the first
            stdout=subprocess.DEVNULL,
        )
        for target in targets
    ]
    codes = [one.wait() for one in running]
    wanted = {name: path.read_bytes() for name, path in alone.items()}
    made = [{path.name: path.read_bytes() for path in target.rglob("*.nii.gz")} for target in targets]
    return {"holds": codes == [0, 0] and all(one == wanted for one in made), "codes": codes}


def timed(day: Day, call: Callable[[], Tensor], repeats: int) -> Result:
    """Return the median seconds of a call after two that do not count, and the peak memory of the device in GiB."""
    cuda = day.where.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    took = []
    with torch.inference_mode():
        for _ in range(repeats + 2):
            began = time.perf_counter()
            call()
            if cuda:
                torch.cuda.synchronize()
            took.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else None
    return {"seconds": float(np.median(took[2:])), "peak_gib": peak}


def step_of(day: Day, kind: str, way: str, batch: int) -> Result:
    """Time one step of cWDM, of the authors' size but in a toy.

    Args:
        day: what the steps share.
        kind: 'float32', 'tf32', 'bfloat16' or 'float16'.
        way: 'plain', 'channels-last', 'graph' or 'compile'.
        batch: samples at once.
    """
    cuda = day.where.type == "cuda"
    if not cuda and (kind == "tf32" or way in ("graph", "compile")):
        return {"skipped": "no CUDA device"}
    torch.manual_seed(0)
    network: nn.Module = waken(WaveletUNet(SMALLEST_NETWORK if day.toy else NetworkConfig()))
    size = (8, 8, 8) if day.toy else (112, 112, 80)
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(kind, torch.float32)
    lay_out(network, day.where, dtype)
    layout = torch.channels_last_3d if way == "channels-last" else torch.contiguous_format
    if cuda:
        network.to(memory_format=layout)  # type: ignore[call-overload]
    bands = torch.randn(batch, 32, *size).to(day.where, memory_format=layout)
    timestep = torch.full((batch,), 500, device=day.where)
    if way == "compile":
        network = torch.compile(network)  # type: ignore[assignment]
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = kind == "tf32"

    def call() -> Tensor:
        with torch.autocast(day.where.type, dtype, dtype != torch.float32):
            made: Tensor = network(bands, timestep)
            return made

    if way == "graph":
        return timed(day, captured(call), 5)
    return timed(day, call, 1 if day.toy else 5)


def captured(call: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Return a call that replays what another one does, as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        made = call()

    def replay() -> Tensor:
        graph.replay()
        return made

    return replay


def volume_of(day: Day, kind: str) -> Result:
    """Time a fill, file to file, in a process of its own: built-in weights, or the tiny ones of a toy."""
    line = [*jobs(day)[0].words, "--device", day.word, "--precision", kind, "--overwrite", "--json"]
    done = day.line(*line, "--out", day.out / "work" / f"volume-{kind}")
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    cost = json.loads(done.stdout)["cost"]
    return {"seconds": cost["seconds"], "peak_gib": cost["peak_cuda_mb"] / 1024}


def training(day: Day, name: str, words: Sequence[str]) -> Result:
    """Train until the end or until the time is up; the same line again goes on.

    Args:
        day: what the steps share.
        name: of the run, a folder below OUT/training.
        words: of `mrimpute train`, without --out and --device.
    """
    target = day.out / "training" / name
    left = day.ends - time.monotonic()
    if left <= 0 and not day.toy:
        return {"unfinished": "no time was left"}
    line = [sys.executable, "-m", "mrimpute", "train", *words, "--out", str(target), "--device", day.word]
    with (day.out / f"{name}.log").open("a") as log:
        running = subprocess.Popen(line, stdout=log, stderr=log)
        try:
            code = running.wait(None if day.toy else left)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGTERM)
            running.wait()
            return {"unfinished": f"stopped when the time was up; {target} goes on with the same line"}
    if code:
        raise RuntimeError((day.out / f"{name}.log").read_text().strip().splitlines()[-1])
    return {"folder": str(target)}


def trainings(day: Day) -> Iterator[tuple[str, list[str]]]:
    """Yield name and words of each training, the one that is worth most first: cWDM for FLAIR without a patient, so
    that its figures are of an unseen one; then for the other targets; then SynDiff between T1 and T2."""
    if day.toy:
        words = ["cwdm", str(case_of(day, BRATS_FOUR)), "--target", "flair", "--steps", "2", "--channels", "8"]
        yield "cwdm-toy", [*words, "--levels", "1,2", "--groups", "4", "--crop", "16", "--brain-window"]
        return
    data = Path(os.environ["MRIMPUTE_TEST_DATA"]) / "data"
    cases = [str(data / name) for name in ("ms-mni/OPENMS-07", "glioma-brats-space/TCGA-DU-7294")]
    held = str(data / "ms-mni" / "OPENMS-19")
    for target in ("flair", "t2", "t1", "t1c"):
        yield f"cwdm-{target}", ["cwdm", *cases, "--target", target, "--validate", held]
    yield "syndiff-t1-t2", ["syndiff", *cases, "--source", "t1", "--target", "t2"]


def steps_of(day: Day) -> Iterator[tuple[str, Callable[[], Result]]]:
    """Yield every step in its order."""
    for check in (marked_tests, same_as_cpu, equal_bytes, absent_device, out_of_memory, two_at_once):
        yield check.__name__.replace("_", " "), partial(check, day)
    for kind in ("float32", "tf32", "bfloat16", "float16")[: 3 if day.toy else 4]:
        for way in ("plain", "channels-last", "graph", "compile"):
            yield f"one step, {kind}, {way}", partial(step_of, day, kind, way, 1)
    yield "one step, bfloat16, 4 at once", partial(step_of, day, "bfloat16", "plain", 4)
    for kind in ("float32",) if day.toy else ("float32", "bfloat16"):
        yield f"one study, {kind}", partial(volume_of, day, kind)
    for name, words in trainings(day) if day.toy or "MRIMPUTE_TEST_DATA" in os.environ else ():
        yield f"training {name}", partial(training, day, name, words)


def table(results: dict[str, Result], told: str) -> str:
    """Return the results as a Markdown table."""
    lines = [told, "", "| step | result | seconds | peak GiB |", "| --- | --- | --- | --- |"]
    for name, found in results.items():
        state = next((f"{word}: {found[word]}" for word in ("failed", "skipped", "unfinished") if word in found), "")
        if not state and "holds" in found:
            state = "holds" if found["holds"] else "does NOT hold"
        figures = (found.get("seconds"), found.get("peak_gib"))
        cells = ["" if value is None else f"{value:.3g}" for value in figures]
        lines.append(f"| {name} | {state or 'done'} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=25, help="after which no training begins or goes on")
    parser.add_argument("--toy", action="store_true", help="small parts, as where there is no CUDA device")
    given = parser.parse_args(words)
    where = device.choose_device("auto")
    device.configure(None)
    toy = given.toy or where.type != "cuda"
    day = Day(given.out.resolve(), where, toy, time.monotonic() + 60 * given.minutes)
    day.out.mkdir(parents=True, exist_ok=True)
    file = day.out / "results.json"
    results: dict[str, Result] = json.loads(file.read_text()) if file.exists() else {}
    for name, step in steps_of(day):
        if name in results and not {"failed", "unfinished"} & set(results[name]):
            continue
        try:
            results[name] = step()
        except Exception as error:  # one step's failure is a row; the day goes on
            results[name] = {"failed": f"{type(error).__name__}: {error}"[:300]}
        print(f"{name}: {json.dumps(results[name])}", flush=True)
        file.write_text(json.dumps(results, indent=1))
        (day.out / "table.md").write_text(table(results, machine(torch.get_num_threads())))
    return int(any("failed" in found or found.get("holds") is False for found in results.values()))


if __name__ == "__main__":
    sys.exit(main())
