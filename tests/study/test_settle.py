"""Several series of one contrast, and folders of several cases: what is chosen, what is asked."""

import json
from pathlib import Path

import pytest

from mrimpute.contrasts import Contrast
from mrimpute.study import identify
from tests.conftest import OBLIQUE, head_voxels, write_nifti

T1, T1C = Contrast.T1, Contrast.T1C


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    return write_nifti(tmp_path_factory.mktemp("image") / "i.nii.gz", head_voxels(T1, (20, 22, 18)), OBLIQUE)


@pytest.fixture
def exam(tmp_path, image):
    def make(*names: str, **sidecars: dict) -> Path:
        for name in names:
            (tmp_path / "exam").mkdir(exist_ok=True)
            (tmp_path / "exam" / f"{name}.nii.gz").hardlink_to(image)
        for name, content in sidecars.items():
            (tmp_path / "exam" / f"{name}.json").write_text(json.dumps(content))
        return tmp_path / "exam"

    return make


def picked(folder: Path) -> dict[str, str]:
    study = identify(folder)
    assert study.problems == ()
    return {str(item.contrast): item.path.name.removesuffix(".nii.gz") for item in study.series}


CHOSEN = {
    "the plane of the other sources": (
        ["1_T1_sag", "2_T2_ax", "3_FLAIR_ax", "5_T1_ax_gd", "6_T1_sag_gd"],
        {"t1": "1_T1_sag", "t1c": "5_T1_ax_gd", "t2": "2_T2_ax", "flair": "3_FLAIR_ax"},
    ),
    "3-D before the plane": (
        ["1_T1_ax_pre", "2_T2_ax", "3_T1_ax_gd", "4_T1_3D_sag_gd"],
        {"t1": "1_T1_ax_pre", "t1c": "4_T1_3D_sag_gd", "t2": "2_T2_ax"},
    ),
    "the later repeat": (["1_T2_ax", "2_T2_ax_repeat", "3_FLAIR_ax"], {"t2": "2_T2_ax_repeat", "flair": "3_FLAIR_ax"}),
    "a T1 that says native": (
        ["1_T1_ax", "2_T1_ax_pre", "3_T1_ax_post"],
        {"t1": "2_T1_ax_pre", "t1c": "3_T1_ax_post"},
    ),
    "not the T1 next to the agent": (
        ["1_T1_sag", "2_T2_ax", "3_FLAIR_ax", "4_T1_ax", "5_T1_ax_gd"],
        {"t1": "1_T1_sag", "t1c": "5_T1_ax_gd", "t2": "2_T2_ax", "flair": "3_FLAIR_ax"},
    ),
    "before the perfusion": (
        ["1_T1_ax", "2_T2_ax", "3_ep2d_perf", "4_T1_ax", "5_T1_cor"],
        {"t1": "1_T1_ax", "t2": "2_T2_ax"},
    ),
    "a CISS does no harm": (["1_T1_ax", "2_T2_ax", "3_t2_ci3d_tra"], {"t1": "1_T1_ax", "t2": "2_T2_ax"}),
    "a time point in every name": (["P1_post_T1", "P1_post_T2"], {"t1": "P1_post_T1", "t2": "P1_post_T2"}),
    "a subject in every name": (["Smith_T1", "Smith_T2"], {"t1": "Smith_T1", "t2": "Smith_T2"}),
    "series numbers behind a subject": (
        ["Smith_5_T1_MPRAGE", "Smith_6_FLAIR"],
        {"t1": "Smith_5_T1_MPRAGE", "flair": "Smith_6_FLAIR"},
    ),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_of_several_series_one_is_chosen_and_the_losers_are_told(exam, name):
    names, expected = CHOSEN[name]
    assert picked(exam(*names)) == expected


ASKED = {
    "two T1 and no word": ["1_T1_sag", "2_T1_ax", "3_T2_ax"],
    "a T1 after agent alone": ["1_T2_ax", "2_T1_ax_post", "3_T1_cor"],
    "agent in every name": ["CONTRAST_T1", "CONTRAST_T2"],
    "post behind every contrast": ["P_T1_post", "P_T2_post"],
    "two alike without order": ["a_T1_post", "a_T1_post_sag", "a_T1_post_cor"],
    "runs of one name": ["sub-01_run-1_T1w", "sub-01_run-2_T1w"],
}


@pytest.mark.parametrize("name", ASKED)
def test_in_doubt_a_question_is_asked_with_the_options_that_settle_it(exam, name):
    study = identify(exam(*ASKED[name]))
    assert study.problems
    assert study.problems[0].options[0].startswith("--t1")
    first = study.problems[0].options[0].split(" ", 1)
    settled = identify(study.folder, {Contrast(first[0][2:]): Path(first[1])})
    assert settled.problems == ()


@pytest.mark.parametrize("study", ["flair", "t1+t1c", "study_dir", "T2"])
def test_a_studys_own_name_in_front_of_its_files_tells_nothing_of_a_series(tmp_path, image, study):
    (tmp_path / study).mkdir()
    for word in ("t1n", "t1c", "t2w"):
        (tmp_path / study / f"{study}-{word}.nii.gz").hardlink_to(image)
    assert picked(tmp_path / study) == {"t1": f"{study}-t1n", "t1c": f"{study}-t1c", "t2": f"{study}-t2w"}
    assert identify(tmp_path / study).naming.stem(Contrast.FLAIR) == f"{study}-t2f"


SEVERAL = {
    "subjects": ["OPENMS-07-t1n", "OPENMS-19-t2w"],
    "dates": ["Smith_2019-03-01_T1", "Smith_2021-07-09_T2"],
    "names": ["anna_t1", "bert_flair"],
    "names behind": ["T1_Smith", "T2_Jones"],
    "other scripts": ["田中_T1", "鈴木_T2"],
    "letters": ["sub-A_501_T1", "sub-B_401_T2"],
    "time points": ["pat1_tp1_T1", "pat1_tp2_T2"],
    "visits": ["P01_V01_T1", "P01_V02_T2"],
    "operations": ["pre-op_T1", "post-op_T2"],
}


@pytest.mark.parametrize("name", SEVERAL)
def test_two_patients_or_visits_are_refused_and_both_named(exam, name):
    study = identify(exam(*SEVERAL[name]))
    assert study.series == ()
    assert all(stem in study.problems[0].text or stem.lower()[:5] in study.problems[0].text for stem in SEVERAL[name])


def test_sidecars_of_two_studies_are_refused_without_their_values(exam):
    one, other = ({"StudyInstanceUID": f"CANARY{number}"} for number in (1, 2))
    study = identify(exam("T1", "T2", T1=one, T2=other))
    assert "several studies" in study.problems[0].text
    assert "CANARY" not in str(study.problems)


def test_scan_shows_a_difficult_study_whole(exam, cli):
    folder = exam("1_SCOUT", "2_T2_ax", "3_T1_ax_post", "4_T1_sag_post", "5_T1_cor", "6_blob")
    done = cli("scan", folder, "--json")
    assert done.returncode == 3
    record = json.loads(done.stdout)
    assert [Path(item["path"]).name for item in record["inputs"]] == ["3_T1_ax_post.nii.gz", "2_T2_ax.nii.gz"]
    assert {Path(item["path"]).name[0] for item in record["set_aside"]} == {"1", "4"}
    open_ones = {Path(item["path"]).name[0]: item["may_be"] for item in record["unidentified"]}
    assert open_ones == {"5": ["t1", "t1c"], "6": []}
    assert record["problems"][0]["options"][0].startswith("--t1 ")
    assert record["error"]["code"] == "study-ambiguous"
    assert cli("fill", folder, "--dry-run").returncode == 3
    assert "question" in cli("scan", folder).stdout
    settled = cli("scan", folder, "--t1c", folder / "5_T1_cor.nii.gz", "--json")
    assert settled.returncode == 0, settled.stderr
    assert "error" not in json.loads(settled.stdout)


def test_scan_explains_every_rule_that_spoke(exam, cli):
    times = {"EchoTime": 0.1, "RepetitionTime": 5, "ScanningSequence": "SE", "SeriesDescription": "CANARY T2"}
    folder = exam("2_T2_ax", "3_T1_ax_post", **{"2_T2_ax": times})
    told = cli("scan", folder, "--explain", "2_T2_ax.nii.gz").stdout
    assert "'T2' in its name" in told
    assert "spin echo, long TR and TE" in told
    assert "CANARY" not in told
    assert cli("scan", folder, "--explain", "absent").returncode == 2
    assert "--json has the evidence" in cli("scan", folder, "--explain", "2_T2_ax.nii.gz", "--json").stderr
    assert cli("scan", folder, folder.parent, "--explain", "2_T2_ax.nii.gz").returncode == 2
