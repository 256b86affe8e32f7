"""`mrimpute scan`: what each series is and why, what is missing, what could be made."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common, given

EPILOG = "Example: mrimpute scan study_dir/"


def scan(
    studies: given.Studies = None,
    explain: Annotated[
        list[Path] | None,
        typer.Option(metavar="SERIES", help="Show every rule that spoke about a series.", rich_help_panel="Output"),
    ] = None,
    t1: given.T1 = None,
    t1c: given.T1c = None,
    t2: given.T2 = None,
    flair: given.Flair = None,
    pd: given.Pd = None,
    ct: given.Ct = None,
    ignore_broken: given.IgnoreBroken = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG", help="Draw the middle slices of every series (one study only).", rich_help_panel="Output"
        ),
    ] = None,
    null: given.Null = False,
    as_json: common.Json = False,
    json_schema: common.ScanSchema = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", rich_help_panel="Output", help="No list of series; problems and code only.")
    ] = False,
    debug: common.Debug = False,
) -> None:
    """Show what each series is and why, what is missing, and what could be made of it.

    Nothing is written but the picture that is asked for, and no network is loaded.
    """
    from mrimpute.cli import render_scan
    from mrimpute.errors import MrimputeError, UsageError
    from mrimpute.request.broken import broken_notes, refusals_of
    from mrimpute.study import identify

    folders = given.folders_of(studies, null)
    overrides = given.named(t1, t1c, t2, flair, pd, ct)
    if len(folders) > 1 and (overrides or explain or picture):
        raise UsageError("a series or a picture can be named for one study only", "give one study")
    if explain and as_json:
        raise UsageError("--explain shows words for people, and --json has the evidence in it", "leave one of them out")
    if picture:
        from mrimpute.picture import check_picture

        check_picture(picture)
    codes = []
    for folder in folders:
        try:
            study = identify(folder, overrides)
            explained = [render_scan.explain_text(study, series) for series in explain or ()]
            if picture:
                from mrimpute.report.picture import write_study_picture

                write_study_picture(study, picture)
        except MrimputeError as error:
            codes.append(int(error.exit_code))
            common.notify(str(error))
            if as_json:
                typer.echo(render_scan.scan_error_record(folder, error).line())
            continue
        refusals = refusals_of(study, ignore_broken)
        codes.append(int(refusals[0].exit_code) if refusals else 0)
        for line in (*refusals, *(broken_notes(study) if ignore_broken else ())):
            common.notify(str(line))
        shown = study.without_broken if ignore_broken else study
        if as_json:
            typer.echo(render_scan.scan_record(shown, refusals[0] if refusals else None).line())
        elif explained or not quiet:
            typer.echo("\n".join(explained) or render_scan.scan_text(shown))
    raise typer.Exit(common.exit_code(codes))
