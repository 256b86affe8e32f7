"""Wishes are settled before a voxel is read."""

import inspect
import sys
from pathlib import Path

import pytest

from mrimpute import Contrast, Options
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.errors import StudyRefused, UsageError, WeightsUnavailable
from mrimpute.request import make_request
from mrimpute.study import Series
from tests.conftest import tree

FLAIR = Contrast.FLAIR
WRONG = {
    "another generator's sampler": ["--sampler", "paper", "--weights", "builtin"],
    "steps beyond the ladder": ["--steps", "5000", "--weights", "builtin"],
    "DICOM without a series": ["--format", "dicom", "--weights", "builtin"],
    "a layout with a mask": ["--layout", "brats21", "--out", "out", "--brain-mask", "mask.nii.gz"],
    "two words on weights": ["--weights", "a", "--weights", "b"],
    "an unknown generator": ["--weights", "gan=a"],
    "no such device": ["--device", "tpu", "--weights", "builtin"],
    "a reference that is not there": ["--reference", "flair", "--weights", "builtin"],
    "part of the random steps": ["--sampler", "ddpm", "--steps", "10", "--weights", "builtin"],
}


@pytest.fixture
def reads(monkeypatch):
    """Every series whose voxels were read."""
    seen: list[Path] = []
    real = Series.read
    monkeypatch.setattr(Series, "read", lambda series: seen.append(series.path) or real(series))
    return seen


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry run"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wish_that_cannot_be_honoured_ends_before_an_image_is_read(cli, make_study, reads, name, dry):
    folder = make_study()
    before = tree(folder)
    done = cli("fill", folder, *WRONG[name], *dry, cwd=folder.parent)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert reads == []
    assert tree(folder) == before


def test_a_dry_run_of_what_works_reads_no_image(cli, make_study, reads):
    assert cli("fill", make_study(), "--dry-run", "--weights", "builtin").returncode == 0
    assert reads == []


def test_a_checkpoint_that_is_not_known_is_told_after_the_images_were_read(cli, make_study, reads):
    folder = make_study()
    assert cli("fill", folder, "--weights", "nonsense", "--dry-run").returncode == 0
    assert cli("fill", folder, "--weights", "nonsense").returncode == 4
    assert len(reads) == 3


def test_a_request_says_what_will_be_made_how_and_where(make_study, tiny_weights, tmp_path):
    options = Options(weights=(str(tiny_weights[FLAIR]),), out=tmp_path / "out", steps=3)
    request = make_request(make_study(), (), options)
    (order,) = request.orders
    assert (order.job.target, order.job.generator) == ("flair", "cwdm")
    assert (order.sampling.sampler, order.sampling.steps) == ("ddim", 3)
    assert order.checkpoint.name == "tiny-flair"
    assert request.destinations[FLAIR].image == tmp_path / "out" / "case" / "case-t2f.nii.gz"
    assert (request.form, request.error) == ("nifti", None)


def test_what_ends_a_request_is_in_it_with_what_was_settled_before(make_study, tmp_path):
    absent = make_request(tmp_path / "absent", (), Options())
    assert isinstance(absent.error, StudyRefused)
    assert absent.study is None
    unmakeable = make_request(make_study(), [Contrast.CT], Options(generator="cwdm"))
    assert isinstance(unmakeable.error, StudyRefused)
    assert set(unmakeable.study.present) == set(BRATS_FOUR[:3])
    held = make_request(make_study("other"), (), Options(weights=("nonsense",)))
    assert held.error is None
    assert isinstance(held.orders[0].checkpoint, WeightsUnavailable)


@pytest.mark.parametrize("wrong", [{"generator": "gan"}, {"sampler": "euler"}, {"device": "tpu"}])
def test_unknown_names_are_refused_with_the_options(wrong):
    with pytest.raises(UsageError):
        Options(**wrong)


def test_the_line_is_short():
    """fill.py is read in a minute: at most 160 lines, no function over 25."""
    module = sys.modules["mrimpute.fill"]
    assert len(inspect.getsource(module).splitlines()) <= 160
    inside = [module.fill, *(one for one in vars(module.Engine).values() if inspect.isfunction(one))]
    assert max(len(inspect.getsource(one).splitlines()) for one in inside) <= 25


def test_a_foreign_file_at_the_place_is_told_before_an_image_is_read(cli, make_study, reads):
    """Before, after reading, comparing and loading a network."""
    folder = make_study()
    (folder / "case-t2f.json").write_text("{}")
    done = cli("fill", folder, "--weights", "builtin", "--device", "cpu")
    assert done.returncode == 6
    assert "was not made by mrimpute" in done.stderr
    assert reads == []
