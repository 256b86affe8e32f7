"""What the machine offers: device, number type, engine, threads, memory."""

import ctypes
import importlib.util
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mrimpute.errors import ResourcesExhausted, UsageError

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Made = TypeVar("Made")
PRECISIONS = ("float32", "bfloat16")
DEVICES = ("cpu", "cuda", "mps")
ROOM_FOR_THREADS = 2**31
"""Free memory from which on threads are begun: PyTorch takes 0.8 GB of address space, each thread up to 0.1."""


def check_device_word(word: str) -> None:
    """Check that a word names a device that could be, without asking the machine.

    Raises:
        UsageError: another word than auto, cpu, cuda, cuda:N or mps.
    """
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", word) is None:
        raise UsageError(f"unknown device {word!r}", "use auto, cpu, cuda, cuda:N or mps")


def choose_device(word: str) -> "torch.device":
    """Return the device that 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps' means on this machine.

    Apple's mps is untested and never chosen by auto.

    Raises:
        UsageError: another word.
        ResourcesExhausted: a device that is not there.
    """
    import torch

    if word == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if word == "cpu":
        return torch.device("cpu")
    check_device_word(word)
    if word == "mps":
        if not torch.backends.mps.is_available():
            raise ResourcesExhausted("device mps is not there", "use --device cpu")
        return torch.device("mps")
    index = word.removeprefix("cuda").removeprefix(":")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= count:
        raise ResourcesExhausted(f"device {word} is not there ({count} CUDA devices found)", "use --device cpu")
    return torch.device(f"cuda:{index or 0}")


HALF_FEATURES = frozenset({"avx512_bf16", "amx_bf16"})
"""Of x86 processors that multiply bfloat16 in hardware: twice as quick (measured with avx512_bf16)."""


def choose_precision(word: str, where: "torch.device", measured: bool) -> str:
    """Return the number type of the convolutions, 'float32' or 'bfloat16'.

    'auto' is bfloat16 on a processor that has it, for networks of which it was measured; else float32. On CUDA it was
    not measured.

    Args:
        word: the user's.
        where: the device.
        measured: whether it is known what bfloat16 does to such a network's images.

    Raises:
        UsageError: another word than auto, float32 or bfloat16.
    """
    if word in PRECISIONS:
        return word
    if word != "auto":
        raise UsageError(f"unknown precision {word!r}", f"use one of auto, {', '.join(PRECISIONS)}")
    quick = measured and where.type == "cpu" and processor_features() & HALF_FEATURES
    return "bfloat16" if quick else "float32"


TORCH, OPENVINO = ENGINES = ("torch", "openvino")
"""What computes networks."""

MATRIX_FEATURES = frozenset({"amx_bf16"})
"""Of x86 processors with a unit for products of matrices, on which OpenVINO was quicker than an earlier bfloat16 of
ours (today's was not measured there). With avx512_bf16 alone it takes 1.08 of our time and errs 2.7 times as much."""


def choose_engine(word: str, precision: str) -> str:
    """Return what computes a network that OpenVINO can take: 'openvino' where it is installed, the processor has a
    matrix unit, and `choose_precision` made bfloat16 of 'auto'; 'torch' else, and wherever a number type was named."""
    wins = word == "auto" and precision == "bfloat16" and processor_features() & MATRIX_FEATURES
    return OPENVINO if wins and has_openvino() else TORCH


def has_openvino() -> bool:
    """Tell whether OpenVINO is installed."""
    return importlib.util.find_spec(OPENVINO) is not None


def processor_features() -> set[str]:
    """Return the names of the processor's features as Linux tells them; none elsewhere."""
    lines = (line.partition(":") for line in _read("/proc/cpuinfo").splitlines())
    return set(next((words for key, _, words in lines if key.strip() in ("flags", "Features")), "").split())


def dtype_of(precision: str) -> "torch.dtype":
    """Return PyTorch's name of a number type."""
    import torch

    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def configure(threads: int | None) -> None:
    """Set the number of CPU threads (default: those this job may use), and exact float32 and equal bytes on CUDA."""
    import torch

    _set_threads(threads or allowed_cpus())
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True


def _set_threads(count: int) -> None:
    """Have PyTorch use so many threads in this one."""
    import torch

    torch.get_num_threads()  # else its first work here would set the number that any thread set last
    torch.set_num_threads(count)


def threads_used() -> int:
    """Return the number of CPU threads that networks run on now."""
    import torch

    return torch.get_num_threads()


def allowed_cpus() -> int:
    """Return the CPUs that affinity, the job's cgroup quota and Slurm allow; a Slurm need not enforce what it gave."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if given.isdigit():
        count = min(count, max(1, int(given)))
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        count = min(count, max(1, int(quota[0]) // int(quota[1])))
    return count


def side_by_side(work: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """Do one piece of work on each item, as many at a time as this job has CPUs; return what came of it, in order.

    What the first of them that fails raises is raised, once those that run have ended. NumPy, ITK and zlib work at the
    same time, Python's own steps do not. Where memory is short (see `has_room_for_threads`) they are done one by one.
    """
    if not has_room_for_threads():
        return [work(item) for item in items]
    with ThreadPoolExecutor(allowed_cpus()) as workers:
        return list(workers.map(work, items))


def one_thread_each(
    work: Callable[[Item], Made],
    items: Iterable[Item],
    bytes_each: int,
    done: Callable[[Made], object] = lambda _made: None,
) -> list[Made]:
    """Do one piece of PyTorch's work on each item, each on one thread; return what came of it, in order.

    As many are done at a time as PyTorch has threads and memory allows; of equal items the same is made however many
    those are. Gradients, inference mode and autocast are each thread's own. What the first that fails raises, or
    `done`, is raised once those that run have ended; the others are not begun.

    Args:
        work: on an item.
        items: all of them.
        bytes_each: memory that one takes at most.
        done: called with what came of each, in order, by the thread that called this.
    """
    import torch

    threads, todo = torch.get_num_threads(), deque(enumerate(items))
    helpers = _helpers(min(_at_once(threads, bytes_each), len(todo)) - 1)
    made: dict[int, Made] = {}
    results: list[Made] = []

    def help_out() -> None:
        _set_threads(1)
        try:
            for number, item in _taken(todo):
                made[number] = work(item)
        except BaseException:
            todo.clear()
            raise

    def tell() -> None:
        while len(results) in made:
            results.append(made.pop(len(results)))
            done(results[-1])

    begun: list[Future[None]] = []
    try:
        begun.extend(helper.submit(help_out) for helper in helpers)
        torch.set_num_threads(1)
        for number, item in _taken(todo):
            made[number] = work(item)
            tell()
    finally:
        todo.clear()
        try:
            begun = [one for one in begun if not one.cancel()]  # one that another call holds up is not waited for
            wait(begun)
        finally:
            torch.set_num_threads(threads)  # PyTorch lets threads that begin later have what was set last
    for one in begun:
        one.result()
    tell()
    return results


def _taken(todo: deque[Item]) -> Iterator[Item]:
    """Take one after the other, of which other threads take some."""
    with suppress(IndexError):
        while True:
            yield todo.popleft()


SMALL_WORK = 2**26
"""Bytes that all threads may take together unasked: asking takes a third of a millisecond, a small layer one."""


def _at_once(threads: int, bytes_each: int) -> int:
    """Return how many threads have memory for such a piece of work."""
    if threads * bytes_each <= SMALL_WORK:
        return threads
    free = free_memory()
    return threads if free is None else max(1, min(threads, free // bytes_each))


_HELPERS: list[ThreadPoolExecutor] = []
"""Threads for pieces of work. They stay: to begin two takes a millisecond."""


def _helpers(count: int) -> list[ThreadPoolExecutor]:
    """Return so many threads, or those that there are where memory is short (see `has_room_for_threads`)."""
    while len(_HELPERS) < count and has_room_for_threads():
        _HELPERS.append(ThreadPoolExecutor(1, "layer"))
    return _HELPERS[: max(count, 0)]


def has_room_for_threads() -> bool:
    """Tell whether memory is free for threads: under a limit, glibc ends the process where a thread finds no room for
    its variables, and nobody can tell the user."""
    free = free_memory()
    return free is None or free >= ROOM_FOR_THREADS


def available_memory(device: "torch.device") -> int | None:
    """Return the bytes this job can still take on a device; None where nothing tells."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory()


def free_memory() -> int | None:
    """Return the bytes of the machine's own memory that this job can still take; None where nothing tells."""
    limits = [_kilobytes("/proc/meminfo", "MemAvailable"), *_cgroup_memory(), *_process_memory()]
    return min((value for value in limits if value is not None), default=None)


def _cgroup_memory() -> list[int]:
    """Return what is left under each memory limit of this process's control groups (v1 and v2)."""
    left = []
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            root, limit_name, used_name = Path("/sys/fs/cgroup"), "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root = Path("/sys/fs/cgroup/memory")
            limit_name, used_name = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        folder = root / place.lstrip("/")
        for level in (folder, *folder.parents):
            if not level.is_relative_to(root):
                break
            limit, used = _read(level / limit_name).strip(), _read(level / used_name).strip()
            if limit.isdigit() and used.isdigit():
                left.append(max(0, int(limit) - int(used)))
    return left


def _process_memory() -> list[int]:
    """Return what is left under this process's own limits on address space and data (`ulimit -v`, `ulimit -d`)."""
    try:
        import resource
    except ImportError:  # Windows has none
        return []
    left = []
    for kind, key in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            left.append(max(0, limit - (_kilobytes("/proc/self/status", key) or 0)))
    return left


@contextmanager
def memory_errors() -> Iterator[None]:
    """Tell a failed allocation, of Python, PyTorch or ITK, as what it is.

    Raises:
        ResourcesExhausted: memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if isinstance(error, MemoryError) or "out of memory" in text or "alloc" in text:
            raise ResourcesExhausted("memory ran out", _LESS_MEMORY) from error
        raise


_LESS_MEMORY = "close other programs, or take a smaller network with --weights builtin"


def require_memory(needed: int, device: "torch.device") -> None:
    """Refuse work that cannot fit.

    Raises:
        ResourcesExhausted: less is free than needed; both figures are named.
    """
    free = available_memory(device)
    if free is not None and needed > free:
        give_back_memory()  # what was freed and kept counts as taken
        free = available_memory(device)
    if free is not None and needed > free:
        raise ResourcesExhausted(
            f"about {needed / 2**30:.1f} GiB of memory is needed on {device} and {free / 2**30:.1f} GiB is free",
            _LESS_MEMORY,
        )


KEPT_PIECE = 5 * 2**24
"""Bytes of the largest piece of memory that glibc keeps for the next one: volumes of 240x240x155 float64 and the maps
of a built-in network are below; those of a large network are above, in bfloat16 as well (128 MB; with these kept the
authors' cWDM took 2.6 GiB, not 2.1)."""


def keep_memory() -> None:
    """Have glibc keep what volumes took for the next ones, in one place for all threads; before any thread begins.

    It gives pieces above 32 MB back as soon as they are freed, and each thread has a place of its own that the others
    do not take from, so that most pages are new ones, which the kernel has to clear (built-in cWDM, 240x240x155, by
    turns: 1.9 to 2.3 of 9.7 s of processor time, so 0.9 to 1.2 of 8.6; peak no higher). Other C libraries have no such
    call.
    """
    with suppress(AttributeError, OSError, TypeError):  # no such call; no such library; Windows
        library = ctypes.CDLL(None)
        for parameter, value in ((_MMAP_THRESHOLD, KEPT_PIECE), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1)):
            library.mallopt(parameter, value)


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of glibc's malloc.h."""


def give_back_memory() -> None:
    """Give memory that was freed back to the system before a network takes much more (see `keep_memory`; measured:
    0.2 GB after a study was prepared). Other C libraries have no such call; nothing is done."""
    with suppress(AttributeError, OSError, TypeError):  # no such call; no such library; Windows
        ctypes.CDLL(None).malloc_trim(0)


def _kilobytes(path: str, key: str) -> int | None:
    """Return the bytes that a line `key: N kB` of a file under /proc states; None where there is none."""
    found = [line.split()[1] for line in _read(path).splitlines() if line.startswith(f"{key}:")]
    return int(found[0]) * 1024 if found else None


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
