"""`mrimpute doctor`: what a question for help begins with."""

from typing import Annotated

import typer

from mrimpute.cli import common

EPILOG = "Example: mrimpute doctor --json"


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    json_schema: common.DoctorSchema = False,
    debug: common.Debug = False,
) -> None:
    """Show versions, device, memory and threads of this job, store, offline state and free disk."""
    from mrimpute.cli import render_doctor

    record = render_doctor.record()
    if as_json:
        typer.echo(record.line())
        return
    facts = record.model_dump(by_alias=True, exclude={"schema_name"})
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {value}")
