"""ALDM inference: one prepared source → any number of synthetic volumes (SPEC sections 0, 6 and 8)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mrimpute.contrasts import Contrast
from mrimpute.diffusion.noise import noise_stream
from mrimpute.errors import UsageError
from mrimpute.generators.aldm.autoencoder import FirstStage
from mrimpute.generators.aldm.checkpoint import load_networks, network_config
from mrimpute.generators.aldm.sampling import Descent, ddim, descent
from mrimpute.generators.aldm.unet import NoisePredictor
from mrimpute.generators.contract import Progress, Synthetic
from mrimpute.prepare import Prepared
from mrimpute.registry import Checkpoint

NO_DIFFUSION = "none"
"""Sampler that stops at the SPADE stack: all that the authors' public files can run."""
PAPER = "paper"
"""Sampler of the authors' code: 200 steps with eta 1."""


@dataclass(frozen=True)
class AldmGenerator:
    """A loaded ALDM checkpoint.

    Attributes:
        first_stage: autoencoder and SPADE stack, on its device.
        unet: noise predictor; None where there is no diffusion.
        classes: contrast of each class.
        steps: the sampler's steps; None for no diffusion.
        eta: 0 for a deterministic sampler, 1 for the authors'.
        device, dtype: where it runs, and the type of the convolutions.
    """

    first_stage: FirstStage
    unet: NoisePredictor | None
    classes: tuple[Contrast, ...]
    steps: Descent | None
    eta: float
    device: torch.device
    dtype: torch.dtype

    def __call__(
        self, prepared: Prepared, targets: tuple[Contrast, ...], seed: int, progress: Progress
    ) -> list[Synthetic]:
        """Make targets: the source is encoded once, and all targets are diffused at once.

        Args:
            prepared: the one source, (X, Y, Z), nominally in [0, 1].
            targets: what to make.
            seed: the run's seed; with the source's content and a target it decides that target's noise.
            progress: called at the start and after each part.

        Raises:
            ValueError: a target is no class of this network, or there are several sources.
        """
        (image,) = prepared.images.values()
        parts = 1 + (len(self.steps.timesteps) if self.steps else 0) + len(targets)
        numbers = [self.classes.index(target) for target in targets]
        progress(0, parts)
        made = []
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32):
            source = self.first_stage.encode(torch.from_numpy(image)[None, None].to(self.device) * 2 - 1)
            sources = source.expand(len(targets), *source.shape[1:])
            latents = self.first_stage.spade(sources, numbers).float()  # (T, latent, X/r, Y/r, Z/r)
            progress(1, parts)
            for done, state in enumerate(self._diffused(sources, latents, targets, numbers, seed, prepared), 2):
                latents = state
                progress(done, parts)
            for number, target in enumerate(targets):
                volume = self.first_stage.decode(latents[number : number + 1]).float()
                made.append(Synthetic(target, ((volume[0, 0] + 1) / 2).clamp(0.0, 1.0).cpu().numpy()))
                progress(parts - len(targets) + number + 1, parts)
        return made

    def _diffused(
        self,
        sources: Tensor,
        moved: Tensor,
        targets: tuple[Contrast, ...],
        numbers: list[int],
        seed: int,
        prepared: Prepared,
    ) -> Iterator[Tensor]:
        """Yield the targets' latents after each step of diffusion; nothing without it."""
        if self.steps is None or self.unet is None:
            return
        unet, classes = self.unet, torch.tensor(numbers, device=self.device)
        streams = [noise_stream(seed, (*prepared.content, target), (1, *moved.shape[1:])) for target in targets]

        def fresh() -> Iterator[Tensor]:
            while True:
                yield torch.cat([next(stream) for stream in streams]).to(self.device)

        def predict(state: Tensor, timestep: int) -> Tensor:
            times = torch.full((len(numbers),), timestep, device=self.device)
            noise: Tensor = unet(torch.cat([state, sources, moved], dim=1), times, classes).float()
            return noise

        noise = fresh()
        for state, _ in ddim(predict, next(noise), self.steps, self.eta, noise):
            yield state


def load(checkpoint: Checkpoint, sampler: str, steps: int, device: torch.device, dtype: torch.dtype) -> AldmGenerator:
    """Load an ALDM checkpoint.

    Args:
        checkpoint: any ALDM checkpoint.
        sampler: 'ddim' with `steps` deterministic steps, 'paper', or 'none' for no diffusion.
        steps: one of the counts that the authors' table holds.
        device, dtype: float32, or bfloat16 for the convolutions.

    Raises:
        WeightsUnavailable: the checkpoint is not valid.
        UsageError: steps that the table does not hold, or diffusion with a checkpoint without it.
    """
    walk = None if sampler == NO_DIFFUSION else descent(steps)
    first_stage, unet = load_networks(checkpoint)
    if walk is not None and unet is None:
        raise UsageError(
            f"checkpoint {checkpoint.name} has no diffusion stage", "add --sampler none, or take another checkpoint"
        )
    return AldmGenerator(
        first_stage.to(device),
        unet.to(device) if unet is not None and walk is not None else None,
        checkpoint.record.sources,
        walk,
        1.0 if sampler == PAPER else 0.0,
        device,
        dtype,
    )


def memory_needed(checkpoint: Checkpoint, window: tuple[int, int, int], _device: torch.device) -> int:
    """Estimate the peak bytes of one run in float32: the autoencoder's, about 5 maps of its finest level."""
    config = network_config(checkpoint)
    voxels = window[0] * window[1] * window[2]
    return 4 * (voxels * (5 * config.channels + 4) + config.codes * config.latent + 60_000_000)
