"""Words of the head, its diseases and of technique are no question behind a T1; glued agents are read."""

import pytest

from tests.study.reader import lone

NEUTRAL = """
Schaedel|Schädelbasis|Stirnhirn|Felsenbein|Kleinhirnbrückenwinkel|Meningeom|Kopfschmerzen|Hypophyse
crâne|cerveau|rochers|fosse postérieure|selle turcique|conduit auditif
cráneo|silla turca|línea media|hipófisis|cranio|ipofisi|rocche petrose|turcica|obliqua|encefalo
skull base|cranial nerves|internal auditory canal|craniopharyngioma|basal ganglia|32ch|research|GA
hersenen|schedel|hjärna|hypofys|czaszka|przysadka|mozek|hipofiz|kraniyal
головной мозг|гипофиз|аксиальные|垂体|下垂体
"""
GLUED = ["FSGD_T1", "AXGAD_T1", "BRAINGD_T1", "T1FSGD", "T1_hypophyseKM", "T1 sella km", "T1 axialkm", "VIBEKM_T1"]
ASKED = ["NAVIGAD_T1", "BRAINWGAD_T1", "IVGD_T1", "T1 schaedelkm", "T1 STGD", "T1 SE AX xyz"]


@pytest.mark.parametrize("words", [words for line in NEUTRAL.strip().splitlines() for words in line.split("|")])
@pytest.mark.parametrize("as_file", [True, False], ids=["file name", "description"])
def test_words_of_the_head_and_of_technique_are_no_question(words, as_file):
    assert lone(f"T1 {words}", as_file) == ("t1", "")


@pytest.mark.parametrize("name", GLUED)
def test_an_agent_glued_to_an_imaging_term_is_read(name):
    assert lone(name, True) == ("t1c", "given")


@pytest.mark.parametrize("name", ASKED)
def test_letters_that_may_be_an_agent_are_asked_about(name):
    assert lone(name, True) == ("", "")
