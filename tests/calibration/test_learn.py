"""Which studies teach, and what is kept of them."""

import importlib
import shutil

import nibabel as nib
import numpy as np
import pytest

from mrimpute.calibration import builtin_site, read_site, write_site
from mrimpute.calibration.folder import CALIBRATION_TOML, GRAMS_FILE
from mrimpute.calibration.gram import coefficients, squared_error
from mrimpute.calibration.learn import learn
from mrimpute.calibration.site import source_sets
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.errors import OutputRefused, StudyRefused, WeightsUnavailable
from mrimpute.io import read_volume
from mrimpute.prepare.skull import BrainMask
from mrimpute.registry import load_registry
from tests.calibration.conftest import text_in

T1, T1C, T2, FLAIR = BRATS_FOUR


@pytest.fixture
def three(scan):
    return [scan(name, seed) for seed, name in enumerate(("ann", "bob", "cyd"))]


def test_three_studies_give_figures_and_the_folder_gives_them_back(three, tmp_path):
    learnt = learn(three, "site")
    assert (len(learnt.site.studies), learnt.left_out) == (3, ())
    full = [one for one in learnt.site.figures if one.ssim is not None]
    assert {(one.target, len(one.sources)) for one in full} == {(contrast, 3) for contrast in BRATS_FOUR}
    assert len(learnt.site.figures) == 28
    assert all(one.studies == 3 and one.psnr > 20 and one.half_width < 0.2 for one in full)
    write_site(learnt.site, tmp_path / "kept")
    again = read_site(tmp_path / "kept")
    assert again.sha256 == learnt.site.sha256
    assert again.figures == learnt.site.figures
    same = learn(three[::-1], "site").site
    assert same.sha256 == again.sha256  # in whatever order they are named


def test_nothing_of_a_patient_is_kept(three, tmp_path):
    write_site(learn(three, "site").site, tmp_path / "kept")
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {CALIBRATION_TOML, GRAMS_FILE}
    kept = text_in(tmp_path / "kept")
    for canary in (b"ann", b"bob", b"cyd", b"nii", str(tmp_path).encode()):
        assert canary not in kept.lower()
    assert sum(path.stat().st_size for path in (tmp_path / "kept").iterdir()) < 3 * 231 * 231 * 8 + 10_000


def test_a_study_is_learnt_from_with_the_rich_terms_and_judged_by_the_plain_ones(scan):
    site = learn([scan("ann", 0)], "site").site
    assert site.studies[0].gram.matrix.shape == (231, 231)
    assert len(site.regressor(FLAIR, (T1, T2), ()).weights) == 66 + 15  # the plain ones hold the rich
    assert len(site.plain.regressor(FLAIR, (T1, T2), ()).weights) == 15


def test_with_one_study_there_are_no_figures_and_with_two_no_half_width(three):
    assert learn(three[:1], "site").site.figures == ()
    two = learn(three[:2], "site").site.figures
    assert two and all(one.half_width is None for one in two)


def test_an_image_is_known_again_in_another_file(scan, tmp_path):
    site = learn([scan("ann", 0)], "site").site
    source = tmp_path / "ann" / "ann-t1n.nii.gz"
    image = nib.load(source)
    plain = tmp_path / "plain.nii"
    nib.as_closest_canonical(image).to_filename(plain)  # other axes, no compression
    assert site.knows([read_volume(plain).voxel_digest])
    assert read_volume(plain).sha256 != read_volume(source).sha256
    changed = nib.Nifti1Image(np.asarray(image.dataobj) + np.int16(1), image.affine)
    changed.to_filename(plain)
    assert not site.knows([read_volume(plain).voxel_digest])


def test_a_study_never_stands_in_its_own_calibration(three):
    site = learn(three, "site").site
    own = site.studies[0].voxels.values()
    rest = site.regressor(FLAIR, (T1, T1C, T2), own)
    assert (rest.studies, rest.apart) == (2, True)
    whole = site.regressor(FLAIR, (T1, T1C, T2), ["0" * 16])
    assert (whole.studies, whole.apart) == (3, False)
    assert not np.allclose(rest.weights, whole.weights)
    alone = learn(three[:1], "site").site
    with pytest.raises(StudyRefused, match="has no other study with flair"):
        alone.regressor(FLAIR, (T1,), alone.studies[0].voxels.values())


def test_contrasts_that_no_study_has_are_left_out_of_the_sources(scan):
    site = learn([scan("ann", 0, (T1, T2, FLAIR)), scan("bob", 1, (T1, FLAIR))], "site").site
    found = site.regressor(FLAIR, (T1, T1C, T2), [])
    assert (found.sources, found.studies) == ((T1, T2), 1)
    assert site.regressor(FLAIR, (T1, T1C), []).studies == 2
    with pytest.raises(StudyRefused, match="no study with t1c"):
        site.regressor(T1C, (T1, T2), [])


def test_studies_that_do_not_fit_are_left_out_with_the_reason(scan, tmp_path):
    good = [scan(name, seed) for seed, name in enumerate(("ann", "bob", "cyd"))]
    shutil.copytree(good[0], tmp_path / "twin")
    bad = {
        scan("one", 3, (T1,)): "two are the least",
        scan("nofl", 4, (T1, T2)): "it lacks flair",
        scan("coarse", 5, spacing=2.0): "another protocol",
        scan("older", 6, scanner="old"): "its grey values behave otherwise",
        tmp_path / "twin": "it holds an image of",
        tmp_path / "nowhere": "nowhere",
        scan("broken", 7): "is not a NIfTI image",
    }
    (tmp_path / "broken" / "broken-t2w.nii.gz").write_bytes(b"no image")
    learnt = learn([*good, *bad], "site", [FLAIR])
    assert set(learnt.used) == set(good)
    reasons = {one.folder: one.reason for one in learnt.left_out}
    for folder, words in bad.items():
        assert words in reasons[folder], (folder, reasons[folder])
    with pytest.raises(StudyRefused, match="no study is left to calibrate with"):
        learn(list(bad)[:2], "site", [FLAIR])


def test_skull_beside_stripped_heads_is_left_out(scan, monkeypatch):
    good = [scan("ann", 0), scan("bob", 1), scan("cyd", 2)]
    module = importlib.import_module("mrimpute.prepare.sources")
    monkeypatch.setattr(module, "with_skull", lambda found: [T1] if "cyd" in str(dict(found)[T1].path) else [])
    learnt = learn(good, "site")
    assert [one.reason for one in learnt.left_out] == ["it has skull, and others are stripped"]
    assert not learnt.site.with_skull


def test_skull_is_taken_off_where_that_is_asked_for(scan, monkeypatch):
    def strip(volume, gpu):
        inside = np.zeros(volume.voxels.shape, bool)
        inside[6:18] = True
        return BrainMask(inside, volume.grid, "a program", "0" * 64)

    monkeypatch.setattr(importlib.import_module("mrimpute.prepare.sources"), "with_skull", lambda found: [T1])
    monkeypatch.setattr(importlib.import_module("mrimpute.calibration.learn"), "strip", strip)
    studies = [scan("ann", 0), scan("bob", 1)]
    whole, bare = (learn(studies, "site", skull_strip=asked).site for asked in (False, True))
    assert (whole.with_skull, bare.with_skull) == (True, False)
    assert whole.digests == bare.digests  # of the images as they are
    assert all(one.gram.voxels < other.gram.voxels for one, other in zip(bare.studies, whole.studies, strict=True))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (CALIBRATION_TOML, lambda text: text + b"\nname = 'x'\n", "name"),
        (CALIBRATION_TOML, lambda text: text.replace(b"0.999", b"0.99"), "other grey values"),
        (CALIBRATION_TOML, lambda text: b"no toml", "no usable calibration"),
        (GRAMS_FILE, lambda text: text[:-1] + b"x", "is not the file that"),
        (GRAMS_FILE, None, "No such file"),
    ],
)
def test_a_folder_that_was_changed_is_refused(scan, tmp_path, file, change, message):
    folder = tmp_path / "kept"
    write_site(learn([scan("ann", 0)], "site").site, folder)
    if change is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(change((folder / file).read_bytes()))
    with pytest.raises(WeightsUnavailable, match=message):
        read_site(folder)


def test_what_is_no_calibration_is_never_replaced(scan, tmp_path):
    site = learn([scan("ann", 0)], "site").site
    folder = tmp_path / "kept"
    write_site(site, folder)
    with pytest.raises(OutputRefused, match="add --overwrite"):
        write_site(site, folder)
    write_site(site, folder, replace=True)
    (folder / "image.nii").write_bytes(b"acquired")
    with pytest.raises(OutputRefused, match="choose another place"):
        write_site(site, folder, replace=True)
    assert (folder / "image.nii").read_bytes() == b"acquired"
    assert not list(tmp_path.glob(".mrimpute*"))


def test_the_packages_own_regressions_stand_on_what_the_built_in_networks_saw():
    site = builtin_site()
    assert (len(site.studies), site.figures) == (3, ())
    for checkpoint in load_registry().values():
        if checkpoint.record.origin == "builtin":
            assert set(checkpoint.record.trained_on_voxels) == site.digests, checkpoint.name
    found = {pair: np.mean([left_out(site, number, *pair) for number in range(3)]) for pair in source_sets(BRATS_FOUR)}
    for (target, sources), loss in found.items():  # more sources do no worse, but for 0.3 dB on average
        fewer = [other for (made, some), other in found.items() if made is target and set(some) < set(sources)]
        assert all(loss < other + 0.3 for other in fewer), (target, sources)


def left_out(site, number, target, sources):
    """Return the mean squared error of the regression that the other studies teach, in decibels."""
    matrices = [one.gram.plain.matrix for one in site.studies]
    own = matrices.pop(number)
    return 10 * np.log10(squared_error(own, sources, target, coefficients(matrices, sources, target)))


def test_beside_more_sources_a_calibrated_network_gives_less_structure(three):
    site = learn(three, "site").site
    flair, t2 = (site.regressor(target, (T1, other), ()) for target, other in ((FLAIR, T2), (T2, FLAIR)))
    assert (flair.share_beside(1), flair.share_beside(2)) == (0.1, 0.25)
    assert (t2.share_beside(1), t2.share_beside(2)) == (0.35, 0.5)


def test_a_calibration_of_an_earlier_version_is_refused(tmp_path):
    write_site(builtin_site().plain, tmp_path / "kept")  # 45 terms, as calibrations had
    with pytest.raises(WeightsUnavailable, match=r"made by an earlier version.*make it again with mrimpute calibrate"):
        read_site(tmp_path / "kept")
