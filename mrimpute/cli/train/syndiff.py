"""`mrimpute train syndiff`."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common
from mrimpute.cli.train import options
from mrimpute.cli.train.options import Reporter, attention_levels, half_precision, impossible_network, numbers
from mrimpute.contrasts import parse_contrast

EPILOG = "Example: mrimpute train syndiff data/* --source t1 --target t2 --out t1-t2-nets --steps 20000"


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
    augment: options.Augment = "",
    regression: Annotated[
        bool,
        typer.Option("--regression", help="With --paired: fit voxelwise regressions, blended with each network."),
    ] = False,
    ct_range: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="Hounsfield units that a CT network spans.")
    ] = (-1000.0, 2000.0),
    precision: options.Precision = "float32",
    validate: options.Validate = None,
    seed: options.Seed = 0,
    save_every: options.SaveEvery = 500,
    judge_rate: Annotated[float | None, typer.Option(hidden=True)] = None,
    judge_channels: Annotated[int | None, typer.Option(hidden=True)] = None,
    device: common.Device = "auto",
    threads: common.Threads = None,
    debug: common.Debug = False,
) -> None:
    """Train SynDiff: one contrast to another and back. Defaults are the authors' (weeks on a GPU)."""
    from mrimpute.device import choose_device, configure, memory_errors
    from mrimpute.files import hold
    from mrimpute.generators.syndiff import training
    from mrimpute.generators.syndiff.network import NetworkConfig
    from mrimpute.training.augment import Augmentation
    from mrimpute.training.cases import load_cases

    with impossible_network("correct its sizes: --size, --channels, --levels, …"):
        network = NetworkConfig(size, channels, numbers(levels), res_blocks, attention_levels(attention), latent)
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
        half_precision=half_precision(precision),
        seed=seed,
    )
    where = choose_device(device)
    configure(threads)
    with memory_errors(), hold([out]):
        data = training.load_set(studies, plan)
        held_out = load_cases(validate or [], (plan.first, plan.second), plan.inputs)
        made = training.train(plan, data, out, where, Reporter(steps), save_every, held_out)
    for folder in made:
        typer.echo(folder)
