"""The noise predictor of ALDM (Kim & Park 2024, section 3): a 3-D UNet on latents, told the step and the target.

Parameter names are those of the authors' checkpoints; a number that a name skips belongs to a
layer without parameters.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.generators.aldm.config import UNET_GROUPS, AldmConfig
from mrimpute.generators.aldm.embedding import Embedding
from mrimpute.generators.blocks import Norm, ResBlock, TimestepSequential, Upsample, silu, timestep_embedding, zeroed
from mrimpute.generators.convolution import Conv3


class Attention(nn.Module):
    """Self-attention of all voxels, (B, C, X, Y, Z) → the same shape."""

    def __init__(self, channels: int, head_width: int) -> None:
        super().__init__()
        self.heads = channels // head_width
        self.norm = Norm(UNET_GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)
        nn.init.zeros_(self.proj_out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus what its voxels gather from each other."""
        flat = x.flatten(2)  # (B, C, L)
        heads = self.qkv(self.norm(flat)).unflatten(1, (self.heads, 3, -1))  # (B, H, 3, width, L), head-major
        # (B, H, L, width) each, in this order in memory: else PyTorch makes a matrix of all voxels by all voxels
        query, key, value = (part.transpose(2, 3).contiguous() for part in heads.unbind(2))
        gathered = F.scaled_dot_product_attention(query, key, value).transpose(2, 3).flatten(1, 2)
        result: Tensor = flat + self.proj_out(gathered)
        return result.view_as(x)


class Downsample(nn.Module):
    """Halve each axis; padded on both ends, unlike the autoencoder's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv3d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) → (B, C, X/2, Y/2, Z/2)."""
        halved: Tensor = self.op(x)
        return halved


class NoisePredictor(nn.Module):
    """Predicts the noise in a latent.

    Args:
        config: sizes; the default is the authors' network of 33.2 million parameters.
    """

    def __init__(self, config: AldmConfig) -> None:
        super().__init__()
        self.config = config
        base = config.unet_channels
        widths = [base * factor for factor in config.unet_mult]
        embedding = 4 * base

        def layers(inputs: int, outputs: int, reduction: int) -> list[nn.Module]:
            attends = [Attention(outputs, config.head_width)] if reduction in config.attention_at else []
            return [ResBlock(inputs, outputs, embedding, UNET_GROUPS), *attends]

        self.time_embed = nn.Sequential(nn.Linear(base, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.label_emb = Embedding(config.classes, embedding)
        self.input_blocks = nn.ModuleList([TimestepSequential([Conv3(3 * config.latent, base)])])
        skips, current = [base], base
        for level, width in enumerate(widths):
            for _ in range(config.unet_res_blocks):
                self.input_blocks.append(TimestepSequential(layers(current, width, 2**level)))
                current = width
                skips.append(current)
            if level < len(widths) - 1:
                self.input_blocks.append(TimestepSequential([Downsample(current)]))
                skips.append(current)

        self.middle_block = TimestepSequential(
            [
                ResBlock(current, current, embedding, UNET_GROUPS),
                Attention(current, config.head_width),
                ResBlock(current, current, embedding, UNET_GROUPS),
            ]
        )

        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for block in range(config.unet_res_blocks + 1):
                stage = layers(current + skips.pop(), width, 2**level)
                current = width
                if level and block == config.unet_res_blocks:
                    stage.append(Upsample(current))
                self.output_blocks.append(TimestepSequential(stage))

        self.out = nn.Sequential(Norm(UNET_GROUPS, base), nn.SiLU(), zeroed(Conv3(base, config.latent)))

    def begin_as_identity(self) -> None:
        """Let the untrained network return the noisy latent, scaled to variance 1: all but noise at the first steps.

        There an error of the noise counts up to 80 times as much in the clean latent. Each channel z of the latent goes
        through the network as z and -z, for silu(z) - silu(-z) = z. The groups of normalisation must hold an even
        number of channels, and the network's width two for each channel of the latent.
        """
        latent = self.config.latent
        first, skip = self.input_blocks[0].get_submodule("0"), self.output_blocks[-1].get_submodule("0.skip_connection")
        assert isinstance(first, nn.Conv3d) and isinstance(skip, nn.Conv3d)  # see above
        below = skip.in_channels - first.out_channels  # channels that come from the level below
        with torch.no_grad():
            for layer in (first, skip):
                assert layer.bias is not None  # Conv3d's default
                layer.weight[: 2 * latent] = 0
                layer.bias[: 2 * latent] = 0
            for channel in range(latent):
                for number, sign in ((2 * channel, 1.0), (2 * channel + 1, -1.0)):
                    first.weight[number, channel, 1, 1, 1] = sign
                    skip.weight[number, below + number] = 1.0
                    self.out.get_parameter("2.weight")[channel, number, 1, 1, 1] = sign

    def forward(self, x: Tensor, timesteps: Tensor, targets: Tensor) -> Tensor:
        """Predict noise.

        Args:
            x: (B, 3 latent, X, Y, Z): noisy latent, source latent, SPADE's latent.
            timesteps: (B,) original timestep, 0 to 999.
            targets: (B,) class.

        Returns:
            (B, latent, X, Y, Z).
        """
        embedding = self.time_embed(timestep_embedding(timesteps, self.config.unet_channels)) + self.label_emb(targets)
        h = x
        skips = []
        for stage in self.input_blocks:
            h = stage(h, embedding)
            skips.append(h)
        maps = [self.middle_block(h, embedding)]
        for stage in self.output_blocks:
            maps.append(skips.pop())
            maps.append(stage(maps, embedding))  # which empties the list
        norm, _, convolve = self.out
        noise: Tensor = convolve(silu(norm(maps.pop())))
        return noise
