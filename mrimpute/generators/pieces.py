"""Pieces of a map, each worked on by one thread beside the others, which may overwrite what it is made of."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from threading import Lock

import torch
from torch import Tensor

from mrimpute.device import one_thread_each

Read = Callable[[int, Tensor | None], Tensor]
"""Copies one row, or plane, of what is worked on, into room that is given or new."""

Work = Callable[[int, int, Tensor | None, Tensor | None], None]
"""Works on the rows from a first to before a last; of their neighbours as they were, None where the map ends."""


def share_out(bounds: Sequence[int], read: Read, work: Work, bytes_each: int) -> None:
    """Work on pieces of a map, in which each may write where it was read, and reads one row beyond either end.

    The rows on both sides of a border, which its two pieces may overwrite, are read before the first of these begins,
    into room that is used again: rows of all borders would take 0.1 GB, and rooms that are given back and made anew
    leave holes in memory.

    Args:
        bounds: where pieces begin, and where the last ends.
        read, work: see `Read`, `Work`.
        bytes_each: memory that a piece takes at most.
    """
    spare: list[Tensor] = []
    pieces, next_one = _pieces(bounds, read, spare), Lock()

    @torch.inference_mode()
    def one(_number: int) -> None:
        with next_one:
            piece = next(pieces, None)  # None where reading one before it failed
        if piece:
            work(*piece)
            spare.extend(row for row in piece[2:] if row is not None)

    one_thread_each(one, range(len(bounds) - 1), bytes_each)


def _pieces(
    bounds: Sequence[int], read: Read, spare: list[Tensor]
) -> Iterator[tuple[int, int, Tensor | None, Tensor | None]]:
    def row(number: int) -> Tensor:
        return read(number, spare.pop() if spare else None)

    before = None
    for begin, end in pairwise(bounds):
        behind, last = (row(end), row(end - 1)) if end < bounds[-1] else (None, None)
        yield begin, end, before, behind
        before = last
