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

DOUBLED = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
"""Which taps of a 3-tap filter on samples repeated twice fall on one sample: the 4 taps of a transposed convolution."""

MIN_WIDTH, MIN_PLANE = 64, 2**8
"""Channels, and voxels in a plane, from which `winograd` is quicker than twelve products."""


class Conv3(nn.Conv3d):
    """A 3x3x3 convolution with padding 1, (B, in, X, Y, Z) → (B, out, X, Y, Z)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        if not is_laid_out(x):
            plain: Tensor = super().forward(x)
            return plain
        if not self.takes_fours(x):
            return self.between(x)
        made = new_map(x, self.out_channels)
        for item, result in zip(x.split(1), made.split(1), strict=True):
            self.by_fours(partial(_copy, item), result)
        return made

    def takes_fours(self, x: Tensor) -> bool:
        """Tell whether `by_fours` is quicker for a map (B, C, X, Y, Z), or for maps of which it is one."""
        exact, width = x.dtype == self.weight.dtype == torch.float32, min(self.in_channels, self.out_channels)
        return exact and width >= MIN_WIDTH and x[0, 0, 0].numel() >= MIN_PLANE and is_laid_out(x)

    def by_fours(self, fill: winograd.Fill, result: Tensor, added: winograd.Added | None = None) -> None:
        """Convolve one map by F(4, 3); see `winograd.convolve`."""
        assert self.bias is not None
        winograd.convolve(self.weight, self.bias, fill, result, added)

    def between(self, x: Tensor, before: bool = False, after: bool = False) -> Tensor:
        """Convolve planes of a laid-out map by oneDNN; float32 also where it is small (up to 20,480 channels by rows),
        which PyTorch convolves by an older way at a third of the speed.

        Args:
            x: (B, in, X, Y, Z).
            before, after: whether its first, its last plane is there as a neighbour alone; else nothing lies beyond.

        Returns:
            (B, out, X - before - after, Y, Z).
        """
        assert self.bias is not None
        exact = x.dtype == self.weight.dtype == torch.float32
        inner, one = before and after, (1, 1, 1)
        padding = (0, 1, 1) if inner else one
        if exact and torch.backends.mkldnn.is_available():
            made = torch.mkldnn_convolution(x, self.weight, self.bias, padding, one, one, 1)
        else:
            made = F.conv3d(x, self.weight, self.bias, padding=padding)
        return made if inner else made[:, :, int(before) : x.shape[2] - after]

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


def _copy(item: Tensor, planes: slice, rows: slice, room: Tensor) -> None:
    room.copy_(item[:, :, planes, rows])


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


def new_map(x: Tensor, channels: int, size: Sequence[int] | None = None) -> Tensor:
    """Return room for a map with channels last, of the type and, unless another is given, size of x (B, C, X, Y, Z)."""
    shape = (len(x), channels, *(size or x.shape[2:]))
    make_room(math.prod(shape) * x.itemsize)
    return torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last_3d)


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
