"""Resampling by a factor of two with the filter [1, 3, 3, 1] (that of StyleGAN 2, Karras et al. 2020).

Borders are padded with zeros: values fall off at the edge, as in the published networks.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

TAPS = (1.0, 3.0, 3.0, 1.0)


def double(x: Tensor) -> Tensor:
    """Return x at twice the size: (B, C, H, W) → (B, C, 2H, 2W).

    The filter is that of bilinear interpolation within a margin of zeros, which in bfloat16 on the CPU takes a tenth of
    the transposed convolution's time; in float32 it takes as long or longer.
    """
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        doubled = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
        return doubled[:, :, 2:-2, 2:-2]
    return F.conv_transpose2d(x, 4 * _depthwise(x), stride=2, padding=1, groups=x.shape[1])


def halve(x: Tensor) -> Tensor:
    """Return x at half the size: (B, C, H, W) → (B, C, H/2, W/2)."""
    return F.conv2d(x, _depthwise(x), stride=2, padding=1, groups=x.shape[1])


def halve_by_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Filter, then convolve with (out, in, 3, 3) and stride 2: (B, C, H, W) → (B, out, H/2, W/2)."""
    filtered = F.conv2d(x, _depthwise(x), padding=2, groups=x.shape[1])
    return F.conv2d(filtered, weight, bias, stride=2)


def plane_kernel() -> Tensor:
    """Return the (4, 4) filter, of sum 1."""
    taps = torch.tensor(TAPS)
    return torch.outer(taps, taps) / taps.sum() ** 2


def _depthwise(x: Tensor) -> Tensor:
    """Return the filter once per channel of x, (C, 1, 4, 4)."""
    kernel = plane_kernel().to(x.device, x.dtype)
    return kernel.expand(x.shape[1], 1, *kernel.shape)
