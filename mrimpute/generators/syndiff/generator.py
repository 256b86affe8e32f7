"""SynDiff inference: one prepared source → one synthetic volume, slice by slice (Özbey et al., IEEE TMI 2023)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mrimpute.contrasts import Contrast
from mrimpute.device import one_thread_each
from mrimpute.diffusion.ladder import LADDERS, Ladder
from mrimpute.diffusion.noise import seeded
from mrimpute.diffusion.step import posterior_step
from mrimpute.generators import regression
from mrimpute.generators.blocks import lay_out, parameter_count
from mrimpute.generators.contract import Progress, Sampling, Synthetic
from mrimpute.generators.syndiff.checkpoint import load_networks, network_config
from mrimpute.generators.syndiff.network import DiffusiveGenerator, NetworkConfig
from mrimpute.prepare import Prepared
from mrimpute.registry import Checkpoint
from mrimpute.volume import BoolArray, FloatArray

CUDA_BATCH = 8
"""Slices at once on a GPU; on the CPU each has a thread of its own: a slice of the built-in networks takes two threads
together longer than one alone (0.41 and 0.33 s), two such threads make two in 0.37 s."""

SOURCE_SHARE = {Contrast.T2: 0.65, Contrast.FLAIR: 0.45}
"""Share of the network's structure beside a regression on its one source; other targets get half. They lie no further
from a half than other scanners bear. Against a half, in four studies of a scanner that nothing here has seen, a t2
gains 0.20 to 0.34 dB and a flair 0.03 to 0.08; in two patients of a scanner that the network knows 0.07 to 0.14 and
-0.01 to 0.01; in the three patients by networks that do not know their scanner -0.07 to 0.04 and -0.02 to -0.01."""


@dataclass(frozen=True)
class SliceDraws:
    """The random numbers of one slice: start (1, H, W), then per step a latent and posterior noise."""

    start: Tensor
    latents: list[Tensor]
    noise: list[Tensor]


@dataclass(frozen=True)
class SyndiffGenerator:
    """A loaded SynDiff checkpoint.

    Attributes:
        network: on its device.
        source, target: what it translates.
        ladder: the large steps.
        shared_noise: whether all slices get the same draws.
        batch: slices at once; decides speed and memory, and of bfloat16 last digits.
        device, dtype: where it runs, and the type of the convolutions.
        coefficients: of the regression that is blended with the finished volume; None for the paper's method.
    """

    network: DiffusiveGenerator
    source: Contrast
    target: Contrast
    ladder: Ladder
    shared_noise: bool
    batch: int
    device: torch.device
    dtype: torch.dtype
    coefficients: Tensor | None = None

    def __call__(
        self, prepared: Prepared, targets: tuple[Contrast, ...], seed: int, progress: Progress
    ) -> list[Synthetic]:
        """Make the one target that this network was trained for.

        Args:
            prepared: the source, (X, Y, Z) in [0, 1]; X is the network's slice width.
            targets: `(self.target,)`.
            seed: the run's seed; with the source's content, target and slice it decides the noise.
            progress: called at the start and after each slice or batch, in slices.

        Raises:
            ValueError: another target is asked for.
        """
        if targets != (self.target,):
            raise ValueError(f"this network makes {self.target}, not {targets}")
        image = prepared.images[self.source]
        made = np.zeros(image.shape, np.float32)
        filled = [index for index in range(image.shape[2]) if image[:, :, index].any()]
        progress(0, len(filled))
        count = 0

        def slices(indices: list[int]) -> int:
            # the first axis is a slice's width, the second its height
            source = torch.from_numpy(np.ascontiguousarray(image[:, :, indices].transpose(2, 1, 0)))[:, None]
            draws = [self._draws(seed, prepared, index, source.shape[1:]) for index in indices]
            unit = (self.sample(source.to(self.device) * 2 - 1, draws) + 1) / 2
            made[:, :, indices] = unit[:, 0].clamp(0.0, 1.0).float().cpu().numpy().transpose(2, 1, 0)
            return len(indices)

        def done(more: int) -> None:
            nonlocal count
            count += more
            progress(count, len(filled))

        batches = [filled[first : first + self.batch] for first in range(0, len(filled), self.batch)]
        if self.device.type == "cpu":
            one_thread_each(slices, batches, _bytes_of_a_slice(self.network.config, image.shape), done)
        else:
            for indices in batches:
                done(slices(indices))
        given, share = prepared.estimates.get(self.target), prepared.network_share
        return [Synthetic(self.target, self.blended(made, image, prepared.head, given, share))]

    def blended(
        self,
        made: FloatArray,
        image: FloatArray,
        head: BoolArray,
        given: FloatArray | None = None,
        share: float | None = None,
    ) -> FloatArray:
        """Blend a finished volume with a given regression, else that on its source, if there is one; all (X, Y, Z),
        grey values in [0, 1]; `share` of the network's structure, None for that beside a regression on its source."""
        if self.coefficients is None:
            return made
        inside = torch.from_numpy(np.ascontiguousarray(head))
        if given is not None:
            estimate = torch.from_numpy(given)
        else:
            source = torch.from_numpy(np.ascontiguousarray(image))
            estimate = regression.estimate(source[None], self.coefficients, inside)
        share = SOURCE_SHARE.get(self.target, regression.NETWORK_SHARE) if share is None else share
        return regression.blended(torch.from_numpy(made), estimate, inside, share).numpy()

    def sample(self, source: Tensor, draws: list[SliceDraws]) -> Tensor:
        """Sample slices: source (B, 1, H, W) in [-1, 1] → target (B, 1, H, W) in [-1, 1]."""

        def stacked(tensors: list[Tensor]) -> Tensor:
            return torch.stack(tensors).to(self.device)

        state = stacked([one.start for one in draws])
        with torch.inference_mode():
            for turn, index in enumerate(reversed(range(len(self.ladder)))):
                times = torch.full((len(source),), index, device=self.device)
                latent = stacked([one.latents[turn] for one in draws])
                with torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32):
                    clean = self.network(torch.cat([state, source], dim=1), times, latent)[:, :1].float()
                noise = stacked([one.noise[turn] for one in draws])
                state = posterior_step(clean, state, times, self.ladder, noise)
        return state

    def _draws(self, seed: int, prepared: Prepared, index: int, shape: torch.Size) -> SliceDraws:
        """Draw in the authors' order: start, then latent and noise of each step."""
        place = () if self.shared_noise else (f"slice {index}",)
        generator = seeded(seed, (*prepared.content, self.target, *place))
        start = torch.randn(shape, generator=generator)
        latents, noise = [], []
        for _ in range(len(self.ladder)):
            latents.append(torch.randn(self.network.config.latent_size, generator=generator))
            noise.append(torch.randn(shape, generator=generator))
        return SliceDraws(start, latents, noise)


def load(checkpoint: Checkpoint, sampling: Sampling, device: torch.device, dtype: torch.dtype) -> SyndiffGenerator:
    """Load a SynDiff checkpoint.

    Args:
        checkpoint: any SynDiff checkpoint.
        sampling: from `METHOD.choose_sampling` for this checkpoint.
        device, dtype: float32, or bfloat16 for the convolutions.

    Raises:
        WeightsUnavailable: the checkpoint is not valid.
    """
    record = checkpoint.record
    networks = load_networks(checkpoint)
    lay_out(networks.generator, device, dtype)
    (source,) = record.sources
    return SyndiffGenerator(
        networks.generator,
        source,
        record.one_target,
        LADDERS[record.sampling.ladder](sampling.steps),
        record.sampling.shared_noise,
        _batch(device),
        device,
        dtype,
        networks.coefficients,
    )


def _batch(device: torch.device) -> int:
    return CUDA_BATCH if device.type == "cuda" else 1


def memory_needed(
    checkpoint: Checkpoint, window: tuple[int, int, int], device: torch.device, _dtype: torch.dtype
) -> int:
    """Estimate the least bytes of one run, those of float32 in either type: weights, and about 20 maps of the finest
    level for each slice at once; on a CPU that is one, and more only where there is room."""
    config = network_config(checkpoint)
    return 4 * parameter_count(DiffusiveGenerator, config) + _bytes_of_a_slice(config, window) * _batch(device)


def _bytes_of_a_slice(config: NetworkConfig, window: tuple[int, ...]) -> int:
    return 4 * window[0] * window[1] * 20 * config.base_channels
