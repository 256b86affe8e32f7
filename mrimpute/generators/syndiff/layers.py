"""Building blocks of the SynDiff networks (those of NCSN++, Song et al. 2021).

Parameter names are those of the authors' checkpoints.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.generators.blocks import silu
from mrimpute.generators.syndiff import resampling
from mrimpute.generators.syndiff.config import groups_of

NORM_EPS = 1e-6
HALF_POWER = 1 / math.sqrt(2)
"""Keeps the variance of a sum of two."""


def uniform(weight: Tensor, fan: float, scale: float = 1.0) -> None:
    """Fill with uniform numbers of variance scale / fan."""
    bound = math.sqrt(3 * max(scale, 1e-10) / fan)
    nn.init.uniform_(weight, -bound, bound)


class PixelConv(nn.Conv2d):
    """A 1x1 convolution, as a product of matrices in float32, which PyTorch's own is slower than on one thread."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) → (B, out, H, W)."""
        if x.dtype != torch.float32 or self.weight.dtype != torch.float32 or torch.is_autocast_enabled(x.device.type):
            plain: Tensor = super().forward(x)
            return plain
        assert self.bias is not None
        weight = self.weight.flatten(1).expand(len(x), -1, -1)
        made: Tensor = torch.baddbmm(self.bias[:, None], weight, x.flatten(2)).unflatten(2, x.shape[2:])
        return made


def convolution(inputs: int, outputs: int, size: int = 3, scale: float = 1.0) -> nn.Conv2d:
    """Return a same-size convolution with the authors' initial weights (section 11)."""
    layer = (PixelConv if size == 1 else nn.Conv2d)(inputs, outputs, size, padding=size // 2)
    uniform(layer.weight, (inputs + outputs) / 2 * size * size, scale)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def linear(inputs: int, outputs: int, fan: float) -> nn.Linear:
    """Return a linear layer with uniform initial weights of variance 1 / fan."""
    layer = nn.Linear(inputs, outputs)
    uniform(layer.weight, fan)
    nn.init.zeros_(layer.bias)
    return layer


def sinusoids(times: Tensor, width: int) -> Tensor:
    """Return [sin, cos] of t times geometric frequencies, (B,) → (B, width)."""
    half = width // 2
    frequencies = torch.exp(
        torch.arange(half, dtype=torch.float32, device=times.device) * (-math.log(10000) / (half - 1))
    )
    angles = times.float()[:, None] * frequencies
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, width % 2))


class PixelNorm(nn.Module):
    """Bring each latent to a root mean square of 1, (B, N) → (B, N)."""

    def forward(self, z: Tensor) -> Tensor:
        """Normalise."""
        normal: Tensor = z / torch.sqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        return normal


class AdaptiveNorm(nn.Module):
    """Group norm whose gain and offset come from the latent: AdaGN."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.groups = groups_of(channels)
        self.style = linear(latent, 2 * channels, fan=2 * channels)
        nn.init.ones_(self.style.bias[:channels])

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """(B, C, H, W), (B, latent) → (B, C, H, W)."""
        gain, offset = self.style(latent).float().chunk(2, dim=1)
        if len(x) == 1:  # then it is GroupNorm's own gain and offset
            seen = x if x.device.type == "cpu" and not torch.is_grad_enabled() else x.float()
            return F.group_norm(seen, self.groups, gain[0], offset[0], NORM_EPS).to(x.dtype)
        normal = F.group_norm(x.float(), self.groups, eps=NORM_EPS)
        styled: Tensor = (gain[:, :, None, None] * normal + offset[:, :, None, None]).to(x.dtype)
        return styled


class PixelLinear(nn.Module):
    """The same linear map at every pixel (NIN); its weight is stored (in, out)."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(channels, channels))
        self.b = nn.Parameter(torch.zeros(channels))
        uniform(self.W, channels, scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        return F.conv2d(x, self.W.T[:, :, None, None], self.b)


class Attention(nn.Module):
    """Self-attention over all pixels of a plane, one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.GroupNorm_0 = nn.GroupNorm(groups_of(channels), channels, eps=NORM_EPS)
        self.NIN_0 = PixelLinear(channels, 0.1)
        self.NIN_1 = PixelLinear(channels, 0.1)
        self.NIN_2 = PixelLinear(channels, 0.1)
        self.NIN_3 = PixelLinear(channels, 1e-10)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        h = self.GroupNorm_0(x.float()).to(x.dtype)
        queries, keys, values = (layer(h).flatten(2).transpose(1, 2) for layer in (self.NIN_0, self.NIN_1, self.NIN_2))
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        result: Tensor = (x + self.NIN_3(mixed.transpose(1, 2).reshape(x.shape))) * HALF_POWER
        return result


class ResBlock(nn.Module):
    """Residual block with two adaptive norms, optionally between two resolutions (BigGAN's)."""

    def __init__(self, inputs: int, outputs: int, embedding: int, latent: int, resample: str = "") -> None:
        super().__init__()
        self.resample = {"": None, "down": resampling.halve, "up": resampling.double}[resample]
        self.GroupNorm_0 = AdaptiveNorm(inputs, latent)
        self.Conv_0 = convolution(inputs, outputs)
        self.Dense_0 = linear(embedding, outputs, fan=(embedding + outputs) / 2)
        self.GroupNorm_1 = AdaptiveNorm(outputs, latent)
        self.Conv_1 = convolution(outputs, outputs, scale=1e-10)
        self.Conv_2 = convolution(inputs, outputs, size=1) if inputs != outputs or resample else None

    def forward(self, x: Tensor, embedding: Tensor, latent: Tensor) -> Tensor:
        """(B, in, H, W), time embedding (B, E), latent (B, L) → (B, out, H', W')."""
        h = silu(self.GroupNorm_0(x, latent))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self._moved(h, self.Dense_0(F.silu(embedding)))
        h = self.Conv_1(silu(self.GroupNorm_1(h, latent)))
        if self.Conv_2 is not None:
            x = self.Conv_2(x)
        h += x
        h *= HALF_POWER
        result: Tensor = h
        return result

    def _moved(self, h: Tensor, shift: Tensor) -> Tensor:
        """Return the first convolution of (B, in, H, W), moved by (B, out): (B, out, H, W)."""
        if len(h) == 1 and h.dtype != torch.float32 and not torch.is_grad_enabled():
            assert self.Conv_0.bias is not None
            # PyTorch adds a vector to a map of 16 channels in bfloat16 at a seventeenth of its speed
            return F.conv2d(h, self.Conv_0.weight, self.Conv_0.bias + shift[0], padding=1)
        made: Tensor = self.Conv_0(h)
        made += shift[:, :, None, None]
        return made


class PyramidDown(nn.Module):
    """Carries the input image to the next resolution beside the features."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.Conv2d_0 = convolution(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) → (B, out, H/2, W/2)."""
        assert self.Conv2d_0.bias is not None
        return resampling.halve_by_convolution(x, self.Conv2d_0.weight, self.Conv2d_0.bias)
