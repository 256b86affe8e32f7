"""Middle slices of a result and its sources in one PNG beside it, for who has no viewer at hand."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.picture import Panel, Row, Strip, drawn, middle_of, write_sheet
from mrimpute.prepare.intensity import quantile_range
from mrimpute.report.gather import Made
from mrimpute.report.write import TITLES
from mrimpute.study import Study
from mrimpute.volume import Volume

ENDING = "_picture.png"
QUANTILES = (0.001, 0.999)
"""Grey values of acquired images that are drawn black and white."""


def write_result_picture(made: Made, sources: Mapping[Contrast, Volume]) -> Path:
    """Write the picture of a result and its sources beside it; an earlier one of ours is replaced.

    Args:
        made: the result.
        sources: as they lie on it, by contrast.

    Raises:
        ImageDamaged: the result cannot be read.
        OutputRefused, ResourcesExhausted: another file stands there, or it cannot be written.
    """
    unit, grid = made.read()
    place = made.place.sidecar.with_name(made.place.sidecar.stem + ENDING)
    result = Panel(TITLES[made.target], unit, grid, synthetic=True)
    write_sheet([_strip([*map(_acquired, sources, sources.values()), result])], place, made.record.image.sha256)
    return place


def write_study_picture(study: Study, file: Path) -> None:
    """Write a picture of every identified series of a study; each through the middle of its own head.

    Raises:
        StudyRefused: none is identified.
        ImageDamaged: one cannot be read.
        UsageError, OutputRefused, ResourcesExhausted: the picture cannot be written there.
    """
    if not study.series:
        raise StudyRefused(f"{study.folder}: no series is identified, so that there is nothing to draw")
    write_sheet([_strip([_acquired(one.contrast, one.read()) for one in study.series])], file)


def _acquired(contrast: Contrast, volume: Volume) -> Panel:
    """Return the panel of an acquired image, its grey values scaled by its own quantiles."""
    grey = quantile_range(volume, QUANTILES, 0.0).normalise(volume.voxels)
    return Panel(TITLES[contrast], np.asarray(grey, np.float32), volume.grid)


def _strip(panels: list[Panel]) -> Strip:
    """Draw panels through the middle of the first one's head."""
    return drawn(Row(tuple(panels), middle_of(panels[0].image, panels[0].grid)))
