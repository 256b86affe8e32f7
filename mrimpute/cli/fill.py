"""`mrimpute fill`: the main job, for one or many studies."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mrimpute.cli import common

if TYPE_CHECKING:
    from mrimpute.contrasts import Contrast
    from mrimpute.fill import Engine, Outcome, Progress

EPILOG = "Example: mrimpute fill study_dir/ --missing flair --weights builtin"

_WHAT, _WHICH, _HOW, _WHERE, _OUTPUT = "What to fill", "Which series", "How", "Where", "Output"


def _series(contrast: str) -> typer.models.OptionInfo:
    """Return the option that names a study's series of one contrast."""
    option: typer.models.OptionInfo = typer.Option(
        f"--{contrast}", metavar="PATH", help=f"This file is the {contrast} (one study only).", rich_help_panel=_WHICH
    )
    return option


def fill(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY…", help="Study folders.")],
    missing: Annotated[
        list[str] | None,
        typer.Option(
            "--missing",
            "-m",
            metavar="CONTRAST",
            rich_help_panel=_WHAT,
            help="What to make: t1, t1c, t2, flair, pd or ct; repeatable. Default: all that is missing.",
        ),
    ] = None,
    t1: Annotated[Path | None, _series("t1")] = None,
    t1c: Annotated[Path | None, _series("t1c")] = None,
    t2: Annotated[Path | None, _series("t2")] = None,
    flair: Annotated[Path | None, _series("flair")] = None,
    pd: Annotated[Path | None, _series("pd")] = None,
    ct: Annotated[Path | None, _series("ct")] = None,
    generator: Annotated[
        Literal["cwdm", "aldm", "syndiff"] | None,
        typer.Option(envvar="MRIMPUTE_GENERATOR", rich_help_panel=_HOW, help="Instead of the one the plan chooses."),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            envvar="MRIMPUTE_WEIGHTS",
            metavar="WORD",
            rich_help_panel=_HOW,
            help="auto, builtin, a name from `weights list`, or a checkpoint folder; GENERATOR=WORD for one generator.",
        ),
    ] = None,
    sampler: Annotated[
        Literal["ddim", "ddpm"],
        typer.Option(
            envvar="MRIMPUTE_SAMPLER",
            rich_help_panel=_HOW,
            help="ddim: few deterministic steps, near the mean. ddpm: the paper's 1000 random steps.",
        ),
    ] = "ddim",
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, envvar="MRIMPUTE_STEPS", rich_help_panel=_HOW, help="Of ddim. Default: the checkpoint's own."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(envvar="MRIMPUTE_SEED", rich_help_panel=_HOW, help="Of the noise.")] = 0,
    device: common.Device = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(envvar="MRIMPUTE_PRECISION", rich_help_panel=_HOW, help="auto is float32."),
    ] = "auto",
    threads: common.Threads = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            envvar="MRIMPUTE_OUT",
            rich_help_panel=_WHERE,
            help="Write to DIR/STUDY-NAME/. Default: beside the study's images.",
        ),
    ] = None,
    intensity: Annotated[
        Literal["study", "unit"],
        typer.Option(
            envvar="MRIMPUTE_INTENSITY", rich_help_panel=_WHERE, help="Grey values on the study's scale, or in [0, 1]."
        ),
    ] = "study",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", rich_help_panel=_WHERE, help="Replace an earlier synthetic image; never an acquired one."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", rich_help_panel=_OUTPUT, help="Print the plan; write nothing.")
    ] = False,
    as_json: common.Json = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", envvar="MRIMPUTE_QUIET", rich_help_panel=_OUTPUT, help="No progress, notes or warnings."
        ),
    ] = False,
    debug: common.Debug = False,
) -> None:
    """Make the sequences that each STUDY lacks, and write them beside it, labelled as synthetic."""
    from mrimpute.contrasts import Contrast, parse_contrast
    from mrimpute.errors import UsageError
    from mrimpute.fill import Engine, Options

    named = {
        Contrast.T1: t1,
        Contrast.T1C: t1c,
        Contrast.T2: t2,
        Contrast.FLAIR: flair,
        Contrast.PD: pd,
        Contrast.CT: ct,
    }
    overrides = {contrast: path for contrast, path in named.items() if path is not None}
    if overrides and len(studies) > 1:
        raise UsageError("a series can be named for one study only", "fill that study by itself")
    names = [folder.resolve().name for folder in studies]
    if out is not None and len(set(names)) < len(names):
        raise UsageError("two studies of one name would share a folder under --out", "fill them one by one")
    options = Options(
        overrides=overrides,
        generator=generator,
        out=out,
        intensity=intensity,
        weights=tuple(weights or ["auto"]),
        sampler=sampler,
        steps=steps,
        seed=seed,
        device=device,
        precision=precision,
        threads=threads,
        overwrite=overwrite,
    )
    targets = [parse_contrast(word) for word in missing or []]
    with _progress(quiet) as progress:
        engine = Engine(options, progress, (lambda _line: None) if quiet else common.say)
        codes = [_one(engine, folder, targets, dry_run, as_json, quiet, debug) for folder in studies]
    raise typer.Exit(common.exit_code(codes))


def _one(
    engine: "Engine", folder: Path, targets: "list[Contrast]", dry_run: bool, as_json: bool, quiet: bool, debug: bool
) -> int:
    """Fill one study and print what came of it; return its exit code."""
    import json

    from mrimpute.cli import render
    from mrimpute.errors import MrimputeError
    from mrimpute.fill import Outcome

    started = time.monotonic()
    outcome = Outcome(folder)
    failure: MrimputeError | None = None
    try:
        if dry_run:
            engine.plan(folder, targets, outcome)
        else:
            engine.fill(folder, targets, outcome)
    except MrimputeError as error:
        if debug:
            raise
        failure = error
    if not quiet:
        _notes(outcome, time.monotonic() - started)
    if failure:
        common.say(f"{failure}")
    if as_json:
        typer.echo(json.dumps(render.fill_record(outcome, engine.options, started, failure, dry_run)))
    elif dry_run and outcome.plan:
        typer.echo(render.plan_text(outcome.plan))
    else:
        for output in outcome.outputs:
            typer.echo(output.path)
    return int(failure.exit_code) if failure else 0


def _notes(outcome: "Outcome", seconds: float) -> None:
    """Say on stderr what a person should know about one study."""
    from mrimpute.cli import render

    for warning in dict.fromkeys(outcome.warnings):
        common.say(f"warning: {warning}")
    for output in outcome.outputs:
        common.say(f"{render.output_note(output, seconds)}")
    plan = outcome.plan
    if plan:
        for contrast in plan.acquired:
            common.say(f"{outcome.folder}: {contrast} was acquired; nothing is made for it")
        if not plan.jobs and not plan.acquired:
            common.say(f"{outcome.folder}: nothing is missing")


@contextmanager
def _progress(quiet: bool) -> "Iterator[Progress]":
    """Give a callback that draws a bar on a terminal, and nothing anywhere else."""
    if quiet or not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
