"""`mrimpute merge`: one list out of the JSON lines of many tasks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrimpute.cli import common, given

if TYPE_CHECKING:
    from mrimpute.batch.merge import Merged

EPILOG = """Exit code: what one `fill` over all these studies would have ended with; 8 where studies of the list are
missing.

Example: mrimpute merge out/runs/*.jsonl --studies studies.txt > runs.jsonl"""

_MOST_NAMED = 20


def merge(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="JSONL…", readable=False, help="What `fill --json` wrote, the older files first."),
    ] = None,
    studies: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The list that was given to `fill`, one path a line; - for stdin."),
    ] = None,
    null: Annotated[
        bool, typer.Option("-0", "--null", help="Paths in that list, and with --left in the result, end with NUL.")
    ] = False,
    left: Annotated[
        bool,
        typer.Option(
            "--left",
            help="Print the folders still to be done instead: those that failed, and those of the list without a line.",
        ),
    ] = False,
    json_schema: common.MergeSchema = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", rich_help_panel="Output", help="No totals; what is missing or cut only.")
    ] = False,
    debug: common.Debug = False,
) -> None:
    """Print the JSON lines of many runs of `fill` as one list, with one line per study.

    Of several lines of a study a success is taken before a failure, otherwise the later one. A line that a killed task
    left unfinished is said and passed over. Totals go to stderr.

    With --left the result is a list for the next `fill -`, which then need not look at what is done.
    """
    import os

    from mrimpute.batch import merge as library
    from mrimpute.errors import ExitCode, UsageError

    if not files:
        raise UsageError("no file of JSON lines is given", "name what `mrimpute fill --json` wrote")
    library.check_apart(files, os.fstat(1))
    merged = library.merge(files, given.listed(studies, null) if studies is not None else None)
    if left:
        for study in merged.left:
            typer.echo(study + ("\0" if null else "\n"), nl=False)
    else:
        for line in merged.lines():
            typer.echo(line.rstrip(b"\n"))
    _tell(merged, quiet)
    raise typer.Exit(int(ExitCode.PARTIAL) if merged.missing else common.exit_code(merged.codes))


def _tell(merged: "Merged", quiet: bool) -> None:
    """Say on stderr what is missing, and in all."""
    for place in merged.cut:
        common.notify(f"{place} was cut off when its task was killed; passed over")
    for studies, what in ((merged.missing, "is in no line"), (merged.unlisted, "is not in the list")):
        for study in studies[:_MOST_NAMED]:
            common.notify(f"{study} {what}")
        if len(studies) > _MOST_NAMED:
            common.notify(f"{len(studies) - _MOST_NAMED} more: {what}")
    if not quiet:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(merged.totals.items()))
        repeated = f"; {merged.repeated} stood in several lines" if merged.repeated else ""
        missing = f"; {len(merged.missing)} missing" if merged.missing else ""
        common.notify(f"{len(merged.entries)} studies: {counts or 'none'}{repeated}{missing}")
