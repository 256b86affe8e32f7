"""What is made only when asked for by name: a t1c, of whose enhancement no source knows."""

import json

import pytest
from pydicom import dcmread

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.plan import make_plan
from mrimpute.study import find_series
from tests.conftest import tree

T1, T1C, T2, FLAIR = BRATS_FOUR
CODE = "enhancement-not-known"


@pytest.mark.parametrize(
    ("present", "made"),
    [
        ((T1, T2, FLAIR), []),
        ((T1, T2), [(FLAIR, "syndiff", (T2,))]),
        ((T1, FLAIR), [(T2, "syndiff", (FLAIR,))]),
        ((T2, FLAIR), [(T1, "syndiff", (T2,))]),
        ((T1,), [(T2, "aldm", (T1,)), (FLAIR, "aldm", (T1,))]),
        ((T2,), [(T1, "aldm", (T2,)), (FLAIR, "aldm", (T2,))]),
        ((FLAIR,), [(T1, "aldm", (FLAIR,)), (T2, "aldm", (FLAIR,))]),
        ((T1C, T2), [(T1, "aldm", (T1C,)), (FLAIR, "aldm", (T1C,))]),
    ],
    ids=lambda value: "+".join(value) if value and isinstance(value[0], Contrast) else "",
)
def test_unasked_the_targets_are_those_of_t1_t2_and_flair(make_study, present, made):
    plan = make_plan(find_series(make_study(contrasts=present)))
    assert [(job.target, job.generator, job.sources) for job in plan.jobs] == made
    assert plan.not_made == (() if T1C in present else (T1C,))


def test_a_study_that_lacks_only_t1c_is_left_as_it_is(cli, make_study):
    folder = make_study(contrasts=(T1, T2, FLAIR))
    before = tree(folder)
    done = cli("fill", folder, "--weights", "builtin")
    assert (done.returncode, done.stdout) == (0, "")
    (line,) = done.stderr.splitlines()
    assert "t1c is missing and not made" in line and "--missing t1c" in line
    record = json.loads(cli("fill", folder, "--json").stdout)
    assert (record["status"], record["exit"]) == ("complete", 0)
    assert (record["missing"], record["not_made"], record["plan"]) == (["t1c"], ["t1c"], [])
    assert cli("fill", folder, "--dry-run").stdout == f"{folder}: nothing is made\n"
    scanned = cli("scan", folder)
    assert scanned.returncode == 0
    assert "t1c" in scanned.stdout and "--missing t1c" in scanned.stdout
    assert json.loads(cli("scan", folder, "--json").stdout)["not_made"] == ["t1c"]
    assert tree(folder) == before


def test_a_t1c_that_is_asked_for_says_what_it_cannot_show(cli, make_study, tiny_weights):
    folder = make_study(contrasts=(T1, T2, FLAIR))
    words = ("fill", folder, "--missing", "t1c", "--weights", tiny_weights[T1C], "--device", "cpu", "--json")
    done = cli(*words)
    assert done.returncode == 0, done.stderr
    assert f"warning: {CODE}: " in done.stderr
    record = json.loads(done.stdout)
    assert [warning["code"] for warning in record["warnings"]].count(CODE) == 1
    assert record["not_made"] == []
    assert any(text.startswith(CODE) for text in json.loads((folder / "case-t1c.json").read_text())["warnings"])
    again = json.loads(cli(*words).stdout)
    assert again["status"] == "skipped"
    assert CODE in [warning["code"] for warning in again["warnings"]]


def test_a_dicom_t1c_says_so_in_its_comment(cli, build, tiny_weights):
    for number, contrast in enumerate((T1, T2, FLAIR), 1):
        study = build(contrast, number=number).parent
    done = cli("fill", study, "--missing", "t1c", "--weights", tiny_weights[T1C], "--device", "cpu")
    assert done.returncode == 0, done.stderr
    comment = str(dcmread(next((study / "mrimpute_t1c").iterdir()), stop_before_pixels=True).ImageComments)
    assert comment.startswith("SYNTHETIC") and CODE in comment


def test_a_complete_case_tells_everything_to_ask_for(cli, make_study, tmp_path):
    folder = make_study(contrasts=(T1, T2))
    done = cli("fill", folder, "--layout", "brats23", "--out", tmp_path / "out", "--weights", "builtin")
    assert done.returncode == 3
    assert "--missing t1c --missing flair" in done.stderr
