"""mrimpute fills in the MR sequence that a study lacks, and labels it as synthetic.

    from pathlib import Path
    from mrimpute import Contrast, Options, fill, find_series, make_plan

    study = find_series(Path("study_dir"))
    print(study.missing, make_plan(study).jobs)
    outcome = fill(Path("study_dir"), [Contrast.FLAIR], Options(weights=("builtin",)))
    print(outcome.outputs[0].path)

The same without a disk, with nibabel images or arrays:

    from mrimpute import synthesise

    made = synthesise({"t1": t1_image, "t2": t2_image}, target="flair", weights="builtin")
    made.image  # a nibabel image, marked as synthetic
    made.verdict.text  # what the checks make of it

The names below are the public ones. Each is loaded when first used, so that importing the
package costs nothing and never imports torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mrimpute._version import __version__ as __version__

if TYPE_CHECKING:
    from mrimpute.contrasts import Contrast, parse_contrast
    from mrimpute.errors import MrimputeError
    from mrimpute.fill import Engine, fill
    from mrimpute.io import read_volume
    from mrimpute.memory import SyntheticImage, evaluate, scan, synthesise
    from mrimpute.outcome import Outcome
    from mrimpute.phantom import write_example
    from mrimpute.plan import Job, Plan, make_plan
    from mrimpute.prepare import Prepared, Recipe, prepare, restore
    from mrimpute.registry import Checkpoint, choose_checkpoint, load_registry
    from mrimpute.request import Options
    from mrimpute.study import Series, Study, find_series
    from mrimpute.volume import Grid, Volume
    from mrimpute.write.result import Output

_HOMES = {
    "contrasts": ("Contrast", "parse_contrast"),
    "errors": ("MrimputeError",),
    "fill": ("Engine", "fill"),
    "outcome": ("Outcome",),
    "request": ("Options",),
    "io": ("read_volume",),
    "memory": ("SyntheticImage", "evaluate", "scan", "synthesise"),
    "phantom": ("write_example",),
    "plan": ("Job", "Plan", "make_plan"),
    "prepare": ("Prepared", "Recipe", "prepare", "restore"),
    "registry": ("Checkpoint", "choose_checkpoint", "load_registry"),
    "write.result": ("Output",),
    "study": ("Series", "Study", "find_series"),
    "volume": ("Grid", "Volume"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Checkpoint",
    "Contrast",
    "Engine",
    "Grid",
    "Job",
    "MrimputeError",
    "Options",
    "Outcome",
    "Output",
    "Plan",
    "Prepared",
    "Recipe",
    "Series",
    "Study",
    "SyntheticImage",
    "Volume",
    "choose_checkpoint",
    "evaluate",
    "fill",
    "find_series",
    "load_registry",
    "make_plan",
    "parse_contrast",
    "prepare",
    "read_volume",
    "restore",
    "scan",
    "synthesise",
    "write_example",
]


class _Package(ModuleType):
    """The package, in which a submodule never hides the public function of the same name:
    `mrimpute.fill` is the function, also after `mrimpute.fill` the module was imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _HOME_OF:
            raise AttributeError(f"module 'mrimpute' has no attribute {name!r}")
        value = getattr(import_module(f"mrimpute.{_HOME_OF[name]}"), name)
        setattr(self, name, value)
        return value


sys.modules[__name__].__class__ = _Package
