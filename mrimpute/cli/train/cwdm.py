"""`mrimpute train cwdm`."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common
from mrimpute.cli.train import options
from mrimpute.cli.train.options import Reporter, half_precision, impossible_network, numbers
from mrimpute.contrasts import BRATS_FOUR, parse_contrast
from mrimpute.errors import UsageError

EPILOG = "Example: mrimpute train cwdm data/* --target flair --out flair-net --crop 64 --brain-window --steps 1000"


def cwdm(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY…", help="Folders that hold all four contrasts.")],
    target: Annotated[str, typer.Option(help="Contrast to make: t1, t1c, t2 or flair.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Checkpoint folder; a killed run goes on there.")],
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 1_200_000,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW.")] = 1e-5,
    schedule: Annotated[str, typer.Option(help="Of the learning rate: constant, or cosine down to 0.")] = "constant",
    warmup: Annotated[int, typer.Option(help="Steps over which the learning rate rises.")] = 0,
    batch: Annotated[int, typer.Option(help="Examples per step, over all processes.")] = 1,
    channels: Annotated[int, typer.Option(help="Width of the finest level.")] = 64,
    levels: Annotated[str, typer.Option(help="Width of each level as a multiple of --channels.")] = "1,2,2,4,4",
    res_blocks: Annotated[int, typer.Option(help="Residual blocks per level.")] = 2,
    groups: Annotated[int, typer.Option(help="Groups of every GroupNorm.")] = 32,
    crop: Annotated[int, typer.Option(help="Edge of random training cubes in voxels; 0: whole window.")] = 0,
    brain_window: Annotated[
        bool, typer.Option("--brain-window", help="Frame: the box around the head instead of 224x224x160.")
    ] = False,
    ema: Annotated[float, typer.Option(help="Decay of averaged weights; 0: off.")] = 0.0,
    augment: options.Augment = "",
    regression: Annotated[
        bool, typer.Option("--regression", help="Fit a voxelwise regression that is blended with the network.")
    ] = False,
    validate: options.Validate = None,
    precision: options.Precision = "float32",
    seed: options.Seed = 0,
    save_every: options.SaveEvery = 200,
    device: common.Device = "auto",
    threads: common.Threads = None,
    debug: common.Debug = False,
) -> None:
    """Train cWDM: three sources to one target. Defaults are the paper's (weeks on a GPU).

    With several GPUs: torchrun --nproc-per-node N -m mrimpute train cwdm …
    """
    from mrimpute.device import choose_device, configure, memory_errors
    from mrimpute.files import hold
    from mrimpute.generators.cwdm import training
    from mrimpute.generators.cwdm.network import NetworkConfig
    from mrimpute.training.augment import Augmentation
    from mrimpute.training.cases import load_cases
    from mrimpute.training.world import join_world

    made = parse_contrast(target)
    if made not in BRATS_FOUR:
        raise UsageError(f"cwdm does not make {made}", f"use one of {', '.join(BRATS_FOUR)}")
    with impossible_network("correct --channels, --levels, --res-blocks or --groups"):
        network = NetworkConfig(channels, numbers(levels), res_blocks, groups)
    plan = training.TrainingPlan(
        sources=tuple(contrast for contrast in BRATS_FOUR if contrast is not made),
        target=made,
        network=network,
        steps=steps,
        learning_rate=learning_rate,
        schedule=schedule,  # type: ignore[arg-type]
        warmup=warmup,
        batch=batch,
        crop=crop,
        window=None if brain_window else (224, 224, 160),
        ema=ema,
        augment=Augmentation.parse(augment),
        regression=regression,
        half_precision=half_precision(precision),
        seed=seed,
    )
    configure(threads)
    with (
        memory_errors(),
        join_world(choose_device(device)) as (world, where),
        hold([out] if world.is_main else []),
    ):
        cases = load_cases(studies, plan.contrasts, plan.inputs)
        held_out = load_cases(validate or [], plan.contrasts, plan.inputs) if world.is_main else []
        training.train(plan, cases, out, where, Reporter(steps), save_every, held_out, world)
    if world.is_main:
        typer.echo(out)
