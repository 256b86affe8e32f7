"""ALDM training in three stages (Kim & Park 2024, section 3).

autoencoder  encoder, code book and decoder on single volumes: reconstruction, code book, adversarial
spade        the SPADE stack on registered pairs, everything else frozen: latents, images, and back again
diffusion    the noise predictor on registered pairs, everything else frozen

The paper gives no weights of its losses, and its published code trains on L1 alone, which leaves the code book
where it began. The preset 'mrimpute' is our choice; 'code' is theirs.

Ours trains the code book so: at first latents are not quantised; then the codes are drawn from them. At
the end latents are brought to mean 0 and variance 1, which diffusion assumes.

Every random choice of a step follows from (seed, step), so a run that was killed goes on exactly as
if it had not been (in float32).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mrimpute.generators import regression
from mrimpute.generators.aldm.autoencoder import begin_code_book, standardise_latents
from mrimpute.generators.aldm.checkpoint import Networks, load_networks, stage_of
from mrimpute.generators.aldm.config import TrainingStage
from mrimpute.generators.aldm.discriminator import VolumeDiscriminator
from mrimpute.generators.aldm.examples import EncodedStudy, encode_studies, random_pairs, random_volumes
from mrimpute.generators.aldm.network import FirstStage, NoisePredictor
from mrimpute.generators.aldm.perceptual import load_perceptual
from mrimpute.generators.aldm.plan import PRESETS, LossWeights, TrainingPlan, check_frame, check_start, record_of
from mrimpute.generators.aldm.stages import Learning, train_autoencoder, train_diffusion, train_spade
from mrimpute.registry import Checkpoint
from mrimpute.training.cases import TrainingCase, check_held_out, digest_of, voxels_of
from mrimpute.training.loop import Figures, Report, half_cosine, run_training
from mrimpute.training.state import TrainingState, rising_decay, using, weights_of, write_checkpoint

__all__ = ["PRESETS", "LossWeights", "TrainingPlan", "check_frame", "check_start", "record_of", "train"]

BOOK_BOXES = 16
"""Batches of volumes whose latents the codes are drawn from."""
TRAINED, DISCRIMINATOR = "trained", "judge"
"""The networks' names in the resume state."""


def train(
    plan: TrainingPlan,
    cases: Sequence[TrainingCase],
    before: Checkpoint | None,
    folder: Path,
    device: torch.device,
    report: Report,
    save_every: int = 200,
    validation: Sequence[TrainingCase] = (),
    perceptual: Path | None = None,
) -> None:
    """Train one stage, or go on where a killed run stopped, and write a checkpoint folder.

    Args:
        plan: the stage and its options.
        cases: prepared studies, images in the order of the classes.
        before: the checkpoint of the stage before, or of this stage, to go on with; None for the autoencoder.
        folder: gets checkpoint weights, log and resume state.
        device: CPU or CUDA.
        report: called at every save.
        save_every: steps between two saves of the resume state.
        validation: prepared studies that are not trained on; measured at every save of the first two stages.
        perceptual: weights of the autoencoder's loss on features, which the paper names and its code lacks.

    Raises:
        UsageError: boxes of the studies do not fit in a batch, or a validation study is trained on.
        OutputRefused: the folder holds a run of another plan, or from another start.
        WeightsUnavailable: the stage before, or the perceptual loss, cannot be read.
    """
    plan.check_batch(cases)
    check_held_out(cases, validation)
    torch.manual_seed(plan.seed)
    features = load_perceptual(perceptual).to(device) if perceptual else None
    networks = _begin(plan, before, device)
    trained = _trained(plan.stage, networks).to(device)
    learning = {TRAINED: trained}
    if plan.stage == "autoencoder" and plan.losses.adversarial:
        learning[DISCRIMINATOR] = VolumeDiscriminator().to(device)
    optimisers = {name: _optimiser(plan, network) for name, network in learning.items()}
    average = weights_of(trained)
    given = [before.sha256 if before else "", features.sha256 if features else ""]
    text = json.dumps([asdict(plan), [case.name for case in cases], given], sort_keys=True)
    state = TrainingState(text, learning, optimisers, {TRAINED: average}, digest_of(cases))
    discriminator = learning.get(DISCRIMINATOR), optimisers.get(DISCRIMINATOR)
    stage = Learning(plan, networks.first_stage, trained, optimisers[TRAINED], *discriminator, features, device)
    trained.requires_grad_(True)
    run_training(_Trainer(stage, cases, validation, average), state, folder, report, save_every)
    trained.load_state_dict(average)
    if plan.stage == "autoencoder" and plan.book_start > 0:
        draw = np.random.default_rng([plan.seed, plan.steps])
        boxes = (random_volumes(plan, cases, draw, device) for _ in range(BOOK_BOXES))
        standardise_latents(networks.first_stage, boxes)
    coefficients = _regressions(cases) if plan.regression else None
    tensors = Networks(networks.first_stage, networks.unet, coefficients).tensors()
    write_checkpoint(folder, tensors, record_of(plan, cases) | voxels_of(cases), {regression.COEFFICIENTS})


def _begin(plan: TrainingPlan, before: Checkpoint | None, device: torch.device) -> Networks:
    """Return the networks that a stage begins with, frozen."""
    loaded = load_networks(before) if before else Networks(FirstStage(plan.network))
    unet = loaded.unet or NoisePredictor(plan.network) if plan.stage == "diffusion" else None
    first_stage = loaded.first_stage.to(device).requires_grad_(False)
    if plan.stage == "spade" and plan.identity and before and stage_of(before) != "spade":
        first_stage.spade.begin_as_identity()
    if unet is not None and plan.identity and loaded.unet is None:
        unet.begin_as_identity()
    return Networks(first_stage, unet)


def _regressions(cases: Sequence[TrainingCase]) -> Tensor:
    """Return the coefficients of each class on each, (source, target, terms); zeros for itself."""
    images = [torch.from_numpy(case.images) for case in cases]
    classes = range(len(images[0]))
    found = torch.zeros(len(classes), len(classes), regression.term_count(1))
    for source, target in permutations(classes, 2):
        found[source, target] = regression.fit((one[[source]], one[target]) for one in images)
    return found


def _trained(stage: TrainingStage, networks: Networks) -> nn.Module:
    """Return the part of the networks that a stage trains."""
    if stage == "diffusion":
        assert networks.unet is not None  # made just before
        return networks.unet
    if stage == "spade":
        return networks.first_stage.spade
    parts = ("encoder", "decoder", "quantize", "quant_conv", "post_quant_conv")
    return nn.ModuleDict({name: getattr(networks.first_stage, name) for name in parts})


def _optimiser(plan: TrainingPlan, network: nn.Module) -> torch.optim.Optimizer:
    """Return the authors' optimiser of a stage."""
    if plan.stage == "diffusion":
        return torch.optim.AdamW(network.parameters(), lr=plan.learning_rate)
    return torch.optim.Adam(network.parameters(), lr=plan.learning_rate, betas=(0.5, 0.9))


@dataclass(frozen=True)
class _Trainer:
    """What each step of a stage does; `average` is the state's."""

    stage: Learning
    cases: Sequence[TrainingCase]
    validation: Sequence[TrainingCase]
    average: dict[str, Tensor]

    @property
    def plan(self) -> TrainingPlan:
        return self.stage.plan

    @property
    def steps(self) -> int:
        return self.plan.steps

    @cached_property
    def studies(self) -> list[EncodedStudy]:
        """What the later stages learn from, encoded when the first step asks for it."""
        return encode_studies(self.plan, self.stage.first_stage, self.cases, self.stage.device)

    def rate(self, _network: str, step: int) -> float:
        return self.plan.learning_rate * (half_cosine(step, self.plan.steps) if self.plan.cosine else 1.0)

    def decay(self, step: int) -> float:
        return rising_decay(self.plan.ema, step) if self.plan.ema else 0.0

    def advance(self, step: int) -> Figures:
        plan, device = self.plan, self.stage.device
        draw = np.random.default_rng([plan.seed, step])
        studies = [] if plan.stage == "autoencoder" else self.studies
        if plan.stage == "autoencoder" and step == plan.book_start > 0:
            boxes = (random_volumes(plan, self.cases, draw, device) for _ in range(BOOK_BOXES))
            begin_code_book(self.stage.first_stage, boxes, draw)
            self.average.update(weights_of(self.stage.trained))
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.half_precision):
            if plan.stage == "autoencoder":
                return train_autoencoder(self.stage, random_volumes(plan, self.cases, draw, device), step, draw)
            pairs = random_pairs(plan, studies, draw, device)
            return (train_spade if plan.stage == "spade" else train_diffusion)(self.stage, pairs, draw)

    def measure(self, step: int) -> Figures:
        """Return the mean brain PSNR in dB with the weights that would be saved: of reconstructions in the
        autoencoder's stage, else of what the SPADE stack makes of each other contrast."""
        if not self.validation or self.plan.stage == "diffusion":
            return {}
        quantised = self.plan.stage != "autoencoder" or step >= self.plan.book_start
        with using(self.stage.trained, self.average):
            found = [_psnr(self.stage, case, quantised) for case in self.validation]
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def _psnr(stage: Learning, case: TrainingCase, quantised: bool) -> Figures:
    """Return the brain PSNR in dB of all that a stage makes of one study."""
    plan, first_stage = stage.plan, stage.first_stage
    classes = range(len(plan.classes))
    pairs = [(one, one) for one in classes] if plan.stage == "autoencoder" else permutations(classes, 2)
    brain = (case.images > 0).any(0)
    figures = {}
    with torch.inference_mode(), torch.autocast(stage.device.type, torch.bfloat16, enabled=plan.half_precision):
        volumes = [torch.from_numpy(image)[None, None].to(stage.device) * 2 - 1 for image in case.images]
        latents = [first_stage.quant_conv(first_stage.encoder(volume)) for volume in volumes]
        latents = [first_stage.quantize(latent)[0] for latent in latents] if quantised else latents
        for source, target in pairs:
            moved = latents[source] if source == target else first_stage.spade(latents[source], [target])
            made = ((first_stage.decode(moved).float()[0, 0] + 1) / 2).clamp(0, 1).cpu().numpy()
            error = np.square(made - case.images[target].clip(0, 1))[brain].mean()
            figures[f"{plan.classes[source]}_to_{plan.classes[target]}_psnr_db"] = -10 * float(np.log10(error))
    return figures
