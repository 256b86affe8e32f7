"""`mrimpute train`: the papers' training from folders of studies."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common
from mrimpute.contrasts import BRATS_FOUR, parse_contrast
from mrimpute.errors import UsageError

app = typer.Typer(help="Train a generator on your own studies.", no_args_is_help=True)

EPILOG = "Example: mrimpute train cwdm data/* --target flair --out flair-net --crop 64 --brain-window --steps 1000"

ALDM_EPILOG = "Example: mrimpute train aldm data/* --stage spade --start autoencoder-net --out spade-net"

SYNDIFF_EPILOG = "Example: mrimpute train syndiff data/* --source t1 --target t2 --out t1-t2-nets --steps 20000"


@app.command("cwdm", epilog=EPILOG)
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
    augment: Annotated[
        str, typer.Option(metavar="LIST", help="all, or some of mirror,gamma,gain,bias,noise,thick[=STRENGTH].")
    ] = "",
    regression: Annotated[
        bool, typer.Option("--regression", help="Fit a voxelwise regression that is blended with the network.")
    ] = False,
    validate: Annotated[
        list[Path] | None, typer.Option(metavar="STUDY", help="Measured at every save; repeatable.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16: faster, not bit-exact when resumed.")
    ] = "float32",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between two saves.")] = 200,
    device: common.Device = "auto",
    threads: common.Threads = None,
    debug: common.Debug = False,
) -> None:
    """Train cWDM: three sources to one target. Defaults are the paper's (weeks on a GPU).

    With several GPUs: torchrun --nproc-per-node N -m mrimpute train cwdm …
    """
    from mrimpute.device import choose_device, configure, memory_errors
    from mrimpute.generators.cwdm import training
    from mrimpute.generators.cwdm.network import NetworkConfig
    from mrimpute.training.augment import Augmentation
    from mrimpute.training.cases import load_cases
    from mrimpute.training.world import join_world

    made = parse_contrast(target)
    if made not in BRATS_FOUR:
        raise UsageError(f"cwdm does not make {made}", f"use one of {', '.join(BRATS_FOUR)}")
    with _impossible_network("correct --channels, --levels, --res-blocks or --groups"):
        network = NetworkConfig(channels, _numbers(levels), res_blocks, groups)
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
        half_precision=_half_precision(precision),
        seed=seed,
    )
    configure(threads)
    with memory_errors(), join_world(choose_device(device)) as (world, where):
        cases = load_cases(studies, plan.contrasts, plan.inputs)
        held_out = load_cases(validate or [], plan.contrasts, plan.inputs) if world.is_main else []
        training.train(plan, cases, out, where, _report, save_every, held_out, world)
    if world.is_main:
        typer.echo(out)


@app.command("syndiff", epilog=SYNDIFF_EPILOG)
def syndiff(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY…", help="Folders that hold source or target.")],
    source: Annotated[str, typer.Option(help="One contrast of the pair.")],
    target: Annotated[str, typer.Option(help="The other; both directions are trained.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Gets a checkpoint folder per direction; a run resumes.")],
    paired: Annotated[
        bool, typer.Option("--paired", help="Learn from registered pairs; default: unpaired slices.")
    ] = False,
    steps: Annotated[int, typer.Option(help="Iterations.")] = 1_250_000,
    generator_rate: Annotated[float, typer.Option(help="Learning rate of the generators.")] = 1.6e-4,
    discriminator_rate: Annotated[float, typer.Option(help="Learning rate of the discriminators.")] = 1e-4,
    pixel_weight: Annotated[float, typer.Option(help="Weight of the L1 losses (lambda).")] = 0.5,
    penalty: Annotated[float, typer.Option(help="Gradient penalty of the discriminators (gamma of R1).")] = 1.0,
    penalty_every: Annotated[int, typer.Option(help="Iterations between two penalties.")] = 10,
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights that are saved.")] = 0.999,
    batch: Annotated[int, typer.Option(help="Slices per iteration.")] = 1,
    size: Annotated[int, typer.Option(help="Width of the slices in pixels of 1 mm.")] = 256,
    channels: Annotated[int, typer.Option(help="Width of the finest level.")] = 64,
    levels: Annotated[str, typer.Option(help="Width of each level as a multiple of --channels.")] = "1,1,2,2,4,4",
    res_blocks: Annotated[int, typer.Option(help="Residual blocks per level.")] = 2,
    attention: Annotated[str, typer.Option(help="Level widths in pixels with attention, or none.")] = "16",
    latent: Annotated[int, typer.Option(help="Width of the mapped latent.")] = 256,
    discriminator_channels: Annotated[int, typer.Option(help="Width of the diffusive discriminators.")] = 64,
    one_shot_channels: Annotated[int, typer.Option(help="Width of the one-shot networks.")] = 64,
    crop: Annotated[int, typer.Option(help="Edge of random training squares; 0: whole slices.")] = 0,
    augment: Annotated[
        str, typer.Option(metavar="LIST", help="all, or some of mirror,gamma,gain,bias,noise,thick[=STRENGTH].")
    ] = "",
    regression: Annotated[
        bool,
        typer.Option("--regression", help="With --paired: fit voxelwise regressions, blended with each network."),
    ] = False,
    ct_range: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="Hounsfield units that a CT network spans.")
    ] = (-1000.0, 2000.0),
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16: faster, not bit-exact when resumed.")
    ] = "float32",
    validate: Annotated[
        list[Path] | None, typer.Option(metavar="STUDY", help="Measured at every save; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    save_every: Annotated[int, typer.Option(min=1, help="Iterations between two saves.")] = 500,
    judge_rate: Annotated[float | None, typer.Option(hidden=True)] = None,
    judge_channels: Annotated[int | None, typer.Option(hidden=True)] = None,
    device: common.Device = "auto",
    threads: common.Threads = None,
    debug: common.Debug = False,
) -> None:
    """Train SynDiff: one contrast to another and back. Defaults are the authors' (weeks on a GPU)."""
    from mrimpute.device import choose_device, configure, memory_errors
    from mrimpute.generators.syndiff import training
    from mrimpute.generators.syndiff.network import NetworkConfig
    from mrimpute.training.augment import Augmentation
    from mrimpute.training.cases import load_cases

    with _impossible_network("correct its sizes: --size, --channels, --levels, …"):
        network = NetworkConfig(size, channels, _numbers(levels), res_blocks, _attention(attention), latent)
    plan = training.TrainingPlan(
        first=parse_contrast(source),
        second=parse_contrast(target),
        network=network,
        discriminator_width=discriminator_channels if judge_channels is None else judge_channels,
        one_shot_width=one_shot_channels,
        steps=steps,
        generator_rate=generator_rate,
        discriminator_rate=discriminator_rate if judge_rate is None else judge_rate,
        pixel_weight=pixel_weight,
        penalty=penalty,
        penalty_every=penalty_every,
        ema=ema,
        batch=batch,
        crop=crop,
        paired=paired,
        augment=Augmentation.parse(augment),
        regression=regression,
        ct_range=ct_range,
        half_precision=_half_precision(precision),
        seed=seed,
    )
    where = choose_device(device)
    configure(threads)
    with memory_errors():
        data = training.load_set(studies, plan)
        held_out = load_cases(validate or [], (plan.first, plan.second), plan.inputs)
        made = training.train(plan, data, out, where, _report, save_every, held_out)
    for folder in made:
        typer.echo(folder)


@app.command("aldm", epilog=ALDM_EPILOG)
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
            "the volume instead of 0.5 to 99.5 of that box.",
        ),
    ] = False,
    ema: Annotated[float, typer.Option(help="Decay of averaged weights; 0: off.")] = 0.9999,
    augment: Annotated[
        str, typer.Option(metavar="LIST", help="all, or some of mirror,gamma,gain,bias,noise,thick[=STRENGTH].")
    ] = "",
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
    validate: Annotated[
        list[Path] | None, typer.Option(metavar="STUDY", help="Measured at every save; repeatable.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16: faster, not bit-exact when resumed.")
    ] = "float32",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between two saves.")] = 200,
    device: common.Device = "auto",
    threads: common.Threads = None,
    debug: common.Debug = False,
) -> None:
    """Train ALDM: any contrast to any other, in three stages. Defaults are the authors' sizes (days on a GPU)."""
    from mrimpute.device import choose_device, configure, memory_errors
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
        with _impossible_network("correct its sizes: --channels, --levels, --attention, …"):
            network = AldmConfig(
                channels=channels,
                channel_mult=_numbers(levels),
                groups=groups,
                codes=codes,
                latent=latent,
                spade_channels=spade_channels,
                spade_hidden=spade_hidden,
                unet_channels=AldmConfig.unet_channels if unet_channels is None else unet_channels,
                attention_at=_attention(attention),
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
        half_precision=_half_precision(precision),
        seed=seed,
    )
    training.check_frame(plan, earlier)
    where = choose_device(device)
    configure(threads)
    with memory_errors():
        cases = load_cases(studies, plan.classes, plan.inputs)
        held_out = load_cases(validate or [], plan.classes, plan.inputs)
        if stage == "autoencoder" and perceptual is None:
            common.say("perceptual loss: off (--perceptual FILE turns it on)")
        training.train(plan, cases, earlier, out, where, _report, save_every, held_out, perceptual)
    typer.echo(out)


@contextmanager
def _impossible_network(way_out: str) -> Iterator[None]:
    """Tell sizes that cannot be in the user's terms."""
    try:
        yield
    except ValueError as error:
        raise UsageError(f"impossible network: {error}", way_out) from error


def _numbers(words: str) -> tuple[int, ...]:
    """Return '1,2,2' as whole numbers."""
    return tuple(int(word) for word in words.split(","))


def _attention(words: str) -> tuple[int, ...]:
    """Return the levels with attention; 'none' for no list of them."""
    return () if words == "none" else _numbers(words)


def _check_aldm_files(stage: str, validate: list[Path] | None, perceptual: Path | None, weight: float) -> None:
    """Check that a stage uses the studies and the file that it was given."""
    if validate and stage == "diffusion":
        raise UsageError("the diffusion stage is not measured while it is trained", "use `mrimpute evaluate` after it")
    if perceptual and (stage != "autoencoder" or not weight):
        raise UsageError("the perceptual loss is the autoencoder's, with a weight above 0", "leave --perceptual out")
    if perceptual and not perceptual.is_file():
        raise UsageError(f"{perceptual} is not a file", "give torchvision's vgg16 weights, .safetensors or .pth")


def _half_precision(word: str) -> bool:
    """Tell whether the networks run in bfloat16."""
    if word not in ("float32", "bfloat16"):
        raise UsageError(f"unknown precision {word!r}", "use float32 or bfloat16")
    return word == "bfloat16"


def _report(step: int, figures: dict[str, float]) -> None:
    common.say(f"step {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
