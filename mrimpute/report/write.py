"""One result's report: what is shown of it, and the file beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrimpute import __version__
from mrimpute.calibration import Site
from mrimpute.contrasts import Contrast
from mrimpute.errors import OutputRefused
from mrimpute.files import standing_sha256, write_whole
from mrimpute.picture import middle_voxel
from mrimpute.report import inline
from mrimpute.report.gather import Made, Pictures, pictures_of
from mrimpute.report.page import MARK, page
from mrimpute.report.record import Record, Register
from mrimpute.selfcheck.judge import RULES, standing
from mrimpute.volume import FloatArray, Volume
from mrimpute.write.provenance import WARNING
from mrimpute.write.verdict import Figure

ENDING = "_report.html"
MAX_BYTES = 6_000_000
"""Of a report, so that a mail takes it."""
TITLES = {"t1": "T1", "t1c": "T1 with agent", "t2": "T2", "flair": "FLAIR", "pd": "PD", "ct": "CT"}


def place_of_report(made: Made) -> Path:
    """Return where the report of a result belongs: beside it."""
    return made.place.sidecar.with_name(made.place.sidecar.stem + ENDING)


def write_report(made: Made, sources: Mapping[Contrast, Volume], site: Site | None = None) -> Path:
    """Write the report of a result beside it; an earlier one of ours is replaced.

    Args:
        made: the result.
        sources: as they lie on it; see `gather.sources_of`.
        site: the calibration that it was made with; None for the package's own regressions.

    Raises:
        ImageDamaged: the result cannot be read.
        OutputRefused, ResourcesExhausted: another file stands there, or it cannot be written.
    """
    place = place_of_report(made)
    held = replaceable(place)
    shown = pictures_of(made, sources, site)
    content = b""
    for quality in inline.QUALITIES:
        content = page("report.html", ("own.js", "viewer.js"), **_values(made, shown, quality))
        if len(content) <= MAX_BYTES:
            break
    write_whole(place, content, held)
    return place


def replaceable(place: Path) -> str | None:
    """Return the digest of the page of ours that stands at a place; None where nothing does.

    Raises:
        OutputRefused: another file stands there.
    """
    found = standing_sha256(place)
    if found and not (place.is_file() and MARK.encode() in place.read_bytes()[:4096]):
        raise OutputRefused(f"{place} exists and is no report of mrimpute", "move it away")
    return found


def _values(made: Made, shown: Pictures, quality: int) -> dict[str, Any]:
    """Return what the template shows; file names are left out, for they may name a patient."""
    record, verdict = made.record, made.verdict
    images = _images(made, shown)
    return {
        "study": made.study,
        "target": TITLES[made.target],
        "warning": WARNING,
        "verdict": verdict,
        "rules": RULES,
        "limits": _limits(made),
        "record": record,
        "sources": [TITLES[item.contrast] for item in record.sources],
        "figures": [_row(figure) for figure in verdict.figures],
        "stills": [_still(label, image, shown) for label, _, image in images if image is not None],
        "checks": _checks(record),
        "paragraph": paragraph(made),
        "citations": [record.checkpoint.cite],
        "note": shown.note,
        "own": own_row(made),
        "version": __version__,
        "viewer": _viewer(images, shown, quality),
    }


def own_row(made: Made) -> dict[str, str]:
    """Return what the row of a reader's own verdict holds of a result."""
    return {
        "study": made.study,
        "target": str(made.target),
        "sha256": str(made.record.image.sha256),
        "checkpoint": str(made.record.checkpoint.name),
        "mrimpute_verdict": made.verdict.word,
    }


Shown = tuple[str, str, FloatArray | None]
"""Label, kind, and voxels in [0, 1]; a difference has none, for the page computes it."""


def _images(made: Made, shown: Pictures) -> list[Shown]:
    """Return the images of the viewer, in order; a difference follows its prediction and its acquired image."""
    images: list[Shown] = [(TITLES[made.target], "synthetic", shown.made)]
    images += [(TITLES[one], "acquired", image) for one, image in shown.ready.images.items()]
    for one, image in shown.predicted.items():
        images.append((f"{TITLES[one]} predicted", "predicted", image))
        images.append((f"{TITLES[one]} predicted − acquired", f"difference:{TITLES[one]}", None))
    if shown.spread is not None:
        top = max(float(shown.spread.max()), 1e-6)
        images.append((f"Spread of samples (white: {top:.2f})", "spread", shown.spread / top))
    return images


def _viewer(images: Sequence[Shown], shown: Pictures, quality: int) -> dict[str, Any]:
    """Return the data of the viewer: sizes, and each image's label, kind and sheet of axial slices."""
    shape = shown.made.shape
    across = inline.across_of(shape[2])
    listed = [
        {"label": label, "kind": kind.partition(":")[0], "of": kind.partition(":")[2]}
        | ({"sheet": inline.sheet(image, across, quality)} if image is not None else {})
        for label, kind, image in images
    ]
    return {"shape": shape, "across": across, "at": middle_voxel(shown.ready.head), "images": listed}


def _still(label: str, image: FloatArray, shown: Pictures) -> dict[str, str]:
    """Return the middle axial slice of an image, for readers without scripts and for print."""
    axial = inline.planes(image, middle_voxel(shown.ready.head))[0]
    return {"label": label, "source": inline.webp(axial), "alt": f"Middle axial slice: {label}"}


def _row(figure: Figure) -> dict[str, Any]:
    """Return a row of the self-check's table."""
    cells = []
    for name, value, held in figure.values:
        cell: dict[str, Any] = {"name": name, "value": f"{value:.1f}" if name == "PSNR" else f"{value:.2f}"}
        if held:
            low, high = min(held.low, value), max(held.high, value)
            pad = 0.15 * (high - low or 1)
            scale = 100 / (high - low + 2 * pad)
            cell |= {
                "range": f"{held.low:.3g} to {held.high:.3g}",
                "standing": standing(name, value, held),
                "from": round((held.low - low + pad) * scale, 1),
                "width": round((held.high - held.low) * scale, 1),
                "dot": round((value - low + pad) * scale, 1),
            }
        cells.append(cell)
    sources = ", ".join(TITLES[one] for one in figure.sources)
    return {"title": TITLES[figure.contrast], "sources": sources, "studies": figure.studies, "cells": cells}


def _limits(made: Made) -> list[str]:
    counts = {figure.studies for figure in made.verdict.figures if figure.studies}
    few = [f"The ranges stand on {min(counts)} held-out studies."] if counts else []
    return [
        "The verdict looks at brightness, register, sharpness and names of the series. It does not see lesions: one "
        "that is missing or false in the synthetic image leaves it as it is.",
        "The acquired series are predicted by regressions from each other; the network that made this image is not "
        "tested by it, for its target is missing.",
        *few,
    ]


def _checks(record: Record) -> list[tuple[str, str]]:
    """Return the checks of the inputs, as name and finding."""
    found = [(f"Register: {TITLES[one]} on the reference", _lay(lay)) for one, lay in record.register_.items()]
    mask = record.brain_mask
    found.append(("Skull", f"a brain mask of {mask.litres:.2f} litres was applied" if mask else "no mask was applied"))
    size = " x ".join(f"{length:.2f}" for length in record.grid.spacing_mm)
    found.append(("Reference", f"{TITLES[record.grid.of]}, voxels of {size} mm"))
    fit = record.fit
    unknown = "it takes three series of a head" if record.checked else "--no-checks was given"
    found.append(("Scanner", (fit and fit.scanner) or f"not looked at: {unknown}"))
    if fit and fit.naming_gap is not None:
        likely = ", ".join(f"{TITLES[given]} looks like {TITLES[name]}" for given, name in fit.likelier_names.items())
        found.append(("Names", likely or f"as given (gap {fit.naming_gap:.2f})"))
    return [*found, *(("Note", text) for text in record.warnings)]


def _lay(found: Register | str) -> str:
    if isinstance(found, str):
        return found
    way = "moved by" if found.moved_by else "lies off by"
    return f"{way} {found.mean_mm:.1f} mm on average, {found.largest_mm:.1f} mm at most"


def paragraph(made: Made) -> str:
    """Return a paragraph to paste into a paper."""
    record, how, network = made.record, made.record.fingerprint, made.record.checkpoint
    steps = "1 step" if how.steps == 1 else f"{how.steps} steps"
    samples = f", mean of {how.samples} samples" if how.samples > 1 else ""
    site = " after calibration on complete studies of the scanner" if how.calibration else ""
    sources = _listed([TITLES[one.contrast] for one in record.sources])
    return (
        f"The missing {TITLES[made.target]} was synthesised from {sources} "
        f"with mrimpute {record.programs[0].version} (network {network.name}, method {network.generator}, SHA-256 "
        f"{network.sha256[:16]}; sampler {how.sampler}, {steps}, seed {how.seed}{samples}){site}. Automatic verdict: "
        f"{made.verdict.word}. The image is synthetic and was not used for diagnosis."
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
