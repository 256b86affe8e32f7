"""The verdict: its rules, its ranges, and what the command line makes of it."""

import json
from functools import partial

import jsonschema
import pytest

from mrimpute.calibration import FRAME, Site, builtin_site
from mrimpute.calibration.learn import learn
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.prepare import prepare
from mrimpute.registry import BUILTIN_FOLDER
from mrimpute.selfcheck import Evidence, judge
from mrimpute.selfcheck.judge import RULES
from mrimpute.selfcheck.ranges import package_is_measured, with_ranges
from mrimpute.selfcheck.run import figures_in
from mrimpute.study import find_series
from mrimpute.write.verdict import Figure, Range, Verdict, recorded
from tests.calibration.conftest import write_study
from tests.conftest import tree

T1, T1C, T2, FLAIR = BRATS_FOUR
CARDS = BUILTIN_FOLDER / "README.md"
HELD = Range(low=15, high=18)
KNOWN = {"scanner": "known", "naming_gap": 0.0}


def informed(found, lowest=0.05):
    """A fit in the sidecar's words: how much two series tell of each other."""
    return {"mutual_information": [{"between": ["t1", "t2"], "found": found, "lowest": lowest, "studies": 4}]}


def figure(psnr=16.0, ssim=0.8, sharpness=0.6, studies=3):
    ranges = {"psnr_range": HELD, "ssim_range": Range(low=0.7, high=0.9), "sharpness_range": Range(low=0.5, high=1)}
    return Figure(contrast=T1, sources=(T2,), psnr_db=psnr, ssim=ssim, sharpness=sharpness, studies=studies, **ranges)


@pytest.mark.parametrize(
    ("evidence", "word", "told"),
    [
        (Evidence((figure(),), KNOWN), "as expected", ""),
        (Evidence((figure(psnr=14.1),), KNOWN), "as expected", ""),  # within the margin
        (Evidence((figure(psnr=13.9),), KNOWN), "look at it", "PSNR 13.9 dB, held-out studies 15 to 18 (n = 3)"),
        (Evidence((figure(psnr=20),), KNOWN), "as expected", ""),  # better than ever is no fault
        (Evidence((figure(ssim=0.6),), KNOWN), "look at it", "SSIM 0.60"),
        (Evidence((figure(sharpness=0.3),), KNOWN), "look at it", "sharpness 0.30"),
        (Evidence((figure(sharpness=1.4),), KNOWN), "look at it", "sharpness 1.40"),
        (Evidence((figure(psnr=5),), KNOWN), "look at it", "n = 3"),  # few studies never give more
        (Evidence((figure(psnr=11.9, studies=5),), KNOWN), "do not use", "n = 5"),
        (Evidence((figure(psnr=12.1, studies=5),), KNOWN), "look at it", "n = 5"),
        (Evidence((figure(),), {"scanner": "foreign", "naming_gap": 0.0}), "look at it", "foreign"),
        (Evidence((figure(),), {"scanner": "like training", "naming_gap": 0.0}), "as expected", ""),
        (Evidence((figure(),), {"scanner": "known", "naming_gap": 0.2}), "look at it", "0.20, over 0.15"),
        (Evidence((figure(),), KNOWN | informed(0.06)), "as expected", ""),
        (Evidence((figure(),), KNOWN | informed(0.0425)), "as expected", ""),
        (Evidence((figure(),), KNOWN | informed(0.03)), "look at it", "t1 and t2 tell too little of each other"),
        (
            Evidence((figure(),), informed(0.03)),
            "look at it",
            "0.030, lowest of the calibration's studies 0.050, n = 4",
        ),
        (Evidence((figure(),), informed(0.03), unjudged="two series"), "not judged", "t1 and t2 tell too little"),
        (Evidence((figure(),), None, black=0.6), "do not use", "60% of the head"),
        (Evidence(unjudged="two series"), "not judged", "two series"),
        (Evidence(unjudged="two series", black=0.6), "do not use", "two series"),
        (Evidence((figure(),), {"scanner": "foreign", "naming_gap": 0.0}, 0, "no range"), "not judged", "foreign"),
    ],
)
def test_the_first_rule_that_holds_gives_the_word_and_all_give_reasons(evidence, word, told):
    verdict = judge(evidence)
    assert verdict.word == word
    assert told in verdict.text
    assert bool(verdict.reasons) == (word != "as expected")
    assert recorded({"verdict": verdict.model_dump(mode="json")}) == verdict


def test_a_sidecar_without_a_readable_verdict_says_so():
    for held in ({}, {"verdict": None}, {"verdict": {"word": "fine"}}, {"verdict": 3}):
        assert recorded(held).word == "not judged"
        assert "holds no verdict" in recorded(held).text


def test_the_words_come_in_the_order_of_weight():
    assert [rule.word for rule in RULES] == ["do not use"] * 2 + ["not judged"] + ["look at it"] * 4 + ["as expected"]


def test_the_table_in_the_model_cards_is_the_table_in_the_code():
    rows = [line for line in CARDS.read_text().splitlines() if line.startswith("| ")]
    start = rows.index("| verdict | where |") + 2
    assert rows[start : start + len(RULES)] == [f"| {rule.word} | {rule.title} |" for rule in RULES]


def test_the_shipped_ranges_are_of_the_shipped_regressions_and_cover_every_three_and_four_series():
    assert package_is_measured()
    for target in BRATS_FOUR:
        others = [one for one in BRATS_FOUR if one is not target]
        sets = [others, *([one for one in others if one is not left] for left in others)]
        for sources in sets:
            bare = Figure(contrast=target, sources=tuple(sources), psnr_db=1, ssim=0, sharpness=1)
            told = with_ranges(bare, builtin_site().plain, ())
            assert told.studies == 3 and told.psnr_range.low < told.psnr_range.high < 25
            assert told.sharpness_range.low > 0.1 and told.ssim_range.high <= 1


def measured(folder, site):
    study = find_series(folder)
    volumes = {one: study.get(one).read() for one in study.present}
    return figures_in(prepare(volumes, FRAME), site, [volume.voxel_digest for volume in volumes.values()])


def test_a_calibration_gives_ranges_of_its_own_studies_and_tells_another_scanner(tmp_path):
    write = partial(write_study, tmp_path)
    site = learn([write("ann", 0), write("bob", 1), write("cyd", 2)], "site").site
    own = measured(write("dan", 3), site)
    other = measured(write("eve", 4, scanner="old"), site)
    assert len(own) == len(other) == 4
    assert {one.studies for one in own} == {3}
    assert judge(Evidence(own)).word == "as expected"
    assert judge(Evidence(other)).word == "look at it"
    assert "PSNR" in judge(Evidence(other)).text and "SSIM" not in judge(Evidence(other)).text
    alone = measured(tmp_path / "dan", Site("one", site.studies[:1]))
    assert all(one.psnr_range is None and one.psnr_db > 10 for one in alone)


def test_a_study_is_no_yardstick_of_itself(tmp_path):
    write = partial(write_study, tmp_path)
    learnt = learn([write("ann", 0), write("bob", 1), write("cyd", 2)], "site")
    own = measured(learnt.used[0], learnt.site)
    assert {one.studies for one in own} == {2}
    assert own == measured(learnt.used[0], Site("others", learnt.site.studies[1:]))
    two = Site("two", learnt.site.studies[:2])
    assert {one.psnr_range for one in measured(learnt.used[0], two)} == {None}  # one other gives no range


def test_a_required_verdict_that_is_not_there_ends_with_7_and_the_image_stands(cli, make_study, tiny_weights):
    folder = make_study()
    words = ("fill", folder, "--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu")
    done = cli(*words, "--require", "as-expected", "--json")
    assert done.returncode == 7
    record = json.loads(done.stdout)
    jsonschema.validate(record, json.loads(cli("fill", "--json-schema").stdout))
    assert (record["status"], record["exit"], record["error"]) == ("filled", 7, None)
    verdict = record["outputs"][0]["verdict"]
    assert verdict["word"] == "not judged" and "less than 0.3" in verdict["reasons"][0]
    assert "verdict: not judged (the head has" in done.stderr
    assert "as expected is required, and the verdict is another; it was written" in done.stderr
    sidecar = json.loads((folder / "case-t2f.json").read_text())
    assert Verdict.model_validate(sidecar["verdict"]).model_dump(mode="json") == verdict
    before = tree(folder)
    again = cli(*words, "--require", "as-expected")
    assert again.returncode == 7 and tree(folder) == before  # skipped, by the verdict of its sidecar
    assert cli(*words).returncode == 0
    mixed = cli(*words, make_study("full", BRATS_FOUR), "--require", "as-expected")
    assert mixed.returncode == 8  # nothing to make there: 0


def test_without_the_self_check_there_is_no_verdict_and_none_can_be_required(cli, make_study, tiny_weights):
    folder = make_study()
    words = ("fill", folder, "--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu")
    refused = cli(*words, "--no-self-check", "--require", "as-expected")
    assert refused.returncode == 2 and "--require needs the verdict" in refused.stderr
    done = cli(*words, "--no-self-check", "--json")
    assert done.returncode == 0 and "verdict" not in done.stderr
    assert json.loads(done.stdout)["outputs"][0]["verdict"] is None
