"""Names of kinds that the labelled corpus lacks: other languages, other vendors, other tools' outputs."""

import pytest

from mrimpute.study.names import read_name

NO_SOURCE = """
T1 w/o minus w
T1 thigh
T1 fetal body
T1_study_average
3D_CISS_iac
ADC_T2
AFI_TR1
Angio-TOF T1
ASL_M0
atlas_T1
avg152T1
ax T1 IDEAL water
ax T1 neck
ax t1 orbits fat only
AX T2 haemorrhage GRE
Ax T2 heme
ax_t2_hemorrhage
B0 map
B1map
c1T1
calibración
CEST
CINE_T2
cor T2 SPAIR IR stir
Diffusionsgewichtet T2
DIR 3D
DIR_flair
DSC_perf
DWI_b1000_T2
dyn t1 tse cor pit
ep2d_diff_tra
ep_bold
EPI T1
FAT: Sag T1 IDEAL
FGATIR
fieldmap_t1
FLAIR lesions
FLAIR_lesion_mask
FLAIR_seg
ihMT
InPhase: Cor T1
isoDWI
LAVA_Flex_WATER
loc t1 3 plane
Lokalisator T1
mean_T1_template
MIP T1 post
MNI152_T1_1mm
MNI_template_T1
MOLLI_T1_map
mp2rage_INV1
MP2RAGE_T1map
mp2rage_UNI_Images
MRV_t1
MT_on T1
multi echo T2 map
myelin_map_T1T2
Nachverarbeitung_MIP_T1
nm_T1
PC_MRA
PCASL
Perfusionsgewichtet
phase_t1
pred_t1
prescan_norm
PRESS_30
PSIR
QSM
rc1T1
Sag FIESTA-C
SAG T1 CSPINE
sag T1 lumbosacral
shim_t1
spectro_t1
SubtraktionT1
Suszeptibilität T2
swan
SWI_mIP
T1 black blood MRA vessel wall
T1 DeepResolve synthetic
T1 dynamic pituitary
T1 error map
T1 Fat Only
T1 imaginary
T1 IR PSIR_MAG
T1 knee sag
T1 mapping MOLLI
T1 post minus pre
T1 SAG L SPINE
T1 scout sag
T1 SNAPSHOT
T1 SUBTRACTED
T1 tagging
T1 vessel wall
T1-Segmentierung
T1_AI_enhanced
T1_aparc
T1_biasfield
T1_brain_mask
T1_confidence
T1_DCE_dyn
T1_Deformation
T1_diff
T1_EPI
T1_fast_firstseg
T1_jacobian
t1_localizer_sag
T1_MIP_COR
T1_MT_off
T1_pha
T1_pveseg
T1_real
T1_residual
T1_rho
t1_subtraktion
T1_to_MNI_warp
t1_variance
t1_vibe_dixon_tra_in
T1_VIBE_DIXON_W
T1_warpfield
T1w_restore_brain_seg
T1w_synth
T2 cervical
T2 EG hemosiderine
T2 FLASH 2d tra hemo
T2 gradient echo haemosiderin
T2 Gradientenecho Hämosiderin
T2 GRE Blutung
T2 kwantitatief
T2 map
t2 neck soft tissue
T2 écho de gradient
T2_relaxometry
T2_STIR_sag
T2_SWI
T2star_map
TOF_3D
TRACEW
TWIST_t1
WATER: Ax LAVA-Flex
wm_prob_T1
wT1_mask
"""
AFTER_AGENT = """
AXT1POSTGAD
3D T1 VIBE post
AX T1 SE C+
AX_T1_FS_POST
ax_t1_se_+c
BRAVO +C
Cor T1 FS C
cT1
delayed post contrast T1
Gd造影 T1
MPRAGE Gd
POST_SAG_MPRAGE
sag t1 w contrast
Sag_T1_C
SPGR POST
sT1W_3D_TFE_KM
T1 + KM
T1 after Dotarem
T1 após gadolínio
T1 avec injection
T1 ax mdc
T1 ax+Gd
T1 c+
T1 CE
T1 CE+
T1 com contraste
T1 con contraste
T1 con gadolinio
T1 contr
T1 contrast agent given
T1 dopo mdc
T1 efter Gd
T1 efter kontrast
T1 gado
T1 GADO FATSAT
T1 Gd axial
T1 i.v. KM
T1 IV kontrastlı
T1 kontrast sonrası
T1 kontrastanyaggal
T1 kontrastli
T1 m. KM
T1 med gadolinium
T1 med kontrast
T1 met contrast
T1 mit Kontrast
T1 multihance
T1 n. KM
T1 na contrast
T1 nach KM
T1 po kontrastu
T1 po KŚ
T1 po podaniu kontrastu
T1 post-KM
T1 postkontrast
T1 pós contraste
T1 s k.l.
T1 sonrasi kontrast
T1 SPACE post gad
T1 tirm gd
T1 w gado 0.1mmol
T1 W/ GAD
T1 with contrast
T1 with contrast agent
T1 z kontrastem
T1 z KŚ
T1 με σκιαγραφικό
T1 с контрастом
T1 造影後
T1+K
T1-Gd
T1_mprage_km_iso
t1_mprage_sag_post_contrast
T1_plus_contrast
t1_tse_tra_KM
T1ce
T1gad
T1GD
T1W+C
T1W_3D_TFE_GD
t1wc
T1增强
T1造影
"""
WITHOUT_AGENT = """
NON CON T1
PRE T1 AX
T1 -C
T1 avant gado
T1 basale
T1 bez KL
T1 bez kontrastu
T1 C-
T1 inte kontrast
T1 kontrastsiz
T1 kontrastsız
T1 natiivi
T1 nativ
T1 native
T1 nativní
T1 no contrast
T1 no contrast agent
T1 non enhanced
T1 non iniettato
T1 non-contrast
T1 non-gad
T1 ohne KM
T1 plain
T1 pre contrast
T1 pré
T1 pré-contraste
T1 sans injection
T1 sem contraste
T1 senza mdc
T1 sin contraste
T1 unenhanced
T1 utan kontrast
T1 uten kontrast
T1 vor KM
T1 w/o
T1 w/o contrast
T1 without agent
T1 wo contrast
T1 zonder contrast
T1 öncesi kontrast
T1 単純
T1_pre
T1平扫
造影前T1
"""
SILENT = """
AX T1 FLAIR
BRAVO
FSPGR 3D
postmenopausal_T1
PostOp T1
pre-op T1 mprage
T1 FLAIR sag
T1 MPRAGE
T1 MPRAGE pre-surgical
T1 post op
T1 post stroke day 3
T1 post surgery
T1 postpartum
T1 PostRT
T1 premature
T1 preterm infant
T1 TIRM
T1 w/ MOCO
T1 with fat sat
T1 with GRAPPA
T1 with SENSE
t1_mprage_sag_p2_iso
T1_prescription
t1_se_tra
T1W_3D_TFE
T1w_acpc_dc_restore
T1w_restore
"""
T2 = """
AX T2 BLADE FS
CUBE T2
T2 fatsat
T2 frFSE
T2 FSE
T2 HASTE
T2 pondéré
T2 post gad
T2 PROPELLER
T2 tra
T2 TSE ax
T2 VISTA
T2 ważony
T2 with fat sat
t2_space_sag
t2_tse_dark-blood
T2W_TSE
t2w_tse_cor_384
T2加权
"""
FLAIR = """
3D VISTA FLAIR
3D-FLAIR
AX FLAIR POST
eT2W_FLAIR
FL
FLAIR
Flair cor 3mm
FLAIR fs
FLAIR Gd
FLAIR longTR
Flair SPACE
FLAIR+C
flair3d
flair_post_km
FLAIR_SPAIR
SAG 3D CUBE FLAIR
sFLAIR_longTR
T2 FLAIR
T2 spc dark fluid
T2-FLAIR
T2_FLAIR_FS_post
t2_tirm_tra_dark-fluid
T2W_FLAIR_SPIR
TIRM dark fluid
液体衰减 FLAIR
"""
ASKED = """
AX T1+
CE-T1
CT_to_T1
gd_t1
SUB_T1_post-pre
T1 bolus
T1 delayed
T1 gdx
T1 pre and post
T1 pre vs post
t1_t2_ratio
T1wDividedByT2w
"""

ELSEWHERE = """
T2 lombare
T2 rachide lombo-sacral
T2_torakal_sag
T1 servikal
T2 szyjny
T2 krcni pater
T2 Schultergelenk
T2 toracica
T2 ginocchio
T2 wervelkolom
"""
SURNAMES = """
FLAIR_Lombardi
FLAIR_Herzog
T2_Kolenda
FLAIR_Spallanzani
"""


def listed(*groups: str) -> list[str]:
    return [name for group in groups for name in group.strip().splitlines()]


@pytest.mark.parametrize("name", listed(NO_SOURCE, ELSEWHERE))
def test_what_is_no_source_is_never_taken(name):
    reading = read_name(name)
    assert reading.set_aside or reading.contrast is None


@pytest.mark.parametrize("name", listed(AFTER_AGENT))
def test_an_agent_that_was_given_is_read(name):
    assert read_name(name).contrast == "t1c"


@pytest.mark.parametrize("name", listed(WITHOUT_AGENT))
def test_an_agent_that_was_not_given_is_read(name):
    reading = read_name(name)
    assert reading.contrast == "t1"
    assert reading.reading.said.denied
    assert not reading.reading.said.given


@pytest.mark.parametrize("name", listed(SILENT))
def test_a_t1_that_says_nothing_of_agent_stays_so(name):
    reading = read_name(name)
    assert reading.contrast == "t1"
    assert reading.reading.said.silent


@pytest.mark.parametrize(("name", "contrast"), [(n, "t2") for n in listed(T2)] + [(n, "flair") for n in listed(FLAIR)])
def test_other_contrasts_are_read_whatever_stands_beside_them(name, contrast):
    reading = read_name(name)
    assert (reading.contrast, reading.set_aside) == (contrast, "")


@pytest.mark.parametrize("name", listed(ASKED))
def test_what_a_name_cannot_settle_is_not_taken_for_native(name):
    reading = read_name(name)
    said = reading.reading.said
    assert reading.conflict or reading.contrast is None or said.unclear or (said.given and said.denied)


@pytest.mark.parametrize("name", listed(SURNAMES))
def test_a_surname_is_no_part_of_the_body(name):
    assert read_name(name).contrast is not None
