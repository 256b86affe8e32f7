"""Whole exams of many clinics, each with the series that a careful reader would take, ask about or refuse.

They were written before the code read them, as examples of kinds. No name is a patient's.
"""

from pathlib import Path

import pytest

from mrimpute.study import identify
from tests.conftest import OBLIQUE, head_voxels, write_nifti


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    return write_nifti(tmp_path_factory.mktemp("image") / "i.nii.gz", head_voxels("t1", (20, 22, 18)), OBLIQUE)


ACCEPTED = {
    "ru tumour": (
        ["2_T2_tra", "3_FLAIR_tra", "4_ДВИ_b1000", "5_Т1_до_КУ_tra", "6_Т1_после_КУ_tra", "7_Т1_после_КУ_sag"],
        {"t1": "5_Т1_до_КУ_tra", "t1c": "6_Т1_после_КУ_tra", "t2": "2_T2_tra", "flair": "3_FLAIR_tra"},
    ),
    "ru no native words": (
        ["2_Т2_tra", "3_FLAIR_tra", "5_Т1_tra", "6_Т1_с_контрастным_усилением_tra"],
        {"t1": "5_Т1_tra", "t1c": "6_Т1_с_контрастным_усилением_tra", "t2": "2_Т2_tra", "flair": "3_FLAIR_tra"},
    ),
    "de tumour 2d3d": (
        [
            "1_localizer",
            "2_t1_se_tra_nativ",
            "3_t2_tse_tra",
            "4_t2_tirm_tra_dark-fluid",
            "5_ep2d_diff_ADC",
            "6_ep2d_perf",
            "7_t1_se_tra_KM",
            "8_t1_se_cor_KM",
            "9_t1_mprage_sag_iso_KM",
            "10_t1_mprage_MPR_tra",
        ],
        {
            "t1": "2_t1_se_tra_nativ",
            "t1c": "9_t1_mprage_sag_iso_KM",
            "t2": "3_t2_tse_tra",
            "flair": "4_t2_tirm_tra_dark-fluid",
        },
    ),
    "us tumour 3d pre post": (
        [
            "2_SAG_T1",
            "3_AX_DWI",
            "4_AX_T2",
            "5_AX_T2_FLAIR",
            "6_AX_GRE",
            "7_3D_AX_BRAVO_PRE",
            "8_AX_PERFUSION",
            "9_3D_AX_BRAVO_POST",
            "10_COR_T1_FS_POST",
        ],
        {"t1": "7_3D_AX_BRAVO_PRE", "t1c": "9_3D_AX_BRAVO_POST", "t2": "4_AX_T2", "flair": "5_AX_T2_FLAIR"},
    ),
    "us post only 3d": (
        ["2_SAG_T1", "3_AX_T1", "4_AX_T2", "5_AX_FLAIR", "6_AX_T1_POST", "7_SAG_MPRAGE_POST"],
        {"t1": "3_AX_T1", "t1c": "7_SAG_MPRAGE_POST", "t2": "4_AX_T2", "flair": "5_AX_FLAIR"},
    ),
    "stroke": (
        ["2_dwi_trace", "3_dwi_adc", "4_FLAIR_tra", "5_T2star_tra", "6_tof", "7_T1_tra"],
        {"t1": "7_T1_tra", "flair": "4_FLAIR_tra"},
    ),
    "ms follow-up": (
        ["FU2_3D_FLAIR", "FU2_T2_tra", "FU2_T1_3D_Gd", "FU2_PD_tra"],
        {"t1c": "FU2_T1_3D_Gd", "t2": "FU2_T2_tra", "flair": "FU2_3D_FLAIR", "pd": "FU2_PD_tra"},
    ),
    "ms nordic": (
        ["101_3D_FLAIR_sag", "201_T2W_TSE_tra", "301_T1W_3D_uten_kontrast", "401_T1W_3D_med_kontrast"],
        {
            "t1": "301_T1W_3D_uten_kontrast",
            "t1c": "401_T1W_3D_med_kontrast",
            "t2": "201_T2W_TSE_tra",
            "flair": "101_3D_FLAIR_sag",
        },
    ),
    "epilepsy": (
        ["2_t1_mprage_sag_iso", "3_t2_space_da-fl_sag", "4_t2_tse_cor_hippo", "5_t2_tse_tra", "6_swi", "7_ASL"],
        {"t1": "2_t1_mprage_sag_iso", "flair": "3_t2_space_da-fl_sag"},
    ),
    "paediatric sedation": (
        ["3_T1_IR_TSE_tra", "4_T2_TSE_tra", "5_FLAIR_tra", "6_DTI_32", "7_T2_TSE_sag", "9_MRS"],
        {"t1": "3_T1_IR_TSE_tra", "t2": "4_T2_TSE_tra", "flair": "5_FLAIR_tra"},
    ),
    "postop silent": (
        ["2_T1_tra_postop", "3_T2_tra_postop", "4_FLAIR_tra_postop", "6_T1_tra_postop_KM"],
        {"t1": "2_T1_tra_postop", "t1c": "6_T1_tra_postop_KM", "t2": "3_T2_tra_postop", "flair": "4_FLAIR_tra_postop"},
    ),
    "dixon": (
        [
            "2_t1_vibe_dixon_tra_W",
            "3_t1_vibe_dixon_tra_F",
            "4_t1_vibe_dixon_tra_in",
            "5_t2_tse_tra",
            "6_flair_tra",
            "7_t1_se_tra",
        ],
        {"t1": "7_t1_se_tra", "t2": "5_t2_tse_tra", "flair": "6_flair_tra"},
    ),
    "subtraction": (
        ["2_T1_tra", "3_T1_tra_KM", "4_T1_tra_SUB", "5_T2_tra"],
        {"t1": "2_T1_tra", "t1c": "3_T1_tra_KM", "t2": "5_T2_tra"},
    ),
    "repeat motion": (
        ["2_T1_tra", "3_T2_tra_motion", "4_T2_tra_rpt", "5_FLAIR_tra"],
        {"t1": "2_T1_tra", "t2": "4_T2_tra_rpt", "flair": "5_FLAIR_tra"},
    ),
    "post op word vs pre": (["3_T1_pre", "4_T1_post", "5_T2"], {"t1": "3_T1_pre", "t1c": "4_T1_post", "t2": "5_T2"}),
    "PRE stands once and POST once, others silent": (
        ["2_T1_sag", "4_T1_ax_PRE", "5_T2_ax", "6_FLAIR_ax", "8_T1_ax_POST", "9_T1_cor", "10_T1_sag"],
        {"t1": "4_T1_ax_PRE", "t1c": "8_T1_ax_POST", "t2": "5_T2_ax", "flair": "6_FLAIR_ax"},
    ),
    "es": (
        ["2_T1_SAG", "3_T2_AX", "4_FLAIR_AX", "5_T1_AX_S_CONTRASTE", "6_T1_AX_C_CONTRASTE"],
        {"t1": "5_T1_AX_S_CONTRASTE", "t1c": "6_T1_AX_C_CONTRASTE", "t2": "3_T2_AX", "flair": "4_FLAIR_AX"},
    ),
    "jp": (
        ["2_T1強調_axial", "3_T2強調_axial", "4_FLAIR_axial", "6_造影T1_axial"],
        {"t1": "2_T1強調_axial", "t1c": "6_造影T1_axial", "t2": "3_T2強調_axial", "flair": "4_FLAIR_axial"},
    ),
    "cn": (
        ["2_T1WI_轴位", "3_T2WI_轴位", "4_T2_FLAIR_轴位", "6_T1WI+C_轴位"],
        {"t1": "2_T1WI_轴位", "t1c": "6_T1WI+C_轴位", "t2": "3_T2WI_轴位", "flair": "4_T2_FLAIR_轴位"},
    ),
    "kr": (
        ["2_AX_T1", "3_AX_T2", "4_AX_FLAIR", "6_AX_T1_조영후"],
        {"t1": "2_AX_T1", "t1c": "6_AX_T1_조영후", "t2": "3_AX_T2", "flair": "4_AX_FLAIR"},
    ),
    "tr": (
        ["2_T1_TRA", "3_T2_TRA", "4_FLAIR_TRA", "5_T1_TRA_IVKM"],
        {"t1": "2_T1_TRA", "t1c": "5_T1_TRA_IVKM", "t2": "3_T2_TRA", "flair": "4_FLAIR_TRA"},
    ),
    "cz": (
        ["2_T1_tra_před_KL", "3_T2_tra", "4_FLAIR_tra", "5_T1_tra_po_KL"],
        {"t1": "2_T1_tra_před_KL", "t1c": "5_T1_tra_po_KL", "t2": "3_T2_tra", "flair": "4_FLAIR_tra"},
    ),
    "pl": (
        ["2_T1_TRA", "3_T2_TRA", "4_FLAIR", "5_T1_TRA_po_srodku_kontrastowym"],
        {"t1": "2_T1_TRA", "t1c": "5_T1_TRA_po_srodku_kontrastowym", "t2": "3_T2_TRA", "flair": "4_FLAIR"},
    ),
    "brats pipeline": (
        ["P7_t1_bet_reg_n4", "P7_t1ce_bet_reg_n4", "P7_t2_bet_reg_n4", "P7_flair_bet_reg_n4", "P7_brainmask", "P7_seg"],
        {
            "t1": "P7_t1_bet_reg_n4",
            "t1c": "P7_t1ce_bet_reg_n4",
            "t2": "P7_t2_bet_reg_n4",
            "flair": "P7_flair_bet_reg_n4",
        },
    ),
    "weird suffix common": (
        ["T1_xyzpipeline", "T2_xyzpipeline", "FLAIR_xyzpipeline"],
        {"t1": "T1_xyzpipeline", "t2": "T2_xyzpipeline", "flair": "FLAIR_xyzpipeline"},
    ),
    "dynamic pituitary": (
        ["2_T1_sag", "3_T1_cor", "4_T2_cor", "5_T1_cor_DYN", "6_T1_cor_C", "7_T1_sag_C"],
        {"t1": "3_T1_cor", "t1c": "6_T1_cor_C", "t2": "4_T2_cor"},
    ),
    "spine with brain": (
        ["2_T1_sag_cspine", "3_T2_sag_cspine", "4_T1_ax_brain", "5_T2_ax_brain", "6_FLAIR_ax"],
        {"t1": "4_T1_ax_brain", "t2": "5_T2_ax_brain", "flair": "6_FLAIR_ax"},
    ),
}
ASKED_EXAMS = {
    "agent never named": ["2_T1_sag", "3_T2_ax", "4_FLAIR_ax", "7_T1_ax", "8_T1_cor"],
    "agent in unknown word": ["2_T2_ax", "4_FLAIR_ax", "7_T1_ax_zvyrazneni"],
    "all names say gado (exam)": [
        "2_BRAIN_GADO_T1_sag",
        "3_BRAIN_GADO_T2_ax",
        "4_BRAIN_GADO_FLAIR",
        "6_BRAIN_GADO_T1_ax",
    ],
    "only t1 unmarked with perfusion": ["2_T2_ax", "3_FLAIR", "4_ep2d_perf_DSC", "5_T1_ax", "6_T1_cor"],
    "lone t1 after perfusion": ["2_T2_ax", "3_FLAIR", "4_ep2d_perf_DSC", "5_T1_ax"],
    "lone t1 with subtraction": ["2_T2_ax", "3_FLAIR", "5_T1_ax", "6_SUB_T1"],
    "lone t1 with a difference": ["2_T2_ax", "3_FLAIR", "5_T1_ax", "6_T1_Subtraktion"],
}
SEVERAL = {
    "two visits free": ["2021-03-01_T1", "2021-03-01_T2", "2022-05-09_FLAIR"],
    "two visits months": ["M00_T1", "M00_T2", "M12_FLAIR", "M12_T1_Gd"],
    "two visits words": ["erstaufnahme_T1", "verlauf_T2", "verlauf_FLAIR"],
    "two patients names": ["Schmidt_T1", "Schmidt_T2", "Meier_FLAIR"],
    "two patients numbers": ["1234567_T1", "1234567_T2", "7654321_FLAIR"],
    "two patients behind": ["T1_p01", "T2_p01", "FLAIR_p02"],
    "two patients suffix id": ["t1_0012", "t2_0012", "flair_0057"],
    "two patients hospital ids": ["H-2231_t1", "H-2231_t2", "H-9917_flair"],
    "two patients initials": ["AB_t1", "AB_t2", "CD_flair"],
    "two patients pat n": ["pat3_t1", "pat3_t2", "pat4_flair"],
    "days": ["day1_T1", "day1_T2", "day90_FLAIR"],
}


@pytest.fixture
def exam(tmp_path, image):
    def make(names: list[str]) -> Path:
        for name in names:
            (tmp_path / f"{name}.nii.gz").hardlink_to(image)
        return tmp_path

    return make


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_exam_is_taken_with_the_right_series(exam, name):
    names, expected = ACCEPTED[name]
    study = identify(exam(names))
    assert study.problems == ()
    picks = {str(item.contrast): item.path.name.removesuffix(".nii.gz") for item in study.series}
    assert expected.items() <= picks.items()
    assert not {"t1", "t1c"} & (set(picks) - set(expected))


@pytest.mark.parametrize("name", ASKED_EXAMS)
def test_an_exam_that_leaves_agent_open_takes_no_t1(exam, name):
    study = identify(exam(ASKED_EXAMS[name]))
    assert study.problems or not {"t1", "t1c"} & {str(contrast) for contrast in study.present}


@pytest.mark.parametrize("name", SEVERAL)
def test_two_visits_or_patients_are_refused(exam, name):
    study = identify(exam(SEVERAL[name]))
    assert "holds series" in study.problems[0].text
    assert " cases" in study.problems[0].text
    assert study.series == ()
