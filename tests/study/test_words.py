"""Names in many languages and of many clinics: what must be read, what must be asked, what is no source."""

import pytest

from mrimpute.study.judge import Told, judge
from mrimpute.study.reading import read_text
from mrimpute.study.sidecar import facts_of
from mrimpute.study.text import tokens_of

ACCEPTED = {
    "t1": """
        T1|Sag T1 SE|st1w_3d_tfe|AX T1 W/FS|T1 SE with fatsat|T1 MPRAGE with MOCO|MPRAGE w/ GRAPPA2|T1 AX NONCONTRAST
        AX T1 C-|AX T1 -C
        T1 GD-|T1 vor KM|T1 vor Gd|T1 before Gd|T1 avant gado|T1 prima mdc|T1 sin contraste
        T1 sem contraste|T1 kein KM
        T1 zonder contrast|T1 utan kontrast|T1 uten kontrast|T1 uden kontrast|T1 bez kontrastu
        T1 ilman varjoainetta
        T1 kontrastsız|T1 kontrast öncesi|T1 przed kontrastem|T1 до контраста|T1 без контраста|T1平扫|造影前T1
        T1 sans injection
        T1 senza mdc|T1 nativ|T1 nativo|T1 plain|T1 unenhanced|T1 w/o|T1 wo GAD|T1 POST RT|T1 POSTRT
        T1 post treatment
        T1_post_op|pre-op_T1|post-op_T1|T1 POST FOSSA|CLINICXYT1SAG|rT1|T1_to_MNI|brain_T1w_MRI|Т1 нативный
        T1 fără contrast
        T1 kontraszt nélkül|T1 AX FLAIR|BRAVO sag|IR-FSPGR ax|Bagdad_T1|Hausmann_T1|T1 W TSE|T1 flow comp
        T1 PRE C
        BRAIN W/WO T1 SAG|EXAM_WWO_T1_AX|non-rigid_T1|no_motion_T1|without_skull_T1|minus_fat_T1_vor_KM
        T1_native_space
    """,
    "t1c": """
        T1 post|POST_AX_T1|GAD_AX_T1|AX T1 +C|T1 C+|t1_space_C|t1_space_sag+C|SPGR+c|T1 IV+|T1 enhanced
        T1 ENH|T1 injecté
        T1 mit KM|T1 nach KM|T1 n. KM|T1 KM tra|T1 avec gado|T1 apres injection|T1 con mdc|T1 dopo mdc
        T1 com contraste
        T1 CON GADOLINIO|T1 PÓS-CONTRASTE|T1 po kontraście|T1 z kontrastem|T1 s kontrastem|T1 po k.l.
        T1 med kontrast
        T1 efter kontrast|T1 met contrast|T1 na contrast|T1 kontrastlı|T1 kontrast sonrası|T1 varjoaineella
        T1 после контраста
        T1增强|造影後T1|T1 조영|T1 gadovist|T1 Dotarem|pre-op_T1_Gd|Pre-op_post-Gd_T1|non-rigid_T1_post
        without_skull_T1_Gd
        no_motion_T1_c|T1 post op Gd|T1 contrast|T1 w/contrast|ROUTINEHEADT1AXGAD|cor T1 se C|T1 CE|T1WKS
        CT1|T1Gd
    """,
    "t2": "T2|AX T2 TSE|t2_blade_tra|T2 FRFSE|T2 post|T2 GRASE|T2W_TSE+C|ROUTINEHEADT2TSE|AX T2 AC-PC",
    "flair": """
        FLAIR|T2_FLAIR|dark_fluid_T2|darkfluid_T2|TIRM_T2|t2_spc_dark-fluid|FLAIR post contrast|CUBE T2 FLAIR
    """,
    "pd": "PD TSE|proton density ax",
}
ASKED = """
    T1 C-/C+|T1 pre and post gd|T1-C|T1 with|COR T1 FC|T1 post marsupialisation|T1_reg_T2|flair_in_t1
        BRAIN CONTRAST T1|T1 HC|T1 AX IV|T1 delayed
"""
ASIDE = """
    GRE_T2|FFE_T2|hemo_T2|swan_T2|star_T2|T2*|AX T2 STAR|perfusion_T2|synthetic_T1|synth_FLAIR|pred_T1
        fake_T1|generated_FLAIR
    SynthSR_T1|SyMRI_T1|map_T1|T1 Map|subtraction_T1|T1_SUB|AX T1 SUB POST|T2 CPMG|gm_T1|prob_T1|fat_T1
        INV1_T1|UNI_T1|MP2RAGE_T1
        T1_mask|t2_ci3d_tra
    T2 PSIR|t2_spc_dir|3D FIESTA|CISS|TRUFI|B-FFE|sBTFE|3D PC VENC 15|TRICKS|TWIST|QSM echo1|MTC on
        Calibration Scan|ASSET cal
    SENSE Ref|SAG LOC|3-pl|tri planar|Localizador|Lokalizer|定位像|DWI b1000|sB1000|DTI 32|диффузия|弥散
        BOLD rest|fMRI|SBRef
    ep2d_asc|Perfuzja|ASL 3D|灌注|SWI|TOF|MRA|Angio|field map|B0 map|dixon_F|LAVA_T1 opp|T1 in phase
        SVS press|STIR cor
    T1 dynamic|T1 template|screen save|T1 C-spine|MIP sag|Apparent Diffusion|anat_ph|phase contrast
"""


def words(table: str) -> list[str]:
    return [name.strip() for line in table.strip().splitlines() for name in line.split("|") if name.strip()]


def verdict_of(name: str):
    reading = read_text(name)
    return judge(facts_of({}), [Told("name", reading, name[reading.start : reading.end])])


def outcome(name: str) -> str:
    verdict = verdict_of(name)
    said = {str(item.contrast) for item in verdict.agents}
    if verdict.aside:
        return "aside"
    if verdict.doubt or (verdict.unclear and not said) or len(said) > 1 or read_text(name).others:
        return "asked"
    return "t1c" if "t1c" in said else str(verdict.contrast)


@pytest.mark.parametrize("contrast", ACCEPTED)
def test_names_of_many_clinics_are_read(contrast):
    assert {name: outcome(name) for name in words(ACCEPTED[contrast])} == dict.fromkeys(
        words(ACCEPTED[contrast]), contrast
    )


def test_an_unexplained_word_about_agent_is_asked_about():
    assert {name: outcome(name) for name in words(ASKED)} == dict.fromkeys(words(ASKED), "asked")


def test_what_is_no_source_is_set_aside_wherever_the_sign_stands():
    assert {name: outcome(name) for name in words(ASIDE)} == dict.fromkeys(words(ASIDE), "aside")


@pytest.mark.parametrize(
    "name", ["T1 Ångström", "T1 o\u0308ffnen", "T1\u200bax", "𝐓1", "\ud800_T1", "T1" * 200, "", "___", "+", "+C"]
)
def test_odd_texts_are_read_without_harm(name):
    assert isinstance(outcome(name), str)
    for token in tokens_of(name):
        assert 0 <= token.start < token.end <= len(name)


def test_words_every_name_of_a_study_has_are_taken_away():
    assert read_text("P01_post_T1", frozenset({"p01", "post"})).said.given == []
    behind = read_text("P01_T1_post", frozenset({"post"})).said  # there it may be the agent's or the time point's
    assert (behind.given, behind.unclear) == ([], ["post"])
    assert read_text("BRAINCONTRASTT1", frozenset({"brain", "contrast"})).taken_away == ("contrast",)


SIDECARS = {
    "EPI": ({"ScanningSequence": "EP_SE", "EchoTime": 0.089, "RepetitionTime": 4}, "aside"),
    "phase": ({"ImageType": ["ORIGINAL", "PRIMARY", "P"], "SeriesDescription": "T1"}, "aside"),
    "T1 map": ({"ImageType": ["DERIVED", "PRIMARY", "T1 MAP"], "SeriesDescription": "T1 images"}, "aside"),
    "subtraction": ({"ImageType": "DERIVED\\SECONDARY\\OTHER\\SUBTRACT", "SeriesDescription": "T1"}, "aside"),
    "Dixon fat": ({"ImageType": ["DERIVED", "PRIMARY", "FAT"], "SeriesDescription": "t1 vibe"}, "aside"),
    "letters": ({"ImageType": list("ORIGINAL\\PRIMARY\\P\\ND"), "SeriesDescription": "T1"}, "aside"),
    "coded T2*": ({"AcquisitionContrast": "T2_STAR"}, "aside"),
    "coded FLAIR": ({"AcquisitionContrast": "FLUID_ATTENUATED", "ScanningSequence": "SE_IR"}, "flair"),
    "coded T1": ({"AcquisitionContrast": "T1"}, "t1"),
    "balanced": (
        {"ScanningSequence": "GR", "SequenceVariant": "SS_SK", "EchoTime": 0.0022, "RepetitionTime": 0.0055},
        "aside",
    ),
    "unsigned gradient echo": ({"ScanningSequence": "GR", "EchoTime": 0.0021, "RepetitionTime": 0.15}, "None"),
    "signed gradient echo": (
        {"ScanningSequence": "GR", "EchoTime": 0.0021, "RepetitionTime": 0.15, "SeriesDescription": "T1 FFE"},
        "t1",
    ),
    "T2* by times": (
        {"ScanningSequence": "GR", "EchoTime": 0.02, "RepetitionTime": 0.7, "SeriesDescription": "T2 ax"},
        "aside",
    ),
    "FLAIR without its TI": (
        {"ScanningSequence": "SE_IR", "EchoTime": 0.38, "RepetitionTime": 5, "SeriesDescription": "SAG FLAIR 3D"},
        "flair",
    ),
    "agent in the description": (
        {"ScanningSequence": "SE", "EchoTime": 0.012, "RepetitionTime": 0.5, "SeriesDescription": "AX T1 +C"},
        "t1c",
    ),
    "two echoes, the first": (
        {"ScanningSequence": "SE", "EchoTime": 0.015, "RepetitionTime": 3, "SeriesDescription": "PD/T2"},
        "pd",
    ),
    "name against times": (
        {"ScanningSequence": "SE", "EchoTime": 0.1, "RepetitionTime": 5, "SeriesDescription": "T1 ax"},
        "asked",
    ),
    "T1 volume of a DTI protocol": (
        {"ScanningSequence": "GR", "SequenceVariant": "MP", "EchoTime": 0.0037, "RepetitionTime": 0.008}
        | {"SeriesDescription": "T1 vol DTI"},
        "t1",
    ),
    "nothing": ({}, "None"),
    "nonsense": ({"EchoTime": [1], "RepetitionTime": None, "ImageType": 5, "SequenceName": {"a": 1}}, "None"),
}


@pytest.mark.parametrize("name", SIDECARS)
def test_each_kind_of_rule_speaks_for_a_sidecar(name):
    sidecar, expected = SIDECARS[name]
    verdict = judge(facts_of(sidecar), [Told("name", read_text("5_scan"))])
    agents = {str(item.contrast) for item in verdict.agents}
    found = (
        "aside" if verdict.aside else "asked" if verdict.doubt else "t1c" if "t1c" in agents else str(verdict.contrast)
    )
    assert found == expected
