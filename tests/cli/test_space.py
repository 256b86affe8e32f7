"""Register, skull and reference grid, by the real command line."""

import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from mrimpute.contrasts import Contrast
from mrimpute.errors import StudyRefused
from mrimpute.prepare import register, sources
from mrimpute.prepare.skull import BrainMask
from mrimpute.prepare.sources import _placed
from mrimpute.study import find_series
from mrimpute.volume import Grid, Volume
from tests.conftest import WORDS, head_voxels, tree, write_nifti
from tests.dicom_builders import SPACING
from tests.prepare.test_register import turned
from tests.prepare.test_skull import WORKS, stripper
from tests.write.dicom.test_series import validate

T1, T1C, T2, FLAIR = Contrast.T1, Contrast.T1C, Contrast.T2, Contrast.FLAIR
AFFINE = np.diag([1.6, 1.6, 1.6, 1])
AFFINE[:3, 3] = -64, -77, -58
"""The phantom's voxels of 2 mm as ones of 1.6 mm: a small brain, for time, in air enough for a head with skull."""


@pytest.fixture(scope="module", autouse=True)
def _each_pair_measured_once():
    """Keep what was measured of images for equal ones: the same heads are written and read for each test and line."""
    kept = {}

    def looked_up(compute):
        def call(reference, other):
            key = (compute, *((one.voxel_digest, one.grid.affine.tobytes()) for one in (reference, other)))
            if key not in kept:
                kept[key] = compute(reference, other)
            return kept[key]

        return call

    place = looked_up(register.registered)

    def registered(reference, other):
        moved, *found = place(reference, other)
        return replace(other, grid=moved.grid), *found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(register, "registered", registered)
        patch.setattr(register, "mirrored_information", looked_up(register.mirrored_information))
        for module in (register, sources):
            patch.setattr(module, "measure", looked_up(register.measure))
        yield


@pytest.fixture
def study(tmp_path, phantom_head):
    """Write three sequences of a whole head; by name: how they are changed first."""

    def make(**changes):
        folder = tmp_path / "study"
        for contrast, voxels in phantom_head.items():
            change = changes.get(contrast, lambda voxels, affine: (voxels, affine))
            changed, affine = change(voxels, AFFINE)
            write_nifti(folder / f"p{WORDS['brats23'][contrast]}.nii.gz", changed.astype(np.int16), affine)
        return folder

    return make


@pytest.fixture
def flair(cli, tiny_weights):
    """Fill the flair of a study."""

    def run(folder, *words, **options):
        return cli(
            "fill", folder, "-m", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", *words, **options
        )

    return run


def test_sources_out_of_register_are_refused_and_moved_when_asked(study, flair):
    folder = study(t2=lambda voxels, affine: (voxels, turned(2, (4, 2, 1)) @ affine))
    before = tree(folder)
    done = flair(folder)
    assert done.returncode == 3
    assert "out of register" in done.stderr
    assert " mm off " in done.stderr
    assert "--register" in done.stderr
    assert done.stderr.count("\n") == 1
    assert tree(folder) == before

    done = flair(folder, "--register", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["recipe"]["moved"] == ["t2"]
    assert any("t2 was moved onto t1 by" in warning["text"] for warning in record["warnings"])
    image = nib.load(record["outputs"][0]["path"])
    assert np.array_equal(image.affine, nib.load(folder / "p-t1n.nii.gz").affine)
    sidecar = json.loads((folder / "p-t2f.json").read_text())
    assert sidecar["register"]["t1c"]["moved_by"] is None
    motion = np.array(sidecar["register"]["t2"]["moved_by"])
    np.testing.assert_allclose(motion, turned(2, (4, 2, 1)), atol=0.5)


def test_a_finished_study_that_was_registered_is_not_registered_again(study, flair, monkeypatch, tmp_path):
    folder = study(t2=lambda voxels, affine: (voxels, turned(2, (4, 2, 1)) @ affine))
    assert flair(folder, "--register").returncode == 0
    before, moved, registered = tree(folder), [], register.registered
    monkeypatch.setattr(register, "registered", lambda *words: moved.append(words) or registered(*words))
    again = flair(folder, "--register", "--json")
    assert again.returncode == 0, again.stderr
    record = json.loads(again.stdout)
    assert (record["status"], record["recipe"]["moved"], moved) == ("skipped", ["t2"], [])
    assert all(one["used"] and one["sha256"] for one in record["inputs"])
    assert flair(folder).returncode == 3  # what it was made with is asked for anew
    for words in (("--seed", "5"), ("--reference", "t1c")):
        refused = flair(folder, "--register", *words)
        assert refused.returncode == 6 and "another recipe" in refused.stderr
    (folder / "p-t1c.nii.gz").unlink()  # without it another network would be taken: nothing is skipped
    assert flair(folder, "--register").returncode != 0
    assert {name: one for name, one in before.items() if "t1c" not in name} == tree(folder)


def test_a_finished_mean_whose_spread_was_deleted_gets_it_again_though_its_sources_were_registered(study, flair):
    folder = study(t2=lambda voxels, affine: (voxels, turned(2, (4, 2, 1)) @ affine))
    words = ("--register", "--samples", "2", "--steps", "2")
    assert flair(folder, *words).returncode == 0
    spread = folder / "p-t2f_spread.nii.gz"
    kept = spread.read_bytes()
    spread.unlink()
    again = flair(folder, *words)
    assert again.returncode == 0, again.stderr
    assert "p-t2f_spread.nii.gz was missing beside" in again.stderr and spread.read_bytes() == kept


def test_a_series_that_no_image_is_made_from_is_compared_in_a_finished_study_too(flair, phantom_head, tmp_path):
    """Before, a mirrored or doubled one was passed over where the images that it says nothing of stood."""
    folder = tmp_path / "ds" / "sub-01" / "anat"
    turn = turned(2, (4, 2, 1)) @ AFFINE
    for contrast, name, affine in ((T1, "T1w", AFFINE), (T1C, "ce-gadolinium_T1w", AFFINE), (T2, "T2w", turn)):
        write_nifti(folder / f"sub-01_{name}.nii.gz", phantom_head[contrast].astype(np.int16), affine)
    assert flair(folder, "--register").returncode == 0
    t1 = phantom_head[T1].astype(np.int16)
    for voxels, text in ((t1[::-1], "looks mirrored"), (t1, "show the same image")):
        write_nifti(folder / "sub-01_PDw.nii.gz", voxels.copy(), AFFINE)
        before = tree(tmp_path)
        again = flair(folder, "--register")
        assert again.returncode == 3 and text in again.stderr, again.stderr
        assert tree(tmp_path) == before


def with_air(voxels, affine):
    return np.where(voxels > 0, voxels, 25), affine


def test_heads_with_skull_are_told_and_a_mask_takes_the_skull_off(study, flair, tmp_path, phantom_head):
    folder = study(t1=with_air, t1c=with_air, t2=with_air)
    brain = (phantom_head[T1] > 0).astype(np.uint8)
    mask = write_nifti(tmp_path / "where.nii.gz", brain, AFFINE)
    done = flair(folder, "--out", tmp_path / "plain")
    assert done.returncode == 0, done.stderr
    assert "not skull-stripped" in done.stderr

    done = flair(folder, "--brain-mask", mask, "--save-mask", "--json")
    assert done.returncode == 0, done.stderr
    assert "not skull-stripped" not in done.stderr
    made = np.asarray(nib.load(folder / "p-t2f.nii.gz").dataobj)
    assert not made[brain == 0].any()
    assert made[brain > 0].any()
    sidecar = json.loads((folder / "p-t2f.json").read_text())
    assert sidecar["brain_mask"]["from"] == "where.nii.gz"
    assert sidecar["fingerprint"]["brain_mask"] == sidecar["brain_mask"]["sha256"]
    saved = nib.load(folder / "p-t2f_brain-mask.nii.gz")
    assert np.array_equal(np.asarray(saved.dataobj), brain)
    assert bytes(saved.header["descrip"].item()).startswith(b"SYNTHETIC")
    assert flair(folder, "--brain-mask", mask).returncode == 0  # the same recipe: nothing to do
    done = flair(folder)
    assert done.returncode == 6  # another recipe
    assert "another recipe" in done.stderr


def test_the_stripper_on_path_is_called_once_asked(study, flair, tmp_path):
    folder = study(t1=with_air, t1c=with_air, t2=with_air)
    programs = tmp_path / "bin"
    programs.mkdir()
    stripper(programs, "hd-bet", WORKS)
    path = {"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    done = flair(folder, "--skull-strip", "--json", env=path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recipe"]["brain_mask"] == "hd-bet"
    assert "not skull-stripped" not in done.stderr
    assert json.loads((folder / "p-t2f.json").read_text())["brain_mask"]["from"] == "hd-bet"
    assert not list(tmp_path.glob("mrimpute-*"))

    stripper(programs, "hd-bet", "sys.exit('broken')")
    before = tree(folder)
    done = flair(folder, "--skull-strip", "--overwrite", "--seed", 1, env=path)
    assert done.returncode == 5
    assert "hd-bet could not strip" in done.stderr
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--skull-strip", "--brain-mask", "x"], 2, "exclude each other"),
        (["--save-mask"], 2, "no brain mask to save"),
        (["--brain-mask", "x.nii.gz"], 3, "no such file"),
        (["--reference", "pd"], 2, "has no pd"),
        (["--reference", "nowhere"], 2, "unknown contrast"),
        (["--reference", "."], 2, "holds 3 series that are identified, not one DICOM series"),
        (["--layout", "brats23", "--out", "out", "--brain-mask", "x"], 2, "no mask, other grid or DICOM goes with it"),
        (["--format", "dicom"], 2, "holds no DICOM series"),
        (["--format", "dicom", "--reference", "t1"], 2, "holds no DICOM series"),
    ],
)
def test_what_cannot_be_asked(study, flair, words, code, text):
    folder = study()
    before = tree(folder)
    done = flair(folder, *words, cwd=folder, env={"PATH": "/nowhere"})
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert tree(folder) == before


def test_the_reference_decides_the_grid(study, flair):
    folder = study(t2=lambda voxels, affine: (voxels[:, :, ::2], affine @ np.diag([1, 1, 2, 1])))
    done = flair(folder, "--reference", "t2")
    assert done.returncode == 0, done.stderr
    made, t2 = nib.load(folder / "p-t2f.nii.gz"), nib.load(folder / "p-t2w.nii.gz")
    assert made.shape == t2.shape
    assert np.array_equal(made.affine, t2.affine)
    assert json.loads((folder / "p-t2f.json").read_text())["grid"]["of"] == "t2"
    assert "t1 lies on another grid" in done.stderr


def test_nifti_sources_and_a_dicom_reference_give_a_series(build, study, flair, tmp_path):
    """The scan as DICOM, its images as NIfTI: the result can go back to the PACS."""
    series = build(T1, number=4, root="pacs")
    read = [dcmread(path) for path in sorted(series.iterdir())]
    column, row = (np.array(read[0].ImageOrientationPatient[k : k + 3], float) for k in (0, 3))
    first, last = (np.array(item.ImagePositionPatient, float) for item in (read[0], read[-1]))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = column * SPACING[0], row * SPACING[1]
    affine[:3, 2], affine[:3, 3] = (last - first) / (len(read) - 1), first
    affine = np.diag([-1.0, -1, 1, 1]) @ affine
    folder = tmp_path / "study"
    for contrast in (T1, T1C, T2):
        voxels = head_voxels(contrast, (read[0].Columns, read[0].Rows, len(read)))
        write_nifti(folder / f"p{WORDS['brats23'][contrast]}.nii.gz", voxels, affine)
    assert flair(folder, "--reference", series).returncode == 0  # NIfTI stays NIfTI
    done = flair(folder, "--reference", series, "--format", "dicom", "--json")
    assert done.returncode == 0, done.stderr
    made = [dcmread(path) for path in sorted((folder / "mrimpute_flair").iterdir())]
    assert len(made) == len(read)
    for new, old in zip(made, read, strict=True):
        assert new.StudyInstanceUID == old.StudyInstanceUID
        assert new.FrameOfReferenceUID == old.FrameOfReferenceUID
        np.testing.assert_allclose(new.ImagePositionPatient, old.ImagePositionPatient, atol=1e-4)
        assert new.SyntheticData == "YES"
        assert new.SeriesNumber == 9004
        assert "SourceImageSequence" not in new  # the images that went in were NIfTI
        assert "ReferencedSeriesSequence" not in new
    assert validate(sorted((folder / "mrimpute_flair").iterdir())[:2]) == []
    assert any("is your word" in one["text"] for one in json.loads(done.stdout)["warnings"])
    sidecar = json.loads((folder / "mrimpute_flair.json").read_text())
    assert sidecar["grid"]["file"] == "im000.dcm"


def test_the_dicom_reference_of_a_bids_study_gets_no_bids_description(build, flair, tmp_path):
    folder = bids_study(build, tmp_path)
    done = flair(".", "--reference", tmp_path / "pacs" / "t1", "--format", "dicom", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "mrimpute_flair").is_dir()
    assert not list(tmp_path.rglob("dataset_description.json"))


def bids_study(build, tmp_path):
    """Write the images of a DICOM series as a BIDS subject."""
    build(T1, number=4, root="pacs")
    source = find_series(tmp_path / "pacs").get(T1).read()
    folder = tmp_path / "ds" / "sub-01"
    for contrast, name in ((T1, "T1w"), (T1C, "ce-gadolinium_T1w"), (T2, "T2w")):
        voxels = head_voxels(contrast, source.grid.shape)
        write_nifti(folder / "anat" / f"sub-01_{name}.nii.gz", voxels, source.grid.affine)
    return folder


@pytest.mark.parametrize("tag", ["PatientID", "StudyInstanceUID"])
def test_a_reference_of_another_patient_or_study_is_refused(build, flair, tiny_weights, tmp_path, tag):
    for number, contrast in enumerate((T1, T1C, T2), 1):
        study = build(contrast, number=number).parent
    other = build(T1, root="pacs", change=lambda data, _index: setattr(data, tag, "1.2.3"))
    before = tree(tmp_path)
    for more in ((), ("--register",)):
        done = flair(study, "--reference", other, *more)
        assert done.returncode == 3, done.stderr
        assert "another patient or another study" in done.stderr
    assert tree(tmp_path) == before


def test_other_frames_of_reference_are_registered_or_refused(build, flair):
    """These heads are too small to be registered, so that there is no certainty."""
    build(T1, change=lambda data, _index: setattr(data, "FrameOfReferenceUID", "1.2.3"))
    build(T1C, number=2)
    study = build(T2, number=3).parent
    assert "--register" in flair(study).stderr
    done = flair(study, "--register")
    assert done.returncode == 3
    assert "with certainty" in done.stderr or "do not overlap" in done.stderr
    assert not (study / "mrimpute_flair").exists()


def test_a_case_for_a_segmenter_is_not_made_of_series_out_of_register(study, flair, tmp_path):
    folder = study(t2=lambda voxels, affine: (voxels, turned(2, (4, 2, 1)) @ affine))
    done = flair(folder, "--register", "--layout", "brats23", "--out", tmp_path / "out")
    assert done.returncode == 3
    assert "lie on different grids" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_mask_that_does_not_fit_is_refused(study, flair, tmp_path, phantom_head):
    folder = study()
    elsewhere = AFFINE.copy()
    elsewhere[:3, 3] += 100
    mask = write_nifti(tmp_path / "m.nii.gz", (phantom_head[T1] > 0).astype(np.uint8), elsewhere)
    done = flair(folder, "--brain-mask", mask)
    assert done.returncode == 3
    assert "of the brain mask m.nii.gz lies on tissue" in done.stderr


def test_a_mask_follows_the_series_it_was_drawn_on(phantom_head):
    affine = turned(0, (20, 0, 0)) @ AFFINE
    raw = {c: Volume(phantom_head[T1], Grid((80, 96, 72), a), Path(c), c) for c, a in ((T1, AFFINE), (T2, affine))}
    settled = {T1: raw[T1], T2: replace(raw[T2], grid=raw[T1].grid)}
    drawn = BrainMask.of(phantom_head[T1] > 0, raw[T2].grid, "m", "m")
    placed = _placed(drawn, raw[T1], raw, settled)
    assert placed.grid.same_as(raw[T1].grid)
    both = {**raw, FLAIR: raw[T2]}
    with pytest.raises(StudyRefused, match="could belong to series that were moved differently"):
        _placed(drawn, raw[T1], both, {**settled, FLAIR: raw[T2]})


def test_stripped_images_need_no_stripper(study, flair):
    folder = study()
    done = flair(folder, "--skull-strip", "--json", env={"PATH": "/nowhere"})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recipe"]["brain_mask"] == ""
    assert flair(folder).returncode == 0  # the same recipe


def test_a_stripper_is_asked_for_where_there_is_skull(study, flair):
    folder = study(t1=with_air, t1c=with_air, t2=with_air)
    done = flair(folder, "--skull-strip", env={"PATH": "/nowhere"})
    assert done.returncode == 5
    assert "neither is on PATH" in done.stderr


def test_a_foreign_file_at_the_masks_place_is_left_alone(study, flair, tmp_path, phantom_head):
    folder = study(t1=with_air, t1c=with_air, t2=with_air)
    brain = (phantom_head[T1] > 0).astype(np.uint8)
    mask = write_nifti(tmp_path / "m.nii.gz", brain, AFFINE)
    write_nifti(folder / "p-t2f_brain-mask.nii.gz", brain, AFFINE)
    before = tree(folder)
    done = flair(folder, "--brain-mask", mask, "--save-mask")
    assert done.returncode == 6
    assert "was not made by mrimpute" in done.stderr
    assert tree(folder) == before
