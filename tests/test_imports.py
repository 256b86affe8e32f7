"""Arrows point one way, and what must be quick imports nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mrimpute"
LAYERS = [
    {"errors", "__init__"},
    {"contrasts", "settings"},
    {"volume", "diffusion.ladder", "diffusion.noise", "diffusion.step", "diffusion.__init__"},
    {"io.nifti", "evidence"},
    {"io.metaimage", "io.__init__", "naming"},
    {"registry", "geometry", "dicom.headers", "dicom.__init__"},
    {"intensity", "device", "phantom", "dicom.series", "dicom.identify"},
    {"dicom.pixels", "dicom.derive"},
    {"series", "register", "skull"},
    {"prepare", "metrics"},
    {"provenance"},
    {"discover", "dicom.find"},
    {"study"},
    {"plan", "layout", "gather", "generators.contract", "generators.__init__"},
    {"write", "training.cases", "training.augment", "training.state", "training.world", "training.__init__"},
    {"deliver", "sampling", "generators.strict", "generators.regression", "generators.blocks"},
    {"generators.cwdm.*", "generators.syndiff.*", "generators.aldm.*"},
    {"hub"},
    {"fill"},
    {"batch", "evaluate"},
    {"picture"},
    {"cli.records", "cli.common"},
    {"cli.render"},
    {"cli.*"},
    {"__main__"},
]
"""From the leaves up: a module imports only from the layers below it, or from its own room."""


def layer(module: str) -> int:
    names = [index for index, names in enumerate(LAYERS) if module in names or f"{module}.__init__" in names]
    if names:
        return names[0]
    room = module.rpartition(".")[0] + ".*"
    return next(index for index, names in enumerate(LAYERS) if room in names)


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mrimpute":
            base = node.module.removeprefix("mrimpute").lstrip(".")
            for alias in node.names:
                inner = PACKAGE.joinpath(*base.split("."), alias.name) if base else PACKAGE / alias.name
                is_module = inner.with_suffix(".py").exists() or (inner / "__init__.py").exists()
                found.add(".".join(filter(None, [base, alias.name])) if is_module else base or "__init__")
    return found


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for other in imported(path):
        same_room = module.rpartition(".")[0] == other.rpartition(".")[0] != ""
        assert layer(other) < layer(module) or same_room, f"{module} imports {other}"


def test_rooms_do_not_import_each_other_and_are_entered_by_their_doors_only():
    rooms = {path.name for path in (PACKAGE / "generators").iterdir() if path.is_dir() and path.name != "__pycache__"}
    for path in MODULES:
        inside = path.relative_to(PACKAGE).parts
        own = inside[1] if inside[0] == "generators" and len(inside) > 2 else None
        for other in imported(path):
            parts = other.split(".")
            if parts[0] == "generators" and len(parts) > 1 and parts[1] in rooms and parts[1] != own:
                assert own is None, f"{path} reaches into {other}"
                assert parts[2] in ("network", "config", "generator", "plan", "training", "checkpoint"), (
                    f"{path} imports {other}"
                )


@pytest.mark.parametrize(
    "module",
    [
        "mrimpute.study",
        "mrimpute.io",
        "mrimpute.plan",
        "mrimpute.prepare",
        "mrimpute.write",
        "mrimpute.fill",
        "mrimpute.cli.render",
    ],
)
def test_no_torch_before_the_network_is_needed(module):
    script = f"import {module}, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_public_names_stay_functions_when_modules_of_the_same_name_are_imported():
    script = (
        "import mrimpute, mrimpute.fill, mrimpute.prepare\n"
        "from mrimpute import fill, prepare, find_series\n"
        "assert callable(fill) and callable(prepare) and callable(mrimpute.fill)\n"
        "assert all(getattr(mrimpute, name) for name in mrimpute.__all__)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
