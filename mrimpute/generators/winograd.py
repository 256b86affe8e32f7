"""3x3x3 convolutions by F(4, 3) along planes and rows: 36 products for 144 (Lavin & Gray 2016); of doubled maps by 27
products for 64.

Exact but for the rounding of another order of sums. Bands of rows, or planes, are convolved side by side, each by one
thread, so that threads need not wait for each other at every small product.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from mrimpute.device import one_thread_each
from mrimpute.generators.pieces import share_out

FILTER = torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
"""G of F(4, 3): what six products make of three taps (section 4.3)."""

SIDES = torch.tensor([[1.0, 0, 0], [1, 1, 1], [0, 0, 1]])
"""What of a 3-tap filter on samples repeated twice counts for the sample before less this one, for this one, and for
the one behind less this one. The first two together make the first of the pair, the last two the second."""

BAND = 2400
"""Voxels of a plane that are taken at once at most: what is made of them stays in the cache."""

Fill = Callable[[slice, slice, Tensor], object]
"""Writes planes and rows of what is convolved into (1, in, planes, rows, Z), channels last."""

Added = Callable[[slice, slice], Tensor]
"""What is added to planes and rows of the result: (1, out or 1, planes, rows, Z)."""


def convolve(weight: Tensor, bias: Tensor, fill: Fill, result: Tensor, added: Added | None = None) -> None:
    """Convolve one map with padding 1.

    Args:
        weight, bias: (out, in, 3, 3, 3), (out,), float32.
        fill: where the map comes from. It and `added` are called by several threads, each for rows of its own, plane by
            plane; what is read may lie in the result, and is read before it is overwritten.
        result: (1, out, X, Y, Z), channels last.
        added: see `Added`.
    """
    inputs, outputs, (length, height, depth) = weight.shape[1], weight.shape[0], result.shape[2:]
    kernels = torch.einsum("kd,rh,oidhw->kroiw", FILTER, FILTER, weight).unsqueeze(-2)
    taps = [[tap.contiguous(memory_format=torch.channels_last) for tap in plane] for plane in kernels]
    bounds = _bounds(height, depth)

    def row(number: int, room: Tensor | None) -> Tensor:
        room = _room(inputs, length, 1, depth) if room is None else room
        fill(slice(None), slice(number, number + 1), room)
        return room

    def work(begin: int, end: int, above: Tensor | None, below: Tensor | None) -> None:
        _Band(inputs, slice(begin, end), above, below).convolve(taps, bias, fill, result, added)

    widest = max(end - begin for begin, end in pairwise(bounds))
    room = 4 * depth * ((widest + 6) * (10 * inputs + 13 * outputs) + 2 * length * inputs)
    share_out(bounds, row, work, room)


def _bounds(height: int, depth: int) -> list[int]:
    """Return where bands begin and the last ends: whole fours, as many as there are threads or more."""
    threads = torch.get_num_threads()
    count = -(-height * depth // (BAND * threads)) * threads
    rows = -(-height // (4 * count)) * 4
    return [*range(0, height, rows), height]


def _room(channels: int, *size: int) -> Tensor:
    last = torch.channels_last_3d if len(size) == 3 else torch.channels_last
    return torch.empty((1, channels, *size), memory_format=last)


@dataclass(frozen=True)
class _Band:
    """Rows of all planes.

    Attributes:
        inputs: channels of what is convolved.
        rows: which.
        above, below: (1, in, X, 1, Z), the row before the first and the one behind the last; None where the map ends.
    """

    inputs: int
    rows: slice
    above: Tensor | None
    below: Tensor | None

    def convolve(self, taps: list[list[Tensor]], bias: Tensor, fill: Fill, result: Tensor, added: Added | None) -> None:
        """Convolve; see `convolve`."""
        _, outputs, length, _, depth = result.shape
        inputs, wanted = self.inputs, self.rows.stop - self.rows.start
        count = -(-wanted // 4)
        # a plane of zeros lies before the first; zeros stay where a row has no neighbour
        seen = [_room(inputs, 4 * count + 2, depth).zero_() for _ in range(6)]
        planes, fours = ([_room(inputs, rows, depth) for _ in range(3)] for rows in (4 * count + 2, count))
        rows = [planes[0][:, :, row : row + 4 * count - 3 : 4] for row in range(6)]
        products = [_room(outputs, 4 * count, depth) for _ in range(6)]
        parts = [[product[:, :, row::4] for row in range(4)] for product in products]
        kept = [product[:, :, :wanted] for product in products]
        sums = _room(outputs, 4, wanted, depth)
        self._read(0, seen[5], fill)
        for start in range(0, length, 4):
            seen = seen[4:] + seen[:4]
            for number, one in enumerate(seen[2:], start + 1):
                if number < length:
                    self._read(number, one, fill)
                else:
                    one.zero_()
            for plane, (_, kernels, total) in enumerate(zip(_combinations(seen, planes), taps, parts, strict=True)):
                found = [
                    F.conv2d(four, kernel, bias if plane == row == 1 else None, padding=(0, 1))
                    for row, (four, kernel) in enumerate(zip(_combinations(rows, fours), kernels, strict=True))
                ]
                _sum_up(found, total)
            at = slice(start, min(start + 4, length))
            place = result[:, :, at, self.rows]
            made = sums[:, :, : at.stop - start] if added else place
            _sum_up(kept, made.unbind(2))
            if added:
                torch.add(made, added(at, self.rows), out=place)

    def _read(self, number: int, room: Tensor, fill: Fill) -> None:
        """Fill (1, in, 1, rows + 2 or more, Z) with a plane and its neighbouring rows."""
        at, behind = slice(number, number + 1), self.rows.stop - self.rows.start + 1
        fill(at, self.rows, room.unsqueeze(2)[:, :, :, 1:behind])
        if self.above is not None:
            room[:, :, 0] = self.above[:, :, number, 0]
        if self.below is not None:
            room[:, :, behind] = self.below[:, :, number, 0]


def _combinations(d: Sequence[Tensor], room: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield what six planes, or rows, d are multiplied as, each only until the next is asked for."""
    v, a, b = room
    yield torch.add(torch.add(d[4], d[2], alpha=-5, out=a), d[0], alpha=4, out=v)
    torch.add(d[4], d[2], alpha=-4, out=a)
    torch.add(d[3], d[1], alpha=-4, out=b)
    yield torch.add(a, b, out=v)
    yield torch.sub(a, b, out=v)
    torch.sub(d[4], d[2], out=a)
    torch.sub(d[3], d[1], out=b)
    yield torch.add(a, b, alpha=2, out=v)
    yield torch.add(a, b, alpha=-2, out=v)
    yield torch.add(torch.add(d[5], d[3], alpha=-5, out=a), d[1], alpha=4, out=v)


def _sum_up(m: Sequence[Tensor], made: Sequence[Tensor]) -> None:
    """Fill up to four planes, or rows, of the result from six products, of which the second carries the bias."""
    near, apart = m[1] + m[2], m[1].sub_(m[2])
    far, wide = m[3] + m[4], m[3].sub_(m[4])
    sums = ((m[0].add_(near), far, 1), (apart, wide, 2), (near, far, 4), (m[5].add_(wide, alpha=8), apart, 1))
    for place, (one, other, factor) in zip(made, sums, strict=False):
        torch.add(one, other, alpha=factor, out=place)


def convolve_doubled(x: Tensor, weight: Tensor, bias: Tensor, result: Tensor) -> None:
    """Convolve one map of which each voxel is repeated 2x2x2 times, with padding 1.

    Args:
        x: (1, in, X, Y, Z), channels last.
        weight, bias: (out, in, 3, 3, 3), (out,), float32.
        result: (1, out, 2X, 2Y, 2Z), channels last.
    """
    taps = torch.einsum("ad,be,cf,oidef->abcio", SIDES, SIDES, SIDES, weight).contiguous()
    planes, made = (one[0].movedim(0, -1) for one in (x, result))  # (X, Y, Z, in), (2X, 2Y, 2Z, out)

    @torch.inference_mode()
    def work(number: int) -> None:
        this = planes[number]
        before, behind = (planes[n] - this if 0 <= n < len(planes) else -this for n in (number - 1, number + 1))
        first, same, last = (_doubled(part, tap, 0) for part, tap in zip((before, this, behind), taps, strict=True))
        same += bias
        torch.add(first, same, out=made[2 * number])
        torch.add(same, last, out=made[2 * number + 1])

    one_thread_each(work, range(len(planes)), 8 * made[0].nbytes)


def _doubled(x: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Return x (…, in) convolved along its axes from `axis` on, each twice as long, by taps (3, …, in, out)."""
    if axis == x.dim() - 1:
        return x @ taps
    length = x.shape[axis]
    before, behind = x.neg(), x.neg()
    before.narrow(axis, 1, length - 1).add_(x.narrow(axis, 0, length - 1))
    behind.narrow(axis, 0, length - 1).add_(x.narrow(axis, 1, length - 1))
    first, same, last = (_doubled(part, tap, axis + 1) for part, tap in zip((before, x, behind), taps, strict=True))
    made = first.new_empty((*first.shape[: axis + 1], 2, *first.shape[axis + 1 :]))
    torch.add(first, same, out=made.select(axis + 1, 0))
    torch.add(same, last, out=made.select(axis + 1, 1))
    return made.flatten(axis, axis + 1)
