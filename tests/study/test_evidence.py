import pytest

from mrimpute.study.evidence import denies_agent, physics_evidence
from mrimpute.study.judge import evidence, may_name_agent, names_agent
from mrimpute.study.sidecar import facts_of


@pytest.mark.parametrize(
    ("echo", "repetition", "inversion", "gradient", "expected"),
    [
        (120, 9000, 2500, False, "flair"),
        (23, 2500, 1600, False, "t1"),  # T1-FLAIR
        (3, 2300, 900, True, "t1"),  # MPRAGE
        (60, 5000, 150, False, None),  # STIR
        (3, 20, None, True, "t1"),
        (25, 700, None, True, None),  # T2*
        (12, 600, None, False, "t1"),
        (100, 5000, None, False, "t2"),
        (20, 3000, None, False, "pd"),
    ],
)
def test_times_decide_as_the_cascade_says(echo, repetition, inversion, gradient, expected):
    evidence = physics_evidence(echo, repetition, inversion, gradient)
    assert evidence.contrast == expected
    assert 0.5 < evidence.confidence < 1


@pytest.mark.parametrize(
    ("echo", "repetition", "inversion", "gradient"),
    [
        (None, 500, None, False),
        (100, None, None, False),
        (50, 3000, None, False),
        (12, 50, None, True),
        (50, 3000, 2000, False),
    ],
)
def test_times_between_the_rules_decide_nothing(echo, repetition, inversion, gradient):
    assert physics_evidence(echo, repetition, inversion, gradient) is None


def test_sidecar_times_are_seconds():
    sidecar = {"EchoTime": 0.1, "RepetitionTime": 5.0, "ScanningSequence": "SE"}
    assert [item.contrast for item in evidence(facts_of(sidecar))] == ["t2"]
    prepared = {"EchoTime": 0.003, "RepetitionTime": 2.0, "InversionTime": 0.9, "ScanningSequence": ["GR", "IR"]}
    assert [item.contrast for item in evidence(facts_of(prepared))] == ["t1"]
    assert evidence(facts_of({"EchoTime": "long", "RepetitionTime": True})) == []


@pytest.mark.parametrize(
    ("agent", "named"),
    [("GADAVIST", True), ("none", False), ("", False), (None, False), ("-", False), ("unknown", False)],
)
def test_an_agent_is_named_only_where_one_was_given(agent, named):
    assert names_agent(facts_of({"ContrastBolusIngredient": agent})) is named


@pytest.mark.parametrize(
    "word", ["none", "NO", "keine", "нет", "无", "non", "sin contraste", "n/a", "brak", "aucun", "не вводился"]
)
def test_an_agents_field_may_deny_it_in_many_languages(word):
    assert denies_agent(word)


def test_an_injection_of_nothing_is_none():
    assert not names_agent(facts_of({"ContrastBolusVolume": "0", "ContrastBolusRoute": "none"}))
    assert not names_agent(facts_of({"ContrastBolusVolume": "0.0 cc", "ContrastFlowRate": "0 mL/s"}))
    assert not names_agent(facts_of({"ContrastBolusAgent": "none", "ContrastBolusRoute": "IV"}))
    assert names_agent(facts_of({"ContrastBolusTotalDose": 7.5}))


def test_an_agents_field_that_says_neither_is_no_answer():
    assert may_name_agent(facts_of({"ContrastBolusAgent": "unknown"}))
    assert not denies_agent("not specified")
    assert not may_name_agent(facts_of({"ContrastBolusAgent": "---"}))


@pytest.mark.parametrize("stated", ["t2 tra", "flair tra"])
def test_a_gradient_echo_without_inversion_contradicts_a_t2_and_a_flair(stated):
    told = {"SeriesDescription": stated, "ScanningSequence": "GR", "EchoTime": 0.009, "RepetitionTime": 0.5}
    assert None in [item.contrast for item in evidence(facts_of(told))]
    assert None not in [item.contrast for item in evidence(facts_of(told | {"ScanningSequence": ["GR", "SE"]}))]
