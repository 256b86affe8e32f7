"""Matrices of 45 and of 231 terms give the regressions that the voxels themselves give."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mrimpute.calibration import Regressor, builtin_site
from mrimpute.calibration.apply import errors_of, estimated, gram_of, settled
from mrimpute.calibration.gram import (
    EVERY,
    PLAIN,
    RICH,
    RIDGE,
    SHARP,
    coefficients,
    held_coefficients,
    squared_error,
    term_count,
    term_indices,
)
from mrimpute.calibration.use import steadied
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.generators import regression

T1, T1C, T2, FLAIR = BRATS_FOUR


@pytest.fixture
def study():
    draw = np.random.default_rng(1)
    images = {contrast: draw.random((9, 8, 7), np.float32) for contrast in (T1, T1C, T2)}
    images[FLAIR] = (0.2 + 0.5 * images[T1] * images[T2] - 0.1 * images[T1C]).astype(np.float32)
    head = np.zeros((9, 8, 7), bool)
    head[1:8, 1:7, 1:6] = True
    return {contrast: np.where(head, image, np.float32(0)) for contrast, image in images.items()}, head


def features(sources, kinds):
    """Return sources (S, X, Y, Z), their 3x3x3 means by PyTorch's own pooling, and if rich what is above 1/3 and
    2/3, and the deviation of the 27 values: (kinds S, X, Y, Z)."""
    plain = torch.cat([sources, F.avg_pool3d(sources[None], 3, stride=1, padding=1)[0]])
    if kinds == PLAIN:
        return plain
    cubes = F.pad(sources, (1,) * 6).unfold(1, 3, 1).unfold(2, 3, 1).unfold(3, 3, 1).flatten(-3)
    return torch.cat([plain, F.relu(sources - 1 / 3), F.relu(sources - 2 / 3), cubes.std(-1, correction=0)])


@pytest.mark.parametrize(("kinds", "terms"), [(PLAIN, 45), (RICH, 231)])
def test_the_matrix_is_that_of_all_terms_over_the_head(study, kinds, terms):
    images, head = study
    gram = gram_of(images, head, kinds=kinds)
    values = regression.terms(features(torch.from_numpy(np.stack([images[c] for c in BRATS_FOUR])), kinds)[:, head])
    assert gram.matrix.shape == (terms, terms) == (term_count(kinds), len(values))
    assert gram.voxels == head.sum()
    expected = (values.double() @ values.double().T / head.sum()).numpy()
    np.testing.assert_allclose(gram.matrix, expected, rtol=1e-5)
    np.testing.assert_allclose(gram.plain.matrix, gram_of(images, head).matrix, rtol=1e-12)


@pytest.mark.parametrize("kinds", [PLAIN, RICH])
@pytest.mark.parametrize("sources", [(T1,), (T2, T1), (T1, T1C, T2), (T2, T1C, T1)])
def test_coefficients_are_those_that_the_voxels_give(study, sources, kinds):
    images, head = study
    assert RIDGE == regression.RIDGE
    inside = torch.from_numpy(np.stack([images[c] for c in sources]))
    values = regression.terms(features(inside, kinds)[:, head]).double()
    inner, target = values @ values.T, torch.from_numpy(images[FLAIR][head]).double()
    expected = torch.linalg.solve(inner + RIDGE * torch.diag(inner.diagonal()), values @ target)
    gram = gram_of(images, head, kinds=kinds)
    found = coefficients([gram.matrix], sources, FLAIR)
    assert len(term_indices(sources)) == regression.term_count(len(sources))
    assert len(term_indices(sources, kinds)) == len(found)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4 if kinds == RICH else 1e-6)
    weights = held_coefficients([gram.matrix], sources, FLAIR)
    made = estimated(images, head, sources, weights)
    assert not made[~head].any()
    error = float(np.mean((made - images[FLAIR])[head] ** 2))
    assert squared_error(gram.matrix, sources, FLAIR, found) == pytest.approx(error, rel=1e-3)
    (measured,) = errors_of(images, head, {(FLAIR, sources): weights}).values()
    assert measured.squared == pytest.approx(error, rel=1e-4)
    assert measured.within[-1] == pytest.approx(1)
    assert measured.within[99] == pytest.approx((np.abs(made - images[FLAIR])[head] <= 0.1).mean(), abs=0.01)


def test_terms_of_a_contrast_that_is_absent_are_0(study):
    images, head = study
    lacking = {contrast: image for contrast, image in images.items() if contrast is not T1C}
    gram, full = gram_of(lacking, head), gram_of(images, head)
    assert gram.present == (T1, T2, FLAIR)
    kept = list(term_indices(gram.present))
    np.testing.assert_allclose(gram.matrix[np.ix_(kept, kept)], full.matrix[np.ix_(kept, kept)])
    rest = sorted(set(range(term_count(PLAIN))) - set(kept))
    assert not gram.matrix[rest].any()
    assert gram.holds((T1, FLAIR)) and not gram.holds((T1, T1C))


def test_a_term_that_is_0_in_all_studies_counts_for_nothing(study):
    images, head = study
    dark = {contrast: 0.3 * image for contrast, image in images.items()}  # nothing of it is above 1/3
    found = coefficients([gram_of(dark, head, kinds=RICH).matrix], (T1, T2), FLAIR)
    assert np.isfinite(found).all() and not found[5:9].any()


def test_what_no_study_showed_is_made_no_further_than_a_step_from_what_plain_terms_make(study):
    """FLAIR follows T1 and T2 by a knee; a spot that is bright in both, as no study is, would be far beyond."""
    images, head = study
    images = {contrast: 0.7 * image for contrast, image in images.items()}
    images[FLAIR] = np.where(head, 0.9 - 4 * np.maximum(images[T1] - 1 / 3, 0) * np.maximum(images[T2] - 1 / 3, 0), 0)
    images[FLAIR] = images[FLAIR].astype(np.float32)
    gram = gram_of(images, head, kinds=RICH)
    free, plain = coefficients([gram.matrix], (T1, T2), FLAIR), coefficients([gram.plain.matrix], (T1, T2), FLAIR)
    weights = held_coefficients([gram.matrix], (T1, T2), FLAIR)
    spot = {contrast: image.copy() for contrast, image in images.items()}
    for contrast in (T1, T2):
        spot[contrast][3:6, 3:6, 2:5] = 0.98
    beyond, near = (estimated(spot, head, (T1, T2), one)[head] for one in (free, plain))
    made = estimated(spot, head, (T1, T2), weights)[head]
    assert np.abs(beyond - near).max() > regression.REACH + 0.05
    np.testing.assert_allclose(made, np.clip(beyond, near - regression.REACH, near + regression.REACH), atol=1e-6)
    (found,) = errors_of(spot, head, {(FLAIR, (T1, T2)): weights}).values()
    assert found.squared == pytest.approx(float(np.mean((made - spot[FLAIR][head]) ** 2)), rel=1e-4)


def test_every_naming_of_the_series_reads_from_one_matrix(study):
    """Coefficients for (t1, t2), read with the two exchanged, are those of a study that has them exchanged."""
    images, head = study
    swapped = images | {T1: images[T2], T2: images[T1]}
    matrix, other = gram_of(images, head).matrix, gram_of(swapped, head).matrix
    weights = coefficients([matrix], (T1, T2), FLAIR)
    assert squared_error(other, (T2, T1), FLAIR, weights) == pytest.approx(
        squared_error(matrix, (T1, T2), FLAIR, weights)
    )
    for order in itertools.permutations((T1, T1C, T2)):
        assert sorted(term_indices(order)) == sorted(term_indices((T1, T1C, T2)))


def strayed(by, target=T1):
    """A study of two series, and regressions on them: singles that make 0.4 and 0.6 of it, the one on both `by` more
    than their mean."""
    sources = (T1, FLAIR) if target is T2 else (T2, FLAIR)
    images = {source: np.full((4, 4, 4), 0.5, np.float32) for source in sources}
    one, other, whole = np.zeros((3, 15))
    one[0], other[0], whole[0] = 0.4, 0.6, 0.5 + by
    return images, Regressor(target, sources, whole, 2, None, "", singles=(one, other))


@pytest.mark.parametrize(("by", "strays"), [(0.0, False), (0.17, False), (-0.17, False), (0.19, True), (-0.5, True)])
def test_a_regression_on_all_sources_counts_half_unless_it_strays_and_none_for_a_t1_of_t2_and_flair(by, strays):
    for target, share in ((T1, 0), (T1C, 0 if strays else 0.5), (T2, 0 if strays else 0.5)):
        images, regressor = strayed(by, target)
        found = settled(images, np.ones((4, 4, 4), bool), regressor)
        assert found.weights[0] == pytest.approx(0.5 + share * by)
        assert (found.astray, found.singles) == (strays, ())
        assert settled(images, np.ones((4, 4, 4), bool), found) is found


def test_singles_that_agree_leave_nothing_for_the_one_on_all_sources_to_stray_within():
    images, regressor = strayed(0.01)
    same = replace(regressor, singles=regressor.singles[:1] * 2)
    assert settled(images, np.ones((4, 4, 4), bool), same).weights[0] == pytest.approx(0.4)


def test_a_t2_gets_more_of_its_network_where_the_regression_on_all_sources_strays():
    shares = [replace(strayed(0)[1], target=one, astray=True).share_beside(1) for one in (T1, T2, FLAIR)]
    assert shares == [0.5, 0.75, 0.5]
    assert replace(strayed(0)[1], target=T2).share_beside(1) == 0.5
    assert replace(strayed(0)[1], target=T2).share_beside(2) is None  # the network's own


def test_the_regression_for_any_scanner_knows_those_on_one_source_each():
    site, target, sources = builtin_site(), FLAIR, (T1, T2)
    found = steadied(target, sources, ())
    values = np.random.default_rng(0).random((4, 1000))
    terms = regression.terms(torch.from_numpy(values)).numpy()  # of t1, t2 and their means
    np.testing.assert_allclose(found.weights, site.plain.regressor(target, sources, ()).weights, rtol=1e-9)
    for single, source, features in zip(found.singles, sources, ([0, 2], [1, 3]), strict=True):
        alone = site.plain.regressor(target, [source], ()).weights
        expected = alone @ regression.terms(torch.from_numpy(values[features])).numpy()
        np.testing.assert_allclose(single @ terms, expected, rtol=1e-8, atol=1e-10)


def test_the_regression_for_any_scanner_knows_where_a_t2_is_sharper_than_elsewhere(study):
    """A t1 of T2 and FLAIR: half of T2, its mean and its deviation over the deviation's mean, whatever that is; half of
    FLAIR and its mean; all held near what T2, FLAIR and their means make alone."""
    images, head = study
    sources = (T2, FLAIR)
    values = features(torch.from_numpy(np.stack([images[c] for c in sources])), RICH)[:, head].double()
    values[8] /= values[8][::EVERY].mean()
    matrices = [one.gram.evened.matrix for one in builtin_site().studies]

    def alone(source, rows, kinds):
        weights = torch.from_numpy(coefficients(matrices, [source], T1, kinds=kinds))
        return weights @ regression.terms(values[rows])

    flair = alone(FLAIR, [1, 3], PLAIN)
    sharp, plain = ((one + flair) / 2 for one in (alone(T2, [0, 2, 8], SHARP), alone(T2, [0, 2], PLAIN)))
    expected = regression.held(sharp.clamp(0, 1), plain.clamp(0, 1))
    found = settled(images, head, steadied(T1, sources, ()))
    made = estimated(images, head, sources, found.weights)
    np.testing.assert_allclose(made[head], expected, atol=1e-4)
    assert np.abs(made[head] - plain.clamp(0, 1).numpy()).max() > 0.05


def test_the_studies_of_one_place_count_three_quarters_where_the_scanner_is_theirs():
    site = builtin_site()
    assert site.places == ("TCGA-DU", "OPENMS")
    glioma, *others = site.studies
    matrices = [one.gram.matrix for one in (*others, *others, *others, glioma, glioma)]  # 3/8 each, and 1/4
    found = site.regressor(T1, (T1C, T2, FLAIR), (), "OPENMS")
    np.testing.assert_allclose(found.weights, held_coefficients(matrices, (T1C, T2, FLAIR), T1), rtol=1e-6)
    assert found.description["training_site"] == "OPENMS"
    alike, nowhere = (site.regressor(T1, (T2, FLAIR), (), place) for place in ("", "elsewhere"))
    np.testing.assert_array_equal(alike.weights, nowhere.weights)
    assert (alike.place, nowhere.place) == ("", "")
    own = [digest for one in others for digest in one.voxels.values()]
    assert site.regressor(T1, (T2,), own, "OPENMS").place == ""  # nothing of that place is left


def test_box_means_are_those_of_pytorch():
    volume = torch.rand(35, 6, 5)
    expected = torch.nn.functional.avg_pool3d(volume[None], 3, stride=1, padding=1)[0]
    torch.testing.assert_close(regression.box_means(volume), expected, atol=1e-6, rtol=0)
