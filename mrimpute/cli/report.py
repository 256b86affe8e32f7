"""`mrimpute report`: one self-contained page per result, or one for a cohort."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common

EPILOG = """Example: mrimpute report filled/sub-01 --source data/sub-01

Example: mrimpute report --cohort filled/"""


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="RESULT… | OUT…", readable=False, help="Results, or folders of them."),
    ],
    cohort: Annotated[
        bool, typer.Option("--cohort", help="One index.html in the first OUT, a row per result below all of them.")
    ] = False,
    source: Annotated[
        list[Path] | None,
        typer.Option("--source", metavar="PATH", help="Where sources are, if not beside the result; repeatable."),
    ] = None,
    calibration: common.Calibration = None,
    debug: common.Debug = False,
) -> None:
    """Show what was made: verdict, self-check, a viewer of all series and the result, provenance, in one HTML file.

    The page asks nothing of any server, holds no tag of a header and no path, and opens from a mail. It is written
    beside the result; its sources are found by their digests.
    """
    from mrimpute import report as library
    from mrimpute.calibration import choose_site
    from mrimpute.errors import ImageDamaged, MrimputeError, UsageError
    from mrimpute.verify.sidecar import read_beside

    if cohort:
        if source or calibration:
            raise UsageError("--cohort shows results alone", "leave --source and --calibration out")
        page, problems = library.write_cohort(paths)
        for line in problems:
            common.notify(f"not shown: {line}")
        typer.echo(page)
        return
    site = choose_site(calibration) if calibration else None
    codes: list[int] = []
    shelves = library.Shelves()

    def told(error: MrimputeError) -> None:
        common.notify(str(error))
        codes.append(int(error.exit_code))

    for path in paths:
        before = len(codes)
        for sidecar in library.sidecars_at(path):
            try:  # one that cannot be shown leaves the others of its folder
                read_beside(sidecar)  # what is no JSON would pass for another program's
                if made := library.result_at(sidecar):
                    places = [*(source or ()), *library.likely_places(made)]
                    typer.echo(library.write_report(made, library.sources_of(made, places, shelves), site))
                    codes.append(0)
            except MrimputeError as error:
                told(error)
        if len(codes) == before:
            told(
                ImageDamaged(f"{path} is no result of mrimpute with its sidecar", "name a result, or a folder of them")
            )
    raise typer.Exit(common.exit_code(codes))
