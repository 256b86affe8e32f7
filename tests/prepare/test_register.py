import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from mrimpute import io
from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.prepare.register import align, check_pair
from mrimpute.prepare.rigid import measure
from mrimpute.prepare.sources import agreed_reference
from mrimpute.volume import LPS, Grid, Volume

T1, T1C, T2 = Contrast.T1, Contrast.T1C, Contrast.T2
AFFINE = np.diag([1.6, 1.6, 1.6, 1])
AFFINE[:3, 3] = -64, -77, -58
"""The phantom's voxels of 2 mm as ones of 1.6 mm: a small brain, for time."""


def volume(voxels, affine=AFFINE, name="image"):
    return Volume(np.asarray(voxels, np.float32), Grid(voxels.shape, affine), Path(name), name)


def turned(degrees, shift):
    """Return a rigid motion about the origin, RAS mm."""
    motion = np.eye(4)
    angle = np.radians(degrees)
    motion[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    motion[:3, 3] = shift
    return motion


def left_over(motion, head):
    """Return how far a motion moves the corners of a box as large as a brain, mean and largest, mm."""
    points = np.array(np.meshgrid(*[(-size, size) for size in head])).reshape(3, -1).T
    distance = np.linalg.norm(points @ motion[:3, :3].T + motion[:3, 3] - points, axis=1)
    return distance.mean(), distance.max()


BRAIN = (60, 75, 55)


def test_images_in_register_are_passed_as_they_are(phantom_head):
    sources = {T1: volume(phantom_head[T1]), T2: volume(phantom_head[T2])}
    for register in (False, True):
        settled, found = align(sources[T1], sources, register)
        assert settled == sources
        assert found[T2].mean_mm < 0.5
        assert not found[T2].off
        assert not found[T2].moved


@pytest.mark.parametrize(("degrees", "shift"), [(0, (2, -1, 1)), (9, (5, 60, -20))])
def test_a_patient_who_moved_is_noticed_and_moved_back(phantom_head, degrees, shift):
    motion = turned(degrees, shift)
    sources = {T1: volume(phantom_head[T1]), T2: volume(phantom_head[T2], motion @ AFFINE)}
    found = measure(sources[T1], sources[T2])
    assert found.off
    settled, found = align(sources[T1], sources, register=True)
    assert settled[T1] is sources[T1]
    assert found[T2].moved
    mean, largest = left_over(settled[T2].grid.affine @ np.linalg.inv(AFFINE), BRAIN)
    assert mean <= 0.4
    assert largest <= 0.8
    assert np.array_equal(settled[T2].voxels, sources[T2].voxels)  # nothing is interpolated
    np.testing.assert_allclose(found[T2].motion @ settled[T2].grid.affine, sources[T2].grid.affine, atol=1e-9)


def test_what_is_out_of_register_is_refused_with_the_millimetres(phantom_head):
    sources = {T1: volume(phantom_head[T1]), T2: volume(phantom_head[T2], turned(0, (3, 0, 0)) @ AFFINE)}
    with pytest.raises(StudyRefused, match=r"out of register: [23]\.\d mm off image on average, .*--register"):
        align(sources[T1], sources, register=False)


def test_the_same_images_give_the_same_motion(phantom_head):
    def found():
        return measure(volume(phantom_head[T1]), volume(phantom_head[T2], turned(3, (2, 2, 2)) @ AFFINE))

    one, other = found(), found()
    assert one is not other  # measured twice, for these are other objects
    assert np.array_equal(one.motion, other.motion)


def test_what_cannot_be_registered_with_certainty_is_refused(phantom_head):
    backwards = turned(180, (0, 0, 0)) @ AFFINE
    sources = {T1: volume(phantom_head[T1]), T2: volume(phantom_head[T2], backwards)}
    with pytest.raises(StudyRefused, match="with certainty"):
        align(sources[T1], sources, register=True)


def test_too_little_tissue_is_not_judged(phantom_head):
    small = np.diag([0.5, 0.5, 0.5, 1])
    pair = volume(phantom_head[T1], small), volume(phantom_head[T2], turned(0, (9, 0, 0)) @ small)
    assert measure(*pair) is None


def test_images_without_a_common_voxel_are_refused(phantom_head):
    half = phantom_head[T2].copy()
    half[:, :, 30:] = 0
    far = replace(volume(half), grid=Grid(half.shape, turned(0, (0, 0, 9000)) @ AFFINE))
    with pytest.raises(StudyRefused):
        align(volume(phantom_head[T1]), {T2: far}, register=False)


@pytest.fixture(scope="module")
def scan(shared):
    """Read a real scan once, so that its cubes are shared; where brains are cut out, without most of the air."""

    @functools.cache
    def read(name):
        one = io.read_volume(shared / "data" / f"{name}.nii.gz")
        if not name.startswith("ms-mni/"):
            return one
        inside = np.argwhere(one.voxels)
        low, high = inside.min(axis=0) - 8, inside.max(axis=0) + 9
        affine = one.grid.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ low
        voxels = one.voxels[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
        return replace(one, voxels=voxels, grid=Grid(voxels.shape, affine))

    return read


@pytest.mark.parametrize(
    ("patient", "name"),
    [("patient01_study1", "T2W"), ("patient12_study1", "T1W")],
)
def test_real_scans_end_within_the_published_registrations_reach(scan, shared, patient, name):
    """The published transforms are affine; the best rigid fit to them leaves up to 0.56 / 1.25 mm."""
    folder = shared / "data" / "ms-native"
    reference, other = (scan(f"ms-native/{patient}/study1_{word}") for word in ("FLAIR", name))
    (file,) = [f for f in (folder / "transforms" / patient).rglob("*") if f.is_file() and name in f.name]
    published = sitk.ReadTransform(str(file))
    settled, found = align(reference, {T1: other}, register=True)
    inside = np.argwhere(reference.voxels > reference.voxels.mean())[::997]
    points = inside @ reference.grid.affine[:3, :3].T + reference.grid.affine[:3, 3]
    ours = LPS @ other.grid.affine @ np.linalg.inv(settled[T1].grid.affine) @ LPS
    points = points @ LPS[:3, :3]
    theirs = np.array([published.TransformPoint(point) for point in points.tolist()])
    error = np.linalg.norm(points @ ours[:3, :3].T + ours[:3, 3] - theirs, axis=1)
    assert error.mean() <= 0.8
    assert error.max() <= 1.8
    assert found[T1].moved == (patient == "patient12_study1")


def mirrored(one):
    """Return a volume with left and right swapped under its old header."""
    return replace(one, voxels=one.voxels[::-1].copy())


@pytest.mark.parametrize("register", [False, True])
def test_a_mirrored_series_is_refused_with_and_without_registering(phantom_head, register):
    sources = {T1: volume(phantom_head[T1]), T2: mirrored(volume(phantom_head[T2]))}
    with pytest.raises(StudyRefused, match="looks mirrored"):
        align(sources[T1], sources, register)


def test_what_lies_far_off_in_one_space_is_a_question_and_no_motion(phantom_head):
    moved = volume(phantom_head[T2], turned(0, (12, 0, 0)) @ AFFINE)
    sources = {T1: volume(phantom_head[T1]), T2: moved}
    with pytest.raises(StudyRefused, match="in one space: another patient, or a wrong header"):
        align(sources[T1], sources, register=True, frames={T2: "shared"})


def test_every_series_out_of_register_is_named(phantom_head):
    off = volume(phantom_head[T2], turned(0, (4, 0, 0)) @ AFFINE, "off")
    other = volume(phantom_head[T1C], turned(0, (0, 5, 0)) @ AFFINE, "other")
    with pytest.raises(StudyRefused, match=r"t2 \(off\).*; t1c \(other\).*add --register"):
        align(volume(phantom_head[T1]), {T2: off, T1C: other}, register=False)


def test_the_reference_is_what_most_others_lie_on(phantom_head):
    odd = volume(phantom_head[T1], turned(0, (6, 0, 0)) @ AFFINE)
    assert agreed_reference({T1: odd, T1C: volume(phantom_head[T1C]), T2: volume(phantom_head[T2])}) is T1C


PAIRS = (
    ("ms-mni/OPENMS-07/OPENMS-07-t1n", "ms-mni/OPENMS-07/OPENMS-07-t2w"),
    ("ms-native/patient12_study1/study1_FLAIR", "ms-native/patient12_study1/study1_T2W"),
)


@pytest.mark.data
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_real_pairs_pass_and_their_mirrored_ones_do_not(scan, one, other):
    first, second = scan(one), scan(other)
    axis = next(index for index, code in enumerate(second.grid.orientation) if code in "LR")
    swapped = replace(second, voxels=np.flip(second.voxels, axis))
    check_pair(first, T2, second, register=True, frame="own")
    with pytest.raises(StudyRefused, match="looks mirrored"):
        check_pair(first, T2, swapped, register=True, frame="own")


@pytest.mark.data
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ms-mni/OPENMS-07/OPENMS-07-t1n", "ms-mni/OPENMS-19/OPENMS-19-t2w"),
        ("ms-native/patient01_study1/study1_FLAIR", "ms-native/patient12_study1/study1_T2W"),
    ],
)
def test_another_patients_image_is_refused_even_when_it_may_be_moved(scan, one, other):
    first, second = scan(one), scan(other)
    with pytest.raises(StudyRefused, match="another patient"):
        check_pair(first, T2, second, register=True, frame="own")
