"""`mrimpute report FOLDER`: every result below it gets its page, and a bad one keeps none of the others from theirs."""

import json

import pytest

from mrimpute.contrasts import Contrast

FLAIR = Contrast.FLAIR
NAMES = ("a", "b", "c")


@pytest.fixture
def results(cli, make_study, tiny_weights, tmp_path):
    """Three results, of studies that lie beside them; the middle one has a sample too."""
    for name in NAMES:
        make_study(f"all/{name}")
    words = ("--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--no-self-check")
    for name, more in zip(NAMES, ((), ("--samples", "2", "--steps", "2"), ()), strict=True):
        done = cli("fill", tmp_path / "all" / name, *words, *more)
        assert done.returncode == 0, done.stderr
    return tmp_path / "all"


def page(results, name):
    return str(results / name / f"{name}-t2f_report.html")


def test_a_folders_results_are_shown_and_a_bad_one_is_passed_over(cli, results):
    done = cli("report", results)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [page(results, name) for name in NAMES]
    sidecar = results / "a" / "a-t2f.json"
    sound = sidecar.read_text()
    for broken in ({"checkpoint": [1]}, {"intensity": {"zero": 1.0, "one": 1.0}}, None):
        sidecar.write_text(json.dumps(json.loads(sound) | broken) if broken else "{")
        (results / "b" / "b-t2w.nii.gz").unlink(missing_ok=True)
        done = cli("report", results)
        assert done.stdout.splitlines() == [page(results, "c")]
        assert done.returncode == 8
        first, second = done.stderr.splitlines()
        assert str(sidecar) in first and "b-t2f.nii.gz: its sources t2 are not there" in second


def test_what_holds_no_result_is_told(cli, make_study, tmp_path):
    done = cli("report", make_study(), tmp_path / "absent")
    assert (done.returncode, done.stdout) == (3, "")
    assert all("is no result of mrimpute" in line for line in done.stderr.splitlines())
    assert len(done.stderr.splitlines()) == 2
