"""What is measured was not trained on, and a run goes on with its own images only."""

from dataclasses import replace

import numpy as np
import pytest

from mrimpute.errors import OutputRefused, UsageError
from mrimpute.training.cases import TrainingCase, check_held_out, digest_of, voxels_of
from mrimpute.training.state import TrainingState


def case(name, seed):
    return TrainingCase(name, np.random.default_rng(seed).random((2, 4, 4, 4), np.float32))


def test_a_study_that_is_trained_on_is_not_measured_whatever_it_is_called():
    cases = [case("a", 1), case("b", 2)]
    check_held_out(cases, [case("a", 3)])
    with pytest.raises(UsageError, match="the validation study c is one of the training studies"):
        check_held_out(cases, [case("c", 2)])


def test_the_digest_follows_the_images_not_the_names():
    assert digest_of([case("a", 1)]) == digest_of([case("b", 1)])
    assert digest_of([case("a", 1)]) != digest_of([case("a", 2)])


def test_a_run_does_not_go_on_with_other_images_under_the_same_names(tmp_path):
    state = TrainingState("plan", {}, {}, data="one")
    state.save(tmp_path, 4)
    assert state.resume(tmp_path) == 4
    with pytest.raises(OutputRefused, match="other images under the same names"):
        replace(state, data="other").resume(tmp_path)


def test_a_run_that_does_not_state_its_images_goes_on(tmp_path):
    from safetensors.torch import save

    (tmp_path / "resume.safetensors").write_bytes(save({}, {"step": "3", "plan": "plan"}))
    assert TrainingState("plan", {}, {}, data="any").resume(tmp_path) == 3


def test_a_record_tells_the_images_that_were_trained_on_where_all_are_known():
    known = [replace(case("a", 1), voxels=("2" * 16, "1" * 16)), replace(case("b", 2), voxels=("1" * 16,))]
    assert voxels_of(known) == {"trained_on_voxels": ["1" * 16, "2" * 16]}
    assert voxels_of([*known, case("c", 3)]) == {}
