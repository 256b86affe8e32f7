"""The middle of the line, in memory: sources and a generator give an image on the study's grid."""

import numpy as np

from mrimpute import Contrast
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.generators.contract import Synthetic
from mrimpute.make import prepare_sources, synthesise
from mrimpute.prepare.skull import BrainMask
from mrimpute.prepare.sources import choose_sources
from mrimpute.registry import load_registry
from mrimpute.study import find_series

FLAIR = Contrast.FLAIR


class Mean:
    """A generator that takes the mean of its sources, and counts one step."""

    def __call__(self, prepared, targets, seed, progress):
        progress(1, 1)
        image = np.mean([prepared.images[contrast] for contrast in prepared.images], axis=0)
        return [Synthetic(target, image) for target in targets]


def made(make_study, mask=None):
    study = find_series(make_study())
    listed = [study.get(contrast) for contrast in BRATS_FOUR[:3]]
    sources = choose_sources(listed, None, {series.path: series.read() for series in listed}, False, None)
    record = load_registry()["cwdm-flair-small"].record
    ready = prepare_sources(sources, record, mask)
    steps = []
    image = synthesise(ready, Mean(), FLAIR, 0, mask, lambda *step: steps.append(step))
    assert steps == [(1, 1)]
    return image, sources


def test_an_image_lies_on_the_grid_of_its_reference_and_is_0_outside_the_head(make_study):
    image, sources = made(make_study)
    assert image.target is FLAIR
    assert image.unit.shape == sources.onto.grid.shape
    outside = np.all([volume.voxels == 0 for volume in sources.volumes.values()], axis=0)
    assert (image.unit[outside] == 0).all()
    assert (image.unit[~outside] > 0).mean() > 0.9
    assert image.recipe.grid.same_as(sources.onto.grid)


def test_targets_from_the_same_sources_in_the_same_frame_share_them(make_study):
    study = find_series(make_study())
    listed = [study.get(contrast) for contrast in BRATS_FOUR[:3]]
    volumes = {series.path: series.read() for series in listed}
    records = {name: load_registry()[name].record for name in ("cwdm-flair-small", "cwdm-t2-small", "cwdm-flair")}

    def ready(name):
        return prepare_sources(choose_sources(listed, None, volumes, False, None), records[name], None)

    first = ready("cwdm-flair-small")
    assert ready("cwdm-flair-small") is first
    fewer = ready("cwdm-t2-small")
    assert set(fewer.images) == set(first.images) - {Contrast.T2}
    assert ready("cwdm-flair").recipe.window != first.recipe.window


def test_what_a_mask_leaves_out_is_0(make_study):
    image, sources = made(make_study)
    inside = np.zeros(image.unit.shape, bool)
    inside[:20] = True
    mask = BrainMask(inside, sources.onto.grid, "a mask", "digest")
    masked, _ = made(make_study, mask)
    assert (masked.unit[20:] == 0).all()
    assert masked.unit[:20].any()
