import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrimpute.contrasts import Contrast
from mrimpute.errors import ImageDamaged, ResourcesExhausted, StudyRefused
from mrimpute.prepare import skull
from mrimpute.prepare.skull import filled
from mrimpute.volume import Grid, Volume
from tests.conftest import write_nifti

T1 = Contrast.T1
AFFINE = np.diag([2.0, 2, 2, 1])


@pytest.fixture
def image(phantom_head):
    """A brain in a head: bright around it, and no voxel is 0."""
    voxels = np.where(phantom_head[T1] > 0, phantom_head[T1], np.float32(30))
    return Volume(voxels, Grid(voxels.shape, AFFINE), Path("t1.nii.gz"), "d")


def stripper(folder: Path, name: str, body: str) -> None:
    """Write a stand-in program that sees the words of the real one."""
    program = folder / name
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys, nibabel as nib, numpy as np\n"
        "words = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "image = nib.load(words['-i']); voxels = image.get_fdata()\n"
        f"{body}\n"
    )
    program.chmod(0o755)


WORKS = (
    "out = words.get('-o') or words['-m']; "
    "nib.save(nib.Nifti1Image((voxels * (voxels > 40)).astype('float32'), image.affine), out)"
)


def test_heads_with_skull_are_told_by_their_volume(image, phantom_head):
    stripped = Volume(phantom_head[T1], image.grid, image.path, "d")
    assert skull.with_skull([(T1, image), (Contrast.T2, stripped)]) == [T1]


def test_the_head_of_an_image_with_skull_is_told_from_its_air(image, phantom_head):
    noise = np.random.default_rng(0).rayleigh(20, image.voxels.shape)
    brain = phantom_head[T1] > 0
    head = skull.head_of(replace(image, voxels=np.where(brain, phantom_head[T1], noise)))
    overlap = 2 * np.count_nonzero(head & brain) / (np.count_nonzero(head) + np.count_nonzero(brain))
    assert overlap > 0.93
    stripped = replace(image, voxels=phantom_head[T1])
    whole = skull.head_of(stripped)
    assert whole[brain].all()
    assert np.count_nonzero(whole) < 1.001 * np.count_nonzero(brain)  # fluid without signal
    middle = tuple(length // 2 for length in brain.shape)
    holed = phantom_head[T1].copy()
    holed[middle] = 0
    assert np.array_equal(skull.head_of(replace(image, voxels=holed)), whole)


def test_a_mask_on_another_grid_takes_the_skull_off(image, phantom_head, tmp_path):
    brain = phantom_head[T1] > 0
    shifted = np.pad(brain, 3)[:, :, 2:]
    affine = AFFINE.copy()
    affine[:3, 3] = -6, -6, -2
    mask = skull.read_brain_mask(write_nifti(tmp_path / "mask.nii.gz", shifted.astype(np.uint8), affine))
    assert mask.origin == "mask.nii.gz"
    assert mask.litres == pytest.approx(np.count_nonzero(brain) * 8e-6)
    made = mask.applied(image).voxels
    assert made.dtype == image.voxels.dtype
    assert np.array_equal(made, np.where(brain, image.voxels, 0))


def test_equal_masks_have_equal_digests(phantom_head):
    grid = Grid((80, 96, 72), AFFINE)
    one, other = (skull.BrainMask.of(phantom_head[T1] > 0, grid, name, name) for name in "ab")
    moved = skull.BrainMask.of(phantom_head[T1] > 0, Grid(grid.shape, 1.01 * AFFINE), "a", "a")
    assert one.sha256 == other.sha256 != moved.sha256


@pytest.mark.parametrize(("share", "litres"), [(0.0, "0.00"), (0.03, "0.13"), (1.0, "4.42")])
def test_what_is_no_brain_mask_is_refused(tmp_path, share, litres):
    voxels = np.zeros((80, 96, 72), np.uint8)
    voxels[: round(80 * share)] = 1
    path = write_nifti(tmp_path / "lesion.nii.gz", voxels, AFFINE)
    if not share:
        voxels[0, 0, 0] = 1
        write_nifti(path, voxels, AFFINE)
    with pytest.raises(StudyRefused, match=r"lesion.nii.gz holds \d.\d\d litres"):
        skull.read_brain_mask(path)


def test_a_mask_that_is_not_there(tmp_path):
    with pytest.raises(ImageDamaged, match="no such file"):
        skull.read_brain_mask(tmp_path / "no.nii.gz")


@pytest.mark.parametrize(
    ("name", "gpu", "visible", "words"),
    [
        ("hd-bet", None, "3", ["3", "-device", "cpu"]),
        ("hd-bet", 0, "", ["0"]),
        ("hd-bet", 1, "3,5", ["5"]),
        ("mri_synthstrip", None, "", ["none"]),
        ("mri_synthstrip", 1, "", ["1", "-g"]),
    ],
)
def test_the_program_on_path_is_called(image, phantom_head, tmp_path, monkeypatch, name, gpu, visible, words):
    """The GPU of --device is the only one that it sees, numbered as this process sees them."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    seen = "__import__('os').environ.get('CUDA_VISIBLE_DEVICES', 'none')"
    stripper(
        tmp_path, name, f"open({str(tmp_path / 'words')!r}, 'w').write(' '.join([{seen}, *sys.argv[5:]]))\n{WORKS}"
    )
    mask = skull.strip(image, gpu)
    assert mask.origin == name
    assert (tmp_path / "words").read_text().split() == words
    brain = phantom_head[T1] > 40
    assert not np.any(brain & ~mask.inside)
    assert np.count_nonzero(mask.inside & ~brain) < 0.1 * np.count_nonzero(brain)  # only holes were filled


def test_a_program_that_cannot_be_started(image, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    stripper(tmp_path, "hd-bet", "pass")
    (tmp_path / "hd-bet").write_text("#!/no/such/python\n")
    with pytest.raises(ResourcesExhausted, match="hd-bet on PATH cannot be run"):
        skull.strip(image, None)


def test_no_program(image, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ResourcesExhausted, match="hd-bet or mri_synthstrip"):
        skull.strip(image, None)


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        ("sys.exit('no weights here')", ResourcesExhausted, r"hd-bet could not strip t1.nii.gz \(exit 1: no weights"),
        ("pass", ResourcesExhausted, r"could not strip t1.nii.gz \(exit 0"),
        ("open(words['-o'], 'w').write('junk')", StudyRefused, "no usable image"),
        (WORKS.replace("image.affine", "image.affine * 1.5"), StudyRefused, "changed the grid"),
        (WORKS.replace("voxels > 40", "voxels > 1e9"), StudyRefused, "holds 0.00 litres"),
    ],
)
def test_a_program_that_fails(image, tmp_path, monkeypatch, body, error, text):
    monkeypatch.setenv("PATH", str(tmp_path))
    stripper(tmp_path, "hd-bet", body)
    with pytest.raises(error, match=text):
        skull.strip(image, None)


def test_holes_are_filled_as_in_the_whole_image():
    """Whether the mask reaches the border or not; what the border opens is no hole."""
    inside = np.zeros((9, 8, 7), bool)
    inside[2:7, 2:7, 1:6] = True
    inside[4, 4, 3] = False  # a hole
    whole = inside.copy()
    whole[4, 4, 3] = True
    assert np.array_equal(filled(inside), whole)
    assert np.array_equal(filled(inside[4:, ::-1]), inside[4:, ::-1])  # open now
    assert not filled(np.zeros((5, 5, 5), bool)).any()
