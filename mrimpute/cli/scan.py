"""`mrimpute scan`: what each series is and why, what is missing, what could be made."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common

EPILOG = "Example: mrimpute scan study_dir/"


def scan(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY…", readable=False, help="Study folders.")],
    as_json: common.Json = False,
    debug: common.Debug = False,
) -> None:
    """Show what each series is and why, what is missing, and what could be made of it.

    Nothing is written and no network is loaded.
    """
    import json

    from mrimpute.cli import render
    from mrimpute.errors import MrimputeError
    from mrimpute.study import find_series

    codes = []
    for folder in studies:
        try:
            study = find_series(folder)
        except MrimputeError as error:
            codes.append(int(error.exit_code))
            common.notify(str(error))
            if as_json:
                typer.echo(json.dumps(render.scan_error_record(folder, error)))
            continue
        codes.append(0)
        typer.echo(json.dumps(render.scan_record(study)) if as_json else render.scan_text(study))
    raise typer.Exit(common.exit_code(codes))
