"""Toy inference."""

from dataclasses import dataclass

import torch

from mrimpute.contrasts import Contrast
from mrimpute.diffusion.noise import noise_stream
from mrimpute.generators.contract import Progress, Sampling, Synthetic
from mrimpute.prepare import Prepared
from mrimpute.registry import Checkpoint

from .checkpoint import load_networks
from .network import Toy


@dataclass(frozen=True)
class ToyGenerator:
    network: Toy
    sources: tuple[Contrast, ...]
    target: Contrast
    device: torch.device

    def __call__(
        self, prepared: Prepared, targets: tuple[Contrast, ...], seed: int, progress: Progress
    ) -> list[Synthetic]:
        if targets != (self.target,):
            raise ValueError(f"this network makes {self.target}, not {targets}")
        progress(0, 1)
        sources = torch.stack([torch.from_numpy(prepared.images[contrast]) for contrast in self.sources])
        noise = next(noise_stream(seed, (*prepared.content, self.target), sources.shape[1:]))
        with torch.inference_mode():
            made = self.network(sources.to(self.device), noise.to(self.device)).clamp(0, 1).cpu().numpy()
        progress(1, 1)
        return [Synthetic(self.target, made)]


def load(checkpoint: Checkpoint, _sampling: Sampling, device: torch.device, _dtype: torch.dtype) -> ToyGenerator:
    record = checkpoint.record
    return ToyGenerator(load_networks(checkpoint).to(device), record.sources, record.one_target, device)


def memory_needed(
    checkpoint: Checkpoint, window: tuple[int, int, int], _device: torch.device, _dtype: torch.dtype
) -> int:
    return 4 * window[0] * window[1] * window[2] * (3 * len(checkpoint.record.sources) + 8)
