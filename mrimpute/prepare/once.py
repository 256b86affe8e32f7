"""What is computed of volumes is kept while these live: a study's pairs are compared again for every target."""

from collections.abc import Callable, MutableMapping
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

from mrimpute.volume import Volume

Second = TypeVar("Second", Volume, float)
Answer = TypeVar("Answer")


def once_each(compute: Callable[[Volume], Answer]) -> Callable[[Volume], Answer]:
    """Let a function of a volume compute its answer once; see `once`."""
    kept: WeakKeyDictionary[Volume, Answer] = WeakKeyDictionary()

    @wraps(compute)
    def looked_up(volume: Volume) -> Answer:
        if volume not in kept:
            kept[volume] = compute(volume)
        return kept[volume]

    return looked_up


def once(compute: Callable[[Volume, Second], Answer]) -> Callable[[Volume, Second], Answer]:
    """Let a function of a volume, and of another or a number, compute each answer once.

    Volumes are told apart as objects. An answer must not hold the volumes that it is of, or these
    would live for ever. What is raised is not kept.
    """
    kept: WeakKeyDictionary[Volume, MutableMapping[Second, Answer]] = WeakKeyDictionary()

    @wraps(compute)
    def looked_up(volume: Volume, second: Second) -> Answer:
        answers = kept.get(volume)
        if answers is None:
            answers = kept[volume] = WeakKeyDictionary() if isinstance(second, Volume) else {}
        if second not in answers:
            answers[second] = compute(volume, second)
        return answers[second]

    return looked_up
