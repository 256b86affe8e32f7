"""Two runs at once that write to one place: for every pair of commands one image, whole, and the truth told."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.registry import read_checkpoint_folder
from mrimpute.registry.tensors import read_weights
from tests.conftest import WIDE, surroundings, write_study, write_tiny_weights
from tests.processes import Forked
from tests.registry.hub_server import serving
from tests.registry.test_hub import Destination
from tests.reliability.tally import Row
from tests.reliability.warm import Warm, ended, warm

TRAINING = (
    *("--target", "flair", "--channels", "4", "--levels", "1,2", "--res-blocks", "1", "--groups", "2"),
    *("--crop", "16", "--brain-window", "--steps", "4", "--save-every", "1", "--device", "cpu"),
)


def two_fills(work: Path, form: str, overwrite: bool, apart: bool, count: int) -> Row:
    """Fill one place twice at once, with two seeds.

    Args:
        work: an empty folder.
        form: nifti or dicom.
        overwrite: whether an image of the first seed stands there, and both may replace it.
        apart: whether their locks are apart, as on two machines.
        count: tries.
    """
    place = warm(work, form, overwrite=overwrite)
    found, refused = [], 0
    for number in range(count):
        place.stage(0 if overwrite else -1)
        gates = [os.pipe() for _ in range(2)]
        processes = [
            place.fork(seed, partial(_wait, gate[0], work / (f"state{seed}" if apart else "state")))
            for seed, gate in enumerate(gates)
        ]
        for _, write in gates:
            os.write(write, b"x")
        ends = [ended(process) for process in processes]
        for pipe in (end for gate in gates for end in gate):
            os.close(pipe)
        refused += 6 in ends
        if wrong := _wrong(place, ends):
            found.append(f"pair {number} ended with {ends}: {wrong}")
    pair = "--overwrite/--overwrite" if overwrite else "fill/fill"
    return Row(
        f"{pair}: {form}, locks {'apart' if apart else 'shared'}", count, tuple(found), f"{refused} were refused"
    )


def _wait(pipe: int, state: Path) -> None:
    os.environ["MRIMPUTE_STATE"] = str(state)
    os.read(pipe, 1)


def _wrong(place: Warm, ends: list[int]) -> str:
    """Return what is wrong after two runs of seeds 0 and 1."""
    if any(end not in (0, 6) for end in ends) or 0 not in ends:
        return "another code"
    if broken := place.sound(*(seed for seed in (0, 1) if ends[seed] == 0)):
        return broken
    sidecar = next(place.out.rglob("*.json"))
    seed = json.loads(sidecar.read_text())["fingerprint"]["seed"]
    if place.images() != place.wanted[seed]:
        return "the sidecar describes another image"
    return f"stale {place.parts()}" if place.parts() else ""


def _both(start: Callable[[int], Forked]) -> list[tuple[int, str]]:
    """Start two processes at once; return how they ended."""
    running = [start(number) for number in range(2)]
    done = [process.done() for process in running]
    return [(one.returncode, one.stderr) for one in done]


def two_shards(work: Path, count: int) -> Row:
    """Fill the two parts of a cohort into one folder at once: every study once."""
    studies = [write_study(work / f"case{n}", shape=(20, 24, 18), affine=WIDE, seed=n) for n in range(4)]
    weights = write_tiny_weights(work / "weights", Contrast.FLAIR)
    found = []
    for number in range(count):
        out = work / f"out{number}"
        words = ["fill", *studies, "-m", "flair", "--weights", weights, "--device", "cpu", "--out", out]

        def start(part: int, words: list[object] = words) -> Forked:
            return Forked([*words, "--shard", f"{part}/2"], surroundings(work / "home"))

        ends = _both(start)
        made = sorted(path.name for path in out.rglob("*.nii.gz"))
        if [code for code, _ in ends] != [0, 0] or len(made) != 4 or list(out.rglob(".mrimpute-*")):
            found.append(f"{ends}: {made}")
    return Row("shard/shard", count, tuple(found))


def two_pulls(work: Path, count: int) -> Row:
    """Pull one checkpoint twice at once from a Hub on loopback: both succeed, one whole file."""
    found = []
    weights = write_tiny_weights(work / "tiny", Contrast.FLAIR)
    for number in range(count):
        place = Destination(work / f"pull{number}", weights)
        with serving(place.hub):
            ends = _both(lambda _part, place=place: place.start("weights", "pull", "tiny"))
            checked = place.run("weights", "verify", "tiny").returncode
        parts = [path.name for path in place.home.rglob("*.part")]
        if [code for code, _ in ends] != [0, 0] or checked or parts:
            found.append(f"{ends}: verify {checked}, {parts}")
    return Row("pull/pull", count, tuple(found))


def two_trainings(work: Path, count: int) -> Row:
    """Train twice at once into one folder: one is refused, or comes after; the checkpoint is whole."""
    four = tuple(Contrast(word) for word in ("t1", "t1c", "t2", "flair"))
    study = write_study(work / "case", four, (20, 24, 18), WIDE)
    found, refused = [], 0
    for number in range(count):
        out = work / f"net{number}"
        words = ["train", "cwdm", study, *TRAINING, "--out", out]
        ends = _both(lambda _part, words=words: Forked(words, surroundings(work / "home")))
        refused += 6 in [code for code, _ in ends]
        wrong = "" if sorted(code for code, _ in ends) in ([0, 0], [0, 6]) else f"{ends}"
        with suppress(FileNotFoundError):
            wrong = wrong or (f"{parts}" if (parts := list(out.glob(".*"))) else "")
        if not wrong:
            read_weights(read_checkpoint_folder(out))
        found += [wrong] if wrong else []
        shutil.rmtree(out, ignore_errors=True)
    return Row("train/train", count, tuple(found), f"{refused} were refused")
