"""`mrimpute bids`: a BIDS data set in, derivatives out, called as a BIDS-App."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrimpute.cli import common
from mrimpute.errors import UsageError

if TYPE_CHECKING:
    from mrimpute.bids import Group

EPILOG = "Example: mrimpute bids data derivatives/mrimpute participant --participant-label 01 02 --weights builtin"

_LISTS = ("--participant-label", "--participant_label", "--session-label", "--session_label")
_WHAT, _HOW, _OUTPUT = "What to fill", "How", "Output"
_MAKING = {
    "--missing",
    "--ignore-broken",
    "--resume",
    "--weights",
    "--seed",
    "--register",
    "--skull-strip",
    "--overwrite",
    "--dry-run",
}
"""Options that decide what the participant level makes; what runners give both levels is not among them."""


class Level(StrEnum):
    """What a call does: the images of participants, or the summary of all."""

    PARTICIPANT = "participant"
    GROUP = "group"


class BidsCommand(typer.core.TyperCommand):
    """A command some of whose options take a list of words, as the options of BIDS-Apps do."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the name of such an option before each of its words.

        Raises:
            UsageError: it has none, as where a variable of a job is not set: that must not mean all participants.
        """
        words: list[str] = []
        name = ""
        for word, following in zip(args, [*args[1:], "-"], strict=True):
            if word.startswith("-") or not name:
                name = word if word in _LISTS else ""
                words += [] if name else [word]
            else:
                words += [name, word]
            if word in _LISTS and following.startswith("-"):
                raise UsageError(f"{word} has no label", "give one or more, or leave it out for all")
        return super().parse_args(ctx, words)


def bids(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(metavar="IN", help="A BIDS data set.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the derivatives, a data set of its own.")],
    level: Annotated[Level, typer.Argument(metavar="participant|group", help="Make images, or sum up what was made.")],
    participant_label: Annotated[
        list[str] | None,
        typer.Option(
            *_LISTS[:2], metavar="LABEL…", rich_help_panel=_WHAT, help="Only these, with or without sub-. Default: all."
        ),
    ] = None,
    session_label: Annotated[
        list[str] | None,
        typer.Option(
            *_LISTS[2:], metavar="LABEL…", rich_help_panel=_WHAT, help="Only these, with or without ses-. Default: all."
        ),
    ] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option("--missing", "-m", metavar="CONTRAST", rich_help_panel=_WHAT, help="As in `mrimpute fill`."),
    ] = None,
    skip_bids_validator: Annotated[
        bool,
        typer.Option(
            "--skip-bids-validator",
            "--skip_bids_validator",
            rich_help_panel=_WHAT,
            help="Do not have bids-validator, where it is on PATH, look at IN first.",
        ),
    ] = False,
    ignore_broken: Annotated[
        bool,
        typer.Option("--ignore-broken", envvar="MRIMPUTE_IGNORE_BROKEN", rich_help_panel=_WHAT, help="As in `fill`."),
    ] = False,
    resume: common.Resume = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(envvar="MRIMPUTE_WEIGHTS", metavar="WORD", rich_help_panel=_HOW, help="As in `mrimpute fill`."),
    ] = None,
    seed: Annotated[int, typer.Option(envvar="MRIMPUTE_SEED", rich_help_panel=_HOW, help="Of the noise.")] = 0,
    register: Annotated[
        bool, typer.Option("--register", envvar="MRIMPUTE_REGISTER", rich_help_panel=_HOW, help="As in `fill`.")
    ] = False,
    skull_strip: Annotated[
        bool, typer.Option("--skull-strip", envvar="MRIMPUTE_SKULL_STRIP", rich_help_panel=_HOW, help="As in `fill`.")
    ] = False,
    device: common.Device = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            "--n-cpus",
            "--n_cpus",
            min=1,
            max=1024,
            envvar="MRIMPUTE_THREADS",
            rich_help_panel=_HOW,
            help="CPU threads of the networks (default: all the job may use).",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=_OUTPUT, help="Replace earlier synthetic images.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", rich_help_panel=_OUTPUT, help="Print the plan; write nothing.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", rich_help_panel=_OUTPUT, help="One JSON object per session and line; of group one."),
    ] = False,
    json_schema: common.GroupSchema = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", rich_help_panel=_OUTPUT, help="No progress, notes or warnings.")
    ] = False,
    debug: common.Debug = False,
) -> None:
    """Make what the sessions of a BIDS data set lack, as derivatives (participant), or sum up what was made (group).

    Nothing is written into IN unless OUT lies in it. Images are called sub-X[_ses-Y]_desc-synthetic_FLAIR.nii.gz and so
    on; acquired ones are not copied. The group level compares every image with its sidecar, and writes summary.tsv,
    summary.json and the page of `mrimpute report --cohort` into OUT.
    """
    from mrimpute import batch
    from mrimpute import bids as library
    from mrimpute.cli.fill import fill_and_tell
    from mrimpute.cli.telling import Manner
    from mrimpute.contrasts import parse_contrast
    from mrimpute.fill import Engine
    from mrimpute.request import Options
    from mrimpute.write.layout import DERIVATIVES

    sessions = library.sessions_of(data, participant_label or (), session_label or ())
    library.check_derivatives(out, data)
    making = _MAKING & common.chosen(context)
    if level is Level.GROUP and making:
        raise UsageError(f"{min(making)} goes with the participant level", "leave it out: group sums up what was made")
    if level is Level.GROUP:
        raise typer.Exit(_sum_up(library.summarise(sessions, out), data, out, as_json))
    common.check_resume(resume, dry_run)
    options = Options(
        out=out,
        layout=DERIVATIVES,
        register=register,
        skull_strip=skull_strip,
        weights=tuple(weights or ()),
        seed=seed,
        device=device,
        threads=threads,
        overwrite=overwrite,
        ignore_broken=ignore_broken,
    )
    if not skip_bids_validator and not library.validate(data) and not quiet:
        common.notify(f"no bids-validator is on PATH; {data} was not validated")
    targets = [parse_contrast(word) for word in missing or []]
    folders = [session.folder for session in sessions]
    batch.check_places(Engine(options), folders, targets)
    if not dry_run:
        library.describe_derivatives(out, library.uri_of(data, out))
        library.check_derivatives(out, data)  # a run for another data set may have been quicker
    manner = Manner(dry_run, as_json, quiet, debug)
    raise typer.Exit(fill_and_tell(folders, targets, options, manner, resume=resume or ()))


def _page(out: Path) -> tuple[tuple[Path, ...], list[str]]:
    """Write the page of all results; return its path, and what could not be shown."""
    from mrimpute.report import write_cohort

    page, problems = write_cohort([out])
    return (page,), problems


def _sum_up(group: "Group", data: Path, out: Path, as_json: bool) -> int:
    """Write and print the summary of what was made; return the exit code."""
    from mrimpute.bids import write_summary
    from mrimpute.cli import render_bids

    code = common.exit_code([int(finding.status.exit_code) for _, finding in group.findings])
    summary = render_bids.group_record(group, data, out, code, shared=True).line()
    files = write_summary(out, summary, render_bids.table(group, out))
    pages, problems = _page(out) if any(group.images.values()) else ((), [])
    for line in problems:
        common.notify(f"not shown: {line}")
    if as_json:
        typer.echo(render_bids.group_record(group, data, out, code, shared=False).line())
    else:
        for file in (*files, *pages):
            typer.echo(file)
    for _, finding in group.findings:
        if finding.status.exit_code:
            common.notify(f"{finding.path}: {finding.status}: {finding.text}")
    return code
