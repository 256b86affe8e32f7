"""Which sampler and how many steps a run takes: the user's word, else the checkpoint's own."""

from mrimpute.generators.contract import method_of
from mrimpute.registry import Checkpoint


def choose_sampling(checkpoint: Checkpoint, sampler: str | None, steps: int | None) -> tuple[str, int]:
    """Return (sampler, steps) for one checkpoint; see `mrimpute.generators.contract.Method.choose_sampling`."""
    chosen = method_of(checkpoint.record.generator).choose_sampling(checkpoint, sampler, steps)
    return chosen.sampler, chosen.steps
