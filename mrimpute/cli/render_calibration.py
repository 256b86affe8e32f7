"""Calibrations as text and as JSON: counts, voxel sizes, figures; no name and no tag of a patient."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrimpute import __version__
from mrimpute.calibration import Figure, Site
from mrimpute.calibration.learn import Learnt
from mrimpute.calibration.site import MIN_FOR_WIDTH
from mrimpute.cli.records.calibrate import CalibrateRecord
from mrimpute.cli.render import table_lines
from mrimpute.contrasts import BRATS_FOUR


def notes(learnt: Learnt) -> list[str]:
    """Return what a person should know before trusting a calibration."""
    said = [f"left out {one.folder}: {one.reason}" for one in learnt.left_out]
    site = learnt.site
    if len(site.studies) == 1:
        said.append("one study only: nothing could be left out, so there are no figures")
    elif len(site.studies) < MIN_FOR_WIDTH:
        said.append(f"a half-width needs {MIN_FOR_WIDTH} studies: none is told")
    if any(one.seen for one in site.studies):
        said.append(
            "warning: a network that is known here was trained on one of these studies; figures are marked seen"
        )
    if site.with_skull:
        said.append("warning: these heads have skull; only heads with skull can be filled with this calibration")
    return said


def text(learnt: Learnt) -> str:
    """Return the table of `calibrate`: what the regression alone does with all other contrasts."""
    rows: list[tuple[str, ...]] = [("TARGET", "FROM", "STUDIES", "PSNR dB", "SSIM", "90 % WITHIN")]
    rows += [_row(one) for one in learnt.site.figures if one.ssim is not None]
    curves = _curves(learnt)
    counted = f"{len(learnt.site.studies)} studies; voxels as acquired: {_sizes(learnt.site)}"
    if len(rows) == 1:
        return "\n".join([*curves, counted])
    told = "of the regression alone, each study left out of the others in turn"
    return "\n".join([*table_lines(rows), told, *curves, counted])


def _curves(learnt: Learnt) -> list[str]:
    """Return a line per network that curves were learnt for, with what they do."""
    lines = []
    for run in learnt.site.network_runs:
        studies = sum(one.joint(run) is not None for one in learnt.site.studies)
        figure = learnt.site.curve_figure(run)
        width = f", 90 % within ± {figure.half_width:.3f}" if figure and figure.half_width is not None else ""
        does = f"; {figure.psnr:.2f} dB{width}, each study left out in turn" if figure else ""
        lines.append(
            f"curve for {run.target} from {', '.join(run.sources)} by network {run.sha256[:12]} "
            f"({run.sampler}, {run.steps} steps): {studies} studies{does}"
        )
    return lines


def listing(sites: Sequence[Site]) -> str:
    """Return the table of `calibrate --list`: one calibration of the store per line."""
    if not sites:
        return "the store holds no calibration; make one: mrimpute calibrate STUDY… --name SITE"
    rows: list[tuple[str, ...]] = [("NAME", "STUDIES", "CONTRASTS", "VOXELS AS ACQUIRED", "SKULL", "CURVES", "SHA256")]
    rows += [
        (
            site.name,
            str(len(site.studies)),
            ", ".join(one for one in BRATS_FOUR if any(one in study.gram.present for study in site.studies)),
            _sizes(site),
            "yes" if site.with_skull else "no",
            str(len(site.network_runs) or "-"),
            site.sha256[:12],
        )
        for site in sites
    ]
    return "\n".join(table_lines(rows))


def record(learnt: Learnt, place: Path) -> CalibrateRecord:
    """Return what `calibrate` learnt as a JSON object."""
    told = {
        "used": [str(folder) for folder in learnt.used],
        "left_out": [{"study": str(one.folder), "reason": one.reason} for one in learnt.left_out],
    }
    return CalibrateRecord.model_validate(_site_record(learnt.site, place) | told)


def site_record(site: Site, place: Path) -> CalibrateRecord:
    """Return a calibration of the store as a JSON object."""
    return CalibrateRecord.model_validate(_site_record(site, place) | {"used": None, "left_out": None})


def _site_record(site: Site, place: Path) -> dict[str, Any]:
    return {
        "version": __version__,
        "name": site.name,
        "path": str(place),
        "sha256": site.sha256,
        "with_skull": site.with_skull,
        "studies": [
            {
                "contrasts": list(one.gram.present),
                "spacing_mm": {contrast: list(size) for contrast, size in one.spacing_mm.items()},
                "seen": one.seen,
            }
            for one in site.studies
        ],
        "curves": [
            {
                "target": run.target,
                "sources": list(run.sources),
                "network_sha256": run.sha256,
                "sampler": run.sampler,
                "steps": run.steps,
                "studies": sum(one.joint(run) is not None for one in site.studies),
                "expected": _figure_record(figure) if (figure := site.curve_figure(run)) else None,
            }
            for run in site.network_runs
        ],
        "figures": [
            {"target": one.target, "sources": list(one.sources), **_figure_record(one)} for one in site.figures
        ],
    }


def _figure_record(one: Figure) -> dict[str, Any]:
    return {
        "studies": one.studies,
        "psnr_db": one.psnr,
        "ssim": one.ssim,
        "half_width_of_90_percent": one.half_width,
        "seen": one.seen,
    }


def _row(one: Figure) -> tuple[str, ...]:
    width = f"± {one.half_width:.3f}" if one.half_width is not None else "-"
    seen = " (seen)" if one.seen else ""
    return (one.target, ", ".join(one.sources), f"{one.studies}{seen}", f"{one.psnr:.2f}", f"{one.ssim:.3f}", width)


def _sizes(site: Site) -> str:
    sizes = {size for one in site.studies for size in one.spacing_mm.values()}
    return ", ".join("x".join(f"{length:.3g}" for length in size) for size in sorted(sizes)) + " mm"
