"""Answers about volumes are kept while these live."""

import threading
from pathlib import Path

import numpy as np
import pytest

from mrimpute.device import side_by_side
from mrimpute.prepare.once import once, once_each
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
