"""Options that several commands share."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

Device = Annotated[
    str,
    typer.Option(envvar="MRIMPUTE_DEVICE", help="auto, cpu, cuda, cuda:N or mps (untested).", rich_help_panel="How"),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        envvar="MRIMPUTE_THREADS",
        help="CPU threads of the networks (default: all the job may use).",
        rich_help_panel="How",
    ),
]
Resume = Annotated[
    list[Path] | None,
    typer.Option(
        "--resume",
        metavar="JSONL",
        help="What earlier runs told with --json (file or folder of them; repeatable): the studies they finished"
        " are passed over unopened, where options, weights, and size, times and inode of every file are the same.",
        rich_help_panel="What to fill",
    ),
]
TrustStudySettings = Annotated[
    bool,
    typer.Option(
        "--trust-study-settings",
        envvar="MRIMPUTE_TRUST_STUDY_SETTINGS",
        help="Let a study's own mrimpute.toml name any folder or Hub repository of weights.",
        rich_help_panel="How",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel="Output")]
Progress = Annotated[
    Literal["auto", "plain", "none"],
    typer.Option(
        "--progress",
        envvar="MRIMPUTE_PROGRESS",
        help="auto: bars on a terminal, nothing in a pipe. plain: a line a minute, for logs.",
        rich_help_panel="Output",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.", rich_help_panel="Output")]

Calibration = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="SITE",
        help="What `mrimpute calibrate` learnt of this scanner: a name in the store, or a folder.",
        rich_help_panel="Scanner",
    ),
]
CalibrateFrom = Annotated[
    list[str] | None,
    typer.Option(
        "--calibrate-from",
        metavar="STUDY",
        help="Learn it now from this complete study; repeatable. batch: from the complete ones among the STUDIES,"
        " kept under --out.",
        rich_help_panel="Scanner",
    ),
]


def complete_weights(incomplete: str) -> list[str]:
    """Return what may stand for a checkpoint and begins so, for the shell."""
    from mrimpute.registry import load_registry

    return [word for word in ("auto", "builtin", *load_registry()) if word.startswith(incomplete)]


def complete_contrast(incomplete: str) -> list[str]:
    """Return the contrasts that begin so, for the shell."""
    from mrimpute.contrasts import Contrast

    return [contrast for contrast in Contrast if contrast.startswith(incomplete)]


def complete_layout(incomplete: str) -> list[str]:
    """Return the layouts that begin so, for the shell."""
    return [word for word in ("same", "brats21", "brats23", "bids", "nnunet:") if word.startswith(incomplete)]


def _schema(room: str, record: str, words: str = "Print the schema of --json and end.") -> typer.models.OptionInfo:
    """Return the option that prints the schema of a model in a module of `records` and ends; `words` are its help."""

    def shown(wanted: bool) -> None:
        if wanted:
            import json
            from importlib import import_module

            model = getattr(import_module(f"mrimpute.cli.records.{room}"), record)
            typer.echo(json.dumps(model.model_json_schema(), indent=2))
            raise typer.Exit

    option: typer.models.OptionInfo = typer.Option(
        "--json-schema", is_eager=True, callback=shown, help=words, rich_help_panel="Output"
    )
    return option


FillSchema = Annotated[bool, _schema("fill", "FillRecord")]
ScanSchema = Annotated[bool, _schema("scan", "ScanRecord")]
EvaluateSchema = Annotated[bool, _schema("evaluate", "EvaluateRecord")]
WeightsSchema = Annotated[bool, _schema("machine", "WeightsRecord")]
DoctorSchema = Annotated[bool, _schema("machine", "DoctorRecord")]
VerifySchema = Annotated[bool, _schema("verify", "VerifyRecord")]
CalibrateSchema = Annotated[bool, _schema("calibrate", "CalibrateRecord")]
GroupSchema = Annotated[
    bool,
    _schema("verify", "GroupRecord", "Print the schema of group's --json and end; participant's is that of `fill`."),
]
MergeSchema = Annotated[bool, _schema("fill", "FillRecord", "Print the schema of the lines and end.")]


def chosen(context: typer.Context) -> set[str]:
    """Return the options that stand on the command line, by their first name; those of the environment do not count."""
    names = {name: parameter.opts[0] for parameter in context.command.params if (name := parameter.name)}
    sources = {option: context.get_parameter_source(name) for name, option in names.items()}
    return {option for option, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def check_resume(resume: list[Path] | None, dry_run: bool) -> None:
    """Check that --resume goes with the rest of the line.

    Raises:
        UsageError: it is a dry run.
    """
    from mrimpute.errors import UsageError

    if resume and dry_run:
        raise UsageError("--resume passes over studies, and --dry-run plans each of them", "leave one of them out")


def exit_code(codes: list[int]) -> int:
    """Return the exit code of a run over studies: their common one (0 of none), 8 where they differ."""
    from mrimpute.errors import ExitCode

    if len(set(codes)) > 1:
        return int(ExitCode.PARTIAL)
    return codes[0] if codes else int(ExitCode.DONE)


def notify(line: str) -> None:
    """Write a line for the user to stderr; signs that steer a terminal, from a study's file, are shown as codes."""
    typer.echo(f"mrimpute: {shown(line)}", err=True)


def shown(line: str) -> str:
    """Return a line in which signs that steer a terminal are codes."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", line)
