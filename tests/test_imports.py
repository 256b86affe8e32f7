"""Arrows point one way, and what must be quick imports nothing heavy."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mrimpute"
LAYERS = [
    {
        "_version",
        "errors",
        "contrasts",
        "volume",
        "device",
        "settings",
        "files",
        "metrics",
        "signals",
        "progress",
        "programs",
    },
    {"io", "diffusion"},
    {"registry", "marks", "study"},
    {"plan", "prepare"},
    {"training", "write", "picture", "verify"},
    {"generators"},
    {"calibration"},
    {"selfcheck"},
    {"report"},
    {"make", "request", "engine", "outcome"},
    {"fill", "batch", "bids", "evaluate", "memory", "phantom", "segment", "pairs"},
    {"cli", "__main__"},
]
"""From the leaves up. A room, or a module that lies flat in the package, imports only from its own row and those
below, and nothing imports in a circle."""


DOORS = ("method", "network", "checkpoint", "generator", "training")


def layer(module: str) -> int:
    """Return the row of a module, by the first part of its name."""
    return next(index for index, names in enumerate(LAYERS) if module.split(".")[0] in names)


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


def name_of(path: Path) -> str:
    """Return a module's name inside the package; a room's own is that of the room."""
    return ".".join(part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__")


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_runs_up(path):
    module = name_of(path)
    for other in imported(path) - {"__init__"}:
        assert layer(other) <= layer(module), f"{module} imports {other}"


def test_nothing_imports_in_a_circle():
    """Of modules, and of rooms: a room is one place to the others."""
    modules = {name_of(path): imported(path) - {"__init__"} for path in MODULES}
    rooms: dict[str, set[str]] = {}
    for module, others in modules.items():
        room = module.split(".")[0]
        rooms.setdefault(room, set()).update({other.split(".")[0] for other in others} - {room})
    for arrows in (modules, rooms):
        tuple(TopologicalSorter(arrows).static_order())


def test_few_modules_lie_flat():
    assert len(list(PACKAGE.glob("*.py"))) <= 24


def test_rooms_do_not_import_each_other_and_are_entered_by_their_doors_only():
    rooms = {path.name for path in (PACKAGE / "generators").iterdir() if path.is_dir() and path.name != "__pycache__"}
    for path in MODULES:
        inside = path.relative_to(PACKAGE).parts
        own = inside[1] if inside[0] == "generators" and len(inside) > 2 else None
        for other in imported(path):
            parts = other.split(".")
            if parts[0] == "generators" and len(parts) > 1 and parts[1] in rooms and parts[1] != own:
                assert own is None, f"{path} reaches into {other}"
                assert parts[2] in DOORS, f"{path} imports {other}"
    for room in rooms:
        assert all((PACKAGE / "generators" / room / f"{door}.py").is_file() for door in DOORS)


HEAVY = ("torch", "jinja2")
DRAWING = {"jinja2", "markupsafe", "PIL"}
"""What pictures and pages are made with; pydicom imports PIL too, so that `sys.modules` does not tell."""
QUICK = (
    "mrimpute.study",
    "mrimpute.io",
    "mrimpute.plan",
    "mrimpute.prepare",
    "mrimpute.write",
    "mrimpute.calibration.run",
    "mrimpute.fill",
    "mrimpute.generators.cwdm.method",
    "mrimpute.generators.aldm.method",
    "mrimpute.generators.syndiff.method",
    "mrimpute.cli.render_fill",
    "mrimpute.cli.render_scan",
    "mrimpute.report",
    "mrimpute.verify",
    "mrimpute.selfcheck",
)


def test_nothing_heavy_before_it_is_needed():
    """In one process: the first that imports it is named."""
    script = (
        "import importlib, sys\n"
        f"for module in {QUICK}:\n"
        "    importlib.import_module(module)\n"
        f"    assert not set({HEAVY}) & set(sys.modules), module"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_draws_is_imported_where_it_draws():
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not DRAWING & {name.split(".")[0] for name in names}, path


def test_the_public_names_stay_functions_when_modules_of_the_same_name_are_imported():
    script = (
        "import mrimpute, mrimpute.fill, mrimpute.prepare\n"
        "from mrimpute import fill, prepare, find_series\n"
        "assert callable(fill) and callable(prepare) and callable(mrimpute.fill)\n"
        "assert all(getattr(mrimpute, name) for name in mrimpute.__all__)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
