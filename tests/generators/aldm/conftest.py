"""Networks with the weights that the goldens follow from: a published rule, no file."""

import binascii
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mrimpute.generators.aldm.autoencoder import FirstStage
from mrimpute.generators.aldm.config import AldmConfig
from mrimpute.generators.aldm.unet import NoisePredictor
from tests.conftest import GOLDENS

SETS = ("small", "official_width")


def weight(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return the golden weight of one key."""
    start = (binascii.crc32(key.encode()) + 1000003 * seed) & 0xFFFFFFFF
    drawn = np.random.RandomState(start).randint(0, 20001, size=math.prod(shape), dtype=np.int32)
    unit = (drawn.astype(np.float64) - 10000.0) / 10000.0
    if key.endswith(("embedding.weight", "label_emb.weight")):
        values = unit
    elif len(shape) >= 2:
        values = unit * math.sqrt(3.0 / float(np.prod(shape[1:])))
    else:
        values = 1.0 + 0.25 * unit if key.endswith("weight") else 0.25 * unit
    return values.astype(np.float32).reshape(shape)


def ruled(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Fill a network by the rule."""
    state = {key: torch.from_numpy(weight(key, tuple(v.shape), seed)) for key, v in network.state_dict().items()}
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False)


class Golden:
    """One configuration: its networks, arrays and limits."""

    def __init__(self, folder: Path, name: str) -> None:
        self.manifest = json.loads((folder / f"{name}_manifest.json").read_text())
        self.statistics = json.loads((folder / f"{name}_block_stats.json").read_text())
        told = self.manifest["config"]
        inner, unet = told["dd"], told["unet"]
        self.config = AldmConfig(
            channels=inner["ch"],
            channel_mult=tuple(inner["mult"]),
            res_blocks=inner["nrb"],
            groups=inner["groups"],
            latent=inner["z"],
            codes=told["n_embed"],
            spade_channels=told["spade_nf"],
            unet_channels=unet.get("model_channels", 128),
            head_width=unet.get("num_head_channels", 32),
        )
        self.classes = told["classes"]
        self.trajectories = told["ddim"]
        self.seed = told["seed"]
        self.first_stage = ruled(FirstStage(self.config), self.seed)
        self.unet = ruled(NoisePredictor(self.config), self.seed)
        with np.load(folder / f"{name}.npz") as arrays:
            self.arrays = {key: torch.from_numpy(value) for key, value in arrays.items()}

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.arrays[name]

    def check(self, name: str, made: torch.Tensor) -> None:
        """Compare with an output, within ten times float32's own rounding."""
        limit = max(10 * self.manifest["float32_floor"].get(name, [0])[0], 1e-6)
        assert float((made - self[f"out_{name}"]).abs().max()) <= limit, name


@pytest.fixture(scope="module", params=SETS)
def golden(request: pytest.FixtureRequest) -> Golden:
    """Each golden set in turn; the large one lies in the shared material."""
    if request.param == "small":
        return Golden(GOLDENS / "aldm", "small")
    return Golden(request.getfixturevalue("shared") / "reference" / "aldm" / "goldens", request.param)
