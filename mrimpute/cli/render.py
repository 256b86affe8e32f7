"""What the texts and JSON objects of several commands share."""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from mrimpute.cli.records.base import ErrorRecord
from mrimpute.cli.records.study import JobRecord
from mrimpute.errors import MrimputeError

if TYPE_CHECKING:
    from mrimpute.plan import Job
    from mrimpute.study import Series

WIDTH = 80
"""Columns of a terminal that nobody made wider; only a path may be longer."""
LABEL = 14
"""Columns of the label before a text."""


def wrapped(label: str, text: str) -> list[str]:
    """Return a labelled text in lines of WIDTH columns; a path in it is never cut."""
    return wrap(
        text,
        WIDTH,
        initial_indent=f"  {label:<{LABEL}}",
        subsequent_indent=" " * (LABEL + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def table_lines(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def job_text(job: "Job") -> str:
    """Return one planned target as a line of text."""
    return f"{job.target} by {job.generator} from {', '.join(job.sources)}: {job.reason}"


def job_record(job: "Job") -> JobRecord:
    """Return one planned target as a JSON object."""
    return JobRecord(
        target=job.target, generator=job.generator, sources=[str(one) for one in job.sources], reason=job.reason
    )


def series_part(series: "Series") -> dict[str, Any]:
    """Return the fields that records of one series share."""
    return {
        "path": str(series.path),
        "modality": series.contrast,
        "confidence": series.confidence,
        "evidence": [item.reason for item in series.evidence],
        "shape": series.grid.shape,
        "spacing": [round(value, 4) for value in series.grid.spacing],
        "orientation": series.grid.orientation,
    }


def error_record(error: MrimputeError | None) -> ErrorRecord | None:
    """Return an error as a JSON object; None for none."""
    return ErrorRecord(code=error.kind, text=error.text, hint=error.hint) if error else None
