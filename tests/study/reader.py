"""Read one series by its name alone, as `scan` would in a folder that holds nothing else."""

from dataclasses import replace
from pathlib import Path

from mrimpute.io.dicom.facts import Facts
from mrimpute.study.candidate import Candidate
from mrimpute.study.judge import Told, judge
from mrimpute.study.names import read_name
from mrimpute.study.settle import settle
from mrimpute.volume import Grid
from tests.conftest import OBLIQUE

GRID = Grid((40, 48, 36), OBLIQUE)


def lone(name: str, as_file: bool) -> tuple[str, str]:
    """Return what a lone series is taken for ('' where it is left out or asked about) and what it says of agent."""
    facts, told, conflict = Facts("MR", "classic", ("ORIGINAL", "PRIMARY", "M"), (name.lower(), "", "", "")), [], ""
    if as_file:
        reading = read_name(name.replace("/", "_").replace(" ", "_").replace(":", "_"))
        facts, told, conflict = Facts("MR", "classic"), [Told("name", reading.reading, reading.word)], reading.conflict
    verdict = judge(facts, told)
    if verdict.aside or verdict.contrast is None:
        return "", ""
    candidate = Candidate(Path("x"), replace(verdict, doubt=verdict.doubt or conflict), facts, GRID)
    settled = settle([candidate], [], set())
    taken = "" if settled.problems else str(next(iter(settled.kept), ""))
    return taken, candidate.agent if taken in ("t1", "t1c") else ""
