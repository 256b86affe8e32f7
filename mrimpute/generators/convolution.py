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
        """Convolve; float32 with channels last, as `lay_out` lays it, by `six_for_twelve` where that is quicker."""
        narrow = min(self.in_channels, self.out_channels) < MIN_WIDTH or x[0, :, 0].numel() < MIN_PLANE
        if narrow or x.dtype != torch.float32 or not is_laid_out(x) or self.weight.dtype != torch.float32:
            made: Tensor = super().forward(x)
            return made
        assert self.bias is not None
        return six_for_twelve(x, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve laid-out float32 by oneDNN whatever its size: small maps (up to 20,480 channels by rows) PyTorch has
        convolved by an older way of its own, at a quarter to a third of the speed."""
        plain = (
            input.dtype != torch.float32 or weight.dtype != torch.float32 or not torch.backends.mkldnn.is_available()
        )
        made: Tensor = (
            super()._conv_forward(input, weight, bias)
            if plain or not is_laid_out(input)
            else torch.mkldnn_convolution(input, weight, bias, (1, 1, 1), (1, 1, 1), (1, 1, 1), 1)
        )
        return made

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


def six_for_twelve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve along the first axis by F(4, 3): six products make four planes, not twelve (Lavin & Gray 2016).

    Args:
        x: (B, in, X, Y, Z) float32, channels last.
        weight, bias: (out, in, 3, 3, 3), (out,).

    Returns:
        (B, out, X, Y, Z), channels last.
    """
    batch, _, length, height, depth = x.shape
    made = torch.empty((batch, len(bias), length, height, depth), memory_format=torch.channels_last_3d)
    kernels = torch.einsum("kd,oidhw->koihw", FILTER, weight)
    taps = [kernel.contiguous(memory_format=torch.channels_last) for kernel in kernels]
    widest = max(weight.shape[:2])
    rows = max(1, BLOCK_BYTES // (4 * depth * widest))
    for item, result in zip(x.transpose(1, 2), made.transpose(1, 2), strict=True):  # (X, C, Y, Z)
        for first in range(0, height, rows):
            _rows_of_planes(item, result, taps, bias, first, min(first + rows, height))
    return made


def _rows_of_planes(item: Tensor, result: Tensor, taps: list[Tensor], bias: Tensor, first: int, last: int) -> None:
    """Fill rows first to last - 1 of all planes of the result, from planes (X, C, Y, Z)."""
    length, width, height, depth = item.shape
    low, high = max(0, first - 1), min(height, last + 1)
    shape = (1, width, last - first + 2, depth)
    seen = [torch.zeros(shape).contiguous(memory_format=torch.channels_last) for _ in taps]
    inner = [one[:, :, low - first + 1 : high - first + 1] for one in seen]  # the rest is padding
    a, b = (torch.empty_like(inner[0]) for _ in range(2))
    rows = item[:, :, low:high].unsqueeze(1)
    outside = torch.zeros_like(rows[0])
    for start in range(0, length, 4):
        planes = [rows[index] if 0 <= index < length else outside for index in range(start - 1, start + 5)]
        _combine(planes, inner, a, b)
        products = [
            F.conv2d(one, tap, bias if number == 1 else None, padding=(0, 1))
            for number, (one, tap) in enumerate(zip(seen, taps, strict=True))
        ]
        for index, plane in zip(range(start, min(start + 4, length)), _planes(products), strict=False):
            result[index, :, first:last] = plane[0]


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


def _planes(m: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return four planes of the result from six products, of which the second carries the bias."""
    near, apart = m[1] + m[2], m[1].sub_(m[2])
    far, wide = m[3] + m[4], m[3].sub_(m[4])
    return (
        m[0].add_(near).add_(far),
        torch.add(apart, wide, alpha=2),
        near.add_(far, alpha=4),
        apart.add_(wide, alpha=8).add_(m[5]),
    )
