"""`mrimpute calibrate`: learn a scanner's brightness from complete studies."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common

EPILOG = "Example: mrimpute calibrate data/sub-01 data/sub-02 --name our-scanner"


def calibrate(
    studies: Annotated[
        list[Path], typer.Argument(metavar="STUDY…", readable=False, help="Complete studies of one scanner.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Write a plain folder, for --calibration DIR.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="SITE", help="Keep it in the store, for --calibration SITE.")
    ] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option("--missing", "-m", metavar="CONTRAST", help="Studies must hold one of these; repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier calibration.")] = False,
    threads: common.Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.", rich_help_panel="Output")] = False,
    json_schema: common.CalibrateSchema = False,
    debug: common.Debug = False,
) -> None:
    """Learn from complete STUDIES how one scanner's contrasts follow from each other.

    What is kept is a matrix of 45x45 numbers per study, digests and figures: no image, no name, no tag.

    `mrimpute fill` and `mrimpute evaluate` take it with --calibration.
    """
    from mrimpute import device
    from mrimpute.calibration import write_site
    from mrimpute.calibration.folder import place_of
    from mrimpute.calibration.learn import learn
    from mrimpute.cli import render_calibration
    from mrimpute.contrasts import parse_contrast
    from mrimpute.errors import OutputRefused, UsageError

    if (out is None) == (name is None):
        raise UsageError("where to keep the calibration is not said once", "give either --out DIR or --name SITE")
    place = out if out is not None else place_of(name or "")
    if place.exists() and not overwrite:
        raise OutputRefused(f"{place} exists already", "add --overwrite to replace it, or choose another place")
    device.configure(threads)
    with device.memory_errors():
        learnt = learn(studies, name or place.name, [parse_contrast(word) for word in missing or []])
    write_site(learnt.site, place, replace=overwrite)
    for line in render_calibration.notes(learnt):
        common.notify(line)
    if as_json:
        typer.echo(render_calibration.record(learnt, place).line())
    else:
        typer.echo(render_calibration.text(learnt))
        typer.echo(place)
