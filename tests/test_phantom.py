import numpy as np
import pytest

from mrimpute import Contrast, find_series, write_example
from mrimpute.errors import OutputRefused
from mrimpute.io import read_volume
from mrimpute.phantom import TISSUES, signal


@pytest.fixture(scope="module")
def images(phantom):
    return phantom


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The files of an example study of another seed, two contrasts."""
    return write_example(tmp_path_factory.mktemp("example") / "demo", [Contrast.T1, Contrast.T2], seed=2)


def test_signals_order_tissues_as_each_contrast_does():
    def order(contrast):
        return sorted(("white", "grey", "fluid", "oedema"), key=lambda name: signal(TISSUES[name], contrast))

    assert order(Contrast.T1) == ["fluid", "oedema", "grey", "white"]
    assert order(Contrast.T2) == ["white", "grey", "oedema", "fluid"]
    assert order(Contrast.FLAIR)[0] == "fluid"
    assert order(Contrast.FLAIR)[-1] == "oedema"
    assert signal(TISSUES["rim"], Contrast.T1C) > 1.5 * signal(TISSUES["rim"], Contrast.T1)
    with pytest.raises(KeyError):
        signal(TISSUES["white"], Contrast.CT)


def test_the_four_contrasts_lie_on_each_other(images):
    supports = [image > 0 for image in images.values()]
    for support in supports[1:]:
        assert np.count_nonzero(support ^ supports[0]) < 0.01 * np.count_nonzero(supports[0])
    litres = np.count_nonzero(supports[0]) / 1e6
    assert 0.9 < litres < 1.8  # a brain's size


def test_the_brain_is_folded(images):
    """Fluid reaches into the cortex: dark sulci in FLAIR between 5 and 25 mm below the hull."""
    flair = images[Contrast.FLAIR]
    brain = flair > 0
    assert 0.1 < np.count_nonzero(flair[brain] < 0.35 * np.median(flair[brain])) / np.count_nonzero(brain) < 0.45


def test_seeds_make_different_heads(images, example):
    other = read_volume(example[0]).voxels
    assert other.shape == images[Contrast.T1].shape
    assert np.count_nonzero((other > 0) ^ (images[Contrast.T1] > 0)) > 0.01 * np.count_nonzero(other)


def test_an_example_study_is_read_back(example):
    paths = example
    folder = paths[0].parent
    study = find_series(folder)
    assert study.present == (Contrast.T1, Contrast.T2)
    assert study.naming.scheme == "brats23"
    assert read_volume(paths[0]).grid.shape == (240, 240, 155)
    with pytest.raises(OutputRefused, match="exists already"):
        write_example(folder, [Contrast.T1])
    with pytest.raises(OutputRefused, match="cannot write"):
        write_example(paths[0] / "below-a-file", [Contrast.T1])
