"""The `mrimpute` command: its parts, and the one place where errors become lines and codes."""

import errno
import io
import os
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import typer

from mrimpute import __version__, signals
from mrimpute.cli import (
    bids,
    calibrate,
    cite,
    common,
    doctor,
    evaluate,
    example,
    fill,
    merge,
    report,
    scan,
    train,
    verify,
    weights,
)
from mrimpute.errors import ExitCode, MrimputeError, Terminated, UsageError, as_mrimpute_error

EXIT_CODES = """Exit codes: 0 done or nothing missing · 1 unexpected error · 2 wrong usage ·
3 study refused · 4 weights or calibration not available · 5 memory, disk or device · 6 output cannot be placed ·
7 not marked as synthetic (verify), another verdict than required (fill) ·
8 some of several studies failed · 130/143 interrupted."""

app = typer.Typer(
    name="mrimpute",
    help="Make the MR sequence that a study lacks, and label it as synthetic.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mrimpute {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("fill", epilog=fill.EPILOG)(fill.fill)
app.command("scan", epilog=scan.EPILOG)(scan.scan)
app.command("bids", cls=bids.BidsCommand, epilog=bids.EPILOG)(bids.bids)
app.command("merge", epilog=merge.EPILOG)(merge.merge)
app.command("calibrate", epilog=calibrate.EPILOG)(calibrate.calibrate)
app.add_typer(weights.app, name="weights")
app.add_typer(train.app, name="train")
app.command("evaluate", epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command("verify", epilog=verify.EPILOG)(verify.verify)
app.command("cite", epilog=cite.EPILOG)(cite.cite)
app.command("report", epilog=report.EPILOG)(report.report)
app.command("doctor", epilog=doctor.EPILOG)(doctor.doctor)
app.command("example", epilog=example.EPILOG)(example.example)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with a code of `ExitCode`."""
    signals.install()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words or os.environ.get("MRIMPUTE_DEBUG", "").lower() in ("1", "true", "yes")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # file names need not be UTF-8
    if not debug:
        warnings.simplefilter("ignore")  # libraries speak to programmers there
    sys.exit(_run(words, debug))


def _run(words: list[str], debug: bool) -> int:
    """Run the words; return the exit code, with every failure told in one line on stderr."""
    try:
        code = _outcome(words, debug)
        signals.check()  # one that a library swallowed must not end as if all had been done
        return code
    except Terminated as end:
        common.notify("stopped by a signal; nothing half-written is left")
        return end.exit_code


def _check_words(words: list[str]) -> None:
    """Check that no word is empty: read as a path, that of a variable without a value would be the current folder.

    Raises:
        UsageError: one is.
    """
    hint = "give it; the variable of a script may have no value"
    for before, word in pairwise(["mrimpute", *words]):
        if not word:
            raise UsageError(f"the word after '{before}' is empty", hint)
        if re.fullmatch(r"--[a-z][a-z0-9-]*=", word):
            raise UsageError(f"nothing follows '{word}'", hint)


def _outcome(words: list[str], debug: bool) -> int:
    """Run the words; return the exit code of whatever came of it but a signal."""
    try:
        _check_words(words)
        code = app(words, prog_name="mrimpute", standalone_mode=False)
        return int(code or 0)
    except MrimputeError as error:
        if debug:
            traceback.print_exception(error)
        common.notify(str(error))
        return error.exit_code
    except typer.TyperException as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        if message:  # empty where the help itself was the answer
            common.notify(f"{message}; see mrimpute --help")
        return ExitCode.USAGE
    except OSError as error:
        if debug:
            traceback.print_exception(error)
        place = f"{error.filename}: " if error.filename else ""
        common.notify(f"{place}{error.strerror or error}; check the path, its permissions and the free space")
        return ExitCode.RESOURCES if error.errno in (errno.ENOSPC, errno.EDQUOT) else ExitCode.OUTPUT
    except MemoryError:
        common.notify("memory ran out; close other programs")
        return ExitCode.RESOURCES
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        told = as_mrimpute_error(error)
        common.notify(str(told))
        return told.exit_code
