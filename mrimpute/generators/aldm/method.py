"""What ALDM is, and which records and words on sampling it takes; no torch."""

from dataclasses import dataclass

from mrimpute.errors import UsageError
from mrimpute.generators.aldm.config import network_config, stage_of
from mrimpute.generators.contract import Sampling
from mrimpute.generators.records import check_record, refuse
from mrimpute.registry import Checkpoint

NO_DIFFUSION = "none"
"""Sampler that stops at the SPADE stack: all that the authors' public files can run."""
PAPER = "paper"
"""Sampler of the authors' code: 200 steps with eta 1."""
FIXED_STEPS = {PAPER: 200, NO_DIFFUSION: 0}
TIMESTEPS = 1000
"""Rungs of the authors' ladder; the noise predictor was never trained on another."""
DEFAULT_STEPS = 10
"""What our trainings write into records."""
IDLE_STEPS = (DEFAULT_STEPS, 50)
"""What records without diffusion state, our trainings' and the authors' entry; nothing there takes steps."""

_BIBTEX = """@inproceedings{kim2024aldm,
  author = {Kim, Jonghun and Park, Hyunjin},
  title = {Adaptive Latent Diffusion Model for {3D} Medical Image to Image Translation:
    Multi-modal Magnetic Resonance Imaging Study},
  booktitle = {WACV},
  year = {2024},
  eprint = {2311.00265},
  archivePrefix = {arXiv}
}"""


@dataclass(frozen=True)
class AldmMethod:
    """Latent diffusion with a SPADE stack: any sequence to any other (Kim & Park, WACV 2024)."""

    name: str = "aldm"
    citation: str = "Kim & Park, Adaptive Latent Diffusion Model for 3D Medical Image to Image Translation, WACV 2024"
    bibtex: str = _BIBTEX
    samplers: tuple[str, ...] = ("ddim", PAPER, NO_DIFFUSION)
    ladders: tuple[str, ...] = ("root-linear",)
    predictions: tuple[str, ...] = ("noise",)

    def check(self, checkpoint: Checkpoint) -> None:
        """Check that ALDM does what a checkpoint's record says.

        Raises:
            WeightsUnavailable: it does not; the message names the entry and the key.
        """
        check_record(checkpoint, self, honoured=("inputs.window", "sampling.sampler"), has_target=False)
        spec = checkpoint.record.sampling
        if spec.timesteps != TIMESTEPS:
            refuse(checkpoint, "sampling.timesteps", f"must be {TIMESTEPS}, the length of the authors' ladder")
        stage = stage_of(checkpoint)
        if stage != "diffusion" and spec.steps not in IDLE_STEPS:
            told = " or ".join(map(str, IDLE_STEPS))
            refuse(checkpoint, "sampling.steps", f"must be {told} where network.stage is {stage}: nothing takes them")
        if not official_timesteps(spec.steps):
            refuse(checkpoint, "sampling.steps", f"is {spec.steps}, which does not fit the table of {TIMESTEPS}")
        network_config(checkpoint)

    def choose_sampling(self, checkpoint: Checkpoint, sampler: str | None, steps: int | None) -> Sampling:
        """Return 'ddim' with some deterministic steps, 'paper' with the authors' 200, or 'none' without diffusion.

        What has no diffusion stage takes 'none' without being asked.

        Raises:
            WeightsUnavailable: see `check`.
            UsageError: another sampler, steps that it cannot take, or diffusion with a checkpoint without it.
        """
        self.check(checkpoint)
        spec = checkpoint.record.sampling
        stage = stage_of(checkpoint)
        word = sampler or spec.sampler or (NO_DIFFUSION if stage == "spade" else "ddim")
        if word not in self.samplers:
            raise UsageError(f"aldm is not sampled with {word} ({checkpoint.name})", "use ddim, paper or none")
        if word in FIXED_STEPS:
            chosen = Sampling(word, FIXED_STEPS[word])
            if steps not in (None, chosen.steps):
                raise UsageError(
                    f"the sampler {word} of {checkpoint.name} takes {chosen.steps} steps, not {steps}",
                    "leave --steps out",
                )
        else:
            chosen = Sampling(word, spec.steps if steps is None else steps)
            check_steps(chosen.steps)
        if stage == "autoencoder":
            raise UsageError(
                f"checkpoint {checkpoint.name} is an autoencoder alone",
                "train its spade stage with `mrimpute train aldm`",
            )
        if chosen.steps and stage != "diffusion":
            raise UsageError(
                f"checkpoint {checkpoint.name} has no diffusion stage", "add --sampler none, or take another checkpoint"
            )
        return chosen


def official_timesteps(steps: int, total: int = TIMESTEPS) -> tuple[int, ...]:
    """Return the timesteps of the authors' sampler, ascending: an even stride, shifted by one.

    Returns:
        As many as asked for; none where the stride gives another count, or runs past the table.
    """
    kept = tuple(range(1, total + 1, total // steps)) if 1 <= steps <= total else ()
    return kept if len(kept) == steps and max(kept, default=total) < total else ()


def check_steps(steps: int, total: int = TIMESTEPS) -> None:
    """Check that the authors' table holds so many steps.

    Raises:
        UsageError: it does not.
    """
    if not official_timesteps(steps, total):
        good = [n for n in range(1, total // 2 + 1) if total % n == 0]
        raise UsageError(
            f"--steps {steps} does not fit ALDM's table of {total} timesteps", f"use one of {', '.join(map(str, good))}"
        )


METHOD = AldmMethod()
