"""Series that are damaged, cut short or out of reach: never left out without a word, nor where they may be wanted."""

from collections.abc import Sequence

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.plan import would_change
from mrimpute.request.options import Options
from mrimpute.study import Study


def refusals_of(study: Study, ignore_broken: bool) -> list[StudyRefused]:
    """Return what `fill` would refuse a study with, by its headers, when it makes all that is missing."""
    refusals = [problem.refusal() for problem in (study.without_broken if ignore_broken else study).problems]
    if not refusals:
        try:
            check_broken(study, (), Options(ignore_broken=ignore_broken))
        except StudyRefused as error:
            refusals.append(error)
    return refusals


def check_broken(study: Study, missing: Sequence[Contrast], options: Options) -> None:
    """Refuse a study in which something broken may be a source that the plan would take.

    Args:
        study: identified.
        missing: targets, as in `fill`.
        options: of the run; the user may go on without.

    Raises:
        StudyRefused: it may; the message names it and the option.
    """
    for item in () if options.ignore_broken else study.broken:
        possible = item.may_be or tuple(Contrast)
        wanted = [one for one in possible if would_change(study, missing, options.generator, one)]
        if wanted and item.may_be:
            what = f"it may be the {' or '.join(wanted)} that would be used"
        elif wanted:
            what = "a wanted series may be among them"
        else:
            continue
        raise StudyRefused(
            f"{item.path}: {item.reason}; {what}", "copy the study again, whole, or go on without it: --ignore-broken"
        )


def broken_notes(study: Study) -> list[str]:
    """Return a line for everything broken that a run goes on without."""
    problems = [f"{problem.text}; left out" for problem in study.problems if problem.broken]
    return [*(f"{item.path}: {item.reason}; left out" for item in study.broken), *problems]
