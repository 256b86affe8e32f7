"""Sizes of the cWDM network, and how a record tells them; no torch."""

from dataclasses import dataclass

from mrimpute.generators.records import read_sizes
from mrimpute.registry import Checkpoint

BANDS = 8
"""Sub-bands of a one-level wavelet transform in three dimensions, each a channel of the network."""


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        base_channels: width of the finest level.
        channel_mult: width of each level as a multiple of base_channels, finest first; it
            begins with 1, since the output layer expects base_channels.
        res_blocks: residual blocks per level on the way down (one more on the way up).
        groups: groups of every GroupNorm; divides every width.
        in_channels: 8 noisy sub-bands and 8 per source.
        out_channels: 8 clean sub-bands.
    """

    base_channels: int = 64
    channel_mult: tuple[int, ...] = (1, 2, 2, 4, 4)
    res_blocks: int = 2
    groups: int = 32
    in_channels: int = 4 * BANDS
    out_channels: int = BANDS

    def __post_init__(self) -> None:
        if not self.channel_mult or self.channel_mult[0] != 1 or min(self.channel_mult) < 1:
            raise ValueError(f"channel_mult must begin with 1 and hold positive numbers, not {self.channel_mult}")
        if min(self.base_channels, self.groups) < 1:
            raise ValueError("base_channels and groups must be positive")
        if self.base_channels % self.groups or self.base_channels % 2:
            raise ValueError(f"base_channels {self.base_channels} must be even and divisible by groups {self.groups}")
        if self.res_blocks < 1:
            raise ValueError("res_blocks must be at least 1")

    @property
    def image_multiple(self) -> int:
        """Every axis of the image must be a multiple of this: the transform and each level halve it."""
        return int(2 ** len(self.channel_mult))


DERIVED = ("in_channels", "out_channels")
"""Sizes that follow from the number of sources."""


def network_config(checkpoint: Checkpoint) -> NetworkConfig:
    """Return the network's sizes from a checkpoint's record.

    Raises:
        WeightsUnavailable: an unknown key, sizes that cannot be, or a frame that the network cannot take.
    """
    inputs = BANDS * (1 + len(checkpoint.record.sources))
    return read_sizes(checkpoint, NetworkConfig, in_channels=inputs, out_channels=BANDS)
