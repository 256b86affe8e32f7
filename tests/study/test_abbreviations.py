"""Words about agent that are cut short, and names of examinations with and without it."""

import pytest

from mrimpute.study.names import read_name
from mrimpute.study.text import tokens_of
from mrimpute.study.words import _TABLE
from tests.study.reader import lone

DENIED = [
    "T1 o. KM",
    "T1_o.KM_tra",
    "T1 s. mdc",
    "T1 ss. gado",
    "T1 b. KM",
    "T1 sag o. Gd",
    "T1 w-out gad",
    "T1_w-o_gad",
]
DENIED += ["T1 wout contrast", "T1 with out contrast", "T1 w o Gd"]
ANSWERED = ["T1 contrast not given", "T1 gad refused", "T1 KM abgelehnt", "T1 Gd fornektet"]
DENIED_BY_SLASH = ["T1 o/KM", "T1 s/mdc", "T1 s/ gado", "T1 S/C", "T1 ss/injection", "T1 б/к", "T1 tra w/o KM"]
BARE = [
    "T1_tra_o_KM",
    "T1 s mdc",
    "T1 ss gado",
    "T1 ss injection",
    "T1 b KM",
    "T1 z. contrast",
    "T1 o/k",
    "T1_oKM",
    "T1 0 KM",
]
EXAMS = """
T1 m/o KM
T1 m+o KM
T1 KM +/-
T1 c/s contraste
T1 mit und ohne KM
T1 mit/ohne Kontrastmittel
T1 avec et sans gado
T1 con e senza mdc
T1 con y sin contraste
T1 com e sem contraste
T1 met en zonder contrast
T1 med och utan kontrast
T1 z i bez kontrastu
T1 vor und nach KM
T1 avant et après gado
T1 prima e dopo mdc
mit und ohne KM T1
IRM avec et sans gado T1
"""
SHORT = [
    "T1 G+",
    "T1 +",
    "T1+_tra",
    "T1_tra_K",
    "T1 n.K.",
    "T1 p.K.",
    "T1 o.K.",
    "T1 I+",
    "AX T1 POS",
    "AX T1 PÓS",
    "T1 na",
]
GIVEN = ["T1 mit K", "T1 med K", "T1 po k", "T1 après G", "T1 nach K", "T1 avec G", "T1 m. KM", "T1 com o contraste"]


@pytest.mark.parametrize("name", DENIED)
@pytest.mark.parametrize("as_file", [True, False], ids=["file name", "description"])
def test_a_short_word_for_without_with_a_sign_denies_the_agent(name, as_file):
    assert lone(name, as_file) == ("t1", "denied")


@pytest.mark.parametrize("name", DENIED_BY_SLASH)
def test_a_slash_means_without_in_a_description_and_is_lost_in_a_file_name(name):
    assert lone(name, False) == ("t1", "denied")
    assert lone(name, True) in (("t1", "denied"), ("", ""))


@pytest.mark.parametrize("name", [*BARE, *SHORT, *ANSWERED, *EXAMS.strip().splitlines()])
@pytest.mark.parametrize("as_file", [True, False], ids=["file name", "description"])
def test_a_t1_whose_words_leave_the_agent_open_is_asked_about(name, as_file):
    assert lone(name, as_file) == ("", "")


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("as_file", [True, False], ids=["file name", "description"])
def test_a_letter_behind_with_or_after_is_an_agent(name, as_file):
    assert lone(name, as_file) == ("t1c", "given")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["T1_ohne_KM", "T2_ohne_KM"], "denied"),
        (["T1_nach_KM", "T2_nach_KM"], "given"),
        (["T1_mit_und_ohne_KM", "T2_mit_und_ohne_KM"], "unclear"),
        (["mit_und_ohne_KM_T1", "mit_und_ohne_KM_T2"], "strange"),
    ],
)
def test_words_of_every_name_are_not_torn_from_the_agent_they_belong_to(names, said):
    common = frozenset.intersection(*(frozenset(token.text for token in tokens_of(name)) for name in names))
    found = read_name(names[0], common).reading.said
    assert {kind for kind in ("given", "denied", "unclear", "strange") if getattr(found, kind)} == {said}


def test_every_word_of_the_table_stands_in_it_once():
    words = [word for _, _, row in _TABLE for word in row.split()]
    assert [word for word in words if words.count(word) > 1] == []
