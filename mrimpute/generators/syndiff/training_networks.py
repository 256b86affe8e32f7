"""Networks that only training needs: the one-shot generators
that make the missing source of an unpaired slice, and the discriminators of both modules.

Parameter names are those of the authors' checkpoints.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.generators.syndiff import resampling
from mrimpute.generators.syndiff.layers import HALF_POWER, linear, sinusoids, uniform

SLOPE = 0.2
"""Of every leaky ReLU."""
RESIDUAL_BLOCKS = 6
STATISTICS_GROUP = 4


def _normal(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Conv2d | nn.ConvTranspose2d:
    """Set the authors' initial weights of the one-shot networks."""
    nn.init.normal_(layer.weight, 0.0, 0.02)
    nn.init.zeros_(cast("Tensor", layer.bias))
    return layer


class MirroredBlock(nn.Module):
    """Two convolutions with mirrored borders, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            _normal(nn.Conv2d(channels, channels, 3)),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            _normal(nn.Conv2d(channels, channels, 3)),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        result: Tensor = x + self.conv_block(x)
        return result


class OneShotGenerator(nn.Module):
    """Translates a slice in one pass: a ResNet between two strided convolutions.

    Args:
        width: channels of the finest level; 64 are the authors' 7.8 million parameters.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()

        def down(inputs: int) -> list[nn.Module]:
            layer = _normal(nn.Conv2d(inputs, 2 * inputs, 3, stride=2, padding=1))
            return [layer, nn.InstanceNorm2d(2 * inputs), nn.ReLU()]

        def up(inputs: int) -> list[nn.Module]:
            layer = nn.ConvTranspose2d(inputs, inputs // 2, 3, stride=2, padding=1, output_padding=1)
            return [_normal(layer), nn.InstanceNorm2d(inputs // 2), nn.ReLU()]

        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            _normal(nn.Conv2d(1, width, 7)),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            *down(width),
            *down(2 * width),
            *(MirroredBlock(4 * width) for _ in range(RESIDUAL_BLOCKS)),
            *up(4 * width),
            *up(2 * width),
            nn.ReflectionPad2d(3),
            _normal(nn.Conv2d(width, 1, 7)),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) in [-1, 1] → (B, 1, H, W) in [-1, 1]; H and W divisible by 4."""
        made: Tensor = self.model(x)
        return made


class PatchDiscriminator(nn.Module):
    """Tells acquired patches of a slice from made ones: PatchGAN.

    Args:
        width: channels of the first layer; 64 are the authors' 2.8 million parameters.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
            convolution = _normal(nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1))
            return [convolution, nn.InstanceNorm2d(outputs), nn.LeakyReLU(SLOPE)]

        self.model = nn.Sequential(
            _normal(nn.Conv2d(1, width, 4, stride=2, padding=1)),
            nn.LeakyReLU(SLOPE),
            *layer(width, 2 * width, 2),
            *layer(2 * width, 4 * width, 2),
            *layer(4 * width, 8 * width, 1),
            _normal(nn.Conv2d(8 * width, 1, 4, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) → logits (B, 1, H/8 - 2, W/8 - 2): above 0 for 'acquired'."""
        logits: Tensor = self.model(x)
        return logits


class _TimeEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.main = nn.Sequential(linear(width, width, width), nn.LeakyReLU(SLOPE), linear(width, width, width))

    def forward(self, times: Tensor) -> Tensor:
        embedded: Tensor = self.main(sinusoids(times, self.width))
        return embedded


def _fan_out_convolution(inputs: int, outputs: int, size: int, scale: float = 1.0, bias: bool = True) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias)
    uniform(layer.weight, outputs * size * size, scale)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class _DownBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(_fan_out_convolution(inputs, outputs, 3))
        self.conv2 = nn.Sequential(_fan_out_convolution(outputs, outputs, 3, scale=1e-10))
        self.dense_t1 = linear(embedding, outputs, fan=outputs)
        self.skip = nn.Sequential(_fan_out_convolution(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.leaky_relu(x, SLOPE)) + self.dense_t1(time)[:, :, None, None]
        h = self.conv2(resampling.halve(F.leaky_relu(h, SLOPE)))
        result: Tensor = (h + self.skip(resampling.halve(x))) * HALF_POWER
        return result


class DiffusiveDiscriminator(nn.Module):
    """Tells whether x_t may follow from x_{t+1}, knowing the step.

    Args:
        width: a quarter of the first block's channels; 64 are the authors' 27.7 million parameters.
        embedding: width of the time embedding.
    """

    def __init__(self, width: int = 64, embedding: int = 256) -> None:
        super().__init__()
        self.t_embed = _TimeEmbedding(embedding)
        self.start_conv = _fan_out_convolution(2, 2 * width, 1)
        self.conv1 = _DownBlock(2 * width, 4 * width, embedding)
        self.conv2 = _DownBlock(4 * width, 8 * width, embedding)
        self.conv3 = _DownBlock(8 * width, 8 * width, embedding)
        self.conv4 = _DownBlock(8 * width, 8 * width, embedding)
        self.conv5 = _DownBlock(8 * width, 8 * width, embedding)
        self.conv6 = _DownBlock(8 * width, 8 * width, embedding)
        self.final_conv = _fan_out_convolution(8 * width + 1, 8 * width, 3)
        self.end_linear = linear(8 * width, 1, fan=1)

    def forward(self, state: Tensor, timestep: Tensor, noisier: Tensor) -> Tensor:
        """Return logits of noisy slices.

        Args:
            state: x_t, (B, 1, H, W); H and W multiples of 64.
            timestep: (B,) index t.
            noisier: x_{t+1}, (B, 1, H, W).

        Returns:
            (B, 1) logits: above 0 for 'acquired'.
        """
        time = F.leaky_relu(self.t_embed(timestep), SLOPE)
        h = self.start_conv(torch.cat([state, noisier], dim=1))
        for block in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5, self.conv6):
            h = block(h, time)
        h = F.leaky_relu(self.final_conv(torch.cat([h, _spread(h)], dim=1)), SLOPE)
        logits: Tensor = self.end_linear(h.sum(dim=(2, 3)))
        return logits


def _spread(h: Tensor) -> Tensor:
    """Return how much the items of a group differ, as one channel (B, 1, H, W) (minibatch standard
    deviation, Karras et al. 2018)."""
    batch, _, height, width = h.shape
    group = min(batch, STATISTICS_GROUP)
    parts = h.reshape(group, batch // group, *h.shape[1:])
    deviation = torch.sqrt(parts.var(dim=0, correction=0) + 1e-8).mean(dim=(1, 2, 3))
    return deviation.repeat(group)[:, None, None, None].expand(batch, 1, height, width)
