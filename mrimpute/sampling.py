"""Which sampler and how many steps a run takes: the user's word, else the checkpoint's own."""

from mrimpute.errors import UsageError
from mrimpute.registry import Checkpoint

SYNDIFF_SAMPLER = "posterior"


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
    chosen = sampler or "ddim"
    return chosen, steps or (spec.timesteps if chosen == "ddpm" else spec.steps)
