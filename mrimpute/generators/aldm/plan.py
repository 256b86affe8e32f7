"""What decides the training of ALDM's stages, and the record that it leaves."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any, Literal

from mrimpute.contrasts import Contrast
from mrimpute.errors import UsageError
from mrimpute.generators.aldm.checkpoint import record_table, stage_of
from mrimpute.generators.aldm.config import STAGES, UNET_GROUPS, AldmConfig, TrainingStage
from mrimpute.generators.aldm.method import DEFAULT_STEPS, METHOD, TIMESTEPS
from mrimpute.registry import Checkpoint, InputSpec
from mrimpute.training.cases import TrainingCase
from mrimpute.training.plan import CommonPlan

MIN_EDGE = 24
"""The discriminator halves its input three times, then each of two convolutions takes one voxel."""

Frame = Literal["authors", "brain"]
FRAMES: dict[Frame, dict[str, object]] = {
    "authors": {"window": (144, 192, 144), "clip_quantiles": (0.005, 0.995), "quantiles_of": "window"},
    "brain": {"clip_quantiles": (0.001, 0.999), "quantiles_of": "head", "clip_floor": 0.0},
}
"""The authors' box and its percentiles; the box around the head and the percentiles of all our own networks, which do
not follow empty margin and leave more of bright lesions."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses, and from when on they count. The defaults are ours: the paper tells none.

    Attributes:
        codebook: of the code book's loss (autoencoder).
        quantise_from: share of the steps from which latents are quantised (autoencoder); the codes are drawn
            from the latents then. 0: from the start, with the codes as they were initialised.
        adversarial: of the discriminator's logits (autoencoder).
        adversarial_from: share of the steps from which the discriminator takes part.
        perceptual: of the difference of VGG features (autoencoder), where a weights file is given.
        image: of the decoded image's L1 beside the latent's (spade).
        cycle: of the L1 between a latent and what comes back from a target's class (spade).
        clean: of the squared error in the clean latent that a predicted noise means (diffusion), beside that of the
            noise, of which it is the multiple noise / signal (ratio of variances).
        clean_ratio: the largest such ratio that counts; that of the last timestep is 7000.
    """

    codebook: float = 1.0
    quantise_from: float = 0.3
    adversarial: float = 0.05
    adversarial_from: float = 0.5
    perceptual: float = 0.1
    image: float = 1.0
    cycle: float = 0.5
    clean: float = 0.1
    clean_ratio: float = 100.0

    def changed(self, words: str) -> "LossWeights":
        """Return a copy with the weights in 'adversarial=0,cycle=1,…' changed.

        Raises:
            UsageError: an unknown name, or a weight that is no number from 0 on.
        """
        weights: dict[str, float] = {}
        for word in filter(None, (part.strip() for part in words.split(","))):
            name, _, number = word.partition("=")
            try:
                weights[name] = float(number)
            except ValueError:
                weights[name] = -1.0
            if name not in asdict(self) or not 0 <= weights[name] < inf:
                raise UsageError(
                    f"--losses: {word!r} is not understood", f"use {', '.join(asdict(self))} with =WEIGHT from 0 on"
                )
        return replace(self, **weights)


_OFF = dict.fromkeys(("codebook", "quantise_from", "adversarial", "perceptual", "image", "cycle", "clean"), 0.0)
PRESETS = {"mrimpute": LossWeights(), "code": LossWeights(**_OFF)}


@dataclass(frozen=True)
class TrainingPlan(CommonPlan):
    """What decides the training of one stage.

    Attributes:
        stage: which.
        classes: the contrasts, in the order of the network's classes.
        network: sizes.
        losses: weights of the losses.
        identity: start an untrained SPADE stack from the identity, and an untrained noise predictor from the noisy
            latent, not from random weights; off in the authors' code.
        learning_rate: of Adam (diffusion: AdamW); it falls along half a cosine where `cosine` is set.
        cosine: see learning_rate; off in the authors' code.
        frame: which box and percentiles, see FRAMES.
        ema: decay of the averaged weights that are saved (authors: 0.9999, of the diffusion only).
        variants: how many copies of each study the later stages encode, the first one unchanged.
    """

    stage: TrainingStage
    classes: tuple[Contrast, ...]
    network: AldmConfig = field(default_factory=AldmConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    identity: bool = True
    steps: int = field(default=200_000, kw_only=True)
    learning_rate: float = 4e-5
    cosine: bool = False
    frame: Frame = "authors"
    ema: float = field(default=0.9999, kw_only=True)
    variants: int = 1

    def __post_init__(self) -> None:
        self._check_frame()
        self.check_common([self.learning_rate], self.network.image_multiple)
        if self.stage == "diffusion":
            self._check_noise_predictor()
        if (self.variants > 1) != (self.stage != "autoencoder" and bool(self.augment)) or self.variants < 1:
            raise UsageError(
                "the later stages encode each study once, in --variants copies: they and --augment go together",
                "give both or none; the autoencoder changes volumes at every step and takes --augment alone",
            )
        if self.batch > 1 and not self.crop and self.frame == "brain":
            raise UsageError("heads differ in size, so whole ones do not fit in a batch", "add --crop, or --batch 1")
        if self.stage == "autoencoder" and self.losses.adversarial and 0 < self.crop < MIN_EDGE:
            raise UsageError(f"the discriminator needs cubes of at least {MIN_EDGE} voxels", "raise --crop")
        if len(set(self.classes)) != len(self.classes) or self.network.classes < 2:
            raise UsageError("ALDM needs at least two contrasts, each once", "name them with --contrasts")

    def _check_frame(self) -> None:
        window = self.inputs.window or ()
        if any(length % self.network.image_multiple for length in window):
            raise UsageError(
                f"the networks need multiples of {self.network.image_multiple} voxels, the authors' box is "
                + "x".join(map(str, window)),
                "add --brain-window, or take fewer --levels",
            )

    def _check_noise_predictor(self) -> None:
        if self.network.unet_channels % (2 * UNET_GROUPS):
            raise UsageError(
                f"a noise predictor of {self.network.unet_channels} channels: each of its {UNET_GROUPS} groups of "
                "normalisation needs an even number; of a single channel it takes away what the step added",
                f"take --unet-channels {2 * UNET_GROUPS} or a multiple of it",
            )
        if self.network.unet_channels < 2 * self.network.latent:
            raise UsageError(
                f"a latent of {self.network.latent} channels does not fit in the noise predictor",
                "take more --unet-channels",
            )

    @property
    def book_start(self) -> int:
        """The step at which the code book takes part in the autoencoder's stage."""
        return round(self.losses.quantise_from * self.steps)

    def check_batch(self, cases: Sequence[TrainingCase]) -> None:
        """Check that boxes of these studies fit in a batch.

        Raises:
            UsageError: they differ in size.
        """
        sizes = {tuple(min(self.crop or n, n) for n in case.images.shape[1:]) for case in cases}
        if self.batch > 1 and len(sizes) > 1:
            told = ", ".join("x".join(map(str, size)) for size in sorted(sizes))
            raise UsageError(f"boxes of {told} voxels do not fit in a batch", "give a smaller --crop, or --batch 1")

    @property
    def inputs(self) -> InputSpec:
        """The frame that the networks are trained in, which their record states."""
        table = {"orientation": "RAS", "spacing_mm": 1.0, "multiple": self.network.image_multiple}
        return InputSpec.model_validate(table | FRAMES[self.frame])


def check_start(stage: TrainingStage, before: Checkpoint | None) -> None:
    """Check that a stage goes on from the one before it; the later two also from themselves.

    Raises:
        UsageError: it does not.
    """
    if stage not in STAGES:
        raise UsageError(f"unknown stage {stage!r}", f"use {', '.join(STAGES)}")
    if before and before.record.generator != "aldm":
        raise UsageError(f"{before.name} is no ALDM checkpoint", "give the folder of the stage before with --start")
    needed = None if stage == STAGES[0] else STAGES[STAGES.index(stage) - 1]
    given = stage_of(before) if before else None
    if given != needed and (needed is None or given != stage):
        hint = f"give a checkpoint of the stage {needed} with --start" if needed else "leave --start out"
        raise UsageError(f"the stage {stage} goes on from {needed or 'nothing'}, not from {given or 'nothing'}", hint)


def check_frame(plan: TrainingPlan, before: Checkpoint | None) -> None:
    """Check that a stage sees what the one before it saw.

    Raises:
        UsageError: another box or other grey values.
    """
    if before and before.record.inputs != plan.inputs:
        needed = "leave --brain-window out" if plan.frame == "brain" else "add --brain-window"
        raise UsageError("the stage given with --start was trained in another frame", needed)


def record_of(plan: TrainingPlan, cases: Sequence[TrainingCase]) -> dict[str, Any]:
    """Return the record of trained networks."""
    return {
        "generator": METHOD.name,
        "sources": [*plan.classes],
        "origin": "trained",
        "network": record_table(plan.network, plan.regression, plan.stage),
        "inputs": plan.inputs.model_dump(exclude_none=True),
        "sampling": {
            "ladder": METHOD.ladders[0],
            "timesteps": TIMESTEPS,
            "predicts": METHOD.predictions[0],
            "steps": DEFAULT_STEPS,
        },
        "about": {
            "licence": "that of your data",
            "trained_on": f"{len(cases)} studies, {plan.stage}, {plan.steps} steps",
            "cite": METHOD.citation,
        },
    }
