"""Studies handed to the workers of a Dask cluster: one loaded network per worker, a dead worker's study done elsewhere.

Dask is imported only where a cluster is asked for (`pip install mrimpute[cluster]`).
"""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from mrimpute._version import __version__
from mrimpute.batch.run import fill_all
from mrimpute.contrasts import Contrast
from mrimpute.errors import MrimputeError, ResourcesExhausted, UsageError, as_mrimpute_error
from mrimpute.fill import Engine
from mrimpute.outcome import Outcome, Spent, outcome_of
from mrimpute.prepare.reading import Inputs
from mrimpute.request import Options, Request

if TYPE_CHECKING:
    from distributed import Client

ANSWER_S = 15
"""A scheduler that does not answer in this time is not there."""
GPU = "GPU"
"""Dask's customary name of that resource: `dask worker … --resources GPU=1`."""

T = TypeVar("T")


@dataclass(frozen=True)
class Task(Generic[T]):
    """What a worker does with each study.

    Attributes:
        missing, options: as in `mrimpute.fill`.
        dry_run: settle what would be done only.
        tell: (outcome, options, what it took) → what is sent back; called on the worker.
        run: tells the studies of one call from those of another.
    """

    missing: tuple[Contrast, ...]
    options: Options
    dry_run: bool
    tell: Callable[[Outcome, Options, Spent], T]
    run: str = field(default_factory=lambda: uuid.uuid4().hex)


def fill_on_cluster(address: str, folders: Sequence[Path], task: Task[T]) -> Iterator[T]:
    """Fill studies on the workers of a cluster, which must see the folders under the same paths.

    Args:
        address: of its scheduler, tcp://HOST:PORT.
        folders: the studies.
        task: what is done with each.

    Yields:
        What is told of each study, as soon as it is done.

    Raises:
        UsageError: Dask is not installed, or the address is none.
        ResourcesExhausted: no scheduler answers.
    """
    client = _connected(address)
    try:
        yield from _results(client, folders, task)
    finally:
        client.close()  # with it go the studies that still wait


def _connected(address: str) -> "Client":
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError("--cluster needs Dask", "pip install 'mrimpute[cluster]'") from error
    try:
        return Client(address, timeout=ANSWER_S, set_as_default=False)
    except ValueError as error:
        raise UsageError(f"--cluster {address}: {error}", "write tcp://HOST:PORT of a Dask scheduler") from error
    except OSError as error:
        raise ResourcesExhausted(
            f"no Dask scheduler answers at {address} within {ANSWER_S} s",
            "start `dask scheduler`, or check the address",
        ) from error


def _results(client: "Client", folders: Sequence[Path], task: Task[T]) -> Iterator[T]:
    """Yield what is told of each study; a result is fetched and let go at once, so that no death can lose it."""
    from distributed import as_completed

    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    resources = {GPU: 1} if any(GPU in worker["resources"] for worker in workers) else None
    futures = client.map(
        _do, folders, task=task, place=Path.cwd(), version=__version__, pure=False, resources=resources
    )
    studies = {future.key: folder for future, folder in zip(futures, folders, strict=True)}
    pending = as_completed(futures, loop=client.loop, with_results=True, raise_errors=False)
    del futures
    for future, result in pending:
        failed = future.status != "finished"
        yield _told(task, studies.pop(future.key), _lost(result[1])) if failed else result
        future.release()


def _told(task: Task[T], folder: Path, error: MrimputeError) -> T:
    return task.tell(outcome_of(Request(folder), Inputs(), error=error), task.options, Spent(0.0, 0.0))


def _lost(error: BaseException) -> MrimputeError:
    """Return why a study came back without a result."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return ResourcesExhausted(
            "every worker that took this study died", "look at the workers' memory and logs, or fill it by itself"
        )
    return as_mrimpute_error(error if isinstance(error, Exception) else RuntimeError(str(error)))


class _Worker:
    """What a worker keeps between the studies of a run: the engine with its loaded network."""

    lock = threading.Lock()
    run = ""
    engine: Engine


def _do(folder: Path, task: Task[T], place: Path, version: str) -> T:
    """Fill one study on a worker, one at a time however many threads it has, as if in the caller's folder."""
    with _Worker.lock:
        before = Spent.so_far()
        try:
            if version != __version__:
                raise UsageError(f"a worker has mrimpute {__version__}, {version} was called", "install the same one")
            with chdir(place):
                (outcome,) = fill_all(_engine(task), [folder], task.missing, task.dry_run)
                return task.tell(outcome, task.options, Spent.so_far() - before)
        except Exception as error:
            return _told(task, folder, as_mrimpute_error(error))


def _engine(task: Task[T]) -> Engine:
    """Return the worker's engine; its networks run on the threads that the worker was given."""
    from distributed import get_worker

    if _Worker.run != task.run:
        options = replace(task.options, threads=task.options.threads or get_worker().state.nthreads)
        _Worker.run, _Worker.engine = task.run, Engine(options)
    return _Worker.engine
