"""`mrimpute train`: the papers' training from folders of studies."""

import typer

from mrimpute.cli.train import aldm, cwdm, syndiff

app = typer.Typer(help="Train a generator on your own studies.", no_args_is_help=True)
app.command("cwdm", epilog=cwdm.EPILOG)(cwdm.cwdm)
app.command("syndiff", epilog=syndiff.EPILOG)(syndiff.syndiff)
app.command("aldm", epilog=aldm.EPILOG)(aldm.aldm)
