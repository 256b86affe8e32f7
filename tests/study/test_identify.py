"""One test per rule, and the vendors' odd cases."""

import json
from dataclasses import replace

import pytest

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyAmbiguous
from mrimpute.io.dicom.facts import Facts
from mrimpute.study import find_series
from mrimpute.study.judge import agent_evidence, agent_tells, evidence, judge, set_aside, texts_of

T1, T1C, T2, FLAIR, PD = Contrast.T1, Contrast.T1C, Contrast.T2, Contrast.FLAIR, Contrast.PD


def facts(words=("", "", "", ""), echo=None, repetition=None, inversion=None, sequence=(), **more):
    fields = {"modality": "MR", "family": "classic", "image_type": ("ORIGINAL", "PRIMARY", "M")} | more
    return Facts(words=tuple(words), echo=echo, repetition=repetition, inversion=inversion, sequence=sequence, **fields)


ASIDE = {
    "CT": (facts(modality="CT", family=""), "CT"),
    "no MR image": (facts(modality="PT", family=""), "no MR image"),
    "synthetic": (facts(synthetic=True), "synthetic"),
    "localizer type": (facts(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")), "a localizer"),
    "localizer word": (facts(["3-plane localizer", "", "", ""]), "a localizer"),
    "survey": (facts(["Survey_SHC", "", "", ""]), "a localizer"),
    "too few": (facts(), "4 slices only"),
    "MIP": (facts(image_type=("DERIVED", "PRIMARY", "MIP")), "a projection"),
    "ADC": (facts(image_type=("DERIVED", "PRIMARY", "DIFFUSION", "ADC")), "diffusion"),
    "trace": (facts(image_type=("DERIVED", "PRIMARY", "TRACEW")), "a diffusion map"),
    "reformat": (facts(image_type=("DERIVED", "PRIMARY", "MPR")), "a reformatted copy"),
    "capture": (facts(image_type=("DERIVED", "SECONDARY", "OTHER")), "computed from other series"),
    "b-value": (facts(b_value=1000.0), "b-value"),
    "dwi word": (facts(["ep2d_diff_3scan", "", "", ""]), "diffusion"),
    "perfusion type": (facts(image_type=("DERIVED", "PRIMARY", "ASL", "RCBF")), "perfusion"),
    "perfusion word": (facts(["DSC perfusion", "", "", ""]), "perfusion"),
    "phase": (facts(image_type=("ORIGINAL", "PRIMARY", "P", "NONE")), "a phase image"),
    "swi": (facts(["ax SWI", "", "", ""]), "susceptibility"),
    "angio": (facts(["TOF_3D_multi-slab", "", "", ""]), "angiography"),
    "fmri": (facts(["BOLD resting", "", "", ""]), "functional"),
    "T2 star": (facts(["AX T2* GRE", "", "", ""]), "susceptibility"),
    "a map": (facts(["T1 Map", "", "", ""]), "a map"),
    "a map by its end": (facts(image_type=("DERIVED", "PRIMARY", "VELOCITY_MAP")), "a map"),
    "highest of slices": (facts(image_type=("DERIVED", "PRIMARY", "VOLUME", "MAX_IP")), "a projection"),
    "ratio": (facts(image_type=("DERIVED", "PRIMARY", "VOLUME", "DIVISION")), "computed from other series"),
    "stir type": (facts(image_type=("ORIGINAL", "PRIMARY", "STIR", "NONE")), "STIR"),
    "transfer": (facts(["T1 tra", "", "", ""], sequence=("SE", "SK", "MTC")), "magnetisation transfer"),
    "sodium": (facts(["T1 tra", "", "", ""], nucleus="23NA"), "another nucleus"),
    "flip angle map": (facts(["T1 tra", "", "", "tfl_b1map"]), "a field map"),
    "stir word": (facts(["cor STIR", "", "", ""]), "STIR"),
}


@pytest.mark.parametrize("name", ASIDE)
def test_what_is_no_source_is_set_aside(name):
    given, told = ASIDE[name]
    assert told in set_aside(given, 4 if name == "too few" else 100, 5)


def test_an_original_reformat_and_an_ordinary_series_stay():
    assert set_aside(facts(image_type=("ORIGINAL", "PRIMARY", "MPR")), 20, 5) is None  # GE writes that
    assert set_aside(facts(), 20, 5) is None
    assert set_aside(facts(b_value=0.0), 20, 5) is None  # Philips states 0 everywhere


MADE = {
    "flair by times": (facts(echo=120, repetition=9000, inversion=2500, sequence=("SE", "IR")), FLAIR, 0.95),
    "3-D flair": (facts(echo=394, repetition=6000, inversion=2200, sequence=("SE", "IR")), FLAIR, 0.95),
    "philips 3-D flair, IR alone": (facts(echo=387, repetition=4800, inversion=1650, sequence=("IR",)), FLAIR, 0.95),
    "t1 flair by times": (facts(echo=23, repetition=2100, inversion=1800, sequence=("SE", "IR")), T1, 0.85),
    "mprage by times": (facts(echo=3, repetition=2300, inversion=900, sequence=("GR", "IR")), T1, 0.95),
    "gradient echo": (facts(["T1 FFE", "", "", ""], echo=2.5, repetition=250, sequence=("GR",)), T1, 0.85),
    "memprage without TI": (facts(echo=1.7, repetition=2530, sequence=("GR", "IR")), T1, 0.85),
    "spin echo t1": (facts(echo=12, repetition=500, sequence=("SE",)), T1, 0.85),
    "spin echo t2": (facts(echo=98, repetition=4500, sequence=("SE",)), T2, 0.85),
    "spin echo pd": (facts(echo=22, repetition=2300, sequence=("SE",)), PD, 0.8),
    "siemens tfl": (facts(["", "", "", "*tfl3d1_16ns"]), T1, 0.85),
    "siemens spcir": (facts(["", "", "*spcir_242ns", ""]), FLAIR, 0.85),
    "siemens space": (facts(["", "", "*spc_282ns", ""]), T2, 0.85),
    "ge bravo": (facts(["", "", "BRAVO", ""]), T1, 0.85),
    "ge cube flair": (facts(["", "", "CubeT2FLAIR", ""]), FLAIR, 0.85),
    "t2 flair in words": (facts(["AX T2 FLAIR", "", "", ""]), FLAIR, 0.8),
    "dark fluid": (facts(["t2_tirm_tra_dark-fluid", "", "", ""]), FLAIR, 0.8),
    "t1 dark fluid": (
        facts(
            ["t1_tirm_tra_dark-fluid", "", "*tir2d1_11", ""],
            echo=9.4,
            repetition=2000,
            inversion=860,
            sequence=("SE", "IR"),
        ),
        T1,
        0.85,
    ),
    "t1 flair in any order": (facts(["SAG FLAIR T1", "", "", ""]), T1, 0.8),
    "t1 flair in words": (facts(["AX T1 FLAIR", "", "", ""]), T1, 0.8),
    "t1": (facts(["t1_se_tra", "", "", ""]), T1, 0.8),
    "t2": (facts(["", "T2 TSE ax", "", ""]), T2, 0.8),
    "pd": (facts(["FSE PD AXIAL OBL", "", "", ""]), PD, 0.8),
}


@pytest.mark.parametrize("name", MADE)
def test_each_rule_names_its_contrast(name):
    given, contrast, confidence = MADE[name]
    first = evidence(given)[0]
    assert (first.contrast, first.confidence) == (contrast, confidence)


@pytest.mark.parametrize(
    "given",
    [
        facts(echo=60, repetition=4000, inversion=150, sequence=("SE", "IR")),  # STIR
        facts(echo=20, repetition=600, sequence=("GR",)),  # T2*
    ],
)
def test_times_can_say_that_it_is_no_source(given):
    assert evidence(given)[0].contrast is None


def test_between_the_rules_the_times_are_silent_and_words_decide():
    assert evidence(facts(echo=50, repetition=1500, sequence=("SE",))) == []
    assert evidence(facts(["T2 ax", "", "", ""], echo=50, repetition=1500, sequence=("SE",)))[0].contrast is T2
    assert evidence(facts(["Serie 5", "", "", ""])) == []
    assert evidence(facts(["PD/T2 dual", "", "", ""])) == []  # a double echo: only the times can tell


AGENTS = {
    "named": (facts(agent="gadovist"), True, [T1C]),
    "named everywhere": (facts(agent="gadovist"), False, []),
    "named, but the name says pre": (facts(["T1 PRE", "", "", ""], agent="gadovist"), True, [T1]),
    "denied": (facts(agent="none"), True, [T1]),
    "given": (facts(agent_given=True), True, [T1C]),
    "post": (facts(["T1 SE post", "", "", ""]), False, [T1C]),
    "+C": (facts(["AX T1+C", "", "", ""]), False, [T1C]),
    "C+": (facts(["AX T1 C+", "", "", ""]), False, [T1C]),
    "postcontrast": (facts(["T1 POSTCONTRAST", "", "", ""]), False, [T1C]),
    "t1gd": (facts(["T1GD", "", "", ""]), False, [T1C]),
    "postGd": (facts(["t1_mprage_postGd", "", "", ""]), False, [T1C]),
    "kontrast": (facts(["T1 Kontrast", "", "", ""]), False, [T1C]),
    "avec": (facts(["T1 AVEC CONTRASTE", "", "", ""]), False, [T1C]),
    "t1c": (facts(["T1C ax", "", "", ""]), False, [T1C]),
    "post fossa": (facts(["T1 POST FOSSA", "", "", ""]), False, []),
    "post op": (facts(["T1 POST OP", "", "", ""]), False, []),
    "gd pre op": (facts(["T1 MPRAGE GD PRE OP", "", "", ""]), False, [T1C]),
    "weighted": (facts(["T1 W TSE", "", "", ""]), False, []),
    "both in the protocol": (facts(["AX T1", "BRAIN WITH AND WITHOUT CONTRAST", "", ""]), False, []),
    "description before protocol": (facts(["AX T1 POST", "BRAIN W/O & W/ CONTRAST", "", ""]), False, [T1C]),
    "protocol alone": (facts(["AX T1", "BRAIN POST CONTRAST", "", ""]), False, [T1C]),
    "both in the description": (facts(["T1 PRE AND POST GD", "", "", ""]), False, []),
    "denied in other words": (facts(agent="no contrast"), True, [T1]),
    "denied by n/a": (facts(agent="n/a"), True, [T1]),
    "left open": (facts(agent="unknown"), True, []),
    "drunk": (facts(agent="oral contrast"), True, []),
    "+Gd": (facts(["t1_mprage_+Gd", "", "", ""]), False, [T1C]),
    "km": (facts(["t1_mpr_KM", "", "", ""]), False, [T1C]),
    "pre before post": (facts(["T1 pre contrast", "", "", ""]), False, [T1]),
    "without": (facts(["T1 without contrast", "", "", ""]), False, [T1]),
    "-C": (facts(["AX T1 -C", "", "", ""]), False, [T1]),
    "nativ": (facts(["t1 nativ", "", "", ""]), False, [T1]),
    "ohne": (facts(["t1 ohne KM", "", "", ""]), False, [T1]),
    "sans": (facts(["T1 sans gado", "", "", ""]), False, [T1]),
    "silent": (facts(["T1 SE", "", "", ""]), True, []),
}


@pytest.mark.parametrize("name", AGENTS)
def test_a_contrast_agent_is_told_from_its_tags_and_words(name):
    given, tells, expected = AGENTS[name]
    said = agent_evidence(
        given if tells else replace(given, agent=given.agent * (given.agent[:1] == "n")), texts_of(given)
    )
    assert sorted({item.contrast for item in said}) == sorted(expected)


def test_an_agent_on_every_series_says_nothing():
    assert not agent_tells([facts(agent="gadovist"), facts(agent="gadovist")])
    assert agent_tells([facts(agent="gadovist"), facts()])
    assert not agent_tells([facts(agent="no"), facts()])


def test_a_study_of_five_is_told_apart_and_explained(build, cli):
    for number, contrast in enumerate((T1, T1C, T2, FLAIR, PD), 1):
        folder = build(contrast, number=number)
    done = cli("scan", folder.parent, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [item["modality"] for item in record["inputs"]] == ["t1", "t1c", "t2", "flair", "pd"]
    assert all(item["evidence"] for item in record["inputs"])
    assert record["missing"] == []


def test_an_inversion_recovery_without_its_time_is_no_t2():
    assert evidence(facts(echo=125, repetition=9000, sequence=("SE", "IR"))) == []
    silent = facts(["AX FLAIR", "", "", ""], echo=125, repetition=9000, sequence=("SE", "IR"))
    assert [item.contrast for item in evidence(silent)] == [FLAIR]


def test_a_t1_by_times_is_not_a_t2_by_its_sequence_name():
    given = facts(["", "", "*spc_282ns", ""], echo=12, repetition=700, sequence=("SE",))
    assert [item.contrast for item in evidence(given)] == [T1]


def test_a_whole_examinations_name_sets_no_series_aside():
    assert set_aside(facts(["t1_mpr_sag_p2_iso", "BRAIN SCREEN", "", ""]), 100, 5) is None
    assert set_aside(facts(["T1 post perfusion", "Brain DTI", "", ""]), 100, 5) is None


def test_reasons_hold_words_of_our_own_only():
    given = facts(
        ["CANARY t1 CANARY", "", "tfl canary ir", ""], echo=3, repetition=2300, inversion=900, sequence=("GR",)
    )
    told = " ".join(item.reason for item in evidence(given))
    assert "canary" not in told.lower()
    assert "2300" not in told


def test_words_against_times_are_named_both_and_can_be_settled(build):
    build(T1, number=2)
    build(T2, number=3)
    odd = build(T1, "odd", lambda data, _index: setattr(data, "SeriesDescription", "T2 ax"), number=4)
    with pytest.raises(StudyAmbiguous, match=r"spin echo, short TR and TE says t1, but t2 by its description"):
        find_series(odd.parent)
    study = find_series(odd.parent, {T1: odd.parent / "t1", T2: odd.parent / "t2"})
    assert study.present == (T1, T2)
    assert any("named by the user" in item.reason for item in study.set_aside)


def test_two_visits_or_patients_are_never_mixed(build):
    build(T1)
    folder = build(T2, change=lambda data, _index: setattr(data, "PatientID", "another"), number=2)
    with pytest.raises(StudyAmbiguous, match="DICOM series of 2 patients"):
        find_series(folder.parent)
    folder = build(T2, change=lambda data, _index: setattr(data, "StudyInstanceUID", "1.2.3"), number=2)
    with pytest.raises(StudyAmbiguous, match="DICOM series of 2 studies"):
        find_series(folder.parent)


def test_a_converted_series_of_ours_is_not_taken_for_acquired(make_study):
    study = make_study(contrasts=(T1, FLAIR))
    (study / "case-t2f.json").write_text(json.dumps({"ImageType": ["DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"]}))
    assert find_series(study).present == (T1,)


def test_nifti_beside_dicom_folders_is_told(make_study, build):
    build(FLAIR, "flair", root="case")
    series = find_series(make_study("case")).series
    assert any("DICOM files too" in warning for item in series for warning in item.warnings)


def test_a_denied_agent_against_post_is_named_both(build):
    build(T2, number=2)
    folder = build(T1C, change=lambda data, _index: setattr(data, "ContrastBolusAgent", "none"))
    with pytest.raises(StudyAmbiguous, match="no contrast agent was given"):
        find_series(folder.parent)


def test_of_two_alike_the_thinner_the_3d_and_the_later_repeat_are_preferred(build):
    def thick(data, index):
        data.SliceThickness = 3.0
        first = [-20.0, -25.0, 5.0]
        data.ImagePositionPatient = [f + 2 * (p - f) for p, f in zip(data.ImagePositionPatient, first, strict=True)]

    build(T2, "thick", thick)
    folder = build(T2, "thin", number=2)
    study = find_series(folder.parent)
    assert study.get(T2).path.parent.name == "thin"
    assert "thinner" in study.set_aside[0].reason
    build(T2, "3d", lambda data, _index: setattr(data, "MRAcquisitionType", "3D"), number=3)
    assert find_series(folder.parent).get(T2).path.parent.name == "3d"


def test_two_t1_are_told_apart_by_the_agent_or_not_at_all(build):
    def volumetric(data, _index):
        data.MRAcquisitionType = "3D"

    build(T1, "flat")
    folder = build(T1, "volume", volumetric, number=2)
    with pytest.raises(StudyAmbiguous, match="nothing tells which one has a contrast agent"):
        find_series(folder.parent)
    build(T1C, number=3)
    study = find_series(folder.parent)  # now the one with agent is known
    assert study.get(T1).path.parent.name == "volume"
    assert study.get(T1C).path.parent.name == "t1c"


def test_a_repeat_is_taken_and_two_equal_ones_are_not_chosen_between(build):
    def at(time):
        def change(data, _index):
            data.AcquisitionDate, data.AcquisitionTime = "20260101", time

        return change

    build(FLAIR, "first", at("101010"))
    folder = build(FLAIR, "again", at("102030"), number=2)
    assert find_series(folder.parent).get(FLAIR).path.parent.name == "again"
    build(T2, "one", at("111111"), number=3)
    build(T2, "two", at("111111"), number=4)
    with pytest.raises(StudyAmbiguous, match="t2 found twice"):
        find_series(folder.parent)
    assert find_series(folder.parent, {T2: folder.parent / "two"}).get(T2).path.parent.name == "two"


def test_the_synthetic_mark_is_seen_and_refused_as_a_source(build):
    folder = build(T1, change=lambda data, _index: setattr(data, "SyntheticData", "YES"))
    study = find_series(folder.parent)
    assert study.present == ()
    assert "synthetic" in study.set_aside[0].reason


def test_two_reconstructions_of_one_scan_must_be_chosen_between(shared):
    folder = shared / "data" / "dicom" / "siemens-xa30-enhanced"
    with pytest.raises(StudyAmbiguous, match="t1 found twice"):
        find_series(folder)
    chosen = find_series(folder, {T1: folder / "5_anat-T1w_acq-tfl"})
    assert chosen.get(T1).grid.shape == (128, 128, 96)
    reasons = " ".join(item.reason for item in chosen.set_aside)
    for word in ("diffusion", "perfusion", "a phase image", "without an image", "overruled"):
        assert word in reasons


@pytest.mark.parametrize(("of_others", "left_out"), [("HEAD", True), ("CSPINE", False)])
def test_a_spine_is_left_out_by_its_header_where_a_head_is_beside_it(build, of_others, left_out):
    for number, (contrast, part) in enumerate(((T1, of_others), (FLAIR, of_others), (T2, "CSPINE")), 1):
        folder = build(
            contrast, number=number, change=lambda data, _, part=part: setattr(data, "BodyPartExamined", part)
        )
    study = find_series(folder.parent)
    assert (T2 not in study.present) is left_out
    assert any(item.reason == "another part of the body (by its header)" for item in study.set_aside) is left_out


def test_a_body_part_is_not_heard_against_a_word_for_the_head():
    spine = facts(["T2 tra", "", "", ""], body="cspine", echo=100, repetition=5000, sequence=("SE",))
    assert judge(spine).aside
    assert judge(replace(spine, words=("t2 tra head", "", "", ""))).contrast is T2
    assert judge(replace(spine, words=("flair tra", "", "", ""), sequence=("SE", "IR"))).contrast is FLAIR
