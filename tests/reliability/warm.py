"""A study that is read and a network that is loaded, so that a forked process does the rest of the line in no time.

What a fork runs is the product's own: locks, decision, encoding, files. Reading, registration, network came before.
"""

import contextlib
import datetime
import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from mrimpute import signals
from mrimpute.contrasts import Contrast
from mrimpute.engine.target import Maker
from mrimpute.fill import Engine
from mrimpute.outcome import Outcome
from mrimpute.prepare.reading import Inputs
from mrimpute.request import Options, Request
from mrimpute.write.dicom import series as dicom_series
from tests.conftest import WIDE, write_study, write_tiny_weights
from tests.reliability.corpus import dicom

FORMATS = ("nifti", "dicom")
CLOCK = datetime.datetime(2026, 1, 2, 3, 4, 5)


class _Clock(datetime.datetime):
    """A clock that stands still, so that two runs give the same DICOM bytes."""

    @classmethod
    def now(cls, tz: Any = None) -> "_Clock":
        return cls.fromisoformat(CLOCK.isoformat()).replace(tzinfo=tz)


@dataclass(frozen=True)
class _Once(Maker):
    """Prepares and computes an image once: it is the same each time."""

    kept: dict[str, Any] = field(default_factory=dict)

    def _checked(self, *words: Any) -> Any:
        if "checked" not in self.kept:
            self.kept["checked"] = super()._checked(*words)
        return self.kept["checked"]

    def _bench(self, *words: Any) -> Any:
        if "bench" not in self.kept:
            self.kept["bench"] = super()._bench(*words)
        return self.kept["bench"]

    def _made(self, *words: Any) -> Any:
        if "image" not in self.kept:
            self.kept["image"] = super()._made(*words)
        return self.kept["image"]


@dataclass(frozen=True)
class Warm:
    """Requests of one study for one folder, each for another seed, with an engine whose network is loaded.

    Attributes:
        study, out: folders.
        kept: folder with what undisturbed runs left.
        runs: seed → engine, request and inputs.
        wanted: seed → digests of the image's files, as an undisturbed run makes them.
    """

    study: Path
    out: Path
    kept: Path
    runs: dict[int, tuple[Engine, Request, Inputs]]
    wanted: dict[int, dict[str, str]]

    def go(self, seed: int) -> Outcome:
        """Go through the rest of the line, in this process."""
        engine, request, inputs = self.runs[seed]
        return engine.carry_out(request, inputs)

    def fork(self, seed: int, first: Callable[[], object] = lambda: None) -> int:
        """Start a process that does; it ends with the exit code. Return its id.

        Args:
            seed: of the run.
            first: called in it before anything else.
        """
        sys.stdout.flush()
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            first()
            error = self.go(seed).error
            code = int(error.exit_code) if error else 0
        except BaseException as end:
            code = int(getattr(end, "exit_code", 1))
        finally:
            os._exit(code)

    def images(self) -> dict[str, str]:
        """Return the digests of what stands at the place of the image."""
        return digests(self.out)

    def clear(self) -> None:
        """Empty the folder for results."""
        for path in self.out.iterdir():
            shutil.rmtree(path)

    def stage(self, seed: int) -> None:
        """Put there what an undisturbed run of a seed left; nothing for -1."""
        self.clear()
        if seed >= 0:
            shutil.copytree(self.kept / f"kept{seed}", self.out, dirs_exist_ok=True)

    def parts(self) -> list[str]:
        """Return what is left under temporary names."""
        return [path.name for path in self.out.rglob(".mrimpute-*")]

    def sound(self, *seeds: int) -> str:
        """Return what is wrong with what stands there: it must be one of these whole images, or nothing for -1."""
        found = self.images()
        if any(found == (self.wanted[seed] if seed >= 0 else {}) for seed in seeds):
            return ""
        return f"neither of {seeds} stands there, but {sorted(found) or 'nothing'}"


def digests(folder: Path) -> dict[str, str]:
    """Return the digests of the images below a folder; sidecars hold a time, and hidden files are nobody's."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix != ".json"
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def warm(work: Path, form: str, out: Path | None = None, overwrite: bool = False) -> Warm:
    """Prepare a study for forks; of seeds 0 and 1.

    Args:
        work: an empty folder.
        form: nifti or dicom.
        out: where results go; below `work` by default.
        overwrite: whether earlier results may be replaced.
    """
    os.environ |= {"MRIMPUTE_STATE": str(work / "state"), "MRIMPUTE_HOME": str(work / "home"), "HF_HUB_OFFLINE": "1"}
    torch.set_num_threads(1)
    dicom_series.datetime = _Clock  # type: ignore[attr-defined]
    study = work / "study"
    if form == "nifti":
        write_study(study, shape=(20, 24, 18), affine=WIDE)
    else:
        dicom.plain(study)
    weights = write_tiny_weights(work / "weights", Contrast.FLAIR)
    out = out or work / "out"
    out.mkdir(exist_ok=True)
    options = Options(weights=(str(weights),), device="cpu", threads=1, out=out, overwrite=overwrite, self_check=False)
    runs, wanted = {}, {}
    first = Warm(study, out, work, runs, wanted)
    for seed in (0, 1):
        engine = Engine(replace(options, seed=seed))
        request = engine.request(study, [Contrast.FLAIR])
        runs[seed] = engine, request, engine.read(request)
        engine.maker = _Once(engine.options, engine.maker.networks, engine.maker.masks, engine.maker.progress)
        outcome = first.go(seed)
        if outcome.error:
            raise outcome.error
        wanted[seed] = first.images()
        shutil.copytree(out, work / f"kept{seed}")
        first.clear()
    return first


def ended(process: int) -> int:
    """Wait for a forked process; return its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def heard() -> None:
    """Have signals end the process as the command line does."""
    signals._State.arrived = None
    signals.install()
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
