"""Series that a regression takes beside a network's sources: they must lie on them, or are passed over."""

import nibabel as nib
import numpy as np
import pytest

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.prepare import prepare
from mrimpute.prepare.frame import place_beside
from mrimpute.prepare.reading import read_inputs
from mrimpute.prepare.sources import choose_sources
from mrimpute.registry import load_registry
from mrimpute.study import find_series
from tests.conftest import WORDS, write_nifti

T1, T2, FLAIR = Contrast.T1, Contrast.T2, Contrast.FLAIR
AFFINE = nib.affines.from_matvec(np.diag([-2.0, -2.0, 2.0]), [80.0, 96.0, -72.0])


@pytest.fixture
def chosen(phantom_head, tmp_path):
    """Choose t2 as the source and t1 beside it, whose affine or voxels are changed."""

    def choose(shift_mm=0.0, mirrored=False, first=0):
        affine = AFFINE @ nib.affines.from_matvec(np.eye(3), [0, 0, first])
        affine[1, 3] += shift_mm
        voxels = (phantom_head[T1][::-1] if mirrored else phantom_head[T1])[:, :, first:]
        for contrast, image, where in ((T2, phantom_head[T2], AFFINE), (T1, voxels, affine)):
            write_nifti(tmp_path / "case" / f"case{WORDS['brats23'][contrast]}.nii.gz", image, where)
        study = find_series(tmp_path / "case")
        read = {series.path: series.read() for series in study.series}
        return choose_sources([study.get(T2)], None, read, False, None, [study.get(T1)])

    return choose


def test_what_lies_on_the_source_is_taken_and_brought_into_its_frame(chosen):
    sources = chosen()
    assert (set(sources.volumes), set(sources.beside)) == ({T2}, {T1})
    assert sources.notes == ()
    inputs = load_registry()["syndiff-flair-from-t2-small"].record.inputs
    both = prepare(sources.everything, inputs, (T2, sources.onto))
    alone = prepare(sources.volumes, inputs, (T2, sources.onto))
    images, ranges = place_beside(sources.beside, both.recipe, inputs)
    np.testing.assert_array_equal(images[T1], both.images[T1])
    assert ranges[T1] == both.recipe.ranges[T1]
    beside, _ = place_beside(sources.beside, alone.recipe, inputs)
    assert beside[T1].shape == alone.images[T2].shape


def test_what_lies_elsewhere_is_passed_over(chosen):
    sources = chosen(shift_mm=6.0)
    assert sources.beside == {}
    assert "t1 was not used beside the sources" in sources.notes[0]
    assert "out of register" in sources.notes[0]


def test_what_ends_inside_the_head_is_passed_over(chosen):
    sources = chosen(first=20)
    assert (set(sources.volumes), sources.beside) == ({T2}, {})
    assert set(sources.alignments) <= {T2}
    (note,) = sources.notes
    assert note.startswith("t1 was not used beside the sources: it ends inside the head, ")


def test_what_is_mirrored_is_refused(chosen):
    with pytest.raises(StudyRefused, match=r"mirrored|another patient"):
        chosen(mirrored=True)


def test_what_cannot_be_read_is_passed_over(make_study):
    folder = make_study(contrasts=(T1, T2))
    study = find_series(folder)
    path = study.get(T1).path
    path.write_bytes(path.read_bytes()[:-40])
    inputs = read_inputs({FLAIR: [study.get(T2)]}, [study.get(T1)], None, False, None, {FLAIR: [study.get(T1)]})
    assert inputs.error is None
    assert inputs.sources[FLAIR].beside == {}
    assert set(inputs.digests) == {T2}
