"""3x3x3 convolutions by less arithmetic, where no gradient is wanted.

`winograd` and `Conv3.on_doubled` are algebra: exact but for the rounding of another order of sums (at most 1e-4 in a
network's output).
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.device import KEPT_PIECE, give_back_memory
from mrimpute.generators import winograd
from mrimpute.generators.pieces import share_out
from mrimpute.generators.winograd import Added, Fill

DOUBLED = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
"""Which taps of a 3-tap filter on samples repeated twice fall on one sample: the 4 taps of a transposed convolution."""

MIN_WIDTH, MIN_PLANE = 64, 2**8
"""Channels, and voxels in a plane, from which `winograd` is quicker than twelve products."""


class Conv3(nn.Conv3d):
    """A 3x3x3 convolution with padding 1, (B, in, X, Y, Z) → (B, out, X, Y, Z)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor | Sequence[Tensor]) -> Tensor:
        """Convolve a map, or maps (B, C_i, X, Y, Z) side by side; they may have any layout and type in a network that
        `lay_out` prepared, and the result has the network's."""
        parts = [x] if isinstance(x, Tensor) else x
        if not is_laid_out(self.weight):
            plain: Tensor = super().forward(joined(parts))
            return plain
        made = new_map(parts[0], self.out_channels, dtype=self.weight.dtype)
        for item, result in enumerate(made.split(1)):
            self.in_pieces(partial(_copy, [part[item : item + 1] for part in parts]), result)
        return made

    def in_pieces(self, fill: Fill, result: Tensor, added: Added | None = None) -> None:
        """Convolve one map, bands of rows by `winograd` or slabs of planes by oneDNN, side by side, each by one thread,
        so that threads need not wait for each other at every small step.

        Args:
            fill: where the map comes from. It and `added` are called by several threads, each for planes and rows of
                its own; what is read may lie in the result, and is read before it is overwritten.
            result: (1, out, X, Y, Z), channels last.
            added: what is added to planes and rows of the result.
        """
        assert self.bias is not None
        if self.takes_fours(result):
            winograd.convolve(self.weight, self.bias, fill, result, added)
        else:
            self._by_slabs(fill, result, added)

    def takes_fours(self, x: Tensor) -> bool:
        """Tell whether `winograd` is quicker for a map (B, C, X, Y, Z), or for maps of which it is one."""
        exact, width = x.dtype == self.weight.dtype == torch.float32, min(self.in_channels, self.out_channels)
        return exact and width >= MIN_WIDTH and x[0, 0, 0].numel() >= MIN_PLANE and is_laid_out(x)

    def _by_slabs(self, fill: Fill, result: Tensor, added: Added | None) -> None:
        """Convolve slabs of planes; see `in_pieces`."""
        length, rows = result.shape[2], slice(0, result.shape[3])
        plane = result[0, 0, 0].nbytes * (self.in_channels + self.out_channels)
        step = slab_length(length, plane)

        def room(planes: int) -> Tensor:
            return new_map(result, self.in_channels, (planes, *result.shape[3:]))

        def edge(number: int, kept: Tensor | None) -> Tensor:
            kept = room(1) if kept is None else kept
            fill(slice(number, number + 1), rows, kept)
            return kept

        def slab(low: int, high: int, before: Tensor | None, behind: Tensor | None) -> None:
            seen = room(high - low + 2)  # with a plane on each side
            fill(slice(low, high), rows, seen[:, :, 1:-1])
            for place, neighbour in ((0, before), (-1, behind)):
                seen[:, :, place] = 0 if neighbour is None else neighbour[:, :, 0]
            made, its = self._within(seen), result[:, :, low:high]
            if added is None:
                its.copy_(made)
            else:
                torch.add(made, added(slice(low, high), rows), out=its)

        if step == length:
            slab(0, length, None, None)
        else:
            share_out([*range(0, length, step), length], edge, slab, 2 * (step + 2) * plane)

    def _within(self, x: Tensor) -> Tensor:
        """Convolve the inner planes of (1, in, X, Y, Z) by oneDNN; float32 also where a map is small (up to 20,480
        channels by rows), which PyTorch convolves by an older way at a third of the speed."""
        exact, padding, one = x.dtype == self.weight.dtype == torch.float32, (0, 1, 1), (1, 1, 1)
        if exact and torch.backends.mkldnn.is_available():
            return torch.mkldnn_convolution(x, self.weight, self.bias, padding, one, one, 1)
        return F.conv3d(x, self.weight, self.bias, padding=padding)

    def on_doubled(self, x: Tensor) -> Tensor:
        """Convolve x with each voxel repeated 2x2x2 times: (B, in, X, Y, Z) → (B, out, 2X, 2Y, 2Z)."""
        if not is_laid_out(x):
            plain: Tensor = self(double(x))
            return plain
        if self.takes_fours(x):
            size = [2 * length for length in x.shape[2:]]
            made = new_map(x, self.out_channels, size)
            assert self.bias is not None
            for item, result in zip(x.split(1), made.split(1), strict=True):
                winograd.convolve_doubled(item, self.weight, self.bias, result)
            return made
        weight = torch.einsum("ad,be,cf,oidef->ioabc", *[DOUBLED.to(self.weight)] * 3, self.weight)
        weight = weight.contiguous(memory_format=torch.channels_last_3d)
        make_room(8 * self.out_channels * x[:, 0].nbytes)
        return F.conv_transpose3d(x, weight, self.bias, stride=2, padding=1)


SLAB_BYTES, SLAB_PLANES, SMALL_MAP = 2**22, 8, 2**23
"""Of what a slab reads and makes, which should stay in the cache; the fewest planes, for two more are read; and of a
map that is convolved whole, since Python takes as long as the arithmetic where it hands out slabs."""


def slab_length(length: int, plane: int) -> int:
    """Return how many of `length` planes are convolved at once, each of which takes `plane` bytes in what is read and
    what is made: all of a small map, else half of them or less, but not fewer than eight."""
    if length * plane <= SMALL_MAP:
        return length
    step = max(SLAB_PLANES, min(SLAB_BYTES // plane, -(-length // 2)))
    return min(length, -(-step // 4) * 4)  # of a map that is doubled or halved, too, each slab has whole planes


def slab_room(length: int, plane: int) -> int:
    """Return the bytes that `Conv3.in_pieces` takes beside the maps at least: what a whole map is made of and becomes,
    or a slab for each of two threads and what it is made of (more are at work only where memory is free for them)."""
    step = slab_length(length, plane)
    return plane * (5 * length if step == length else 2 * min(2, torch.get_num_threads()) * (step + 2))


def _copy(parts: Sequence[Tensor], planes: slice, rows: slice, room: Tensor) -> None:
    for part, its in zip(parts, room.split([part.shape[1] for part in parts], dim=1), strict=True):
        its.copy_(part[:, :, planes, rows])


class Conv1(nn.Conv3d):
    """A linear map of each voxel's channels, (B, in, X, Y, Z) → (B, out, X, Y, Z)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; PyTorch has no quick 1x1x1 convolution for one thread, but a product of matrices."""
        if not is_laid_out(x):
            plain: Tensor = super().forward(x)
            return plain
        return F.linear(x.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)


def joined(parts: Tensor | Sequence[Tensor]) -> Tensor:
    """Return maps (B, C_i, X, Y, Z) as one."""
    if isinstance(parts, Tensor):
        return parts
    return torch.cat(list(parts), dim=1) if len(parts) > 1 else parts[0]


def new_map(x: Tensor, channels: int, size: Sequence[int] | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """Return room for a map with channels last, of the size and type of x (B, C, X, Y, Z) unless others are given."""
    shape, dtype = (len(x), channels, *(size or x.shape[2:])), dtype or x.dtype
    make_room(math.prod(shape) * dtype.itemsize)
    return torch.empty(shape, dtype=dtype, memory_format=torch.channels_last_3d)


def make_room(size: int) -> None:
    """Give back what was freed and kept before a map of `size` bytes is made, if it is too large to take its place."""
    if size > KEPT_PIECE:
        give_back_memory()


def double(x: Tensor) -> Tensor:
    """Repeat each voxel 2x2x2 times: (B, C, X, Y, Z) → (B, C, 2X, 2Y, 2Z)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def is_laid_out(x: Tensor) -> bool:
    """Tell whether a map is one of a network that `lay_out` prepared for the CPU, and needs no gradient."""
    last = x.dim() == 5 and x.is_contiguous(memory_format=torch.channels_last_3d) and not x.is_contiguous()
    return last and x.device.type == "cpu" and not torch.is_grad_enabled()
