"""`mrimpute doctor`: what a question for help begins with."""

from typing import Annotated

import typer

from mrimpute.cli import common

EPILOG = "Example: mrimpute doctor --json"


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False, debug: common.Debug = False
) -> None:
    """Show versions, device, memory and threads of this job, store, offline state and free disk."""
    import json

    from mrimpute.cli import render

    facts = render.doctor_record()
    if as_json:
        typer.echo(json.dumps(facts))
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {value}")
