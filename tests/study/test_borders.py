"""Words for what is no source, or about agent, count at their borders: persons and places are called alike."""

import pytest

from tests.study.reader import lone

PLACES = """
Manchester Rochester Winchester Oliver Oliveri Spinelli Paterson Paterno Colombo Genoud Sacro_Cuore Sacramento Sheffield
Wakefield Springfield Mayfield Oldfield Pilotto Mangione Angiolini Strangio Trofimov Hardin Chardin Medici Tracey
Youngblood Pressler Spallanzani Medical_Center Sacred_Heart Chest_Hospital_Brain Lumbroso Beckenbauer Parcells Damask
Landry Grassi Grete Greve Bruni Magno Segno Caltrano Petra Ute Dixon Torak Lombardi Herzog Liverotti Cervicati
"""
NAMED = """
Klein Klaus Celine Cesar Eklund Ekstrand Pace Querce Basaldella Basaluzzo Natividad Blanco Modric Eric Magenta Kladno
Bagdad Pianoconte Precenicco
"""
NO_SOURCE = """
T2SPINE
T1CSPINE
T2wSpine
BRAINSPINE_T2
T2_Lspine
T2SAGLUMBAR
T2 Kniegelenk
T2 kneejoint
T2 Handgelenk
T2 Becken
T2 sakral
T2 spinal
T2 torakal
T2 Halsweichteile
T2 odcinek lędźwiowy
Т2 поясничный отдел
T1 Hirnangiographie
T2_biasfield
T2_warpfield
T2_brainmask
T2_firstseg
T2_Schulterblatt
T2 totalspine
T2 ganzwirbelsäule
T2 colonnacervicale
leftknee_T2
MRliver_T2
FLAIR_spineandbrain
T2_synthsegxyz
T2 Hüfte
T2 bacino
T2 joelho
T2 schouder
T2 колено
T2 膝
T2_thicknessmap
T2_DiffusionTensor
T2_localizers
T2 gradiente eco
T1_priors
tissue_prior_T1
T2_TSE_Dixon
Dixon_T2_F
AX T2 HEMORRHAGE
T2 GRE Blutung
T1 fl2d hemorrhage
T2 head c-spine
T2 neck
"""
USABLE = {
    "FLAIR hemorrhage": "flair",
    "FLAIR Blutung": "flair",
    "T1 hemorrhage": "t1",
    "T2 TSE Blutung": "t2",
    "T2 angioma": "t2",
    "FLAIR atrofi": "flair",
    "T2 Kopf-Hals": "t2",
    "T2 testa e collo": "t2",
    "T2 cabeza y cuello": "t2",
    "AX FLAIR PRIOR": "flair",
    "T1 prior to contrast": "t1",
}


@pytest.mark.parametrize("place", PLACES.split())
@pytest.mark.parametrize("contrast", ["T2", "FLAIR"])
def test_a_series_is_not_set_aside_for_the_name_of_a_person_or_place(place, contrast):
    assert lone(f"{place}_{contrast}", True) == (contrast.lower(), "")


@pytest.mark.parametrize("name", NAMED.split())
def test_a_name_of_a_person_or_place_says_nothing_of_agent(name):
    assert lone(f"{name}_T1", True) == ("t1", "")


@pytest.mark.parametrize("name", NO_SOURCE.strip().splitlines())
@pytest.mark.parametrize("as_file", [True, False], ids=["file name", "description"])
def test_words_with_a_border_still_set_a_series_aside(name, as_file):
    assert lone(name, as_file) == ("", "")


@pytest.mark.parametrize("name", USABLE)
@pytest.mark.parametrize("as_file", [True, False], ids=["file name", "description"])
def test_what_a_series_shows_is_no_reason_to_set_it_aside(name, as_file):
    assert lone(name, as_file)[0] == USABLE[name]


def test_a_t1_prior_to_contrast_is_native():
    assert lone("T1 prior to contrast", True) == ("t1", "denied")
