"""`mrimpute example`: a small synthetic study to try things on."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common

EPILOG = "Example: mrimpute example demo && mrimpute fill demo --missing flair --weights builtin"


def example(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the study.")],
    full: Annotated[
        bool, typer.Option("--full", help="Write all four contrasts; without it, FLAIR is left out.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed is another head.")] = 0,
    debug: common.Debug = False,
) -> None:
    """Write a computed head with a lesion as t1, t1c and t2 (no patient's data)."""
    from mrimpute.contrasts import BRATS_FOUR, Contrast
    from mrimpute.phantom import write_example

    contrasts = [contrast for contrast in BRATS_FOUR if full or contrast is not Contrast.FLAIR]
    for path in write_example(folder, contrasts, seed):
        typer.echo(path)
