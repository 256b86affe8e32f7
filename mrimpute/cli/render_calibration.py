"""A calibration as text and as JSON: counts, voxel sizes, figures; no name and no tag of a patient."""

from pathlib import Path

from mrimpute import __version__
from mrimpute.calibration import Figure
from mrimpute.calibration.learn import MIN_FOR_WIDTH, Learnt
from mrimpute.cli.records import CalibrateRecord, FigureRecord, LearntFromRecord, LeftOutRecord
from mrimpute.cli.render import table_lines


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
    counted = f"{len(learnt.site.studies)} studies; voxels as acquired: {_sizes(learnt)}"
    if len(rows) == 1:
        return counted
    return "\n".join(
        [*table_lines(rows), "of the regression alone, each study left out of the others in turn", counted]
    )


def record(learnt: Learnt, place: Path) -> CalibrateRecord:
    """Return a calibration as a JSON object."""
    site = learnt.site
    studies = [
        LearntFromRecord(
            contrasts=list(one.gram.present),
            spacing_mm={contrast: list(size) for contrast, size in one.spacing_mm.items()},
            seen=one.seen,
        )
        for one in site.studies
    ]
    figures = [
        FigureRecord(
            target=one.target,
            sources=list(one.sources),
            studies=one.studies,
            psnr_db=one.psnr,
            ssim=one.ssim,
            half_width_of_90_percent=one.half_width,
            seen=one.seen,
        )
        for one in site.figures
    ]
    return CalibrateRecord(
        version=__version__,
        path=str(place),
        sha256=site.sha256,
        with_skull=site.with_skull,
        used=[str(folder) for folder in learnt.used],
        left_out=[LeftOutRecord(study=str(one.folder), reason=one.reason) for one in learnt.left_out],
        studies=studies,
        figures=figures,
    )


def _row(one: Figure) -> tuple[str, ...]:
    width = f"± {one.half_width:.3f}" if one.half_width is not None else "-"
    seen = " (seen)" if one.seen else ""
    return (one.target, ", ".join(one.sources), f"{one.studies}{seen}", f"{one.psnr:.2f}", f"{one.ssim:.3f}", width)


def _sizes(learnt: Learnt) -> str:
    sizes = {size for one in learnt.site.studies for size in one.spacing_mm.values()}
    return ", ".join("x".join(f"{length:.3g}" for length in size) for size in sorted(sizes)) + " mm"
