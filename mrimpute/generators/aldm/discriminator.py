"""The patch discriminator that the autoencoder is trained against; no checkpoint needs it."""

from itertools import pairwise

from torch import Tensor, nn

GROUPS = 32
SLOPE = 0.2
WIDTHS = (32, 64, 128, 256)


class VolumeDiscriminator(nn.Module):
    """(B, 1, X, Y, Z) → logits of its patches, (B, 1, X', Y', Z'); above 0 means acquired."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv3d(1, WIDTHS[0], 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        for inputs, outputs in pairwise(WIDTHS):
            stride = 1 if outputs == WIDTHS[-1] else 2
            layers += [
                nn.Conv3d(inputs, outputs, 4, stride=stride, padding=1, bias=False),
                nn.GroupNorm(GROUPS, outputs),
                nn.LeakyReLU(SLOPE),
            ]
        self.main = nn.Sequential(*layers, nn.Conv3d(WIDTHS[-1], 1, 4, padding=1))

    def forward(self, volume: Tensor) -> Tensor:
        """Return the logits of a volume's patches."""
        logits: Tensor = self.main(volume)
        return logits
