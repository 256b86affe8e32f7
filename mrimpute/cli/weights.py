"""`mrimpute weights`: which checkpoints there are, where they lie, and how to get them."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common

Name = Annotated[str, typer.Argument(help="A name from `weights list`.", autocompletion=common.complete_weights)]

app = typer.Typer(help="Checkpoints: where from, licence, here or not, measured quality.", no_args_is_help=True)


@app.command("list", epilog="Example: mrimpute weights list")
def list_(as_json: common.Json = False, json_schema: common.WeightsSchema = False, debug: common.Debug = False) -> None:
    """List every known checkpoint."""
    from mrimpute.cli import render_weights
    from mrimpute.registry import load_registry

    checkpoints = list(load_registry().values())
    if as_json:
        for checkpoint in checkpoints:
            typer.echo(render_weights.record_of(checkpoint).line())
    else:
        typer.echo(render_weights.table(checkpoints))


@app.command("show", epilog="Example: mrimpute weights show cwdm-flair-small")
def show(
    name: Name,
    as_json: common.Json = False,
    json_schema: common.WeightsSchema = False,
    debug: common.Debug = False,
) -> None:
    """Show what a checkpoint makes, was trained on and was measured to do, its licence and whom to cite."""
    from mrimpute.cli import render_weights
    from mrimpute.registry import named

    checkpoint = named(name)
    typer.echo(render_weights.record_of(checkpoint).line() if as_json else render_weights.text(checkpoint))


@app.command("path", epilog="Example: mrimpute weights path cwdm-flair-small")
def path(
    name: Name,
    debug: common.Debug = False,
) -> None:
    """Print the file of a checkpoint, after comparing its sha256."""
    from mrimpute.registry import named

    checkpoint = named(name)
    _ = checkpoint.sha256
    typer.echo(checkpoint.path)


@app.command("pull", epilog="Example: mrimpute weights pull cwdm-flair")
def pull(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME…",
            help="Names, or hf://owner/repo[@revision].",
            autocompletion=common.complete_weights,
        ),
    ],
    debug: common.Debug = False,
) -> None:
    """Fetch checkpoints from the Hugging Face Hub, verify and convert them once."""
    from mrimpute.generators.contract import convert
    from mrimpute.registry import hub

    for name in names:
        typer.echo(hub.pull(name, common.notify, convert))


@app.command("import", epilog="Example: mrimpute weights import cwdm-flair flair_gen.pt")
def import_(
    name: Annotated[
        str,
        typer.Argument(help="What the file is: a name from `weights list`.", autocompletion=common.complete_weights),
    ],
    file: Annotated[Path, typer.Argument(help="The file its authors publish.")],
    debug: common.Debug = False,
) -> None:
    """Check and convert a file that you fetched yourself; the name says what it makes."""
    from mrimpute.generators.contract import convert
    from mrimpute.registry import hub, load_registry

    path = hub.import_file(name, file, convert)
    record = load_registry()[name].record
    common.notify(f"{name}: taken to make {record.makes}. {record.about.note}".strip())
    typer.echo(path)


@app.command("verify", epilog="Example: mrimpute weights verify")
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME…]", help="Default: all that are here.", autocompletion=common.complete_weights),
    ] = None,
    debug: common.Debug = False,
) -> None:
    """Compare the sha256 of checkpoints with what is recorded."""
    from mrimpute.registry import load_registry, named

    here = [name for name, checkpoint in load_registry().items() if checkpoint.path.is_file()]
    for name in names or here:
        typer.echo(f"{named(name).sha256}  {name}")
