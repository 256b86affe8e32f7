"""How one target will be made: weights and sampling, settled before a voxel is read."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mrimpute.calibration import Site, site_in_store
from mrimpute.calibration.use import check_use, regressed_beside
from mrimpute.contrasts import Contrast
from mrimpute.device import TORCH, choose_device, choose_engine, choose_precision
from mrimpute.errors import UsageError, WeightsUnavailable
from mrimpute.generators.contract import Sampling, method_of
from mrimpute.plan import Job
from mrimpute.prepare.sources import Sources
from mrimpute.registry import Checkpoint, choose_checkpoint
from mrimpute.request.options import Options
from mrimpute.settings import SETTINGS_FILE, Settings
from mrimpute.write.provenance import Fingerprint

if TYPE_CHECKING:
    import torch

MIN_DRAWN_STEPS = 2
"""Fewer steps from noise to image give the conditional mean: samples would differ in nothing that is meant."""


@dataclass(frozen=True)
class Order:
    """How one target will be made.

    Attributes:
        job: the target, its generator and sources.
        word: the user's word on weights.
        checkpoint: what it means, or the error to raise once the inputs were read.
        sampling: sampler and steps; None while the checkpoint is not known, or not here and nothing was wished.
        note: what the user should be told when it is carried out.
        calibration: what was learnt from complete studies of the scanner; None for the network's own regression.
        beside: present contrasts that the regression takes beside the job's sources.
    """

    job: Job
    word: str
    checkpoint: Checkpoint | WeightsUnavailable
    sampling: Sampling | None = None
    note: str = ""
    calibration: Site | None = None
    beside: tuple[Contrast, ...] = ()


def order_of(job: Job, present: Collection[Contrast], folder: Path, settings: Settings, options: Options) -> Order:
    """Resolve weights, sampling and calibration of one target.

    Args:
        job: from the plan.
        present: every contrast that may be used.
        folder: the study.
        settings: of the study, as far as they hold (see `trusted`).
        options: of the run.

    Raises:
        UsageError: the checkpoint cannot be sampled or calibrated so.
        WeightsUnavailable: the calibration says nothing of it.
    """
    word = options.weights_for(job.generator, settings)
    site = options.calibration or (site_in_store(settings.calibration) if settings.calibration else None)
    note = f"{folder / SETTINGS_FILE} chooses --weights {word}" if settings.weights else ""
    try:
        checkpoint = choose_checkpoint(word, job.generator, job.sources, job.target)
        wished = options.sampler is not None or options.steps is not None or options.samples > 1
        known = wished or checkpoint.is_here  # else what is told first is how to get the file
        sampling = sampling_of(checkpoint, options) if known else None
    except WeightsUnavailable as error:
        return Order(job, word, error, None, note, site)
    if site:
        check_use(site, checkpoint, sampling if checkpoint.is_here else None, job.target, job.sources)
    beside = regressed_beside(checkpoint, job.sources, job.target, present, calibrated=site is not None)
    return Order(job, word, checkpoint, sampling, note, site, beside)


def sampling_of(checkpoint: Checkpoint, options: Options) -> Sampling:
    """Return the sampler and steps of a checkpoint under the user's wishes.

    Raises:
        UsageError: it cannot be sampled so.
        WeightsUnavailable: its record says what its generator does not do.
    """
    chosen = method_of(checkpoint.record.generator).choose_sampling(checkpoint, options.sampler, options.steps)
    if options.samples > 1 and chosen.steps < MIN_DRAWN_STEPS:
        raise UsageError(
            f"--samples {options.samples}: {checkpoint.name} takes {chosen.steps} step with the sampler "
            f"{chosen.sampler}, which gives the mean whatever the noise",
            "use a sampler that draws (--sampler ddpm of cwdm, paper of aldm), or more --steps",
        )
    return chosen


HALF_MEASURED = ("cwdm", "syndiff")
"""Generators whose images were compared in bfloat16 and float32 on the built-in weights: in the brain cWDM's differ by
at most 0.006 dB and 0.0002 SSIM, SynDiff's by 0.008 dB and 0.0004 (three contrasts of two studies; OpenVINO cWDM by
0.013 dB and 0.0004; tests/benchmarks/table.py)."""

LARGE_NETWORK = 64 * 2**20
"""Bytes of a file of weights from which a network is of the authors' size."""

CONVERTED = ("cwdm",)
"""Generators whose networks can be converted for OpenVINO."""


def precision_of(checkpoint: Checkpoint, word: str, where: "torch.device") -> str:
    """Return the number type that a word on precision means for a checkpoint on a device.

    'auto' leaves float32 only for the built-in weights, on which it was measured, and for networks of the authors'
    size, which it spares minutes (see `device.choose_precision`).
    """
    measured = checkpoint.record.generator in HALF_MEASURED
    return choose_precision(word, where, measured and (checkpoint.record.origin == "builtin" or _is_large(checkpoint)))


def engine_of(checkpoint: Checkpoint, word: str, where: "torch.device") -> str:
    """Return what computes a checkpoint's network under a word on precision (see `device.choose_engine`); a small
    one takes less time than its conversion."""
    converts = checkpoint.record.generator in CONVERTED and _is_large(checkpoint)
    return choose_engine(word, precision_of(checkpoint, word, where)) if converts else TORCH


def _is_large(checkpoint: Checkpoint) -> bool:
    return checkpoint.path.stat().st_size >= LARGE_NETWORK


def fingerprint_of(
    order: Order,
    checkpoint: Checkpoint,
    sampling: Sampling,
    sources: Sources,
    brain_mask: str,
    engine: str,
    options: Options,
) -> Fingerprint:
    """Return everything that decides the voxels of one target.

    Args:
        order, checkpoint, sampling: how it is made.
        sources: from what.
        brain_mask: what decides the mask; '' for none.
        engine: what computes the network.
        options: of the run.
    """
    where = choose_device(options.device)
    used = [contrast for contrast in checkpoint.record.sources if contrast in sources.volumes]
    read = {contrast: sources.volumes[contrast] for contrast in used} | sources.beside
    return Fingerprint(
        target=order.job.target,
        checkpoint_sha256=checkpoint.sha256,
        sources={contrast: volume.sha256 for contrast, volume in read.items()},
        onto=sources.onto.sha256,
        moved=list(sources.moved),
        brain_mask=brain_mask,
        sampler=sampling.sampler,
        steps=sampling.steps,
        seed=options.seed,
        precision=precision_of(checkpoint, options.precision, where),
        device=where.type,
        intensity=options.intensity,
        calibration=order.calibration.sha256 if order.calibration else "",
        samples=options.samples,
        engine=engine,
    )
