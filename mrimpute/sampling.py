"""Which sampler and how many steps a run takes: the user's word, else the checkpoint's own."""

from mrimpute.errors import UsageError
from mrimpute.registry import Checkpoint

SYNDIFF_SAMPLER = "posterior"
ALDM_PAPER_STEPS = 200


def choose_sampling(checkpoint: Checkpoint, sampler: str | None, steps: int | None) -> tuple[str, int]:
    """Return (sampler, steps) for one checkpoint.

    Args:
        checkpoint: what will run.
        sampler, steps: the user's word; None for the checkpoint's own.

    Raises:
        UsageError: the generator cannot be sampled so.
    """
    spec = checkpoint.record.sampling
    if checkpoint.record.generator == "syndiff":
        if sampler is not None or steps not in (None, spec.timesteps):
            raise UsageError(
                f"syndiff always takes its own {spec.timesteps} steps ({checkpoint.name})",
                "leave --sampler and --steps out",
            )
        return SYNDIFF_SAMPLER, spec.timesteps
    if checkpoint.record.generator == "aldm":
        return _of_aldm(checkpoint, sampler or spec.sampler or "ddim", steps)
    if sampler not in (None, "ddim", "ddpm"):
        raise UsageError(f"--sampler {sampler} is for aldm, not for {checkpoint.name}", "use ddim or ddpm")
    chosen = sampler or "ddim"
    return chosen, steps or (spec.timesteps if chosen == "ddpm" else spec.steps)


def _of_aldm(checkpoint: Checkpoint, sampler: str, steps: int | None) -> tuple[str, int]:
    fixed = {"paper": ALDM_PAPER_STEPS, "none": 0}
    if sampler == "ddpm":
        raise UsageError(f"aldm is not sampled with ddpm ({checkpoint.name})", "use ddim, paper or none")
    if sampler in fixed:
        if steps not in (None, fixed[sampler]):
            raise UsageError(
                f"the sampler {sampler} of {checkpoint.name} takes {fixed[sampler]} steps, not {steps}",
                "leave --steps out",
            )
        return sampler, fixed[sampler]
    return sampler, steps or checkpoint.record.sampling.steps
