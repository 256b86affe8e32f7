"""What SynDiff is, and which records and words on sampling it takes; no torch."""

from dataclasses import dataclass

from mrimpute.errors import UsageError
from mrimpute.generators.contract import Sampling
from mrimpute.generators.records import check_record, refuse
from mrimpute.generators.syndiff.config import network_config
from mrimpute.registry import Checkpoint

SAMPLER = "posterior"
"""What provenance calls its sampler: it draws from the posterior, in a few large steps."""

_BIBTEX = """@article{ozbey2023syndiff,
  author = {{\\"O}zbey, Muzaffer and others},
  title = {Unsupervised Medical Image Translation With Adversarial Diffusion Models},
  journal = {IEEE Transactions on Medical Imaging},
  volume = {42},
  number = {12},
  year = {2023},
  doi = {10.1109/TMI.2023.3290149}
}"""


@dataclass(frozen=True)
class SyndiffMethod:
    """Adversarial diffusion in a few large steps: one sequence to one other, slice by slice."""

    name: str = "syndiff"
    citation: str = "Özbey et al., SynDiff, IEEE TMI 42(12), 2023, doi 10.1109/TMI.2023.3290149"
    bibtex: str = _BIBTEX
    samplers: tuple[str, ...] = ()
    ladders: tuple[str, ...] = ("variance-preserving",)
    predictions: tuple[str, ...] = ("clean",)

    def check(self, checkpoint: Checkpoint) -> None:
        """Check that SynDiff does what a checkpoint's record says.

        Raises:
            WeightsUnavailable: it does not; the message names the entry and the key.
        """
        check_record(checkpoint, self, honoured=("inputs.slices", "sampling.shared_noise"))
        record = checkpoint.record
        if len(record.sources) != 1:
            refuse(checkpoint, "sources", "must be one: syndiff translates one sequence to one other")
        if record.sampling.steps != record.sampling.timesteps:
            refuse(
                checkpoint, "sampling.steps", f"must be sampling.timesteps, {record.sampling.timesteps}: all of them"
            )
        network_config(checkpoint)

    def choose_sampling(self, checkpoint: Checkpoint, sampler: str | None, steps: int | None) -> Sampling:
        """Return the one sampler that there is, with the steps that the network was trained for.

        Raises:
            WeightsUnavailable: see `check`.
            UsageError: any sampler is named, or another number of steps.
        """
        self.check(checkpoint)
        timesteps = checkpoint.record.sampling.timesteps
        if sampler is not None or steps not in (None, timesteps):
            raise UsageError(
                f"syndiff always takes its own {timesteps} steps ({checkpoint.name})",
                "leave --sampler and --steps out",
            )
        return Sampling(SAMPLER, timesteps)


METHOD = SyndiffMethod()
