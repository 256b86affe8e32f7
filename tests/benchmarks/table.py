"""Speed and memory on this machine, as one table: python tests/benchmarks/table.py [--threads N] [--small] [ROW …]

Rows are cwdm, volume, syndiff, aldm, aldm-volume, builtin, batch, quality-cwdm, quality-syndiff, quality-aldm; all
without a name. Each compares ways in one process by turns, or processes one after the other; what counts is the ratio
to the first way, of processor time where others work. Weights are random but in builtin, batch and quality. `--small`
takes a part of each: minutes instead of an hour.
`quality-…` needs MRIMPUTE_TEST_DATA, a folder with data/ms-mni and data/glioma-brats-space.
"""

import argparse
import copy
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mrimpute.__main__ import LIBRARY_SETTINGS

os.environ |= LIBRARY_SETTINGS  # before torch reads them, as the command does

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.device import (
    OPENVINO,
    TORCH,
    allowed_cpus,
    choose_engine,
    choose_precision,
    has_openvino,
    processor_features,
)
from mrimpute.diffusion.ladder import variance_preserving_ladder
from mrimpute.evaluate import leave_one_out
from mrimpute.fill import Engine
from mrimpute.generators.aldm.autoencoder import FirstStage
from mrimpute.generators.aldm.checkpoint import Networks
from mrimpute.generators.aldm.config import AldmConfig
from mrimpute.generators.aldm.plan import TrainingPlan as AldmPlan
from mrimpute.generators.aldm.plan import record_of as aldm_record_of
from mrimpute.generators.aldm.unet import NoisePredictor
from mrimpute.generators.blocks import lay_out
from mrimpute.generators.converted import ConvertedNetwork, converted_model
from mrimpute.generators.cwdm.network import NetworkConfig, WaveletUNet
from mrimpute.generators.cwdm.training import TrainingPlan, record_of
from mrimpute.generators.syndiff import network as syndiff
from mrimpute.generators.syndiff.generator import SliceDraws, SyndiffGenerator
from mrimpute.phantom import head
from mrimpute.request import Options
from mrimpute.training.state import record_text
from tests.conftest import OBLIQUE, WORDS, head_voxels, write_nifti

SOURCES = (Contrast.T1, Contrast.T1C, Contrast.T2)
CPU = torch.device("cpu")
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile", "bf16")


@dataclass(frozen=True)
class Cost:
    """Of one way: processor and wall seconds, and the peak memory in GiB where a process of its own tells."""

    processor: float
    wall: float
    peak: float = float("nan")


def machine(threads: int) -> str:
    """Return what the figures depend on."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = match.group(1).strip() if (match := re.search(r"^model name\s*:(.*)$", told, re.M)) else platform.machine()
    kept = (
        ", ".join(feature for feature in FEATURES if feature in processor_features())
        or "none of the features that matter"
    )
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    return (
        f"{name} ({kept}), {allowed_cpus()} CPUs, {threads} threads, load {os.getloadavg()[0]:.1f}, {cuda}, "
        f"torch {torch.__version__}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )


def by_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, Cost]:
    """Return the median costs of ways that take turns in this process, after one turn that does not count."""
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            began, used = time.perf_counter(), time.process_time()
            with torch.inference_mode():
                way()
            costs[name].append(Cost(time.process_time() - used, time.perf_counter() - began))
    return {
        name: Cost(statistics.median(c.processor for c in found[1:]), statistics.median(c.wall for c in found[1:]))
        for name, found in costs.items()
    }


def process(arguments: list[str]) -> Cost:
    """Run the command line in a process of its own."""
    began = time.perf_counter()
    running = subprocess.Popen([sys.executable, "-m", "mrimpute", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(running.pid, 0)
    assert status == 0, arguments
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - began, usage.ru_maxrss / 2**20)


def waken(network: nn.Module) -> nn.Module:
    """Give layers that begin as zero random weights, as if trained."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.01)
    return network.eval().requires_grad_(False)


def laid_out(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    placed = copy.deepcopy(network)
    lay_out(placed, CPU, dtype)
    return placed


def three_ways(network: nn.Module, call: Callable[[nn.Module], object]) -> dict[str, Callable[[], object]]:
    """Return a call of a network as it is trained, in float32 and in bfloat16 as `fill` runs it."""
    exact, half = laid_out(network, torch.float32), laid_out(network, torch.bfloat16)

    def halved() -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return call(half)

    return {"plain float32": lambda: call(network), "float32": lambda: call(exact), "bfloat16": halved}


def cwdm(small: bool) -> Iterator[tuple[str, dict[str, Cost]]]:
    torch.manual_seed(0)
    size = (112, 112, 16) if small else (112, 112, 80)
    network, step = waken(WaveletUNet(NetworkConfig())), torch.tensor([500])
    bands = torch.randn(1, 32, *size)
    ways = three_ways(network, lambda one: one(bands, step))
    if has_openvino():
        converted = ConvertedNetwork("random", converted_model(network, (bands[..., :16, :16, :16], step)))
        ways["OpenVINO bfloat16"] = lambda: converted(bands, step)
    yield f"cWDM, authors' size, one step of {'x'.join(map(str, size))}", by_turns(ways, 1 if small else 3)


def random_checkpoint(folder: Path) -> Path:
    """Write a cWDM checkpoint of the authors' size, with random weights."""
    torch.manual_seed(0)
    plan = TrainingPlan(SOURCES, Contrast.FLAIR, NetworkConfig(), steps=1)
    return written(folder, waken(WaveletUNet(plan.network)).state_dict(), record_of(plan, []))


def random_aldm_checkpoint(folder: Path) -> Path:
    """Write an ALDM checkpoint of the authors' size, with random weights."""
    torch.manual_seed(0)
    plan = AldmPlan("diffusion", BRATS_FOUR, steps=1)
    first, unet = FirstStage(plan.network), NoisePredictor(plan.network)
    waken(first), waken(unet)
    return written(folder, Networks(first, unet).tensors(), aldm_record_of(plan, []))


def written(folder: Path, tensors: dict[str, Tensor], record: dict[str, object]) -> Path:
    folder.mkdir()
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / "checkpoint.toml").write_text(record_text(record))
    return folder


def study(folder: Path, contrasts: Sequence[Contrast] = SOURCES, seed: int = 0) -> Path:
    """Write a head of 240x240x155 voxels of 1 mm."""
    for contrast, voxels in head(contrasts, seed).items():
        write_nifti(folder / f"case{WORDS['brats23'][contrast]}.nii.gz", voxels, np.diag([-1.0, -1.0, 1.0, 1.0]))
    return folder


def volume(small: bool) -> Iterator[tuple[str, dict[str, Cost]]]:
    steps = 1 if small else 2
    with tempfile.TemporaryDirectory() as scratch:
        weights, case = random_checkpoint(Path(scratch) / "weights"), study(Path(scratch) / "case")
        line = ["fill", str(case), "--weights", str(weights), "--sampler", "ddim", "--steps", str(steps), "-q"]
        costs = {
            word: process([*line, "--overwrite", "--precision", word, "--no-checks"])
            for word in ("float32", "bfloat16")
        }
        yield f"cWDM, authors' size, 240x240x155 file to file, {steps} steps", costs


def syndiff_slice(small: bool) -> Iterator[tuple[str, dict[str, Cost]]]:
    torch.manual_seed(0)
    network = waken(syndiff.DiffusiveGenerator(syndiff.NetworkConfig()))
    steps = 1 if small else 4
    plane, ladder = (1, 256, 256), variance_preserving_ladder(steps)
    draws = SliceDraws(
        torch.randn(plane), [torch.randn(100) for _ in range(steps)], [torch.randn(plane) for _ in range(steps)]
    )
    source = torch.rand(1, *plane) * 2 - 1

    def sampled(dtype: torch.dtype) -> Callable[[], Tensor]:
        placed = laid_out(network, dtype)
        made = SyndiffGenerator(placed, Contrast.T1, Contrast.T2, ladder, False, 1, CPU, dtype)  # type: ignore[arg-type]
        return lambda: made.sample(source, [draws])

    ways = {"float32": sampled(torch.float32), "bfloat16": sampled(torch.bfloat16)}
    yield f"SynDiff, authors' size, {steps} steps of one 256x256 slice", by_turns(ways, 1 if small else 3)


def aldm(small: bool) -> Iterator[tuple[str, dict[str, Cost]]]:
    torch.manual_seed(0)
    config = AldmConfig()
    size = (48, 64, 48) if small else (144, 192, 144)
    coarse = [length // config.reduction for length in size]
    latent, image = torch.randn(1, config.latent, *coarse), torch.rand(1, 1, *size) * 2 - 1
    step, label = torch.tensor([500]), torch.tensor([2])
    first, unet = (waken(network(config)) for network in (FirstStage, NoisePredictor))
    parts: dict[str, tuple[nn.Module, Callable[[nn.Module], object]]] = {
        "encode": (first, lambda one: one.quant_conv(one.encoder(image))),
        "spade": (first, lambda one: one.spade(latent, [2])),
        "one step of diffusion": (unet, lambda one: one(torch.cat([latent] * 3, dim=1), step, label)),
        "decode": (first, lambda one: one.decode(latent)),
    }
    for name, (network, call) in parts.items():
        yield f"ALDM, authors' size, {name}, {'x'.join(map(str, size))}", by_turns(three_ways(network, call), 1)


def aldm_volume(small: bool) -> Iterator[tuple[str, dict[str, Cost]]]:
    steps, missing = (1, BRATS_FOUR[1:2]) if small else (10, BRATS_FOUR[1:])
    with tempfile.TemporaryDirectory() as scratch:
        weights, case = random_aldm_checkpoint(Path(scratch) / "weights"), study(Path(scratch) / "case", BRATS_FOUR[:1])
        asked = [word for target in missing for word in ("--missing", str(target))]
        line = ["fill", str(case), *asked, "--generator", "aldm", "--weights", str(weights), "--steps", str(steps)]
        costs = {
            word: process([*line, "-q", "--overwrite", "--precision", word, "--no-checks"])
            for word in ("float32", "bfloat16")
        }
        yield f"ALDM, authors' size, t1 to {', '.join(missing)} file to file, {steps} steps each", costs


def builtin(_small: bool) -> Iterator[tuple[str, dict[str, Cost]]]:
    with tempfile.TemporaryDirectory() as scratch:
        line = ["fill", str(study(Path(scratch) / "case")), "--weights", "builtin", "-q", "--overwrite"]
        yield (
            "cWDM, built-in, 240x240x155 file to file",
            {word: process([*line, "--precision", word]) for word in ("float32", "bfloat16")},
        )


def batch(small: bool) -> Iterator[tuple[str, dict[str, Cost]]]:
    with tempfile.TemporaryDirectory() as scratch:
        cases = []
        for number in range(4 if small else 32):
            case = Path(scratch) / f"case{number:02d}"
            for contrast in SOURCES:
                path = case / f"{case.name}{WORDS['brats23'][contrast]}.nii.gz"
                write_nifti(path, head_voxels(contrast, seed=number), OBLIQUE)
            cases.append(case)
        yield f"{len(cases)} small studies", one_call_or_many(cases)
    with tempfile.TemporaryDirectory() as scratch:
        cases = [study(Path(scratch) / f"large{number}", seed=number) for number in range(2 if small else 6)]
        yield f"{len(cases)} studies of 240x240x155", one_call_or_many(cases)


def one_call_or_many(cases: list[Path]) -> dict[str, Cost]:
    line = ["--weights", "builtin", "-q", "--overwrite"]
    single = [process(["fill", str(case), *line]) for case in cases]
    apart = Cost(sum(cost.processor for cost in single), sum(cost.wall for cost in single), single[0].peak)
    return {"one call each": apart, "one call": process(["fill", *map(str, cases), *line])}


def quality(generator: str, small: bool) -> Iterator[tuple[str, dict[str, Cost]]]:
    """Print what bfloat16 costs against float32, built-in weights, in the brain; studies they have seen."""
    data = Path(os.environ["MRIMPUTE_TEST_DATA"]) / "data"
    ways = {"float32": ("float32", TORCH), "bfloat16": ("bfloat16", TORCH)}
    if generator == "cwdm" and has_openvino():
        ways["OpenVINO bfloat16"] = "bfloat16", OPENVINO
    for case in (data / "ms-mni/OPENMS-07", data / "glioma-brats-space/TCGA-DU-7294")[: 1 if small else 2]:
        for target in [Contrast.T2] if small else [Contrast.T1, Contrast.T2, Contrast.FLAIR]:
            exact, *others = (_scored(case, target, generator, *way) for way in ways.values())
            for word, (psnr, ssim) in zip([*ways][1:], others, strict=True):
                what = f"{generator} {target} {case.name}, {word} less float32"
                print(f"| {what} | {psnr - exact[0]:+.4f} dB | {ssim - exact[1]:+.5f} SSIM | | |", flush=True)
    yield from ()


def _scored(case: Path, target: Contrast, generator: str, precision: str, engine: str) -> tuple[float, float]:
    """Return PSNR in dB and SSIM, in the brain, of a target made from the others."""
    options = Options(weights=("builtin",), precision=precision, generator=generator, checks=False)  # type: ignore[arg-type]
    with mock.patch("mrimpute.engine.engine_of", return_value=engine):  # which takes OpenVINO for large networks alone
        (made,) = leave_one_out(case, [target], options, Engine(options), seen=True)
    return made.scores["brain"].psnr, made.scores["brain"].ssim


ROWS: dict[str, Callable[[bool], Iterator[tuple[str, dict[str, Cost]]]]] = {
    "cwdm": cwdm,
    "volume": volume,
    "syndiff": syndiff_slice,
    "aldm": aldm,
    "aldm-volume": aldm_volume,
    "builtin": builtin,
    "batch": batch,
    "quality-cwdm": partial(quality, "cwdm"),
    "quality-syndiff": partial(quality, "syndiff"),
    "quality-aldm": partial(quality, "aldm"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="default: all")
    parser.add_argument("--threads", type=int, default=allowed_cpus())
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    os.environ["MRIMPUTE_THREADS"] = str(given.threads)
    print(
        machine(given.threads),
        f"\n`--precision auto` is {(chosen := choose_precision('auto', CPU, True))} by "
        f"{choose_engine('auto', chosen)} for cWDM of the authors' size on this machine\n",
    )
    print("| what | way | processor s (ratio) | wall s (ratio) | peak GiB |\n| --- | --- | --- | --- | --- |")
    for row in given.rows or ROWS:
        for what, costs in ROWS[row](given.small):
            first = next(iter(costs.values()))
            for way, cost in costs.items():
                used = f"{cost.processor:.2f} ({cost.processor / first.processor:.2f})"
                took = f"{cost.wall:.2f} ({cost.wall / first.wall:.2f})"
                print(f"| {what} | {way} | {used} | {took} | {cost.peak:.2f} |".replace("nan", ""), flush=True)


if __name__ == "__main__":
    main()
