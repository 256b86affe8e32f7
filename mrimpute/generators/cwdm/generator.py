"""cWDM inference: three prepared sources → one synthetic volume (Friedrich et al. 2024, section 2)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mrimpute.contrasts import Contrast
from mrimpute.device import give_back_memory
from mrimpute.diffusion.ladder import LADDERS, Ladder, trailing_timesteps
from mrimpute.diffusion.noise import noise_stream
from mrimpute.diffusion.step import Sampler, reverse
from mrimpute.generators.blocks import lay_out, parameter_count
from mrimpute.generators.contract import Progress, Sampling, Synthetic
from mrimpute.generators.converted import ConvertedNetwork
from mrimpute.generators.convolution import slab_room
from mrimpute.generators.cwdm import _wavelet
from mrimpute.generators.cwdm.checkpoint import load_networks, network_config
from mrimpute.generators.cwdm.config import BANDS, NetworkConfig
from mrimpute.generators.cwdm.denoiser import Denoiser, Estimate
from mrimpute.prepare import Prepared
from mrimpute.registry import Checkpoint, SamplingSpec


@dataclass(frozen=True)
class CwdmGenerator:
    """A loaded cWDM checkpoint.

    Attributes:
        network: on its device.
        sources, target: channel order of the sources, and what it makes.
        ladder: the rungs to visit.
        sampler: how.
        output_floor: values up to this become 0 (0.04 in the authors' automatic mode).
        device, dtype: where it runs, and the type of the convolutions.
    """

    network: Denoiser
    sources: tuple[Contrast, ...]
    target: Contrast
    ladder: Ladder
    sampler: Sampler
    output_floor: float
    device: torch.device
    dtype: torch.dtype

    def __call__(
        self, prepared: Prepared, targets: tuple[Contrast, ...], seed: int, progress: Progress
    ) -> list[Synthetic]:
        """Make the one target that this network was trained for.

        Args:
            prepared: the sources, each (X, Y, Z) in [0, 1].
            targets: `(self.target,)`.
            seed: the run's seed; with the sources' content and the target it decides the noise.
            progress: called at the start and after each step.

        Raises:
            ValueError: another target is asked for, or a source is not there.
        """
        if targets != (self.target,):
            raise ValueError(f"this network makes {self.target}, not {targets}")
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32):
            condition, estimate = self._known(prepared)
            give_back_memory()
            shape = (1, BANDS, *condition.shape[2:])
            noise = self._noise(seed, prepared, shape)
            state = next(noise)  # (1, 8, X/2, Y/2, Z/2)
            steps = reverse(
                lambda x, t: self._predict(x, condition, t, estimate), state, self.ladder, self.sampler, noise
            )
            progress(0, len(self.ladder))
            for done, reached in enumerate(steps, 1):
                state = reached
                progress(done, len(self.ladder))
            image = _wavelet.unpack(state)[0, 0]  # (X, Y, Z)
            image = torch.where(image <= self.output_floor, 0.0, image).clamp_(0.0, 1.0)
        return [Synthetic(self.target, image.float().cpu().numpy())]

    def _known(self, prepared: Prepared) -> tuple[Tensor, Estimate | None]:
        """Return the condition (1, 24, X/2, Y/2, Z/2) and what a regression makes; the sources are let go of."""
        sources = self._sources(prepared)  # (3, X, Y, Z)
        return self.network.condition(sources), self._estimate(prepared, sources)

    def _sources(self, prepared: Prepared) -> Tensor:
        return torch.stack([torch.from_numpy(prepared.images[contrast]) for contrast in self.sources]).to(self.device)

    def _estimate(self, prepared: Prepared, sources: Tensor) -> Estimate | None:
        """Return the regression's target and where it holds: the one that was given, else the network's own."""
        head = torch.from_numpy(prepared.head).to(self.device)
        given = prepared.estimates.get(self.target)
        if given is None or self.network.coefficients is None:
            return self.network.estimate(sources, head)
        return torch.from_numpy(given).to(self.device), head

    def _noise(self, seed: int, prepared: Prepared, shape: tuple[int, ...]) -> Iterator[Tensor]:
        stream = noise_stream(seed, (*prepared.content, self.target), shape)
        return (tensor.to(self.device) for tensor in stream)

    def _predict(self, state: Tensor, condition: Tensor, timestep: int, estimate: Estimate | None = None) -> Tensor:
        """Predict clean sub-bands, clipped to [0, 1] in image space, as the authors' sampler does."""
        timesteps = torch.tensor([timestep], device=self.device)
        return _wavelet.pack(self.network.image(state, condition, timesteps, estimate))


def load(checkpoint: Checkpoint, sampling: Sampling, device: torch.device, dtype: torch.dtype) -> CwdmGenerator:
    """Load a cWDM checkpoint.

    Args:
        checkpoint: any cWDM checkpoint.
        sampling: from `METHOD.choose_sampling` for this checkpoint.
        device, dtype: float32, or bfloat16 for the convolutions.

    Raises:
        WeightsUnavailable: the checkpoint is not valid.
    """
    network = load_networks(checkpoint)
    lay_out(network, device, dtype)
    return _generator(checkpoint, network, sampling, device, dtype)


def load_converted(checkpoint: Checkpoint, sampling: Sampling) -> CwdmGenerator:
    """Load a cWDM checkpoint for OpenVINO, in bfloat16 on the CPU; see `load`.

    Raises:
        WeightsUnavailable: the checkpoint is not valid, OpenVINO cannot compute it, or the store cannot be written.
        ResourcesExhausted: the disk is full.
    """
    network = load_networks(checkpoint)
    network.unet = ConvertedNetwork.of(checkpoint, network.unet, _example(network_config(checkpoint)))
    return _generator(checkpoint, network, sampling, torch.device("cpu"), torch.bfloat16)


def _example(config: NetworkConfig) -> tuple[Tensor, Tensor]:
    """Return the smallest input that a network takes, and a timestep."""
    length = 2 ** len(config.channel_mult)
    return torch.zeros(1, config.in_channels, length, length, length), torch.tensor([0])


def _generator(
    checkpoint: Checkpoint, network: Denoiser, sampling: Sampling, device: torch.device, dtype: torch.dtype
) -> CwdmGenerator:
    record = checkpoint.record
    return CwdmGenerator(
        network,
        record.sources,
        record.one_target,
        sampling_ladder(record.sampling, sampling),
        Sampler(sampling.sampler),
        record.sampling.output_floor,
        device,
        dtype,
    )


def sampling_ladder(trained: SamplingSpec, sampling: Sampling) -> Ladder:
    """Return the rungs that a run visits: of the ladder that a network was trained on all, or evenly spaced ones."""
    ladder = LADDERS[trained.ladder](trained.timesteps)
    if sampling.sampler == Sampler.DDPM:
        return ladder
    return ladder.respaced(trailing_timesteps(len(ladder), sampling.steps))


def memory_needed(
    checkpoint: Checkpoint, window: tuple[int, int, int], device: torch.device, dtype: torch.dtype
) -> int:
    """Estimate the peak bytes of one run: the input in float32; weights, and maps of the finest level, in the type of
    the convolutions: on the CPU, where what lies between is taken by the slab or the band, the six that stay
    (measured), else about 13 and the input's copies, in float32 (not measured)."""
    config, on_cpu = network_config(checkpoint), device.type == "cpu"
    length, *plane = (size // 2 for size in window)
    voxels = length * plane[0] * plane[1]
    each, maps, copies = (dtype.itemsize, 6, 1) if on_cpu else (4, 13, 3)
    wide = config.base_channels * sum(config.channel_mult[:2])
    room = slab_room(length, each * wide * plane[0] * plane[1]) if on_cpu else 0
    known = 4 * voxels * copies * config.in_channels
    return known + each * (parameter_count(Denoiser, config) + voxels * maps * config.base_channels) + room
