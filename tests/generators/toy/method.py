"""What the toy is, and which records and words on sampling it takes; no torch."""

from dataclasses import dataclass

from mrimpute.errors import UsageError
from mrimpute.generators.contract import Sampling
from mrimpute.generators.records import check_record, read_sizes
from mrimpute.registry import Checkpoint


@dataclass(frozen=True)
class ToyConfig:
    """Sizes: how many sources are mixed."""

    sources: int = 1

    @property
    def image_multiple(self) -> int:
        return 1


@dataclass(frozen=True)
class ToyMethod:
    """A weighted sum of the sources and of noise."""

    name: str = "toy"
    citation: str = "the tests"
    bibtex: str = "@misc{toy, title = {The tests}}"
    samplers: tuple[str, ...] = ("sum",)
    ladders: tuple[str, ...] = ("linear-beta",)
    predictions: tuple[str, ...] = ("clean",)

    def check(self, checkpoint: Checkpoint) -> None:
        check_record(checkpoint, self, honoured=())
        read_sizes(checkpoint, ToyConfig)

    def choose_sampling(self, checkpoint: Checkpoint, sampler: str | None, steps: int | None) -> Sampling:
        self.check(checkpoint)
        if sampler not in (None, "sum") or steps not in (None, 1):
            raise UsageError("the toy takes one step of its own sampler", "leave --sampler and --steps out")
        return Sampling("sum", 1)


METHOD = ToyMethod()
