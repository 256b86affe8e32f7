"""The rules by which the goldens were recorded: weights and inputs that follow from their names."""

import json
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import FINE, GOLDENS

SEED = 20240
STORED = GOLDENS / "syndiff"


@pytest.fixture(scope="session")
def goldens(shared: Path) -> Path:
    """All goldens; the tests that need only small ones take STORED."""
    return shared / "reference" / "syndiff" / "goldens"


def normal(name: str, shape: tuple[int, ...], seed: int = SEED) -> np.ndarray:
    state = np.random.RandomState((seed + zlib.crc32(name.encode())) % 2**32)
    return state.standard_normal(shape)


def draw(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(normal(name, shape).astype(np.float32))


def image(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    *outer, height, width = shape
    low = normal(f"{name}.lo", (*outer, height // 16, width // 16)).astype(np.float32).astype(np.float64)
    high = normal(f"{name}.hi", shape).astype(np.float32).astype(np.float64)
    return torch.from_numpy(np.tanh(np.kron(low, np.ones((16, 16))) + 0.2 * high).astype(np.float32))


def set_weights(module: nn.Module, seed: int = SEED, gain: float = 1.0) -> nn.Module:
    """Set every parameter by the rule of its key."""
    for key, parameter in module.named_parameters():
        n = normal(key, tuple(parameter.shape), seed)
        if parameter.ndim >= 2:
            value = gain * n / np.sqrt(np.prod(parameter.shape[1:]))
        else:
            value = 0.1 * n
            if key.endswith("style.bias"):
                value[: len(value) // 2] += 1
            elif key.endswith("weight"):
                value += 1
        parameter.data = torch.from_numpy(value.astype(np.float32))
    return module.eval()


def check_weights(module: nn.Module, recorded: dict) -> None:
    """Compare the rule's weights with the recorded sums."""
    for key, parameter in module.named_parameters():
        expected = recorded[key]
        assert list(parameter.shape) == expected["shape"], key
        assert float(parameter.double().sum()) == pytest.approx(expected["sum"], abs=1e-6), key


def read_json(name: str, folder: Path = STORED) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


@pytest.fixture
def make_study(make_study):
    """Build studies that fit into slices of 64 voxels."""
    return partial(make_study, affine=FINE)
