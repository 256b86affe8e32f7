"""The corpus, case by case: what must be refused is refused in one line, what must be read is read exactly."""

import itertools
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import run_here
from tests.reliability.corpus import dicom, nifti, odd, studies, weights
from tests.reliability.corpus.case import Case, judge, looks
from tests.reliability.corpus.odd import Odd, misread
from tests.reliability.tally import Row

HANG_S = 60
RAN = Path("/tmp/mrimpute-pickle-ran")
FAMILIES: dict[str, Callable[[], Iterator[Case]]] = {
    "NIfTI": nifti.malformed,
    "DICOM": dicom.malformed,
    "studies and settings": studies.malformed,
    "hostile weights": weights.hostile,
}


def every(cases: Iterable[Case], step: int) -> list[Case]:
    """Return every n-th case."""
    return list(itertools.islice(cases, 0, None, step))


def refused(work: Path, family: str, step: int = 1) -> Row:
    """Try every n-th case of a family."""
    cases = every(FAMILIES[family](), step)
    found = [f"{case.name}: {wrong}" for case in cases if (wrong := ends(work, case))]
    if RAN.exists():
        found.append(f"{RAN} is there: a pickle ran")
    return Row(f"malformed: {family}", len(cases), tuple(found))


def ends(work: Path, case: Case) -> str:
    """Return what is wrong with how a case ends, or with the folder afterwards; '' where nothing is."""
    place = work / "case"
    shutil.rmtree(place, ignore_errors=True)
    study = place / "study"
    study.mkdir(parents=True)
    case.build(study)
    before = looks(study)
    words = [word.format(study=study, beside=place / "beside") for word in case.words]
    try:
        with no_hang():
            done = run_here(work / "home", *words)
    except TimeoutError:
        return f"hung for {HANG_S} s"
    wrong = judge(case, done.returncode, done.stderr)
    return wrong or ("" if done.returncode == 0 or looks(study) == before else "the study was changed")


@contextmanager
def no_hang() -> Iterator[None]:
    """End a call that takes longer than anything should.

    Raises:
        TimeoutError: it did.
    """

    def end(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def accepted(work: Path, step: int = 1) -> Row:
    """Read every n-th odd but valid series."""
    cases: list[Odd] = list(itertools.islice(itertools.chain(odd.nifti(), odd.dicom()), 0, None, step))
    found = []
    for case in cases:
        place = work / "odd"
        shutil.rmtree(place, ignore_errors=True)
        (place / "study").mkdir(parents=True)
        case.build(place / "study")
        if wrong := misread(case, place / "study"):
            found.append(f"{case.name}: {wrong}")
    return Row("odd but valid: read exactly", len(cases), tuple(found))
