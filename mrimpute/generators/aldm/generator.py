"""ALDM inference: one prepared source → any number of synthetic volumes (Kim & Park, WACV 2024, section 3)."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from mrimpute.contrasts import Contrast
from mrimpute.device import give_back_memory
from mrimpute.diffusion.ladder import LADDERS
from mrimpute.diffusion.noise import noise_stream
from mrimpute.generators import regression
from mrimpute.generators.aldm.autoencoder import ROWS
from mrimpute.generators.aldm.checkpoint import Networks, load_networks, network_config
from mrimpute.generators.aldm.method import NO_DIFFUSION, PAPER
from mrimpute.generators.aldm.network import FirstStage, NoisePredictor
from mrimpute.generators.aldm.sampling import DdimSchedule, ddim, ddim_schedule
from mrimpute.generators.blocks import lay_out, parameter_count
from mrimpute.generators.contract import Progress, Sampling, Synthetic
from mrimpute.generators.convolution import slab_room
from mrimpute.prepare import Prepared
from mrimpute.registry import Checkpoint
from mrimpute.volume import FloatArray

UPTAKE_SHARE = 0.15
"""Share of the network's structure in a blended t1c: where agent goes cannot be told from one other contrast, and
what the network adds there is its own. Against the regression alone it costs 0.03 to 0.14 dB on patients left out,
and a share of 0.5 costs 0.5 to 0.6 dB."""


@dataclass(frozen=True)
class AldmGenerator:
    """A loaded ALDM checkpoint.

    Attributes:
        networks: on their device; the regressions stay on the CPU.
        classes: contrast of each class.
        schedule: the sampler's steps; None to leave diffusion out.
        eta: 0 for a deterministic sampler, 1 for the authors'.
        device, dtype: where it runs, and the type of the convolutions.
        encoded: the last source's digest and latent: a study's targets share it.
    """

    networks: Networks
    classes: tuple[Contrast, ...]
    schedule: DdimSchedule | None
    eta: float
    device: torch.device
    dtype: torch.dtype
    encoded: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def __call__(
        self, prepared: Prepared, targets: tuple[Contrast, ...], seed: int, progress: Progress
    ) -> list[Synthetic]:
        """Make targets, one by one: in a batch the last bits of one would depend on the others.

        Args:
            prepared: the one source, (X, Y, Z), nominally in [0, 1].
            targets: what to make.
            seed: the run's seed; with the source's content and a target it decides that target's noise.
            progress: called at the start and after each part.

        Raises:
            ValueError: a target is no class of this network, or there are several sources.
        """
        if not set(targets) <= set(self.classes):
            raise ValueError(f"this network makes {', '.join(self.classes)}, not {targets}")
        (image,) = prepared.images.values()
        parts = 1 + len(targets) * (1 + (len(self.schedule.timesteps) if self.schedule else 0))
        done = 1
        progress(0, parts)
        give_back_memory()
        first_stage, made = self.networks.first_stage, []
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32):
            source = self._encoded(image)
            progress(done, parts)
            for target in targets:
                number = self.classes.index(target)
                latent = first_stage.spade(source, [number]).float()  # (1, latent, X/r, Y/r, Z/r)
                for state in self._diffused(source, latent, target, number, seed, prepared):
                    latent = state
                    done += 1
                    progress(done, parts)
                volume = ((first_stage.decode(latent).float()[0, 0] + 1) / 2).clamp(0.0, 1.0).cpu()
                made.append(Synthetic(target, self.blended(volume, prepared, target).numpy()))
                done += 1
                progress(done, parts)
        return made

    def _encoded(self, image: FloatArray) -> Tensor:
        """Return the source's quantised latent, (1, latent, X/r, Y/r, Z/r)."""
        digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
        if digest not in self.encoded:
            self.encoded.clear()
            volume = torch.from_numpy(image)[None, None].to(self.device) * 2 - 1
            self.encoded[digest] = self.networks.first_stage.encode(volume)
        return self.encoded[digest]

    def blended(self, made: Tensor, prepared: Prepared, target: Contrast) -> Tensor:
        """Blend a volume (X, Y, Z) in [0, 1] with the regression of its target that was given, else with the one on
        the one source, if there is one."""
        if self.networks.coefficients is None:
            return made
        head = torch.from_numpy(prepared.head)
        if (given := prepared.estimates.get(target)) is not None:
            estimate = torch.from_numpy(given)
        else:
            ((source, image),) = prepared.images.items()
            coefficients = self.networks.coefficients[self.classes.index(source), self.classes.index(target)]
            estimate = regression.estimate(torch.from_numpy(image)[None], coefficients, head)
        share = UPTAKE_SHARE if target is Contrast.T1C else regression.NETWORK_SHARE
        return regression.blended(made, estimate, head, share)

    def _diffused(
        self, source: Tensor, moved: Tensor, target: Contrast, number: int, seed: int, prepared: Prepared
    ) -> Iterator[Tensor]:
        """Yield a target's latent after each step of diffusion; nothing without it."""
        unet = self.networks.unet
        if self.schedule is None or unet is None:
            return
        label = torch.tensor([number], device=self.device)
        noise = (one.to(self.device) for one in noise_stream(seed, (*prepared.content, target), moved.shape))

        def predict(state: Tensor, timestep: int) -> Tensor:
            times = torch.tensor([timestep], device=self.device)
            predicted: Tensor = unet(torch.cat([state, source, moved], dim=1), times, label).float()
            return predicted

        for state, _ in ddim(predict, next(noise), self.schedule, self.eta, noise):
            yield state


def load(checkpoint: Checkpoint, sampling: Sampling, device: torch.device, dtype: torch.dtype) -> AldmGenerator:
    """Load an ALDM checkpoint.

    Args:
        checkpoint: any ALDM checkpoint beyond the autoencoder's stage.
        sampling: from `METHOD.choose_sampling` for this checkpoint.
        device, dtype: float32, or bfloat16 for the convolutions.

    Raises:
        WeightsUnavailable: the checkpoint is not valid.
    """
    record = checkpoint.record
    networks = load_networks(checkpoint)
    schedule = None
    if sampling.sampler != NO_DIFFUSION:
        schedule = ddim_schedule(sampling.steps, LADDERS[record.sampling.ladder](record.sampling.timesteps))
    placed = replace(networks, unet=networks.unet if schedule is not None else None)
    for network in filter(None, (placed.first_stage, placed.unet)):
        lay_out(network, device, dtype)
    eta = 1.0 if sampling.sampler == PAPER else 0.0
    return AldmGenerator(placed, record.sources, schedule, eta, device, dtype)


def memory_needed(
    checkpoint: Checkpoint, window: tuple[int, int, int], device: torch.device, dtype: torch.dtype
) -> int:
    """Estimate the peak bytes of one run: weights, and maps of the autoencoder's finest level, in the type of the
    convolutions: on the CPU, where what lies between is taken by the slab or the band, the block's input and
    another of its width (measured), else about 6, in float32 (not measured); of a small window, what the comparison
    with the code book takes."""
    config = network_config(checkpoint)
    wide = max(config.channel_mult[:2])  # the decoder's last doubled map has the width of the level below
    length, plane = window[0], window[1] * window[2]
    each = dtype.itemsize if device.type == "cpu" else 4
    room = slab_room(length, each * wide * config.channels * plane) if device.type == "cpu" else 0
    beside = 1.05 if dtype == torch.float32 else 1.4  # measured: slabs take more than bands
    maps = wide + beside if device.type == "cpu" else 6
    autoencoder = length * plane * (each * maps * config.channels + 4 * 4)
    diffusion = 4 * length * plane // config.reduction**3 * 8 * config.unet_channels
    compared = 4 * 2 * ROWS * config.codes
    weights = parameter_count(FirstStage, config) + parameter_count(NoisePredictor, config)
    return int(max(autoencoder, diffusion, compared) + each * weights) + room
