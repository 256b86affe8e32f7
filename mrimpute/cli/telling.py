"""What `fill` tells of one study, as plain text that can come from another process."""

import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mrimpute.outcome import Outcome, Spent
    from mrimpute.request import Options


@dataclass(frozen=True)
class Manner:
    """How results are told: of a dry run or not, as JSON, without notes, with tracebacks; and how the work is shown."""

    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False
    debug: bool = False
    progress: Literal["auto", "plain", "none"] = "auto"


@dataclass(frozen=True)
class Telling:
    """What is told of one study.

    Attributes:
        code: its exit code.
        results: lines for stdout.
        notes: lines for stderr.
        cited: works that its images rest on.
    """

    code: int
    results: tuple[str, ...]
    notes: tuple[str, ...]
    cited: frozenset[str]


def telling_of(
    outcome: "Outcome",
    options: "Options",
    spent: "Spent",
    manner: Manner,
    *,
    wishes: str = "",
    settings_said: bool = True,
) -> Telling:
    """Return what is told of one study.

    Args:
        outcome: what came of it.
        options: of the run.
        spent: what it took.
        manner: how it is told.
        wishes: digest of what is wished of every study, by which a later run knows it again; '' for never.
        settings_said: whether what its own settings choose was said as its weights were obtained.
    """
    from mrimpute.cli import render_fill

    error = outcome.error
    return Telling(
        int(outcome.exit_code(options.require)),
        tuple(_results(outcome, options, spent, manner, wishes)),
        (
            *(traceback.format_exception(error) if error and manner.debug else ()),
            *(render_fill.settings_notes(outcome) if manner.quiet or manner.dry_run or not settings_said else ()),
            *(() if manner.quiet else _notes(outcome, spent.seconds)),
            *([str(error)] if error else ()),
            *(
                f"{output.path}: {options.require} is required, and the verdict is another; it was written"
                for output in outcome.unmet(options.require)
            ),
        ),
        frozenset(output.checkpoint.record.about.cite for output in outcome.outputs),
    )


def told_again(record: dict[str, Any], spent: "Spent", manner: Manner) -> Telling:
    """Return what is told of a study that stands as an earlier run left it.

    Args:
        record: what that run told.
        spent, manner: see `telling_of`.
    """
    from mrimpute.cli import render_fill

    outputs = [output | {"skipped": True} for output in record["outputs"]]
    paths = [output["path"] for output in outputs]
    told = {"status": "skipped" if outputs else record["status"], "outputs": outputs}
    cost = {"cost": render_fill.cost_record(spent).model_dump()}
    results = [json.dumps(record | told | cost)] if manner.as_json else [*paths, *record["copies"]]
    notes = () if manner.quiet else (f"{path} is there already, as an earlier run left it; skipped" for path in paths)
    return Telling(0, tuple(results), tuple(notes), frozenset(record["cite"]))


def _results(outcome: "Outcome", options: "Options", spent: "Spent", manner: Manner, wishes: str) -> Iterator[str]:
    """Yield the lines of stdout."""
    from mrimpute.batch.resume import seen_of
    from mrimpute.cli import render_fill

    if manner.as_json:
        seen = None if manner.dry_run else seen_of(outcome, wishes)
        yield render_fill.record(outcome, options, spent, manner.dry_run, seen).line()
    elif manner.dry_run and outcome.plan and not outcome.error:
        yield render_fill.plan_text(outcome.plan)
    else:
        yield from (str(path) for path in (*(output.path for output in outcome.outputs), *outcome.copies))


def _notes(outcome: "Outcome", seconds: float) -> Iterator[str]:
    """Yield what a person should know about one study."""
    from mrimpute.cli import render_fill

    for warning in dict.fromkeys(outcome.warnings):
        yield f"warning: {warning}"
    for output in outcome.outputs:
        yield render_fill.output_note(output, seconds)
    plan = outcome.plan
    if plan:
        for contrast in plan.acquired:
            yield f"{outcome.folder}: {contrast} was acquired; nothing is made for it"
        if plan.not_made:
            yield render_fill.not_made_note(plan)
        elif not plan.jobs and not plan.acquired:
            yield f"{outcome.folder}: nothing is missing"
