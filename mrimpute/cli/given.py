"""Options that name studies and their series, shared by `fill` and `scan`, and what they mean."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mrimpute.contrasts import Contrast

_WHICH = "Which series"


def _series(contrast: str) -> typer.models.OptionInfo:
    """Return the option that names a study's series of one contrast."""
    option: typer.models.OptionInfo = typer.Option(
        f"--{contrast}", metavar="PATH", help=f"This file is the {contrast} (one study only).", rich_help_panel=_WHICH
    )
    return option


Studies = Annotated[
    list[Path] | None,
    typer.Argument(metavar="STUDY…", readable=False, help="Study folders; - reads their paths from stdin."),
]
Null = Annotated[
    bool,
    typer.Option("-0", "--null", rich_help_panel=_WHICH, help="Paths on stdin end with NUL, not newline."),
]
T1 = Annotated[Path | None, _series("t1")]
T1c = Annotated[Path | None, _series("t1c")]
T2 = Annotated[Path | None, _series("t2")]
Flair = Annotated[Path | None, _series("flair")]
Pd = Annotated[Path | None, _series("pd")]
Ct = Annotated[Path | None, _series("ct")]


IgnoreBroken = Annotated[
    bool,
    typer.Option(
        "--ignore-broken",
        envvar="MRIMPUTE_IGNORE_BROKEN",
        rich_help_panel=_WHICH,
        help="Go on without series that are damaged, though one may be a wanted source.",
    ),
]


def named(
    t1: Path | None, t1c: Path | None, t2: Path | None, flair: Path | None, pd: Path | None, ct: Path | None
) -> dict["Contrast", Path]:
    """Return the series that the user named, by contrast."""
    from mrimpute.contrasts import Contrast

    told = {"t1": t1, "t1c": t1c, "t2": t2, "flair": flair, "pd": pd, "ct": ct}
    return {Contrast(contrast): path for contrast, path in told.items() if path is not None}


def folders_of(studies: list[Path] | None, null: bool) -> list[Path]:
    """Return the study folders, those on stdin included, each once.

    Args:
        studies: as given; - stands for a list on stdin.
        null: whether that list ends its paths with NUL.

    Raises:
        UsageError: none given, or the list has NUL characters unasked.
    """
    from mrimpute.errors import UsageError

    folders: list[Path] = []
    for study in studies or ():
        folders += listed(study, null) if str(study) == "-" else [study]
    if not folders:
        where = "the list on stdin is empty" if studies else "no study is given"
        raise UsageError(where, "name at least one folder, or - for a list on stdin")
    return list(dict.fromkeys(folders))


def listed(file: Path, null: bool) -> list[Path]:
    """Return the paths in a list.

    Args:
        file: the list; - for stdin.
        null: whether its paths end with NUL.

    Raises:
        UsageError: it cannot be read, or has NUL characters unasked.
    """
    from mrimpute.errors import UsageError

    stdin = str(file) == "-"
    try:
        text = sys.stdin.buffer.read() if stdin else file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the list {file} ({error.strerror})", "name a file of paths") from error
    if b"\0" in text and not null:
        raise UsageError(f"the list {'on stdin' if stdin else file} has NUL characters", "read it with -0")
    words = text.split(b"\0") if null else [line.removesuffix(b"\r") for line in text.split(b"\n")]
    return [Path(os.fsdecode(word)) for word in words if word]
