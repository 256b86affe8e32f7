"""What tests share: the shared material, small studies built in code, the real command line."""

import errno
import io
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from filelock import FileLock

from mrimpute import signals
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.phantom import head
from mrimpute.registry import load_registry

pytest_plugins = ["tests.dicom_builders", "tests.toys"]
os.environ["OMP_NUM_THREADS"] = "1"  # tiny networks wait for threads more than they compute

ROOT = Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "tests" / "goldens"
OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.1, -0.2, 0.15) @ np.diag([-2.1, -1.75, 2.35]), [12.5, 80.0, -33.0]
)
"""An affine that is oblique and anisotropic on purpose; 40 x 48 x 36 voxels span a small head."""
FINE = OBLIQUE @ np.diag([1 / 2.1, 1.1 / 1.75, 1.2 / 2.35, 1.0])
"""The same with voxels of about 1 mm, for what is small on purpose and goes into no `fill`."""
WIDE = OBLIQUE @ np.diag([2.3, 2.3, 2.3, 1.0])
"""The same for 20 x 24 x 18 voxels."""


SPREAD = (
    "tests/cli/test_fill.py",
    "tests/prepare/test_register.py",
    "tests/registry/test_hub.py",
    "tests/test_batch.py",
    "tests/test_readme.py",
)
"""Files of long tests that share nothing that is costly to make."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all tests of a file to one worker, which makes their fixtures once; spread files come last, test by test,
    so that all workers end together."""
    if config.getoption("dist") != "load":
        return None  # the user's own choice
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if file in SPREAD else file

    return ByFile(config, log)


def _shared() -> Path:
    return Path(os.environ.get("MRIMPUTE_TEST_DATA") or ROOT.parent / "shared")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared material; tests that need it skip where it is absent."""
    if not (_shared() / "data").is_dir():
        pytest.skip("the shared material is absent (MRIMPUTE_TEST_DATA, ../shared)")
    return _shared()


@pytest.fixture(scope="session")
def reference(shared: Path) -> Path:
    return shared / "reference" / "cwdm" / "goldens"


def head_voxels(contrast: Contrast, shape: Sequence[int] = (40, 48, 36), seed: int = 0) -> np.ndarray:
    """Return int16 voxels that could be a head: a noisy ellipsoid with a contrast's own values."""
    noise = np.random.default_rng([seed, list(Contrast).index(contrast)]).integers(-40, 40, shape)
    axes = np.meshgrid(*[np.linspace(-1.25, 1.25, n) for n in shape], indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    inner = {"t1": 300, "t1c": 350, "t2": 900, "flair": 200, "pd": 800, "ct": 40}[contrast]
    values = np.where(radius < 0.4, inner, 1000 - inner // 2) + noise
    return np.where(radius < 1, values, 0).astype(np.int16)


WORDS = {
    "brats23": {"t1": "-t1n", "t1c": "-t1c", "t2": "-t2w", "flair": "-t2f"},
    "brats21": {"t1": "_t1", "t1c": "_t1ce", "t2": "_t2", "flair": "_flair"},
}


def write_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(voxels, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1, strip_shears=True)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)
    return path


def write_study(
    folder: Path,
    contrasts: Sequence[Contrast] = (Contrast.T1, Contrast.T1C, Contrast.T2),
    shape: Sequence[int] = (40, 48, 36),
    affine: np.ndarray = OBLIQUE,
    scheme: str = "brats23",
    seed: int = 0,
) -> Path:
    """Write a study folder of small heads in register."""
    for contrast in contrasts:
        path = folder / f"{folder.name}{WORDS[scheme][contrast]}.nii.gz"
        write_nifti(path, head_voxels(contrast, shape, seed), affine)
    return folder


MakeStudy = Callable[..., Path]


@pytest.fixture
def make_study(tmp_path: Path) -> MakeStudy:
    """Build a study folder of small heads in register."""

    def make(name: str = "case", *words: Any, **named: Any) -> Path:
        return write_study(tmp_path / name, *words, **named)

    return make


def write_tiny_weights(folder: Path, target: Contrast) -> Path:
    """Write a checkpoint folder with random weights that runs in no time."""
    import torch
    from safetensors.torch import save_file

    from mrimpute.generators.cwdm.network import NetworkConfig, WaveletUNet
    from mrimpute.generators.cwdm.training import TrainingPlan, record_of
    from mrimpute.training.state import record_text

    folder.mkdir()
    sources = tuple(contrast for contrast in BRATS_FOUR if contrast is not target)
    plan = TrainingPlan(sources, target, NetworkConfig(4, (1, 2), 1, 2), steps=1, window=None)
    torch.manual_seed(5)
    network = WaveletUNet(plan.network)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    save_file(network.state_dict(), folder / "model.safetensors")
    record = record_of(plan, [])
    record["inputs"]["spacing_mm"] = 2.0  # of the small heads: at 1 mm they would cost nine times as much
    (folder / "checkpoint.toml").write_text(record_text(record))
    return folder


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[Contrast, Path]:
    """Checkpoint folders with random weights, one per target, that run in no time."""
    root = tmp_path_factory.mktemp("weights")
    return {target: write_tiny_weights(root / f"tiny-{target}", target) for target in BRATS_FOUR}


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> dict[Contrast, np.ndarray]:
    """Return a computed head of real size, four contrasts of (240, 240, 155) voxels; of all workers one computes it."""
    folder = tmp_path_factory.getbasetemp()
    kept = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "phantom.npz"
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            np.savez(kept, **{str(contrast): image for contrast, image in head(BRATS_FOUR, 0).items()})
    with np.load(kept) as images:
        return {contrast: images[str(contrast)] for contrast in BRATS_FOUR}


@pytest.fixture(scope="session")
def phantom_head(phantom: dict[Contrast, np.ndarray]) -> dict[Contrast, np.ndarray]:
    """Return it on (80, 96, 72) voxels of 2 mm, 0 outside the brain, without flair."""
    wanted = (Contrast.T1, Contrast.T1C, Contrast.T2)
    return {contrast: phantom[contrast][40:200:2, 26:218:2, 4:148:2].copy() for contrast in wanted}


Cli = Callable[..., subprocess.CompletedProcess[str]]


def surroundings(home: Path, more: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment in which tests run the command line."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MRIMPUTE_")}
    places = {"MRIMPUTE_HOME": str(home), "MRIMPUTE_STATE": str(home), "HF_HUB_OFFLINE": "1"}
    return kept | places | {"MRIMPUTE_THREADS": "1"} | (more or {})


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Have PyTorch use two threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cli_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def process(cli_home: Path) -> Cli:
    """Run the real command line in a process of its own."""

    def run(*words: object, env: dict[str, str] | None = None, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mrimpute"]
        command += [word if isinstance(word, bytes) else str(word) for word in words]
        environment = surroundings(cli_home, env)
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, **options)

    return run


def run_here(
    home: Path, *words: object, env: dict[str, str] | None = None, input: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the real command line inside this process, from its words to its exit code.

    Environment, working folder, standard streams, signal handlers and warnings are a new process's;
    what is imported stays.
    """
    from mrimpute.cli.app import main

    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        for name in set(os.environ) - set(wanted := surroundings(home, env)):
            patch.delenv(name)
        for name, value in wanted.items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        for name, stream in (
            ("stdin", io.TextIOWrapper(io.BytesIO(input.encode()))),
            ("stdout", out),
            ("stderr", err),
        ):
            patch.setattr(sys, name, stream)
        patch.setattr(sys, "unraisablehook", sys.unraisablehook)
        patch.setattr(signals._State, "arrived", None)
        load_registry.cache_clear()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        finally:
            load_registry.cache_clear()
            for number, handler in handlers.items():
                signal.signal(number, handler)
    told, said = (stream.buffer.getvalue().decode("utf-8", "surrogateescape") for stream in (out, err))
    return subprocess.CompletedProcess(list(words), int(code or 0), told, said)


@pytest.fixture(scope="session")
def cli(cli_home: Path) -> Cli:
    """Run the real command line inside this process."""
    return partial(run_here, cli_home)


def refuse_to_list(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have the system refuse to list one folder, as it does to a user without the right: tests may run as root."""
    real = os.scandir

    def scandir(path: Any) -> Any:
        if os.path.realpath(path) == os.path.realpath(folder):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes: to show that nothing changed."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
