"""What is computed of volumes is kept while these live: a study's pairs are compared again for every target."""

from collections.abc import Callable, Hashable, MutableMapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary, ref

from mrimpute.volume import Volume

Second = TypeVar("Second", Volume, float)
Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")
Wish = TypeVar("Wish")


def once_each(compute: Callable[[Volume], Answer]) -> Callable[[Volume], Answer]:
    """Let a function of a volume compute its answer once; see `once`."""
    kept: WeakKeyDictionary[Volume, Future[Answer]] = WeakKeyDictionary()

    @wraps(compute)
    def looked_up(volume: Volume) -> Answer:
        return _answer(kept, volume, lambda: compute(volume))

    return looked_up


def once(compute: Callable[[Volume, Second], Answer]) -> Callable[[Volume, Second], Answer]:
    """Let a function of a volume, and of another or a number, compute each answer once.

    Volumes are told apart as objects. An answer must not hold the volumes that it is of, or these
    would live for ever. What is raised is not kept. Where two threads want one answer, the second waits for the first.
    """
    kept: WeakKeyDictionary[Volume, MutableMapping[Second, Future[Answer]]] = WeakKeyDictionary()

    @wraps(compute)
    def looked_up(volume: Volume, second: Second) -> Answer:
        answers = kept.setdefault(volume, WeakKeyDictionary() if isinstance(second, Volume) else {})
        return _answer(answers, second, lambda: compute(volume, second))

    return looked_up


def once_in_a_row(compute: Callable[[Sequence[Volume], Wish], Answer]) -> Callable[[Sequence[Volume], Wish], Answer]:
    """Let a function of volumes and a wish keep its last answer while the first of them lives, for the next who asks
    for the same; see `once`. Wishes are told apart by their values."""
    kept: WeakKeyDictionary[Volume, tuple[list[ref[Volume]], Wish, Answer]] = WeakKeyDictionary()

    @wraps(compute)
    def looked_up(volumes: Sequence[Volume], wish: Wish) -> Answer:
        asked = [ref(volume) for volume in volumes], wish
        found = kept.get(volumes[0])
        if found is None or found[:2] != asked:
            found = kept[volumes[0]] = (*asked, compute(volumes, wish))
        return found[2]

    return looked_up


def _answer(kept: MutableMapping[Key, "Future[Answer]"], key: Key, compute: Callable[[], Answer]) -> Answer:
    """Return what is kept under a key, or compute it; setdefault tells one thread alone that it is the first.

    What the first raises is its own: kept, its traceback would hold the volume. Who waited computes in its place.
    """
    own: Future[Answer] = Future()
    try:
        held = kept.setdefault(key, own)
        if held is own:
            own.set_result(compute())
    except BaseException:  # an interrupt may also come between the lines above
        if kept.get(key) is own:
            del kept[key]
        own.cancel()
        raise
    with suppress(CancelledError):
        return held.result()
    return _answer(kept, key, compute)
