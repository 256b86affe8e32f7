"""`mrimpute train aldm`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common
from mrimpute.cli.train import options
from mrimpute.cli.train.options import Reporter, attention_levels, half_precision, impossible_network, numbers
from mrimpute.contrasts import parse_contrast
from mrimpute.errors import UsageError

EPILOG = "Example: mrimpute train aldm data/* --stage spade --start autoencoder-net --out spade-net"


def aldm(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY…", help="Folders that hold every contrast.")],
    stage: Annotated[str, typer.Option(help="autoencoder, then spade, then diffusion.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Checkpoint folder; a killed run goes on there.")],
    start: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of the stage before, or of this one (spade and diffusion).")
    ] = None,
    contrasts: Annotated[
        str, typer.Option(help="Order of the classes. Later stages take it, and all sizes, from --start.")
    ] = "t1,t1c,t2,flair",
    preset: Annotated[
        str, typer.Option(help="Of the losses: mrimpute (trains the code book), or code (the authors': L1 alone).")
    ] = "mrimpute",
    losses: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Changes to the preset's weights, for instance adversarial=0,cycle=1. Names: codebook, quantise_from, "
            "adversarial, adversarial_from, perceptual, image, cycle, clean, clean_ratio.",
        ),
    ] = "",
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 200_000,
    learning_rate: Annotated[float, typer.Option(help="Of Adam; of AdamW in the diffusion stage.")] = 4e-5,
    cosine: Annotated[bool, typer.Option("--cosine", help="Let the rate fall to 0 along half a cosine.")] = False,
    batch: Annotated[int, typer.Option(help="Examples per step.")] = 1,
    channels: Annotated[int, typer.Option(help="Width of the autoencoder's finest level.")] = 64,
    levels: Annotated[str, typer.Option(help="Width of each level as a multiple, finest first.")] = "1,1,2",
    groups: Annotated[int, typer.Option(help="Groups of its GroupNorms.")] = 32,
    codes: Annotated[int, typer.Option(help="Vectors in the code book.")] = 8192,
    latent: Annotated[int, typer.Option(help="Channels of the latent.")] = 4,
    spade_channels: Annotated[int, typer.Option(help="Width of the SPADE stack.")] = 128,
    spade_hidden: Annotated[int, typer.Option(help="Width of its modulations.")] = 64,
    unet_channels: Annotated[
        int | None,
        typer.Option(help="Width of the noise predictor, a multiple of 64.", show_default="128, or that of --start"),
    ] = None,
    attention: Annotated[
        str,
        typer.Option(help="Reductions of the latent at which the noise predictor attends; none: at its middle alone."),
    ] = "4,2",
    crop: Annotated[int, typer.Option(help="Edge of random training cubes in voxels; 0: whole window.")] = 0,
    brain_window: Annotated[
        bool,
        typer.Option(
            "--brain-window",
            help="Frame: the box around the head instead of 144x192x144, and grey values by percentiles 0.1 to 99.9 of "
            "a volume that the head fills to 15 % instead of 0.5 to 99.5 of that box.",
        ),
    ] = False,
    ema: Annotated[float, typer.Option(help="Decay of averaged weights; 0: off.")] = 0.9999,
    augment: options.Augment = "",
    variants: Annotated[
        int, typer.Option(help="Copies of each study that the later stages encode: one as it is, the rest augmented.")
    ] = 1,
    regression: Annotated[
        bool,
        typer.Option(
            "--regression",
            help="Fit voxelwise regressions blended with the networks (t1c most); later stages keep it.",
        ),
    ] = False,
    perceptual: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="torchvision's vgg16 weights, for a perceptual loss (autoencoder)."),
    ] = None,
    validate: options.Validate = None,
    precision: options.Precision = "float32",
    seed: options.Seed = 0,
    save_every: options.SaveEvery = 200,
    device: common.Device = "auto",
    threads: common.Threads = None,
    debug: common.Debug = False,
) -> None:
    """Train ALDM: any contrast to any other, in three stages. Defaults are the authors' sizes (days on a GPU)."""
    from mrimpute.device import choose_device, configure, memory_errors
    from mrimpute.files import hold
    from mrimpute.generators.aldm import training
    from mrimpute.generators.aldm.checkpoint import network_config, stage_of
    from mrimpute.generators.aldm.network import AldmConfig
    from mrimpute.generators.records import has_regression
    from mrimpute.registry import read_checkpoint_folder
    from mrimpute.training.augment import Augmentation
    from mrimpute.training.cases import load_cases

    if preset not in training.PRESETS:
        raise UsageError(f"unknown preset {preset!r}", f"use {', '.join(training.PRESETS)}")
    classes = tuple(parse_contrast(word) for word in contrasts.split(","))
    earlier = read_checkpoint_folder(start) if start else None
    training.check_start(stage, earlier)  # type: ignore[arg-type]
    weights = training.PRESETS[preset].changed(losses)
    _check_aldm_files(stage, validate, perceptual, weights.perceptual)
    if earlier is None:
        with impossible_network("correct its sizes: --channels, --levels, --attention, …"):
            network = AldmConfig(
                channels=channels,
                channel_mult=numbers(levels),
                groups=groups,
                codes=codes,
                latent=latent,
                spade_channels=spade_channels,
                spade_hidden=spade_hidden,
                unet_channels=AldmConfig.unet_channels if unet_channels is None else unet_channels,
                attention_at=attention_levels(attention),
                classes=len(set(classes)),
            )
    else:
        classes, network = earlier.record.sources, network_config(earlier)
        if stage == "diffusion" and stage_of(earlier) == "spade" and unet_channels is not None:
            network = replace(network, unet_channels=unet_channels)
    plan = training.TrainingPlan(
        stage=stage,  # type: ignore[arg-type]
        classes=classes,
        network=network,
        losses=weights,
        identity=preset == "mrimpute",
        steps=steps,
        learning_rate=learning_rate,
        cosine=cosine,
        batch=batch,
        crop=crop,
        frame="brain" if brain_window else "authors",
        ema=ema,
        augment=Augmentation.parse(augment),
        variants=variants,
        regression=regression or bool(earlier and has_regression(earlier)),
        half_precision=half_precision(precision),
        seed=seed,
    )
    training.check_frame(plan, earlier)
    where = choose_device(device)
    configure(threads)
    with memory_errors(), hold([out]):
        cases = load_cases(studies, plan.classes, plan.inputs)
        held_out = load_cases(validate or [], plan.classes, plan.inputs)
        if stage == "autoencoder" and perceptual is None:
            common.notify("perceptual loss: off (--perceptual FILE turns it on)")
        training.train(plan, cases, earlier, out, where, Reporter(steps), save_every, held_out, perceptual)
    typer.echo(out)


def _check_aldm_files(stage: str, validate: list[Path] | None, perceptual: Path | None, weight: float) -> None:
    """Check that a stage uses the studies and the file that it was given."""
    if validate and stage == "diffusion":
        raise UsageError("the diffusion stage is not measured while it is trained", "use `mrimpute evaluate` after it")
    if perceptual and (stage != "autoencoder" or not weight):
        raise UsageError("the perceptual loss is the autoencoder's, with a weight above 0", "leave --perceptual out")
    if perceptual and not perceptual.is_file():
        raise UsageError(f"{perceptual} is not a file", "give torchvision's vgg16 weights, .safetensors or .pth")
