"""Sizes of the ALDM networks, how far they were trained, and how a record tells both; no torch."""

from dataclasses import dataclass
from typing import Literal

from mrimpute.generators.records import read_sizes, refuse
from mrimpute.registry import Checkpoint

TrainingStage = Literal["autoencoder", "spade", "diffusion"]
STAGES: tuple[TrainingStage, ...] = ("autoencoder", "spade", "diffusion")
STAGE = "stage"
"""Key of a record's `network` table: how far the networks were trained; a file of the last stage holds
the noise predictor. Before it the predictor's sizes tell what that stage will train."""

UNET_GROUPS = 32
"""Groups of every GroupNorm in the UNet: fixed in the authors' code."""


@dataclass(frozen=True)
class AldmConfig:
    """Sizes; the defaults are those of the authors' configuration.

    Attributes:
        channels: width of the autoencoder's finest level.
        channel_mult: width of each of its levels as a multiple, finest first.
        res_blocks: residual blocks per level of the encoder (one more in the decoder).
        groups: groups of its GroupNorms; divides every width. No state dict tells it.
        latent: channels of the latent.
        codes: vectors in the code book.
        spade_channels, spade_hidden: base and hidden width of the SPADE stack.
        classes: how many targets there are.
        unet_channels, unet_mult, unet_res_blocks: widths and depth of the noise predictor.
        attention_at: reductions of the latent at which it attends.
        head_width: channels of an attention head.
    """

    channels: int = 64
    channel_mult: tuple[int, ...] = (1, 1, 2)
    res_blocks: int = 1
    groups: int = 32
    latent: int = 4
    codes: int = 8192
    spade_channels: int = 128
    spade_hidden: int = 64
    classes: int = 4
    unet_channels: int = 128
    unet_mult: tuple[int, ...] = (1, 1, 2)
    unet_res_blocks: int = 1
    attention_at: tuple[int, ...] = (4, 2)
    head_width: int = 32

    def __post_init__(self) -> None:
        numbers = (*self.channel_mult, *self.unet_mult, self.res_blocks, self.unet_res_blocks, self.groups)
        sizes = (
            self.channels,
            self.unet_channels,
            self.latent,
            self.codes,
            self.spade_channels,
            self.spade_hidden,
            self.classes,
            self.head_width,
        )
        if not self.channel_mult or not self.unet_mult or min(numbers + sizes) < 1:
            raise ValueError("every size must be positive")
        if any(self.channels * factor % self.groups for factor in self.channel_mult):
            raise ValueError(f"every width of the autoencoder must be divisible by groups {self.groups}")
        if any(self.unet_channels * factor % UNET_GROUPS for factor in self.unet_mult):
            raise ValueError(f"every width of the UNet must be divisible by {UNET_GROUPS}")
        if any(self.unet_channels * factor % self.head_width for factor in self.unet_mult):
            raise ValueError(f"every width of the UNet must be divisible by head_width {self.head_width}")

        reductions = {2**level for level in range(len(self.unet_mult))}
        if not set(self.attention_at) <= reductions:
            raise ValueError(f"the noise predictor's reductions must be among {sorted(reductions)}")

    @property
    def reduction(self) -> int:
        """Voxels of the image per voxel of the latent, along each axis."""
        return int(2 ** (len(self.channel_mult) - 1))

    @property
    def image_multiple(self) -> int:
        """Every axis of the image must be a multiple of this."""
        return self.reduction * int(2 ** (len(self.unet_mult) - 1))


DERIVED = ("classes",)
"""What the number of the record's sources tells."""


def network_config(checkpoint: Checkpoint) -> AldmConfig:
    """Return the networks' sizes from a checkpoint's record.

    Raises:
        WeightsUnavailable: an unknown key, sizes that cannot be, or a frame that the networks cannot take.
    """
    return read_sizes(checkpoint, AldmConfig, more=(STAGE,), classes=len(checkpoint.record.sources))


def stage_of(checkpoint: Checkpoint) -> TrainingStage:
    """Return how far a checkpoint's networks were trained.

    Raises:
        WeightsUnavailable: the record does not say.
    """
    given = checkpoint.record.network.get(STAGE)
    for stage in STAGES:
        if given == stage:
            return stage
    refuse(checkpoint, f"network.{STAGE}", f"must be one of {', '.join(STAGES)}")
