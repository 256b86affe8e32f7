"""ALDM checkpoints: record and file → networks, the authors' Lightning files → safetensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.aldm.config import DERIVED, STAGE, TrainingStage, network_config, stage_of
from mrimpute.generators.aldm.method import METHOD
from mrimpute.generators.aldm.network import AldmConfig, FirstStage, NoisePredictor
from mrimpute.generators.records import network_table
from mrimpute.generators.regression import COEFFICIENTS, take_coefficients, term_count
from mrimpute.registry import Checkpoint
from mrimpute.registry.tensors import load_strictly, read_pickle, read_weights, write_weights

__all__ = ["Networks", "convert", "load_networks", "network_config", "record_table", "stage_of"]

UNET = "unet."
"""What stands before the noise predictor's keys in our files."""


@dataclass(frozen=True)
class Networks:
    """What a checkpoint holds.

    Attributes:
        first_stage: autoencoder and SPADE stack.
        unet: noise predictor; None before the diffusion stage.
        coefficients: of the regression of each class on each, (source, target, terms), which is blended with what
            is made; None for the paper's method.
    """

    first_stage: FirstStage
    unet: NoisePredictor | None = None
    coefficients: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint file holds."""
        found = dict(self.first_stage.state_dict())
        if self.unet is not None:
            found |= {UNET + key: tensor for key, tensor in self.unet.state_dict().items()}
        return found if self.coefficients is None else found | {COEFFICIENTS: self.coefficients}


_FIRST_STAGE, _RAW, _EMA = "first_stage_model.", "model.diffusion_model.", "model_ema.diffusion_model"


def load_networks(checkpoint: Checkpoint) -> Networks:
    """Return the networks with the checkpoint's weights, float32, on the CPU, ready to run.

    Raises:
        WeightsUnavailable: a record that ALDM does not take, an unreadable file, a wrong digest, or tensors that
            are not these networks'.
    """
    METHOD.check(checkpoint)
    return _filled(checkpoint, read_weights(checkpoint))


def convert(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    """Turn one of the authors' `.ckpt` files into a safetensors file, strictly; of averaged (EMA) and
    raw weights the averaged are taken, as the authors' sampling does.

    Raises:
        WeightsUnavailable: the file cannot be read safely, is of the layout of November 2024, or is
            not what the name says.
    """
    state = read_pickle(source)
    if any(key.startswith("spade.in_spade.") for key in state) or not any(".norm2." in key for key in state):
        raise WeightsUnavailable(
            f"{source} has the layout of November 2024 (state_dict_vqgan_nov2024), or is no ALDM checkpoint; "
            "today's networks cannot hold it",
            "get the file of June 2025 or later",
        )
    tensors = _first_stage(state) | (_diffusion(state, source) if stage_of(checkpoint) == "diffusion" else {})
    write_weights(target, _filled(checkpoint, tensors).tensors())


def record_table(config: AldmConfig, regression: bool, stage: TrainingStage) -> dict[str, Any]:
    """Return the `network` table that describes networks: how far they were trained, whether regressions are
    blended in, and their sizes."""
    return {STAGE: stage} | network_table(config, regression, DERIVED)


def _first_stage(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the first stage's tensors of a VQ-GAN file, or of a whole latent diffusion file."""
    prefix = _FIRST_STAGE if any(key.startswith(_FIRST_STAGE) for key in state) else ""
    parts = ("encoder.", "decoder.", "quantize.", "quant_conv.", "post_quant_conv.", "spade.")
    inner = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
    return {key: tensor for key, tensor in inner.items() if key.startswith(parts)}


def _diffusion(state: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Return the noise predictor's tensors, averaged where the file has an average."""
    raw = {key.removeprefix(_RAW): tensor for key, tensor in state.items() if key.startswith(_RAW)}
    if not raw:
        raise WeightsUnavailable(f"{source} holds the first stage only, no diffusion", "import it as aldm-brats-stage2")
    averaged = {key.removeprefix(_EMA): tensor for key, tensor in state.items() if key.startswith(_EMA)}
    if not averaged:
        return {UNET + key: tensor for key, tensor in raw.items()}
    lost = [key for key in raw if key.replace(".", "") not in averaged]
    if lost or len(averaged) != len(raw):
        raise WeightsUnavailable(f"{source}: its averaged weights are not complete ({lost[:1]})", "get it again")
    return {UNET + key: averaged[key.replace(".", "")] for key in raw}


def _filled(checkpoint: Checkpoint, given: Mapping[str, Tensor]) -> Networks:
    config = network_config(checkpoint)
    tensors = dict(given)
    coefficients = take_coefficients(checkpoint, tensors, (config.classes, config.classes, term_count(1)))
    with torch.device("meta"):
        first_stage = FirstStage(config)
        unet = NoisePredictor(config) if stage_of(checkpoint) == "diffusion" else None
    inner = {key: tensor for key, tensor in tensors.items() if unet is None or not key.startswith(UNET)}
    load_strictly(first_stage, inner, checkpoint.name)
    first_stage.eval().requires_grad_(False)
    if unet is not None:
        rest = {key.removeprefix(UNET): tensor for key, tensor in tensors.items() if key.startswith(UNET)}
        load_strictly(unet, rest, checkpoint.name)
        unet.eval().requires_grad_(False)
    return Networks(first_stage, unet, coefficients)
