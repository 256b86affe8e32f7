"""What cWDM is, and which records and words on sampling it takes; no torch."""

from dataclasses import dataclass

from mrimpute.errors import UsageError
from mrimpute.generators.contract import Sampling
from mrimpute.generators.cwdm.config import network_config
from mrimpute.generators.records import check_record, refuse
from mrimpute.registry import Checkpoint

_BIBTEX = """@misc{friedrich2024cwdm,
  author = {Friedrich, Paul and others},
  title = {{cWDM}: Conditional Wavelet Diffusion Models for Cross-Modality {3D} Medical Image Synthesis},
  year = {2024},
  eprint = {2411.17203},
  archivePrefix = {arXiv}
}"""


@dataclass(frozen=True)
class CwdmMethod:
    """Conditional wavelet diffusion: every other sequence to one (Friedrich et al., 2024)."""

    name: str = "cwdm"
    citation: str = "Friedrich et al., cWDM, 2024, arXiv 2411.17203"
    bibtex: str = _BIBTEX
    samplers: tuple[str, ...] = ("ddim", "ddpm")
    ladders: tuple[str, ...] = ("linear-beta",)
    predictions: tuple[str, ...] = ("clean",)

    def check(self, checkpoint: Checkpoint) -> None:
        """Check that cWDM does what a checkpoint's record says.

        Raises:
            WeightsUnavailable: it does not; the message names the entry and the key.
        """
        check_record(checkpoint, self, honoured=("inputs.window", "sampling.output_floor"))
        network_config(checkpoint)
        spec = checkpoint.record.sampling
        if spec.steps > spec.timesteps:
            refuse(checkpoint, "sampling.steps", f"must be at most sampling.timesteps, {spec.timesteps}")

    def choose_sampling(self, checkpoint: Checkpoint, sampler: str | None, steps: int | None) -> Sampling:
        """Return 'ddim' with some steps, or 'ddpm' with all of the ladder's.

        DDPM with fewer leaves several times the posterior's noise in the image.

        Raises:
            WeightsUnavailable: see `check`.
            UsageError: another sampler, or a count that it cannot take.
        """
        self.check(checkpoint)
        spec = checkpoint.record.sampling
        if sampler not in (None, *self.samplers):
            raise UsageError(f"--sampler {sampler} is for aldm, not for {checkpoint.name}", "use ddim or ddpm")
        if sampler == "ddpm":
            if steps not in (None, spec.timesteps):
                raise UsageError(
                    f"--sampler ddpm takes all {spec.timesteps} steps, not {steps}: fewer leave noise in the image",
                    "leave --steps out, or use --sampler ddim",
                )
            return Sampling("ddpm", spec.timesteps)
        count = spec.steps if steps is None else steps
        if not 1 <= count <= spec.timesteps:
            raise UsageError(f"--steps {count} is not between 1 and {spec.timesteps}", "choose a number in that range")
        return Sampling("ddim", count)


METHOD = CwdmMethod()
