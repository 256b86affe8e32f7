"""Sizes of the SynDiff generator, and how a record tells them; no torch."""

from dataclasses import dataclass

from mrimpute.generators.records import read_sizes, refuse
from mrimpute.registry import Checkpoint

USUAL_ATTENTION = 16
"""Width of the level at which the authors' network attends. Trainings wrote it into their records also where no
level is so wide; there it means nothing."""


def groups_of(channels: int) -> int:
    """Return how many groups a group norm of this width has."""
    return min(channels // 4, 32)


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the generator; the default is the authors' of 39.7 million parameters.

    Attributes:
        image_size: width of the slices in pixels.
        base_channels: width of the finest level.
        channel_mult: width of each level as a multiple of base_channels, finest first.
        res_blocks: residual blocks per level on the way down (one more on the way up).
        attention_at: widths of a level with attention, for slices of image_size; the coarsest
            level always has it.
        latent_width: of the latent after its mapping.
        latent_size: of the normal latent z.
        latent_layers: linear layers of the mapping after the first.
        timesteps: large steps of the diffusion.
    """

    image_size: int = 256
    base_channels: int = 64
    channel_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    res_blocks: int = 2
    attention_at: tuple[int, ...] = (USUAL_ATTENTION,)
    latent_width: int = 256
    latent_size: int = 100
    latent_layers: int = 3
    timesteps: int = 4

    def __post_init__(self) -> None:
        if not self.channel_mult or min(self.channel_mult) < 1 or self.base_channels < 4:
            raise ValueError("channel_mult must hold positive numbers, and base_channels be 4 or more")
        if self.image_size % self.image_multiple:
            raise ValueError(f"image_size {self.image_size} is not a multiple of {self.image_multiple}")
        if self.res_blocks < 1 or min(self.latent_width, self.latent_size) < 1 or self.latent_layers < 0:
            raise ValueError("res_blocks and the latent's sizes must be positive")
        if not 1 <= self.timesteps <= 1000:
            raise ValueError("timesteps must be between 1 and 1000")
        levels = [self.image_size >> level for level in range(len(self.channel_mult))]
        if stray := set(self.attention_at) - {*levels, USUAL_ATTENTION}:
            raise ValueError(f"attention_at {sorted(stray)} are no widths of a level; they are {levels}")
        for width in self.widths:
            for channels in (width, *(width + other for other in self.widths)):
                if channels % groups_of(channels):
                    raise ValueError(
                        f"a level of {channels} channels cannot be divided into {groups_of(channels)} groups"
                    )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, finest first."""
        return tuple(self.base_channels * factor for factor in self.channel_mult)

    @property
    def image_multiple(self) -> int:
        """Both axes of a slice must be multiples of this: each level halves them."""
        return int(2 ** (len(self.channel_mult) - 1))


DERIVED = ("timesteps",)
"""What the record's `sampling` table tells."""


def network_config(checkpoint: Checkpoint) -> NetworkConfig:
    """Return the network's sizes from a checkpoint's record.

    Raises:
        WeightsUnavailable: an unknown key, sizes that cannot be, or other slices than the inputs'.
    """
    config = read_sizes(checkpoint, NetworkConfig, timesteps=checkpoint.record.sampling.timesteps)
    slices = checkpoint.record.inputs.slices
    if slices is None or slices[0] != config.image_size:
        refuse(checkpoint, "inputs.slices", f"must be {config.image_size} wide, as network.image_size is")
    return config
