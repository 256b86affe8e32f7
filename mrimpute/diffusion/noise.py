"""Seeded noise: one seed gives one stream, whatever the device, batch or order of studies."""

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def noise_stream(seed: int, words: Sequence[str], shape: Sequence[int]) -> Iterator[Tensor]:
    """Yield standard normal float32 tensors on the CPU, without end.

    Args:
        seed: the run's seed.
        words: what else decides the stream (study content, target), so that each image has
            its own and no other image moves it.
        shape: shape of every tensor.
    """
    generator = seeded(seed, words)
    while True:
        yield torch.randn(tuple(shape), generator=generator)


def seeded(seed: int, words: Sequence[str]) -> torch.Generator:
    """Return a random stream on the CPU that follows from the seed and the words alone."""
    digest = hashlib.sha256("\0".join([str(seed), *words]).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
