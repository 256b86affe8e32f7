"""The first stage: encoder, code book, decoder (Kim & Park 2024, section 3), and the SPADE stack between them.

Parameter names are those of the authors' checkpoints.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.generators.aldm.config import AldmConfig
from mrimpute.generators.aldm.embedding import Embedding
from mrimpute.generators.aldm.spade import SpadeStack
from mrimpute.generators.blocks import Norm, Upsample, convolved, laid_out_as
from mrimpute.generators.convolution import Conv1, Conv3, is_laid_out, new_map

EPS = 1e-6
ROWS = 512
"""Latent vectors compared with the code book at once: all of them would take 6 GB."""
PLANES = 4
"""Planes of a halved map that are made at once."""


class ResidualBlock(nn.Module):
    """(B, in, X, Y, Z) → (B, out, X, Y, Z)."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.norm1 = Norm(groups, inputs, eps=EPS)
        self.conv1 = Conv3(inputs, outputs)
        self.norm2 = Norm(groups, outputs, eps=EPS)
        self.conv2 = Conv3(outputs, outputs)
        if inputs != outputs:
            self.nin_shortcut = Conv1(inputs, outputs)
        self.changes_width = inputs != outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus what two normalised convolutions make of it."""
        h = convolved(self.norm1, [x], self.conv1)

        def kept(at: tuple[slice, ...]) -> Tensor:
            same: Tensor = self.nin_shortcut(x[at]) if self.changes_width else x[at]
            return same

        return convolved(self.norm2, [h], self.conv2, kept, into=h)


class Downsample(nn.Module):
    """Halve each axis: one plane of zeros at the far end of each, then stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) → (B, C, X/2, Y/2, Z/2); of a laid-out map some planes at a time, since the zeros beside it
        make a copy of it."""
        if not is_laid_out(x):
            halved: Tensor = self.conv(F.pad(x, (0, 1, 0, 1, 0, 1)))
            return halved
        length = x.shape[2]
        made = new_map(x, self.conv.out_channels, [size // 2 for size in x.shape[2:]])
        for low in range(0, made.shape[2], PLANES):
            end = 2 * (low + PLANES)
            slab = F.pad(x[:, :, 2 * low : end + 1], (0, 1, 0, 1, 0, int(end >= length)))
            made[:, :, low : low + PLANES] = self.conv(slab)
        return made


class Level(nn.Module):
    """Residual blocks of one resolution, then perhaps a change of it."""

    def __init__(self, blocks: list[ResidualBlock]) -> None:
        super().__init__()
        self.block = nn.ModuleList(blocks)


def _layers(levels: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Yield the layers of levels in their order. Who runs them one by one keeps no map alive but the last."""
    for level in levels:
        for layer in level.children():
            yield from layer if isinstance(layer, nn.ModuleList) else [layer]


class Middle(nn.Module):
    """One residual block at the coarsest level; unlike the usual VQ-GAN, no attention."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels, groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) → the same shape."""
        result: Tensor = self.block_1(x)
        return result


class Encoder(nn.Module):
    """(B, 1, X, Y, Z) → (B, latent, X/r, Y/r, Z/r)."""

    def __init__(self, config: AldmConfig) -> None:
        super().__init__()
        widths = [config.channels * factor for factor in config.channel_mult]
        self.conv_in = nn.Conv3d(1, config.channels, 3, padding=1)
        self.down = nn.ModuleList()
        current = config.channels
        for index, width in enumerate(widths):
            sizes = [current] + [width] * config.res_blocks
            level = Level([ResidualBlock(a, b, config.groups) for a, b in pairwise(sizes)])
            current = width
            if index < len(widths) - 1:
                level.downsample = Downsample(current)
            self.down.append(level)
        self.mid = Middle(current, config.groups)
        self.norm_out = Norm(config.groups, current, eps=EPS)
        self.conv_out = Conv3(current, config.latent)

    def forward(self, volume: Tensor) -> Tensor:
        """Return the latent before `quant_conv`."""
        h = laid_out_as(self.conv_in(volume), self.conv_out.weight)
        for layer in _layers(self.down):
            h = layer(h)
        return convolved(self.norm_out, [self.mid(h)], self.conv_out)


class Decoder(nn.Module):
    """(B, latent, X/r, Y/r, Z/r) → (B, 1, X, Y, Z), neither clipped nor activated."""

    def __init__(self, config: AldmConfig) -> None:
        super().__init__()
        widths = [config.channels * factor for factor in config.channel_mult]
        current = widths[-1]
        self.conv_in = nn.Conv3d(config.latent, current, 3, padding=1)
        self.mid = Middle(current, config.groups)
        levels = []
        for index in reversed(range(len(widths))):
            sizes = [current] + [widths[index]] * (config.res_blocks + 1)
            level = Level([ResidualBlock(a, b, config.groups) for a, b in pairwise(sizes)])
            current = widths[index]
            if index:
                level.upsample = Upsample(current)
            levels.append(level)
        self.up = nn.ModuleList(reversed(levels))
        self.norm_out = Norm(config.groups, current, eps=EPS)
        self.conv_out = Conv3(current, 1)

    def forward(self, latent: Tensor) -> Tensor:
        """Return the volume."""
        h = self.mid(self.conv_in(latent))
        for layer in _layers(reversed(self.up)):
            h = layer(h)
        return convolved(self.norm_out, [h], self.conv_out)


class Quantiser(nn.Module):
    """The code book: each latent vector becomes its nearest code."""

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.embedding = Embedding(codes, width)
        nn.init.uniform_(self.embedding.weight, -1 / codes, 1 / codes)

    def nearest(self, rows: Tensor) -> Tensor:
        """Return the index of the nearest code of each row, (N, latent) → (N,) int64; the first of equals."""
        codes, rows = self.embedding.weight.detach().float(), rows.detach()
        lengths = codes.square().sum(dim=1)
        sums, products = codes.new_empty(2, min(ROWS, len(rows)), len(codes))  # fresh pages cost as much as the rest
        found = []
        for part in rows.split(ROWS):
            distances, product = sums[: len(part)], products[: len(part)]
            torch.add(part.square().sum(dim=1, keepdim=True), lengths, out=distances)
            torch.mm(2 * part, codes.T, out=product)
            found.append(distances.sub_(product).argmin(dim=1))
        return torch.cat(found)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise.

        Args:
            latent: (B, latent, X, Y, Z).

        Returns:
            The quantised latent, whose gradient passes straight to `latent`; (B·X·Y·Z,) indices;
            the code book's loss.
        """
        last = latent.float().movedim(1, -1)
        with torch.autocast(latent.device.type, enabled=False):  # half precision would find other codes
            indices = self.nearest(last.reshape(-1, latent.shape[1]))
        codes = self.embedding(indices).view_as(last)
        loss = (codes.detach() - last).square().mean() + 0.25 * (codes - last.detach()).square().mean()
        quantised = last + (codes - last).detach()
        return quantised.movedim(-1, 1), indices, loss


@torch.no_grad()
def begin_code_book(stage: "FirstStage", volumes: Iterable[Tensor], draw: np.random.Generator) -> None:
    """Scale each channel of a trained autoencoder's latents to mean 0 and variance 1, and draw the codes from them.

    Args:
        stage: changed in place.
        volumes: (B, 1, X, Y, Z) in [-1, 1] each; background is -1.
        draw: which latents become codes.
    """
    rows = _latents_in_the_head(stage, volumes)
    mean, deviation = rows.mean(0), rows.std(0)
    _rescale(stage, mean, deviation)
    codes = stage.quantize.embedding.weight
    picked = draw.choice(len(rows), len(codes), replace=len(rows) < len(codes))
    codes.copy_(((rows - mean) / deviation)[torch.from_numpy(picked)])


@torch.no_grad()
def standardise_latents(stage: "FirstStage", volumes: Iterable[Tensor]) -> None:
    """Bring latents and codes to mean 0 and variance 1, as diffusion assumes: training lets them shrink.

    One factor serves all channels, so that every latent keeps its nearest code.

    Args:
        stage: changed in place; what it makes of a volume stays the same.
        volumes: (B, 1, X, Y, Z) in [-1, 1] each; background is -1.
    """
    rows = _latents_in_the_head(stage, volumes)
    mean = rows.mean(0)
    _rescale(stage, mean, (rows - mean).square().mean().sqrt().expand_as(mean))


def _latents_in_the_head(stage: "FirstStage", volumes: Iterable[Tensor]) -> Tensor:
    """Return latents before quantisation, (N, latent)."""
    found = []
    for volume in volumes:
        latent = stage.quant_conv(stage.encoder(volume)).float().movedim(1, -1)
        found.append(latent[F.max_pool3d(volume, stage.config.reduction)[:, 0] > -1])
    return torch.cat(found)


def _rescale(stage: "FirstStage", mean: Tensor, deviation: Tensor) -> None:
    """Let `quant_conv` and the codes give (latent - mean) / deviation, and `post_quant_conv` undo it."""
    before, after, codes = stage.quant_conv, stage.post_quant_conv, stage.quantize.embedding.weight
    assert before.bias is not None and after.bias is not None  # Conv3d's default
    after.bias += after.weight[..., 0, 0, 0] @ mean
    after.weight *= deviation[:, None, None, None]
    before.weight /= deviation[:, None, None, None, None]
    before.bias.copy_((before.bias - mean) / deviation)
    codes.copy_((codes - mean) / deviation)


class FirstStage(nn.Module):
    """Autoencoder, code book and SPADE stack: everything but diffusion."""

    def __init__(self, config: AldmConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quantize = Quantiser(config.codes, config.latent)
        self.quant_conv = Conv1(config.latent, config.latent)
        self.post_quant_conv = Conv1(config.latent, config.latent)
        self.spade = SpadeStack(config)

    def encode(self, volume: Tensor) -> Tensor:
        """Return the quantised latent: (B, 1, X, Y, Z) in [-1, 1] → (B, latent, X/r, Y/r, Z/r)."""
        quantised: Tensor = self.quantize(self.quant_conv(self.encoder(volume)))[0]
        return quantised

    def decode(self, latent: Tensor) -> Tensor:
        """Return the volume of a latent, which is not quantised again."""
        volume: Tensor = self.decoder(self.post_quant_conv(latent))
        return volume
