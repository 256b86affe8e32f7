"""What lives between two studies of a run: the loaded network, the last brain mask, the places that are taken."""

import gc
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Thread

from mrimpute import device, signals
from mrimpute.errors import MrimputeError, OutputRefused, WeightsUnavailable
from mrimpute.files import real_path
from mrimpute.generators.contract import Generator, Sampling, convert, door
from mrimpute.prepare import skull
from mrimpute.prepare.skull import BrainMask
from mrimpute.prepare.sources import Sources
from mrimpute.progress import Progress, Step, Tell, tell_nobody
from mrimpute.registry import HUB_WORD, Checkpoint, choose_checkpoint, hub
from mrimpute.request import Options, Order, engine_of, precision_of, sampling_of

Weights = tuple[Checkpoint, Sampling]
"""What makes one target: a checkpoint and how it is sampled."""


def import_early() -> None:
    """Begin to import PyTorch in a thread of its own, where that was not done: it takes a second or more, in which ITK
    can compare series. Whoever imports it next waits for that thread; what fails there fails for him again."""

    def imported() -> None:
        wanted = gc.isenabled()
        gc.disable()  # looking again and again for circles in what stays takes a quarter of a second
        with suppress(Exception):
            import_module("torch")
        gc.freeze()
        if wanted:
            gc.enable()

    if "torch" not in sys.modules and device.has_room_for_threads():
        Thread(target=imported).start()


def begin(options: Options, tell: Tell) -> None:
    """Import what computes, and set how many threads and how exactly, before anything is computed.

    Args:
        options: of the run.
        tell: called where the import takes a while.
    """
    if "torch" not in sys.modules:
        tell("importing torch")
    device.configure(options.threads)


@dataclass(frozen=True)
class Runner:
    """What computes a network: 'torch' or 'openvino', and why it is not what it should have been ('' else)."""

    engine: str = device.TORCH
    warning: str = ""


class Watch:
    """Tells what is going on in one study.

    Args:
        progress: whom it is told.
        folder: the study.
        ahead: see `Step`.
    """

    def __init__(self, progress: Progress, folder: Path, ahead: bool = False) -> None:
        self._progress = progress
        self._study = str(folder)
        self._ahead = ahead

    def tell(self, what: str) -> None:
        """Tell what begins."""
        self._progress(Step(self._study, what, ahead=self._ahead))

    def steps(self, what: str) -> Callable[[int, int], None]:
        """Return what a generator tells its steps to; a signal that came ends the run there."""

        def told(done: int, total: int) -> None:
            signals.check()
            self._progress(Step(self._study, what, done, total))

        return told


class Networks:
    """Obtains checkpoints, and keeps one network loaded while it is the one needed."""

    def __init__(self, options: Options, notify: hub.Notify) -> None:
        self.options = options
        self.notify = notify
        self._loaded: tuple[Checkpoint, Sampling, Generator] | None = None
        self._runners: dict[str, Runner] = {}

    def obtain(self, order: Order) -> Weights:
        """Return the checkpoint of an order, fetched from the Hub where that is its origin, and its sampling.

        Raises:
            WeightsUnavailable: it cannot be had; the message holds the line to type.
            UsageError: a checkpoint that only the Hub knew cannot be sampled as the user wants.
        """
        if order.note:
            self.notify(order.note)
        if order.word.startswith(HUB_WORD):
            hub.pull(order.word, self.notify, convert)
            checkpoint = choose_checkpoint(order.word, order.job.generator, order.job.sources, order.job.target)
            return checkpoint, sampling_of(checkpoint, self.options)
        if isinstance(order.checkpoint, WeightsUnavailable):
            raise order.checkpoint
        hub.obtain(order.checkpoint, self.notify, convert)
        return order.checkpoint, order.sampling or sampling_of(order.checkpoint, self.options)

    def runner(self, weights: Weights, tell: Tell = tell_nobody) -> Runner:
        """Return what computes a checkpoint's network; one that OpenVINO cannot take is torch's.

        Raises:
            WeightsUnavailable: the checkpoint is not valid.
        """
        checkpoint, _ = weights
        where = device.choose_device(self.options.device)
        if engine_of(checkpoint, self.options.precision, where) == device.TORCH:
            return Runner()
        if checkpoint.sha256 not in self._runners:
            self._runners[checkpoint.sha256] = self._tried(weights, tell)
        return self._runners[checkpoint.sha256]

    def _tried(self, weights: Weights, tell: Tell) -> Runner:
        """Load a network as OpenVINO computes it, and return who does: torch, and why, where that fails."""
        name = weights[0].name
        tell(f"loading {name} for OpenVINO, which the first run converts")
        self._loaded = None  # two networks need not fit
        try:
            self._loaded = *weights, self._read(weights, device.OPENVINO)
        except MrimputeError as error:
            return Runner(warning=f"torch computes {name}: {error}")
        return Runner(device.OPENVINO)

    def _read(self, weights: Weights, engine: str) -> Generator:
        """Return the generator of a checkpoint, read anew."""
        checkpoint, sampling = weights
        room = door(checkpoint.record.generator, "generator")
        where = device.choose_device(self.options.device)
        dtype = device.dtype_of(precision_of(checkpoint, self.options.precision, where))
        made: Generator = (
            room.load_converted(checkpoint, sampling)
            if engine == device.OPENVINO
            else room.load(checkpoint, sampling, where, dtype)
        )
        return made

    def load(self, weights: Weights, window: tuple[int, int, int], tell: Tell = tell_nobody) -> Generator:
        """Return the loaded generator for windows of this size.

        Raises:
            ResourcesExhausted: less memory is free than it needs.
            WeightsUnavailable: the checkpoint is not valid.
        """
        checkpoint, sampling = weights
        room = door(checkpoint.record.generator, "generator")
        where = device.choose_device(self.options.device)
        engine = self.runner(weights, tell).engine
        measured = engine == device.TORCH  # what OpenVINO takes in bfloat16 was not
        dtype = device.dtype_of(precision_of(checkpoint, self.options.precision, where) if measured else "float32")
        device.require_memory(room.memory_needed(checkpoint, window, where, dtype), where)
        if self._loaded is None or self._loaded[:2] != weights:
            tell(f"loading {checkpoint.name}")
            self._loaded = None  # two networks need not fit
            self._loaded = checkpoint, sampling, self._read(weights, engine)
        return self._loaded[2]


class BrainMasks:
    """Finds the brain of heads with skull, once for all targets of a study."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._last: tuple[str, BrainMask] | None = None

    def word(self, sources: Sources) -> str:
        """Return what decides the mask: the digest of the user's, or the program that will make one; '' for none."""
        if sources.mask:
            return sources.mask.sha256
        return skull.program() if self.options.skull_strip and sources.with_skull else ""

    def of(self, sources: Sources, tell: Tell = tell_nobody) -> BrainMask | None:
        """Return the user's mask, or the one that the stripper on PATH makes of the reference, where asked for.

        Raises:
            ResourcesExhausted, StudyRefused: the stripper failed, or what it made is no brain mask.
        """
        if sources.mask or not (self.options.skull_strip and sources.with_skull):
            return sources.mask
        if self._last is None or self._last[0] != sources.onto.sha256:
            tell(f"stripping the skull of {sources.reference.contrast}")
            where = device.choose_device(self.options.device)
            gpu = (where.index or 0) if where.type == "cuda" else None
            self._last = sources.onto.sha256, skull.strip(sources.onto, gpu)
        return self._last[1]


class ClaimedPlaces:
    """Remembers which study of a run writes where."""

    def __init__(self) -> None:
        self._holders: dict[Path, Path] = {}

    def take(self, places: Iterable[Path], folder: Path) -> None:
        """Take places for one study.

        Raises:
            OutputRefused: another study of the run has one of them.
        """
        for place in places:
            holder = self._holders.setdefault(real_path(place), folder)
            if real_path(holder) != real_path(folder):
                raise OutputRefused(
                    f"{folder} and {holder} would both be written to {place}", "fill one of them with another --out"
                )
