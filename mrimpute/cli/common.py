"""Options that several commands share."""

import re
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
        help="CPU threads (default: all the job may use).",
        rich_help_panel="How",
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


def _schema(record: str, words: str = "Print the schema of --json and end.") -> typer.models.OptionInfo:
    """Return the option that prints the schema of one model of `records` and ends; `words` are its help."""

    def shown(wanted: bool) -> None:
        if wanted:
            import json

            from mrimpute.cli import records

            typer.echo(json.dumps(getattr(records, record).model_json_schema(), indent=2))
            raise typer.Exit

    option: typer.models.OptionInfo = typer.Option(
        "--json-schema", is_eager=True, callback=shown, help=words, rich_help_panel="Output"
    )
    return option


FillSchema = Annotated[bool, _schema("FillRecord")]
ScanSchema = Annotated[bool, _schema("ScanRecord")]
EvaluateSchema = Annotated[bool, _schema("EvaluateRecord")]
WeightsSchema = Annotated[bool, _schema("WeightsRecord")]
DoctorSchema = Annotated[bool, _schema("DoctorRecord")]
VerifySchema = Annotated[bool, _schema("VerifyRecord")]
CalibrateSchema = Annotated[bool, _schema("CalibrateRecord")]
GroupSchema = Annotated[
    bool, _schema("GroupRecord", "Print the schema of group's --json and end; participant's is that of `fill`.")
]
MergeSchema = Annotated[bool, _schema("FillRecord", "Print the schema of the lines and end.")]


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
