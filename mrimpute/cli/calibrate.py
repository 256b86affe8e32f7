"""`mrimpute calibrate`: learn a scanner's brightness from complete studies."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common

_NETWORK = "Networks without a regression"
EPILOG = "Example: mrimpute calibrate data/sub-01 data/sub-02 --name our-scanner"


def calibrate(
    studies: Annotated[
        list[Path] | None, typer.Argument(metavar="STUDY…", readable=False, help="Complete studies of one scanner.")
    ] = None,
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
    list_: Annotated[
        bool, typer.Option("--list", help="Learn nothing; tell what calibrations the store holds.")
    ] = False,
    skull_strip: Annotated[
        bool, typer.Option("--skull-strip", help="Call hd-bet or mri_synthstrip on PATH for heads with skull.")
    ] = False,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD",
            help="Run this network, which has no regression, on each study and learn a curve for its grey values, for"
            " each --missing; words as in `mrimpute fill`.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    generator: Annotated[
        str | None, typer.Option(metavar="NAME", help="As in `mrimpute fill`.", rich_help_panel=_NETWORK)
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(metavar="NAME", help="As in `mrimpute fill`.", rich_help_panel=_NETWORK)
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="As in `mrimpute fill`.", rich_help_panel=_NETWORK)] = None,
    device: common.Device = "auto",
    threads: common.Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.", rich_help_panel="Output")] = False,
    json_schema: common.CalibrateSchema = False,
    debug: common.Debug = False,
) -> None:
    """Learn from complete STUDIES how one scanner's contrasts follow from each other.

    What is kept is a matrix of 231x231 numbers per study, digests and figures: no image, no name, no tag.

    `mrimpute fill` and `mrimpute evaluate` take it with --calibration.
    """
    from mrimpute import device as devices
    from mrimpute.batch.curves import curve_orders, with_curves
    from mrimpute.calibration import write_site
    from mrimpute.calibration.folder import place_of
    from mrimpute.calibration.learn import learn
    from mrimpute.cli import render_calibration
    from mrimpute.contrasts import parse_contrast
    from mrimpute.errors import OutputRefused, UsageError
    from mrimpute.fill import Engine
    from mrimpute.request import Options

    if list_:
        if studies or out or name:
            raise UsageError("--list learns nothing", "leave STUDY…, --out and --name out")
        _list_store(as_json)
        return
    if not studies:
        raise UsageError("no study is given", "name complete studies of one scanner, or --list")
    if (out is None) == (name is None):
        raise UsageError("where to keep the calibration is not said once", "give either --out DIR or --name SITE")
    if weights and not missing:
        raise UsageError("which targets of --weights to learn curves for is not said", "add --missing CONTRAST")
    if not weights and (generator or sampler or steps):
        raise UsageError("--generator, --sampler and --steps go with --weights", "leave them out")
    place = out if out is not None else place_of(name or "")
    if place.exists() and not overwrite:
        raise OutputRefused(f"{place} exists already", "add --overwrite to replace it, or choose another place")
    targets = [parse_contrast(word) for word in missing or []]
    options = Options(
        weights=tuple(weights or ()),
        generator=generator,
        sampler=sampler,
        steps=steps,
        device=device,
        threads=threads,
        skull_strip=skull_strip,
        checks=False,
        self_check=False,
    )
    orders = curve_orders(studies, targets, options) if weights else {}
    devices.configure(threads)
    with devices.memory_errors():
        learnt = learn(studies, name or place.name, targets, skull_strip=skull_strip)
    if weights:
        engine = Engine(options, notify=common.notify)
        learnt = with_curves(
            learnt, orders, engine, lambda folder, target: common.notify(f"{folder}: {target} is made to compare")
        )
    told = write_site(learnt.site, place, replace=overwrite)
    for line in (*told, *render_calibration.notes(learnt)):
        common.notify(line)
    if as_json:
        typer.echo(render_calibration.record(learnt, place).line())
    else:
        typer.echo(render_calibration.text(learnt))
        typer.echo(place)


def _list_store(as_json: bool) -> None:
    """Tell what calibrations the store holds, and which cannot be used."""
    from mrimpute.calibration.folder import place_of, sites_in_store
    from mrimpute.cli import render_calibration

    sites, unusable = sites_in_store()
    for line in unusable:
        common.notify(line)
    if as_json:
        for site in sites:
            typer.echo(render_calibration.site_record(site, place_of(site.name)).line())
    else:
        typer.echo(render_calibration.listing(sites))
