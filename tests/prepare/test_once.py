"""Answers about volumes are kept while these live."""

import gc
import threading
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mrimpute.device import side_by_side
from mrimpute.prepare.once import _answer, once, once_each, once_in_a_row
from mrimpute.volume import Grid, Volume


def volume():
    return Volume(np.zeros((5, 5, 5), np.float32), Grid((5, 5, 5), np.eye(4)), Path("x"), "")


def test_threads_that_want_one_answer_wait_for_it():
    asked, begun = [], threading.Event()

    @once
    def slow(one, second):
        asked.append(second)
        begun.wait(0.2)
        return object()

    one, second = volume(), volume()
    found = side_by_side(lambda _: slow(one, second), range(2))
    assert found[0] is found[1]
    assert len(asked) == 1


def test_what_is_raised_is_not_kept():
    answers = iter([ValueError("first"), 7])

    @once_each
    def odd(_one):
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    one = volume()
    with pytest.raises(ValueError, match="first"):
        odd(one)
    assert odd(one) == odd(one) == 7


def test_the_last_answer_stays_for_who_asks_for_the_same_of_the_same_volumes():
    asked = []

    @once_in_a_row
    def answer(volumes, wish):
        asked.append(wish)
        return [len(volumes), wish]

    first, second = volume(), volume()
    found = answer((first, second), ["a"])
    assert answer((first, second), ["a"]) is found
    assert answer((first, volume()), ["a"]) is not found
    assert answer((first, second), ["b"]) == [2, ["b"]]
    assert answer((first,), ["b"]) == [1, ["b"]]
    assert len(asked) == 4
    alive = weakref.ref(first)
    del first
    gc.collect()
    assert alive() is None


def test_one_who_waits_for_what_is_raised_computes_it_himself():
    begun, answers = threading.Event(), iter([ValueError("first"), 7])

    @once_each
    def odd(_one):
        answer = next(answers)
        if isinstance(answer, ValueError):
            begun.wait(0.2)
            raise answer
        return answer

    def found(one):
        try:
            return odd(one)
        except ValueError as error:
            return str(error)

    one = volume()
    assert sorted(map(str, side_by_side(lambda _: found(one), range(2)))) == ["7", "first"]


def test_a_refused_volume_is_let_go_of_at_once():
    @once_each
    def refused(_one):
        raise ValueError

    one = volume()
    alive = weakref.ref(one)
    gc.disable()
    try:
        with suppress(ValueError):
            refused(one)
        del one
        assert alive() is None
    finally:
        gc.enable()


def test_an_interrupt_before_the_first_line_of_the_work_leaves_nothing_to_wait_for():
    class Interrupted(dict):
        def setdefault(self, key, value):
            super().setdefault(key, value)
            raise KeyboardInterrupt

    kept = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        _answer(kept, "key", lambda: 7)
    assert kept == {}
