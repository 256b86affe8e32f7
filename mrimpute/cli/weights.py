"""`mrimpute weights`: which checkpoints there are, and where they lie."""

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
