"""`mrimpute scan`: what each series is and why, what is missing, what could be made."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mrimpute.cli import common

EPILOG = "Example: mrimpute scan study_dir/"


def _series(contrast: str) -> Any:
    """Return the option with which the user says which series is the contrast."""
    return typer.Option(f"--{contrast}", metavar="PATH", help=f"The {contrast} series.", rich_help_panel="Which series")


def scan(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY…", readable=False, help="Study folders.")],
    explain: Annotated[
        list[Path] | None,
        typer.Option(metavar="SERIES", help="Show every rule that spoke about a series.", rich_help_panel="Output"),
    ] = None,
    t1: Annotated[Path | None, _series("t1")] = None,
    t1c: Annotated[Path | None, _series("t1c")] = None,
    t2: Annotated[Path | None, _series("t2")] = None,
    flair: Annotated[Path | None, _series("flair")] = None,
    pd: Annotated[Path | None, _series("pd")] = None,
    ct: Annotated[Path | None, _series("ct")] = None,
    as_json: common.Json = False,
    debug: common.Debug = False,
) -> None:
    """Show what each series is and why, what is missing, and what could be made of it.

    Nothing is written and no network is loaded.
    """
    import json

    from mrimpute.cli import render_scan
    from mrimpute.contrasts import Contrast
    from mrimpute.errors import MrimputeError, UsageError
    from mrimpute.study import identify

    named = dict(zip(Contrast, (t1, t1c, t2, flair, pd, ct), strict=True))
    overrides = {contrast: path for contrast, path in named.items() if path is not None}
    if len(studies) > 1 and (overrides or explain):
        raise UsageError("a series can be named for one study only", "give one study")
    codes = []
    for folder in studies:
        try:
            study = identify(folder, overrides)
            explained = [render_scan.explain_text(study, series) for series in explain or ()]
        except MrimputeError as error:
            codes.append(int(error.exit_code))
            common.notify(str(error))
            if as_json:
                typer.echo(json.dumps(render_scan.scan_error_record(folder, error)))
            continue
        codes.append(render_scan.exit_of(study))
        for problem in study.problems:
            common.notify(str(problem.refusal()))
        if as_json:
            typer.echo(json.dumps(render_scan.scan_record(study)))
        else:
            typer.echo("\n".join(explained) or render_scan.scan_text(study))
    raise typer.Exit(common.exit_code(codes))
