"""ALDM checkpoints: record → networks, the authors' Lightning files → safetensors (SPEC section 10)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.aldm.autoencoder import FirstStage
from mrimpute.generators.aldm.config import AldmConfig
from mrimpute.generators.aldm.unet import NoisePredictor
from mrimpute.generators.regression import COEFFICIENTS, REGRESSION, take_coefficients, term_count
from mrimpute.registry import Checkpoint
from mrimpute.registry.tensors import load_strictly, read_checkpoint_file, read_weights, write_weights

Stage = Literal["autoencoder", "spade", "diffusion"]
STAGES: tuple[Stage, ...] = ("autoencoder", "spade", "diffusion")
STAGE = "stage"
"""Key of a record's `network` table: how far the networks were trained; a file of the last stage holds
the noise predictor."""
UNET = "unet."
"""What stands before the noise predictor's keys in our files."""


@dataclass(frozen=True)
class Networks:
    """What a checkpoint holds.

    Attributes:
        first_stage: autoencoder and SPADE stack.
        unet: noise predictor; None before the diffusion stage.
        coefficients: of the regression of each class on each, (source, target, terms), which steadies what
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


def network_config(checkpoint: Checkpoint) -> AldmConfig:
    """Return the networks' sizes from the record's `network` table.

    Raises:
        WeightsUnavailable: an unknown key, or sizes that cannot be.
    """
    given = checkpoint.record.network
    table: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    for key in (STAGE, REGRESSION):
        table.pop(key, None)
    try:
        config = AldmConfig(**table, classes=len(checkpoint.record.sources))
    except (TypeError, ValueError) as error:
        raise WeightsUnavailable(f"checkpoint {checkpoint.name}: network: {error}", "correct its record") from error
    if checkpoint.record.inputs.multiple % config.image_multiple:
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name}: inputs.multiple must be a multiple of {config.image_multiple}",
            "correct its record",
        )
    return config


def stage_of(checkpoint: Checkpoint) -> Stage:
    """Return how far a checkpoint's networks were trained.

    Raises:
        WeightsUnavailable: the record does not say.
    """
    stage = checkpoint.record.network.get(STAGE)
    if stage not in STAGES:
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name}: network.stage must be one of {', '.join(STAGES)}", "correct its record"
        )
    return next(one for one in STAGES if one == stage)


def load_networks(checkpoint: Checkpoint) -> Networks:
    """Return the networks with the checkpoint's weights, float32, on the CPU, ready to run.

    Raises:
        WeightsUnavailable: unreadable, wrong digest, or tensors that are not these networks'.
    """
    return _filled(checkpoint, read_weights(checkpoint))


def convert(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    """Turn one of the authors' `.ckpt` files into a safetensors file, strictly; of averaged (EMA) and
    raw weights the averaged are taken, as the authors' sampling does.

    Raises:
        WeightsUnavailable: the file cannot be read safely, is of the layout of November 2024, or is
            not what the name says.
    """
    state = read_checkpoint_file(source)
    if any(key.startswith("spade.in_spade.") for key in state) or not any(".norm2." in key for key in state):
        raise WeightsUnavailable(
            f"{source} has the layout of November 2024 (state_dict_vqgan_nov2024), or is no ALDM checkpoint; "
            "today's networks cannot hold it",
            "get the file of June 2025 or later",
        )
    tensors = _first_stage(state) | (_diffusion(state, source) if stage_of(checkpoint) == "diffusion" else {})
    write_weights(target, _filled(checkpoint, tensors).tensors())


def record_table(config: AldmConfig, stage: Stage, regression: bool = False) -> dict[str, Any]:
    """Return the `network` table that describes a configuration."""
    sizes = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
    del sizes["classes"]
    return {STAGE: stage} | ({REGRESSION: True} if regression else {}) | sizes


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
