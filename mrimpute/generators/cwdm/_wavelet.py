"""One-level 3-D Haar transform and the packing of sub-bands into network channels.

Filter taps come from PyWavelets. Sub-band order is LLL, LLH, LHL, LHH, HLL, HLH, HHL, HHH
(letters: array axes 0, 1, 2), and 'packed' means LLL divided by 3, as the authors' networks see it.
"""

import numpy as np
import pywt
import torch
from torch import Tensor

LOW_BAND_SCALE = 3.0

_TAP = float(np.float32(pywt.Wavelet("haar").dec_lo[0]))


def dwt(volume: Tensor) -> Tensor:
    """Transform (N, 1, X, Y, Z) into its sub-bands (N, 8, X/2, Y/2, Z/2).

    Raises:
        ValueError: an axis has an odd number of voxels.
    """
    if any(size % 2 for size in volume.shape[2:]):
        raise ValueError(f"the Haar transform needs even sizes, not {tuple(volume.shape[2:])}")
    bands = [volume]
    for axis in (2, 3, 4):
        bands = [half for band in bands for half in _split(band, axis)]
    return torch.cat(bands, dim=1)


def idwt(bands: Tensor) -> Tensor:
    """Transform sub-bands (N, 8, X, Y, Z) back into a volume (N, 1, 2X, 2Y, 2Z)."""
    parts = list(bands.split(1, dim=1))
    for axis in (4, 3, 2):
        parts = [_merge(low, high, axis) for low, high in zip(parts[::2], parts[1::2], strict=True)]
    volume: Tensor = parts[0]
    return volume


def pack(volume: Tensor) -> Tensor:
    """Return the packed sub-bands (N, 8, X/2, Y/2, Z/2) of a volume (N, 1, X, Y, Z)."""
    bands = dwt(volume)
    bands[:, 0] /= LOW_BAND_SCALE
    return bands


def unpack(packed: Tensor) -> Tensor:
    """Return the volume (N, 1, 2X, 2Y, 2Z) of packed sub-bands (N, 8, X, Y, Z)."""
    return idwt(torch.cat([packed[:, :1] * LOW_BAND_SCALE, packed[:, 1:]], dim=1))


def _split(band: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the low and high half-band along one axis: s*a + s*b and s*a - s*b."""
    even: Tensor
    even, odd = band.unflatten(axis, (-1, 2)).mul(_TAP).unbind(axis + 1)
    return even + odd, even - odd


def _merge(low: Tensor, high: Tensor, axis: int) -> Tensor:
    """Interleave the samples that a low and a high half-band stand for."""
    low, high = low * _TAP, high * _TAP
    return torch.stack((low + high, low - high), dim=axis + 1).flatten(axis, axis + 1)
