"""Names that do not fit their images, and scanners that are not known, are told by the grey values."""

import json
import shutil
from functools import partial

import numpy as np
import pytest

from mrimpute.calibration import FRAME, Gram, Site
from mrimpute.calibration.apply import gram_of
from mrimpute.calibration.folder import builtin_site
from mrimpute.calibration.naming import REFUSE_GAP, Fit, fit_in, fit_of, with_fit
from mrimpute.calibration.present import Present
from mrimpute.calibration.site import Member
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.prepare import prepare
from mrimpute.prepare.sources import Sources
from mrimpute.study import find_series
from tests.calibration import conftest
from tests.conftest import tree

T1, T1C, T2, FLAIR = BRATS_FOUR
write_study = partial(conftest.write_study, spacing=2.3)
WORDS = ("--missing", "flair", "--weights", "builtin", "--device", "cpu", "--json")


@pytest.fixture(scope="module")
def site(cli, tmp_path_factory):
    root = tmp_path_factory.mktemp("naming")
    done = cli("calibrate", write_study(root, "ann", 0), write_study(root, "bob", 1), "--out", root / "site")
    assert done.returncode == 0, done.stderr
    return root / "site"


@pytest.fixture
def swapped(tmp_path):
    """A patient whose t1c is called t2, and its t2 t1c."""
    folder = write_study(tmp_path, "cyd", 2, (T1, T1C, T2))
    t1c, t2 = folder / "cyd-t1c.nii.gz", folder / "cyd-t2w.nii.gz"
    shutil.move(t1c, folder / "other.nii.gz")
    shutil.move(t2, t1c)
    shutil.move(folder / "other.nii.gz", t2)
    return folder


def test_swapped_names_are_refused_with_the_likely_mix_up(cli, site, swapped):
    before = tree(swapped)
    done = cli("fill", swapped, *WORDS, "--calibration", site)
    assert done.returncode == 3
    assert "what is called t1c looks like t2, what is called t2 looks like t1c" in done.stderr
    assert "--t1c PATH --t2 PATH; or --no-checks" in done.stderr
    assert tree(swapped) == before


def test_the_user_may_know_better_or_settle_it(cli, site, swapped, tmp_path):
    trusted = cli("fill", swapped, *WORDS, "--calibration", site, "--no-checks", "--out", tmp_path / "trusted")
    assert trusted.returncode == 0, trusted.stderr
    assert json.loads(next((tmp_path / "trusted").rglob("*-t2f.json")).read_text())["fit"] is None
    right = ("--t1c", swapped / "cyd-t2w.nii.gz", "--t2", swapped / "cyd-t1c.nii.gz")
    done = cli("fill", swapped, *WORDS, "--calibration", site, *right, "--out", tmp_path / "right")
    assert done.returncode == 0, done.stderr
    fit = json.loads(next((tmp_path / "right").rglob("*.json")).read_text())["fit"]
    assert (fit["scanner"], fit["naming_gap"], fit["likelier_names"]) == ("known", 0.0, {})


def test_without_checks_nothing_is_said_of_names_or_scanner_and_the_image_is_the_same(cli, tmp_path):
    folder = write_study(tmp_path, "cyd", 2, (T1, T1C, T2))
    said = {}
    for words in ((), ("--no-checks",)):
        out = tmp_path / f"out{len(words)}"
        done = cli("fill", folder, *WORDS, *words, "--out", out)
        assert done.returncode == 0, done.stderr
        sidecar = json.loads(next(out.rglob("*-t2f.json")).read_text())
        said[words] = sidecar["image"]["voxels_sha256"], sidecar["fit"], " ".join(sidecar["verdict"]["reasons"])
    (image, fit, reasons), (unchecked, none, fewer) = said.values()
    assert image == unchecked
    assert fit["scanner"] == "foreign" and "scanner is foreign" in reasons
    assert none is None and "foreign" not in fewer and fewer


def looked_at(folder):
    """Return a study's series in the frame of calibrations, before and after they are judged."""
    study = find_series(folder)
    volumes = {series.contrast: series.read() for series in study.series}
    ready = prepare(volumes, FRAME)
    present = Present(ready, Sources(study.get(T1), volumes[T1], volumes, {}), None, FRAME)
    return ready, with_fit(ready, fit_in(present, None), None)


def test_a_foreign_scanner_is_said_and_nothing_refused(tmp_path):
    _, judged = looked_at(write_study(tmp_path, "dan", 3, (T1, T1C, T2)))
    assert judged.fit is not None
    assert judged.fit["scanner"] == "foreign"
    assert judged.fit["likelier_names"] == {}
    assert any("the scanner is foreign" in warning for warning in judged.warnings)


@pytest.mark.parametrize(("contrasts", "spacing"), [((T1, T2), 2.3), ((T1, T1C, T2), 1.5)])
def test_of_two_series_or_a_small_head_nothing_is_said(tmp_path, contrasts, spacing):
    ready, judged = looked_at(conftest.write_study(tmp_path, "eve", 4, contrasts, spacing=spacing))
    assert judged is ready


@pytest.mark.parametrize(
    ("likelier", "mixed_up"),
    [
        ({T1C: T2, T2: T1C}, True),
        ({FLAIR: T1C}, True),
        ({T2: FLAIR, FLAIR: T1C}, False),
        ({T1: T1C, T1C: T1, T2: FLAIR}, False),
        ({}, False),
    ],
)
def test_only_two_swapped_names_or_one_wrong_one_are_a_mix_up(likelier, mixed_up):
    assert Fit(-2.0, 0.9, likelier).is_mix_up == mixed_up


def test_names_that_no_study_of_the_site_has_cannot_be_judged():
    matrix = np.eye(45)
    lacking = Site("lacking", (Member(Gram(matrix, 9, (T1, T2)), {T1: "a", T2: "b"}, {}),))
    assert fit_of(Gram(matrix, 9, (T1, T2, FLAIR)), lacking, ()) is None


@pytest.mark.data
@pytest.mark.parametrize("names", [(T1, T1C, T2), (T1, T2, FLAIR)])
def test_a_real_patient_left_out_fits_its_names_and_no_others(shared, names):
    study = find_series(shared / "data" / "ms-mni" / "OPENMS-07")
    volumes = {contrast: study.get(contrast).read() for contrast in names}
    digests = [volume.voxel_digest for volume in volumes.values()]
    ready = prepare(volumes, FRAME)
    right = fit_of(gram_of(ready.images, ready.head), builtin_site().plain, digests)
    assert (right.scanner, right.gap, right.likelier) == ("known", 0.0, {})
    assert right.place == "OPENMS"  # where the other MS patient was scanned, not where the glioma was
    mixed = dict(zip(names, (ready.images[names[1]], ready.images[names[0]], ready.images[names[2]]), strict=True))
    wrong = fit_of(gram_of(mixed, ready.head), builtin_site().plain, digests)
    assert wrong.likelier == {names[0]: names[1], names[1]: names[0]}
    assert wrong.gap > REFUSE_GAP
    assert wrong.disagreement == pytest.approx(right.disagreement)
    assert isinstance(wrong.description["scanner"], str)
    assert Contrast(next(iter(wrong.description["likelier_names"]))) in names
