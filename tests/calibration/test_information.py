"""Two series that lie apart tell less of each other than those of a calibration's studies, and that is warned of."""

import json
import shutil
import tomllib
from dataclasses import replace
from functools import partial

import nibabel as nib
import numpy as np
import pytest
import tomli_w

from mrimpute.calibration import FRAME
from mrimpute.calibration.folder import CALIBRATION_TOML, read_site
from mrimpute.calibration.information import LEAST_SHARE, Shared, information_of, with_information
from mrimpute.calibration.present import Present
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.errors import WeightsUnavailable
from mrimpute.prepare import prepare
from mrimpute.prepare.rigid import Alignment
from mrimpute.prepare.sources import Sources
from mrimpute.report.record import Record
from mrimpute.selfcheck.judge import Evidence, judge
from mrimpute.study import find_series
from tests.calibration import conftest

T1, T1C, T2, FLAIR = BRATS_FOUR
write_study = partial(conftest.write_study, spacing=2.3)
WORDS = ("--missing", "flair", "--weights", "builtin", "--device", "cpu")


@pytest.fixture(scope="module")
def folder(cli, tmp_path_factory):
    """Calibrate from one patient: more studies would cost figures, which do not matter here."""
    root = tmp_path_factory.mktemp("information")
    done = cli("calibrate", write_study(root, "ann", 0), "--out", root / "site")
    assert done.returncode == 0, done.stderr
    return root / "site"


@pytest.fixture
def site(folder):
    """The calibration, with a second study whose series tell more of each other."""
    site = read_site(folder)
    (ann,) = site.studies
    voxels = {contrast: digest[::-1] for contrast, digest in ann.voxels.items()}
    more = {pair: value + 0.1 for pair, value in ann.information.items()}
    return replace(site, studies=(ann, replace(ann, voxels=voxels, information=more)))


@pytest.fixture
def rewritten(folder, tmp_path):
    """Copy the calibration with another table of what its study's series tell of each other."""

    def rewrite(information):
        table = tomllib.loads((folder / CALIBRATION_TOML).read_text())
        for study in table["studies"]:
            del study["information"]
            study |= {} if information is None else {"information": information}
        copy = shutil.copytree(folder, tmp_path / "site")
        (copy / CALIBRATION_TOML).write_text(tomli_w.dumps(table))
        return copy

    return rewrite


@pytest.fixture
def apart(tmp_path):
    """Two series of a patient, 3 mm apart."""
    return shifted(write_study(tmp_path, "cyd", 2, (T1, T2)), 3)


def shifted(study, millimetres):
    """Let the header of a study's t2 say that it lies elsewhere."""
    path = next(study.glob("*t2w.nii.gz"))
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += millimetres
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), affine), path)
    return study


def looked_at(folder, site, lay=None):
    """Return a study's series in the frame of calibrations, before and after they are compared with a calibration.

    Args:
        folder: of the study.
        site: the calibration.
        lay: what the register check measured of its t2.
    """
    study = find_series(folder)
    volumes = {series.contrast: series.read() for series in study.series}
    ready = prepare(volumes, FRAME)
    sources = Sources(study.get(T1), volumes[T1], volumes, {T2: lay} if lay else {})
    return ready, with_information(ready, Present(ready, sources, None, FRAME), site)


def test_the_information_is_that_of_its_formula_and_falls_as_images_part(tmp_path):
    volumes = {series.contrast: series.read() for series in find_series(write_study(tmp_path, "ann", 0)).series}
    ready = prepare(volumes, FRAME)
    found = information_of(ready)
    assert list(found) == [(T1, T1C), (T1, T2), (T1, FLAIR), (T1C, T2), (T1C, FLAIR), (T2, FLAIR)]
    values = [ready.images[one][ready.head][::20] for one in (T1, T2)]
    joint, *_ = np.histogram2d(*values, bins=32, range=[(0, 1), (0, 1)])
    alone, other, both = (
        -np.sum(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares)))
        for shares in (part / len(values[0]) for part in (joint.sum(0), joint.sum(1), joint))
    )
    assert found[T1, T2] == pytest.approx((alone + other) / both - 1, abs=5e-4)
    ready.images[FLAIR][:] = np.roll(ready.images[FLAIR], 1, axis=1)
    assert 0 < information_of(ready)[T1, FLAIR] < 0.9 * found[T1, FLAIR]
    ready.images[T2][:] = 0.5
    assert information_of(ready)[T1, T2] == information_of(ready)[T2, FLAIR] == 0


@pytest.mark.parametrize(
    ("lay", "words"),
    [
        (None, "could not measure them"),
        (Alignment(0.44, 0.9, 0.0, np.eye(4)), "found t2 0.4 mm off t1"),
        (Alignment(3.1, 3.9, 0.2, np.eye(4), moved=True), "found t2 3.1 mm off t1 and moved it"),
    ],
)
def test_two_series_three_millimetres_apart_are_told_of(site, apart, lay, words):
    ready, judged = looked_at(apart, site, lay)
    (told,) = judged.fit["mutual_information"]
    lowest = site.studies[0].information[T1, T2]
    assert told == {"between": [T1, T2], "found": information_of(ready)[T1, T2], "lowest": lowest, "studies": 2}
    assert 0 < told["found"] < LEAST_SHARE * lowest
    assert judged.warnings == (
        *ready.warnings,
        "t1 and t2 fit each other worse than those of the studies of the calibration site "
        f"({told['found']:.3f}, lowest there {lowest:.3f}); the register check {words}: look at them",
    )


def test_two_series_in_register_are_not_told_of(site, tmp_path):
    ready, judged = looked_at(write_study(tmp_path, "cyd", 2, (T1, T2)), site)
    assert judged.warnings == ready.warnings
    assert judged.fit is not None


def test_a_fill_warns_with_what_the_register_check_measured_unless_checks_are_off(cli, folder, tmp_path):
    study = shifted(write_study(tmp_path, "cyd", 2, (T1, T1C, T2)), 1)
    off = ("--no-checks", "--no-self-check")
    done = cli("fill", study, *WORDS, "--calibration", folder, "--out", tmp_path / "looked", "--report")
    silent = cli("fill", study, *WORDS, "--calibration", folder, "--out", tmp_path / "silent", *off)
    assert (done.returncode, silent.returncode) == (0, 0), done.stderr
    assert "t1 and t2 fit each other worse" in done.stderr
    assert "the register check found t2 1.0 mm off t1: look at them" in done.stderr
    assert "the register check found t1c 0.0 mm off t1, t2 1.0 mm off t1: look at them" in done.stderr
    assert "t1 and t1c fit" not in done.stderr
    assert "fit each other worse" not in silent.stderr
    page = next((tmp_path / "looked").rglob("*.html")).read_text()
    assert "t1 and t2 fit each other worse" in page  # though one study gives the self-check no ranges to show
    assert "t1 and t2 tell too little of each other" in page
    fits = [json.loads(next((tmp_path / name).rglob("*-t2f.json")).read_text())["fit"] for name in ("looked", "silent")]
    assert [one["between"] for one in fits[0]["mutual_information"]] == [["t1", "t1c"], ["t1", "t2"], ["t1c", "t2"]]
    assert fits[0]["scanner"] == "known"
    assert fits[1] is None


def test_a_study_of_the_calibration_does_not_count_for_itself(folder, site):
    ann, other = site.studies
    assert site.information((T1, T2), list(ann.voxels.values())) == [other.information[T1, T2]]
    assert site.information((T1, T2), ()) == [ann.information[T1, T2], other.information[T1, T2]]
    ready, judged = looked_at(folder.parent / "ann", read_site(folder))  # of that study alone
    assert judged is ready


def test_a_calibration_of_an_earlier_version_is_read_and_nothing_compared(folder, rewritten, apart):
    old = read_site(rewritten(None))
    assert old.sha256 == read_site(folder).sha256  # voxels are the same, so is the recipe
    ready, judged = looked_at(apart, old)
    assert judged is ready


@pytest.mark.parametrize("information", [{"t1-pd": 0.1}, {"t1": 0.1}, {"t1-t2": 1.1}, {"t1-t2": -0.1}])
def test_a_table_that_cannot_be_is_refused(rewritten, information):
    with pytest.raises(WeightsUnavailable, match=f"information.*{next(iter(information))}"):
        read_site(rewritten(information))


@pytest.mark.parametrize(("found", "low"), [(0.05, False), (0.0425, False), (0.0424, True)])
def test_a_pair_is_told_of_below_its_share_of_the_lowest(found, low):
    assert Shared((T1, T2), found, 0.05, 4).is_low == low


def test_of_two_series_neither_verdict_nor_report_wants_a_scanner():
    fit = Shared((T1, T2), 0.06, 0.05, 4).description
    assert Shared.of(fit) == Shared((T1, T2), 0.06, 0.05, 4)
    assert judge(Evidence((), {"mutual_information": [fit]})).word == "as expected"
    shown = Record.model_fields["fit"].annotation.__args__[0].model_validate({"mutual_information": [fit]})
    assert (shown.scanner, shown.naming_gap) == ("", None)
