"""What decides a training of SynDiff, and the records that it leaves."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mrimpute.contrasts import Contrast
from mrimpute.errors import UsageError
from mrimpute.generators.syndiff.adversarial import LossWeights
from mrimpute.generators.syndiff.checkpoint import record_table
from mrimpute.generators.syndiff.method import METHOD
from mrimpute.generators.syndiff.network import NetworkConfig
from mrimpute.registry import InputSpec
from mrimpute.training.plan import CommonPlan

MIN_EDGE = 64
"""The diffusive discriminator halves its input six times."""
OLD_NAMES = {
    "discriminator_width": "judge_width",
    "discriminator_embedding": "judge_embedding",
    "discriminator_rate": "judge_rate",
}


@dataclass(frozen=True)
class TrainingPlan(CommonPlan):
    """What decides a training run; the defaults are those of the authors' command.

    Attributes:
        first, second: the pair of contrasts; both directions are trained.
        network: sizes of the two diffusive generators.
        discriminator_width, discriminator_embedding: sizes of the diffusive discriminators.
        one_shot_width: of the one-shot generators and the patch discriminators.
        steps: the authors' 500 epochs of 2,500 slices.
        generator_rate, discriminator_rate: of Adam.
        pixel_weight: of the L1 losses (lambda).
        penalty, penalty_every: weight of the gradient penalty (gamma of R1), and steps between two.
        crop: only for networks without attention but at the coarsest level.
        paired: learn from registered pairs of the same study instead of unpaired slices.
        augment: in unpaired training only the mirror.
        regression: with paired, one for each direction.
        ct_range: Hounsfield units that 0 and 1 stand for, where a contrast is CT.
    """

    first: Contrast
    second: Contrast
    network: NetworkConfig = field(default_factory=NetworkConfig)
    discriminator_width: int = 64
    discriminator_embedding: int = 256
    one_shot_width: int = 64
    steps: int = field(default=1_250_000, kw_only=True)
    generator_rate: float = 1.6e-4
    discriminator_rate: float = 1e-4
    pixel_weight: float = 0.5
    penalty: float = 1.0
    penalty_every: int = 10
    ema: float = field(default=0.999, kw_only=True)
    paired: bool = False
    ct_range: tuple[float, float] = (-1000.0, 2000.0)

    def __post_init__(self) -> None:
        self.check_common([self.generator_rate, self.discriminator_rate], self.network.image_multiple)
        if self.first is self.second:
            raise UsageError("source and target are the same contrast", "name two")
        if min(self.discriminator_width, self.one_shot_width, self.discriminator_embedding - 3) < 1:
            raise UsageError("widths must be positive", "correct the option")
        if min(self.pixel_weight, self.penalty) < 0 or self.penalty_every < 1:
            raise UsageError("weights of losses must not be negative", "correct the option")
        if self.ct_range[0] >= self.ct_range[1]:
            raise UsageError("the range of CT must rise", "write --ct-range LOW HIGH")
        if self.regression and not self.paired:
            raise UsageError("--regression needs registered pairs", "add --paired")
        if (self.crop or self.network.image_size) < MIN_EDGE:
            raise UsageError(f"the discriminators need at least {MIN_EDGE} pixels", "raise --crop or --size")
        if self.crop and self.network.attention_at:
            raise UsageError("--crop needs a network without attention at its finer levels", "add --attention none")

    @property
    def weights(self) -> LossWeights:
        """The weights of the losses."""
        return LossWeights(self.pixel_weight, self.penalty, self.penalty_every)

    @property
    def inputs(self) -> InputSpec:
        """The frame that the networks are trained in, which their records state."""
        multiple = self.network.image_multiple
        ct = [contrast for contrast in (self.first, self.second) if contrast is Contrast.CT]
        return InputSpec(
            orientation="LPS",
            spacing_mm=1.0,
            slices=(self.network.image_size, -(-MIN_EDGE // multiple) * multiple),
            multiple=multiple,
            clip_quantiles=(0.001, 0.999),
            quantiles_of="head",
            ranges=dict.fromkeys(ct, self.ct_range),
        )

    def text(self, cases: Sequence[Sequence[str]]) -> str:
        """Return what decides a run, for its resume state, under the names that options had when the first runs began.

        Args:
            cases: names of the studies of each contrast.
        """
        options = {OLD_NAMES.get(name, name): value for name, value in asdict(self).items()}
        return json.dumps([options, cases], sort_keys=True)


def record_of(plan: TrainingPlan, source: Contrast, target: Contrast, studies: int) -> dict[str, Any]:
    """Return the record of one direction, trained on so many studies."""
    steps = plan.network.timesteps
    how = "registered pairs" if plan.paired else "unpaired slices"
    return {
        "generator": METHOD.name,
        "sources": [source],
        "target": target,
        "origin": "trained",
        "network": record_table(plan.network, plan.regression),
        "inputs": plan.inputs.model_dump(exclude_none=True),
        "sampling": {
            "ladder": METHOD.ladders[0],
            "timesteps": steps,
            "predicts": METHOD.predictions[0],
            "steps": steps,
            "shared_noise": True,  # the same PSNR, and neighbouring slices fit (measured: examples/training/)
        },
        "about": {
            "licence": "that of your data",
            "trained_on": f"{studies} studies, {how}, {plan.steps} iterations",
            "cite": METHOD.citation,
        },
    }
