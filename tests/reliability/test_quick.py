"""The reduced set of tests/reliability/run.py; the full counts stand in README.md beside this file."""

import multiprocessing
import warnings
from pathlib import Path

import pytest

from tests.reliability.corpus import dicom, nifti, odd, studies, weights
from tests.reliability.items import ITEMS, Counts, rows
from tests.reliability.tally import Row, table

QUICK = ("corpus", "kills", "signals", "calls", "disks", "writers", "fuzz")


def _try(folder: Path, name: str, answer) -> None:
    warnings.simplefilter("ignore")  # as the command line does
    answer.send(list(rows(folder, [name], Counts(quick=True))))


@pytest.mark.parametrize("name", QUICK)
def test_everything_holds(tmp_path, name):
    """Each in a process of its own that may fork and be signalled; not forked from this one, since it would take its
    parent's server of forks for its own."""
    server = multiprocessing.get_context("forkserver")
    answers, answer = server.Pipe(duplex=False)
    process = server.Process(target=_try, args=(tmp_path, name, answer))
    process.start()
    answer.close()  # else the end of a process that fails is not seen here
    assert answers.poll(300), f"{name} takes over five minutes"
    done: list[Row] = answers.recv()
    process.join(60)
    tried = [row for row in done if row.tried]
    if not tried:
        pytest.skip(done[0].note)
    assert not [row for row in tried if row.found], table(tried)


def test_the_corpus_is_as_large_as_is_said():
    malformed = [case.name for family in (nifti, dicom, studies) for case in family.malformed()]
    assert len(malformed) >= 200
    valid = [case.name for case in (*odd.nifti(), *odd.dicom())]
    assert len(valid) == len(set(valid)) >= 60
    hostile = [case.name for case in weights.hostile()]
    assert len(hostile) == len(set(hostile)) >= 40
    assert set(QUICK) < set(ITEMS)
