import pytest

from mrimpute.contrasts import Contrast, parse_contrast
from mrimpute.errors import UsageError
from mrimpute.study.cases import case_of
from mrimpute.study.names import make_naming, nnunet_channel, read_name

IDENTIFIED = {
    "VSD.Brain.XX.O.MR_T1.54513": "t1",
    "VSD.Brain.XX.O.MR_T1c.54514": "t1c",
    "VSD.Brain.XX.O.MR_T2.54515": "t2",
    "VSD.Brain.XX.O.MR_Flair.54512": "flair",
    "Brats18_CBICA_AAB_1_t1ce": "t1c",
    "BraTS20_Training_001_flair": "flair",
    "BraTS2021_00000_t1": "t1",
    "BraTS-GLI-00001-000-t1n": "t1",
    "BraTS-MET-00086-000-t1c": "t1c",
    "BraTS-SSA-00002-000-t2w": "t2",
    "BraTS-PED-00003-000-t2f": "flair",
    "BraTS-MEN-RT-0001-1_t1c": "t1c",
    "ID_Timepoint_1_brain_t1n": "t1",
    "sub-01_T1w": "t1",
    "sub-01_ses-2_acq-mprage_run-1_T1w": "t1",
    "sub-01_ce-gadolinium_T1w": "t1c",
    "sub-01_ce-GADOLINIUM_T1w": "t1c",
    "sub-01_ses-1_ce-Gd_run-2_T1w": "t1c",
    "sub-01_space-T1w_desc-preproc_FLAIR": "flair",
    "sub-01_T2w": "t2",
    "sub-01_PDw": "pd",
    "UPENN-GBM-00002_11_T1GD": "t1c",
    "UPENN-GBM-00002_11_FLAIR_unstripped": "flair",
    "UCSF-PDGM-0004_T1gad": "t1c",
    "UCSF-PDGM-0004_T1c_bias": "t1c",
    "CT1": "t1c",
    "FLAIR": "flair",
    "IXI002-Guys-0828-T2": "t2",
    "IXI002-Guys-0828-PD": "pd",
    "T1W": "t1",
    "T1WKS": "t1c",
    "study1_T2W": "t2",
    "DP_preprocessed": "pd",
    "GADO_preprocessed": "t1c",
    "3DFLAIR": "flair",
    "3DT1": "t1",
    "training01_01_mprage_pp": "t1",
    "training01_01_flair_pp": "flair",
    "T1Post": "t1c",
    "TCGA_DU_7294_fla": "flair",
    "case-fl": "flair",
    "T2_FLAIR": "flair",
    "patient_t2-flair_reg": "flair",
    "T1_FLAIR": "t1",
    "t1_post": "t1c",
    "x_post_T1": "t1c",
    "t1_pre": "t1",
    "case_t1_gd": "t1c",
    "case-post-op_T1": "t1",
    "pre_contrast_T1": "t1",
    "no_contrast_T1": "t1",
    "non-contrast-T1": "t1",
    "without_contrast_T1": "t1",
    "pre_gad_T1": "t1",
    "AX_T1_-C": "t1",
    "t1_-_gd": "t1",
    "AX_T1_+C": "t1c",
    "AX_T1_C": "t1c",
    "T1_brain": "t1",
    "case.t1+c": "t1c",
    "patient_CT": "ct",
}
SET_ASIDE = (
    "BraTS20_Training_001_seg",
    "BraTS-GLI-00001-000-t1n-voided",
    "BraTS-GLI-00001-000-mask",
    "BraTS-MEN-RT-0001-1_gtv",
    "VSD.Brain_3more.XX.O.OT.54560",
    "UPENN-GBM-00002_11_segm",
    "UCSF-PDGM-0004_SWI",
    "UCSF-PDGM-0004_DTI_eddy_FA",
    "UCSF-PDGM-0004_ADC",
    "UCSF-PDGM-0004_ASL",
    "UCSF-PDGM-0004_brain_segmentation",
    "IXI002-Guys-0828-MRA",
    "IXI002-Guys-0828-DTI-07",
    "sub-01_T2starw",
    "sub-01_UNIT1",
    "sub-01_MP2RAGE",
    "sub-01_dwi",
    "sub-01_task-rest_bold",
    "sub-01_desc-brain_mask",
    "t1_brain_mask",
    "flair_lesion",
    "sub-01_desc-synthetic_FLAIR",
    "T2_map",
)


@pytest.mark.parametrize(("stem", "contrast"), IDENTIFIED.items())
def test_every_scheme_of_the_survey_is_read(stem, contrast):
    reading = read_name(stem)
    assert reading.contrast == contrast
    assert not reading.set_aside
    assert not reading.conflict
    assert reading.prefix + reading.word + reading.suffix == stem


@pytest.mark.parametrize("stem", SET_ASIDE)
def test_what_is_no_source_is_set_aside(stem):
    assert read_name(stem).set_aside


@pytest.mark.parametrize("stem", ["scan", "image_0001", "series5", "12345", "-_-"])
def test_unknown_names_are_not_guessed(stem):
    reading = read_name(stem)
    assert reading.contrast is None
    assert not reading.set_aside


@pytest.mark.parametrize("stem", ["flair_in_t1", "T1_reg_T2", "sub-01_acq-post_T1w", "sub-01_acq-mpragegd_T1w"])
def test_a_name_that_states_two_contrasts_is_a_conflict(stem):
    assert "states both" in read_name(stem).conflict


@pytest.mark.parametrize(
    ("stem", "expected"), [("CASE_0000", ("CASE", 0)), ("a_b_0003", ("a_b", 3)), ("CASE_0100", None)]
)
def test_nnunet_names_split_into_case_and_channel(stem, expected):
    assert nnunet_channel(stem) == expected


@pytest.mark.parametrize(
    ("stem", "case"),
    [
        ("BraTS-GLI-00001-000-t1n", "brats-gli-00001-000"),
        ("BraTS-MEN-RT-0001-1_t1c", "brats-men-rt-0001-1"),
        ("BraTS20_Training_001_t1", "brats20_training_001"),
        ("BraTS2021_00000_t1", "brats2021_00000"),
        ("UPENN-GBM-00002_11_T1", "upenn-gbm-00002_11"),
        ("sub-01_ses-2_acq-x_T1w", "sub-01_ses-2"),
        ("IXI002-Guys-0828-T2", "ixi002"),
        ("003_T1", ""),
        ("case_t1", ""),
    ],
)
def test_names_of_known_schemes_state_their_case(stem, case):
    assert case_of(stem) == case


NEW_NAMES = [
    (["BraTS-GLI-1-000-t1n", "BraTS-GLI-1-000-t1c", "BraTS-GLI-1-000-t2w"], "flair", "BraTS-GLI-1-000-t2f"),
    (["BraTS20_T_001_t1", "BraTS20_T_001_t1ce", "BraTS20_T_001_t2"], "flair", "BraTS20_T_001_flair"),
    (["BraTS20_T_001_t1", "BraTS20_T_001_flair", "BraTS20_T_001_t2"], "t1c", "BraTS20_T_001_t1ce"),
    (["UPENN-GBM-1_11_T1", "UPENN-GBM-1_11_T2", "UPENN-GBM-1_11_FLAIR"], "t1c", "UPENN-GBM-1_11_T1GD"),
    (["T1", "CT1", "T2"], "flair", "FLAIR"),
    (["T1W", "T2W", "FLAIR"], "t1c", "T1WKS"),
    (["study1_T1W", "study1_T2W"], "flair", "study1_FLAIR"),
    (["a_mprage_pp", "a_t2_pp", "a_pd_pp"], "flair", "a_flair_pp"),
    (["T1_preprocessed", "DP_preprocessed", "T2_preprocessed"], "t1c", "GADO_preprocessed"),
    (["x_t1", "x_t1c", "x_fla"], "t2", "x_t2"),
    (["one_t1", "other_t2"], "flair", "STUDY_flair"),
    (["a_t1n", "a_T1GD"], "flair", "STUDY_flair"),
]


@pytest.mark.parametrize(("stems", "target", "expected"), NEW_NAMES)
def test_new_images_follow_the_studys_own_scheme(stems, target, expected):
    naming = make_naming("STUDY", [read_name(stem) for stem in stems])
    assert naming.stem(Contrast(target)) == expected
    assert read_name(expected).contrast == target


@pytest.mark.parametrize(
    ("word", "contrast"), [("FLAIR", "flair"), ("T1ce", "t1c"), ("t2f", "flair"), ("t1-weighted", None)]
)
def test_users_may_type_any_known_spelling(word, contrast):
    if contrast:
        assert parse_contrast(word) == contrast
    else:
        with pytest.raises(UsageError, match="use one of t1, t1c, t2, flair, pd, ct"):
            parse_contrast(word)
