"""Options that several commands share."""

import re
from typing import Annotated

import typer

Device = Annotated[
    str, typer.Option(envvar="MRIMPUTE_DEVICE", help="auto, cpu, cuda or cuda:N.", rich_help_panel="How")
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
Json = Annotated[bool, typer.Option("--json", help="One JSON object per study and line.", rich_help_panel="Output")]

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
