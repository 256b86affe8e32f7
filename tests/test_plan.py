import itertools

import pytest

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import NoRoute
from mrimpute.plan import ALDM_PSNR_DB, make_plan, route
from mrimpute.study import find_series

T1, T1C, T2, FLAIR, PD, CT = Contrast

INCOMPLETE = [set(subset) for size in (1, 2, 3) for subset in itertools.combinations(BRATS_FOUR, size)]


@pytest.mark.parametrize("present", INCOMPLETE, ids=lambda present: "+".join(sorted(present)))
def test_each_of_the_14_incomplete_subsets_has_its_route(present):
    missing = [contrast for contrast in BRATS_FOUR if contrast not in present]
    jobs = route(tuple(present), missing)
    assert [job.target for job in jobs] == missing
    assert all(set(job.sources) <= present for job in jobs)
    if len(present) == 3:
        assert [(job.generator, job.sources) for job in jobs] == [
            ("cwdm", tuple(c for c in BRATS_FOUR if c in present))
        ]
    else:
        for job in jobs:
            best = max((decibels, source) for source, decibels in ALDM_PSNR_DB[job.target].items() if source in present)
            assert (job.generator, job.sources) == ("aldm", (best[1],))
    assert all(job.reason for job in jobs)


@pytest.mark.parametrize(
    ("present", "target", "generator", "sources"),
    [
        ((T1,), T2, "syndiff", (T1,)),
        ((T1, FLAIR), T2, "syndiff", (FLAIR,)),
        ((T1, T2), FLAIR, "syndiff", (T2,)),
        ((T1,), FLAIR, "syndiff", (T1,)),
        ((T1C,), FLAIR, "aldm", (T1C,)),
        ((T1C, T1), FLAIR, "syndiff", (T1,)),
        ((T1, T2), T1C, "aldm", (T1,)),
        ((T2, FLAIR), T1C, "aldm", (FLAIR,)),
        ((T1, T2), PD, "syndiff", (T1,)),
        ((T2,), PD, "syndiff", (T2,)),
        ((T2, T1), CT, "syndiff", (T1,)),
        ((PD,), T1, "syndiff", (PD,)),
        ((PD, T1), T2, "syndiff", (T1,)),
        ((T1, T1C, T2, PD), FLAIR, "cwdm", (T1, T1C, T2)),
    ],
)
def test_one_target_takes_the_first_rule_that_fits(present, target, generator, sources):
    (job,) = route(present, (target,))
    assert (job.generator, job.sources) == (generator, sources)


@pytest.mark.parametrize(
    ("present", "targets", "message"),
    [
        ((CT,), (T1,), "needs one of t1c, t2, flair"),
        ((T1C, FLAIR), (CT,), "needs one of t1, t2"),
        ((), (FLAIR,), "from nothing"),
        ((T1,), (T2, CT), "ask for it alone"),
    ],
)
def test_an_impossible_request_says_what_would_make_it_possible(present, targets, message):
    with pytest.raises(NoRoute, match=message):
        route(present, targets)


def test_the_users_generator_holds_where_it_can():
    assert route((T1, T1C, T2), (FLAIR,), "syndiff")[0].sources == (T2,)
    assert route((T1, T1C, T2), (FLAIR,), "aldm")[0].sources == (T1C,)
    with pytest.raises(NoRoute, match="cwdm cannot make flair from t1, t2; it needs the other three"):
        route((T1, T2), (FLAIR,), "cwdm")
    with pytest.raises(NoRoute, match="leave --generator out"):
        route((T1,), (CT,), "aldm")


def test_nothing_missing_is_an_empty_plan(make_study):
    plan = make_plan(find_series(make_study(contrasts=BRATS_FOUR)))
    assert plan.jobs == ()


def test_an_acquired_target_is_not_made_again(make_study):
    plan = make_plan(find_series(make_study()), [T1, FLAIR])
    assert plan.acquired == (T1,)
    assert [job.target for job in plan.jobs] == [FLAIR]
