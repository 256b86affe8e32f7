"""Options and words that the trainings share."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common
from mrimpute.cli.progress import duration
from mrimpute.errors import UsageError

Augment = Annotated[
    str, typer.Option(metavar="LIST", help="all, or some of mirror,gamma,gain,bias,noise,thick[=STRENGTH].")
]
Validate = Annotated[list[Path] | None, typer.Option(metavar="STUDY", help="Measured at every save; repeatable.")]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16: faster, not bit-exact when resumed.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]
SaveEvery = Annotated[int, typer.Option(min=1, help="Steps between two saves.")]


@contextmanager
def impossible_network(way_out: str) -> Iterator[None]:
    """Tell sizes that cannot be in the user's terms."""
    try:
        yield
    except ValueError as error:
        raise UsageError(f"impossible network: {error}", way_out) from error


def numbers(words: str) -> tuple[int, ...]:
    """Return '1,2,2' as whole numbers."""
    return tuple(int(word) for word in words.split(","))


def attention_levels(words: str) -> tuple[int, ...]:
    """Return the levels with attention; 'none' for no list of them."""
    return () if words == "none" else numbers(words)


def half_precision(word: str) -> bool:
    """Tell whether the networks run in bfloat16."""
    if word not in ("float32", "bfloat16"):
        raise UsageError(f"unknown precision {word!r}", "use float32 or bfloat16")
    return word == "bfloat16"


class Reporter:
    """Tells the figures of a training at each save, and about how long the rest will take.

    Args:
        steps: of the whole run.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._last: tuple[int, float] | None = None

    def __call__(self, step: int, figures: dict[str, float]) -> None:
        """Tell the figures after a step; the time left follows from the steps since the save before."""
        now = time.monotonic()
        told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        left = ""
        if self._last and step < self._steps:
            done, began = self._last
            left = f", about {duration((now - began) / (step - done) * (self._steps - step))} left"
        self._last = step, now
        common.notify(f"step {step} of {self._steps}: {told}{left}")
