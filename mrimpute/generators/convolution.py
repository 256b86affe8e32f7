"""3x3x3 convolutions by less arithmetic, where no gradient is wanted.

Both ways are algebra: exact but for the rounding of another order of sums (at most 1e-4 in a network's output).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FILTER = torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
"""G of F(4, 3): what six products make of three taps (Lavin & Gray 2016, section 4.3)."""

DOUBLED = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
"""Which taps of a 3-tap filter on samples repeated twice fall on one sample: the 4 taps of a transposed convolution."""

BLOCK_BYTES = 3 * 2**19
"""Of a plane in `six_for_twelve`: what is taken at once stays in the second level of the cache."""

MIN_WIDTH, MIN_PLANE = 64, 2**16
"""Channels, and numbers in a plane, from which `six_for_twelve` is quicker than twelve products."""


class Conv3(nn.Conv3d):
    """A 3x3x3 convolution with padding 1, (B, in, X, Y, Z) → (B, out, X, Y, Z)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        if is_laid_out(x):
            return self.between(x)
        made: Tensor = super().forward(x)
        return made

    def between(self, x: Tensor, before: bool = False, after: bool = False) -> Tensor:
        """Convolve planes of a laid-out map; float32 by `six_for_twelve` where that is quicker, else by oneDNN, also
        small maps (up to 20,480 channels by rows), which PyTorch convolves by an older way at a third of the speed.

        Args:
            x: (B, in, X, Y, Z).
            before, after: whether its first, its last plane is there as a neighbour alone; else nothing lies beyond.

        Returns:
            (B, out, X - before - after, Y, Z).
        """
        assert self.bias is not None
        exact, width = x.dtype == self.weight.dtype == torch.float32, min(self.in_channels, self.out_channels)
        if exact and width >= MIN_WIDTH and x[0, :, 0].numel() >= MIN_PLANE:
            return six_for_twelve(x, self.weight, self.bias, before, after)
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
        weight = torch.einsum("ad,be,cf,oidef->ioabc", *[DOUBLED.to(self.weight)] * 3, self.weight)
        weight = weight.contiguous(memory_format=torch.channels_last_3d)
        return F.conv_transpose3d(x, weight, self.bias, stride=2, padding=1)


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


def double(x: Tensor) -> Tensor:
    """Repeat each voxel 2x2x2 times: (B, C, X, Y, Z) → (B, C, 2X, 2Y, 2Z)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def is_laid_out(x: Tensor) -> bool:
    """Tell whether a map is one of a network that `lay_out` prepared for the CPU, and needs no gradient."""
    last = x.dim() == 5 and x.is_contiguous(memory_format=torch.channels_last_3d) and not x.is_contiguous()
    return last and x.device.type == "cpu" and not torch.is_grad_enabled()


def six_for_twelve(x: Tensor, weight: Tensor, bias: Tensor, before: bool = False, after: bool = False) -> Tensor:
    """Convolve along the first axis by F(4, 3): six products make four planes, not twelve (Lavin & Gray 2016).

    Args:
        x: (B, in, X, Y, Z) float32, channels last.
        weight, bias: (out, in, 3, 3, 3), (out,).
        before, after: whether the first, the last plane is there as a neighbour alone.

    Returns:
        (B, out, X - before - after, Y, Z), channels last.
    """
    batch, _, length, height, depth = x.shape
    shape = (batch, len(bias), length - before - after, height, depth)
    made = torch.empty(shape, memory_format=torch.channels_last_3d)
    kernels = torch.einsum("kd,oidhw->koihw", FILTER, weight)
    taps = [kernel.contiguous(memory_format=torch.channels_last) for kernel in kernels]
    widest = max(weight.shape[:2])
    rows = max(1, BLOCK_BYTES // (4 * depth * widest))
    for item, result in zip(x.transpose(1, 2), made.transpose(1, 2), strict=True):  # (X, C, Y, Z)
        for first in range(0, height, rows):
            _rows_of_planes(item, result, taps, bias, first, min(first + rows, height), int(before))
    return made


def _rows_of_planes(
    item: Tensor, result: Tensor, taps: list[Tensor], bias: Tensor, first: int, last: int, ahead: int
) -> None:
    """Fill rows first to last - 1 of all planes of the result, the first of which is number `ahead` of the planes
    (X, C, Y, Z) that it is made from."""
    length, width, height, depth = item.shape
    low, high = max(0, first - 1), min(height, last + 1)
    shape = (1, width, last - first + 2, depth)
    seen = [torch.empty(shape, memory_format=torch.channels_last) for _ in taps]
    for one in seen:  # padding, where there is no neighbour
        one[:, :, :1], one[:, :, -1:] = 0, 0
    inner = [one[:, :, low - first + 1 : high - first + 1] for one in seen]
    a, b = (torch.empty_like(inner[0]) for _ in range(2))
    rows = item[:, :, low:high].unsqueeze(1)
    outside = torch.zeros_like(rows[0])
    for start in range(0, len(result), 4):
        numbers = range(start + ahead - 1, start + ahead + 5)
        planes = [rows[number] if 0 <= number < length else outside for number in numbers]
        _combine(planes, inner, a, b)
        products = [
            F.conv2d(one, tap, bias if number == 1 else None, padding=(0, 1))
            for number, (one, tap) in enumerate(zip(seen, taps, strict=True))
        ]
        _planes(products, [plane.unsqueeze(0) for plane in result[start : start + 4, :, first:last]])


def _combine(d: list[Tensor], v: list[Tensor], a: Tensor, b: Tensor) -> None:
    """Fill v with what six planes d are multiplied as; a and b are room to work in."""
    torch.add(torch.add(d[4], d[2], alpha=-5, out=a), d[0], alpha=4, out=v[0])
    torch.add(torch.add(d[5], d[3], alpha=-5, out=a), d[1], alpha=4, out=v[5])
    torch.add(d[4], d[2], alpha=-4, out=a)
    torch.add(d[3], d[1], alpha=-4, out=b)
    torch.add(a, b, out=v[1])
    torch.sub(a, b, out=v[2])
    torch.sub(d[4], d[2], out=a)
    torch.sub(d[3], d[1], out=b)
    torch.add(a, b, alpha=2, out=v[3])
    torch.add(a, b, alpha=-2, out=v[4])


def _planes(m: list[Tensor], made: list[Tensor]) -> None:
    """Fill up to four planes of the result from six products, of which the second carries the bias."""
    near, apart = m[1] + m[2], m[1].sub_(m[2])
    far, wide = m[3] + m[4], m[3].sub_(m[4])
    sums = ((m[0].add_(near), far, 1), (apart, wide, 2), (near, far, 4), (m[5].add_(wide, alpha=8), apart, 1))
    for plane, (one, other, factor) in zip(made, sums, strict=False):
        torch.add(one, other, alpha=factor, out=plane)
