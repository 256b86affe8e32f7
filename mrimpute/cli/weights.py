"""`mrimpute weights`: which checkpoints there are, where they lie, and how to get them."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common

app = typer.Typer(help="Checkpoints: where from, licence, here or not, measured quality.", no_args_is_help=True)


@app.command("list", epilog="Example: mrimpute weights list")
def list_(as_json: common.Json = False, debug: common.Debug = False) -> None:
    """List every known checkpoint."""
    import json

    from mrimpute.cli import render
    from mrimpute.registry import load_registry

    checkpoints = list(load_registry().values())
    if as_json:
        for checkpoint in checkpoints:
            typer.echo(json.dumps(render.weights_record(checkpoint)))
    else:
        typer.echo(render.weights_text(checkpoints))


@app.command("path", epilog="Example: mrimpute weights path cwdm-flair-small")
def path(name: Annotated[str, typer.Argument(help="A name from `weights list`.")], debug: common.Debug = False) -> None:
    """Print the file of a checkpoint, after comparing its sha256."""
    from mrimpute.errors import WeightsUnavailable
    from mrimpute.registry import load_registry

    registry = load_registry()
    if name not in registry:
        raise WeightsUnavailable(f"no checkpoint is called {name!r}", "see `mrimpute weights list`")
    _ = registry[name].sha256
    typer.echo(registry[name].path)


@app.command("pull", epilog="Example: mrimpute weights pull cwdm-flair")
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Names, or hf://owner/repo[@revision].")],
    debug: common.Debug = False,
) -> None:
    """Fetch checkpoints from the Hugging Face Hub, verify and convert them once."""
    from mrimpute.generators.contract import convert
    from mrimpute.registry import hub

    for name in names:
        typer.echo(hub.pull(name, common.notify, convert))


@app.command("import", epilog="Example: mrimpute weights import cwdm-flair flair_gen.pt")
def import_(
    name: Annotated[str, typer.Argument(help="What the file is: a name from `weights list`.")],
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
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME…]", help="Default: all that are here.")] = None,
    debug: common.Debug = False,
) -> None:
    """Compare the sha256 of checkpoints with what is recorded."""
    from mrimpute.errors import WeightsUnavailable
    from mrimpute.registry import load_registry

    registry = load_registry()
    for name in names or [name for name, checkpoint in registry.items() if checkpoint.path.is_file()]:
        if name not in registry:
            raise WeightsUnavailable(f"no checkpoint is called {name!r}", "see `mrimpute weights list`")
        typer.echo(f"{registry[name].sha256}  {name}")
