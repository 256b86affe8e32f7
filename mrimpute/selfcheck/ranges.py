"""What held-out studies showed: the package's own ranges, measured, and a calibration's, from its matrices."""

import tomllib
from collections.abc import Collection
from functools import cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mrimpute.calibration import Site, builtin_site
from mrimpute.calibration.gram import coefficients, squared_error
from mrimpute.contrasts import Contrast
from mrimpute.metrics import decibels
from mrimpute.registry import BUILTIN_FOLDER
from mrimpute.write.verdict import Figure, Range

FILE = BUILTIN_FOLDER / "selfcheck.toml"
"""Written by examples/training/measure_selfcheck.py."""
SCHEMA = "mrimpute.selfcheck/1"
MIN_STUDIES = 2
"""One study left out of none teaches nothing."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    contrast: Contrast
    sources: tuple[Contrast, ...]
    studies: Annotated[int, Field(ge=MIN_STUDIES)]
    psnr_db: tuple[float, float]
    ssim: tuple[float, float]
    sharpness: tuple[float, float]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_name: Literal["mrimpute.selfcheck/1"] = Field(alias="schema")
    regressions_sha256: str
    ranges: tuple[_Entry, ...]


def with_ranges(figure: Figure, site: Site, digests: Collection[str]) -> Figure:
    """Return a figure with the ranges that held-out studies showed; as it is where there are none.

    Args:
        figure: of a study.
        site: the calibration that predicted it, or the package's own regressions.
        digests: of the study's voxels; it is no yardstick of itself.
    """
    if site.sha256 == _measured().regressions_sha256:
        return _with_measured(figure)
    return _with_own(figure, site.without(digests))


def package_is_measured() -> bool:
    """Tell whether the shipped ranges are of the shipped regressions."""
    return _measured().regressions_sha256 == builtin_site().plain.sha256


@cache
def _measured() -> _Table:
    return _Table.model_validate(tomllib.loads(FILE.read_text()))


def _with_measured(figure: Figure) -> Figure:
    for one in _measured().ranges:
        if one.contrast is figure.contrast and set(one.sources) == set(figure.sources):
            ranges = {
                f"{name}_range": Range(low=low, high=high)
                for name, (low, high) in (("psnr", one.psnr_db), ("ssim", one.ssim), ("sharpness", one.sharpness))
            }
            return figure.model_copy(update={"studies": one.studies, **ranges})
    return figure


def _with_own(figure: Figure, site: Site) -> Figure:
    """Return a figure with the range of PSNR among a calibration's studies, each left out of it in turn."""
    sources, target = figure.sources, figure.contrast
    holding = [one.gram.matrix for one in site.studies if one.gram.holds((*sources, target))]
    if len(holding) < MIN_STUDIES:
        return figure
    found = []
    for number, own in enumerate(holding):
        weights = coefficients(holding[:number] + holding[number + 1 :], sources, target)
        found.append(decibels(squared_error(own, sources, target, weights)))
    held = Range(low=round(min(found), 2), high=round(max(found), 2))
    return figure.model_copy(update={"studies": len(holding), "psnr_range": held})
