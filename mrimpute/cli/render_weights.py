"""What `weights` shows of checkpoints, as text and as JSON."""

from collections.abc import Sequence
from textwrap import shorten

from mrimpute import __version__
from mrimpute.cli.records.machine import WeightsRecord
from mrimpute.cli.render import table_lines, wrapped
from mrimpute.registry import Checkpoint


def record_of(checkpoint: Checkpoint) -> WeightsRecord:
    """Return one checkpoint as a JSON object."""
    record = checkpoint.record
    return WeightsRecord(
        version=__version__,
        name=checkpoint.name,
        generator=record.generator,
        sources=list(record.sources),
        target=record.target,
        origin=record.origin,
        first_choice=record.first_choice,
        available=checkpoint.path.is_file(),
        path=str(checkpoint.path),
        bytes=_bytes_of(checkpoint),
        megabytes=_megabytes(checkpoint),
        sha256=record.sha256,
        about=record.about,
    )


def table(checkpoints: Sequence[Checkpoint]) -> str:
    """Return the table of `weights list`, at most 100 columns wide."""
    rows = [("NAME", "MAKES", "FROM", "ORIGIN", "HERE", "MB", "LICENCE")]
    for checkpoint in checkpoints:
        record = checkpoint.record
        name = checkpoint.name + (" *" if record.first_choice else "")
        here = "yes" if checkpoint.path.is_file() else "no"
        licence = shorten(record.about.licence, 24, placeholder=" …")
        makes, sources, size = record.target or "any", ",".join(record.sources), _megabytes(checkpoint)
        rows.append((name, makes, sources, record.origin, here, f"{size:g}" if size else "-", licence))
    about = "* first choice of --weights auto; figures, data and whom to cite: mrimpute weights show NAME"
    return "\n".join([*table_lines(rows), about])


def text(checkpoint: Checkpoint) -> str:
    """Return what `weights show` prints: everything a person wants to know before using a checkpoint."""
    record, about = checkpoint.record, checkpoint.record.about
    rows = (
        ("makes", f"{record.target or 'any other'} from {', '.join(record.sources)}, by {record.generator}"),
        ("origin", record.origin + (f": {record.hub.repo}, {record.hub.file}" if record.hub else "")),
        ("here", str(checkpoint.path) if checkpoint.path.is_file() else "no"),
        ("size", f"about {_megabytes(checkpoint) or 'an unknown number of'} MB"),
        ("sha256", record.sha256 or "not known before the first pull"),
        ("licence", about.licence),
        ("trained on", about.trained_on),
        ("measured", about.quality),
        ("note", about.note),
        ("cite", about.cite),
    )
    lines = [line for label, value in rows if value for line in wrapped(label, value)]
    return "\n".join([checkpoint.name, *lines])


def _bytes_of(checkpoint: Checkpoint) -> int | None:
    """Return the size of the file that is here, else of the one on the Hub; None where neither is known."""
    if checkpoint.path.is_file():
        return checkpoint.path.stat().st_size
    return checkpoint.record.hub.bytes if checkpoint.record.hub else None


def _megabytes(checkpoint: Checkpoint) -> float | None:
    """Return about how large it is; None where that is not known."""
    size, hub = _bytes_of(checkpoint), checkpoint.record.hub
    return round(size / 1e6, 1) if size else hub.megabytes if hub else None
