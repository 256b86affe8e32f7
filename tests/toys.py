"""A fixture with a fourth generator, whose room is tests/generators/toy."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mrimpute.generators
from mrimpute.contrasts import Contrast

ROOMS = Path(__file__).parent / "generators"
NAME = "mrimpute.generators.toy"

WriteToy = Callable[[tuple[Contrast, ...], Contrast], Path]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WriteToy]:
    """Let the generator 'toy' be found; called with (sources, target) write a checkpoint folder of it."""
    monkeypatch.setattr(mrimpute.generators, "__path__", [*mrimpute.generators.__path__, str(ROOMS)])
    yield lambda sources, target: write_toy(tmp_path / f"toy-{target}", sources, target)
    for name in [name for name in sys.modules if name == NAME or name.startswith(f"{NAME}.")]:
        del sys.modules[name]
    if hasattr(mrimpute.generators, "toy"):
        del mrimpute.generators.toy


def write_toy(folder: Path, sources: tuple[Contrast, ...], target: Contrast) -> Path:
    """Write a checkpoint folder of the toy, which must have been installed; return it."""
    from mrimpute.generators.contract import door
    from mrimpute.training.state import write_checkpoint

    training = door("toy", "training")
    network = door("toy", "network").Toy(len(sources))
    write_checkpoint(folder, network.state_dict(), training.record_of(training.TrainingPlan(sources, target), []))
    return folder
