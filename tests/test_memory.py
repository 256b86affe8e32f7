"""Images in memory in, images in memory out."""

import doctest
import importlib
import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

import mrimpute
from mrimpute import Contrast, evaluate, scan, synthesise
from mrimpute.errors import StudyRefused, UsageError
from tests.conftest import OBLIQUE, head_voxels

T1, T1C, T2, FLAIR = (Contrast.T1, Contrast.T1C, Contrast.T2, Contrast.FLAIR)
THREE = (T1, T1C, T2)

USER = """
import numpy as np
from mrimpute import Study, SyntheticImage, evaluate, scan, synthesise

t1 = np.zeros((2, 2, 2), np.float32)
made: SyntheticImage = synthesise({"t1": t1, "t2": t1}, target="flair", affine=np.eye(4), weights="builtin")
voxels = made.voxels.mean()
print(made.checkpoint.upper(), made.warnings[0], evaluate(made.image, t1, affine=np.eye(4)).scores["brain"].psnr + 1.0)
study: Study = scan("study_dir")
print([contrast.upper() for contrast in study.missing])
"""


@pytest.fixture
def images():
    return {str(contrast): nib.Nifti1Image(head_voxels(contrast), OBLIQUE) for contrast in THREE}


def test_it_makes_an_image_where_fill_would(images, make_study, tiny_weights, cli):
    folder = make_study()
    words = ("--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu")
    assert cli("fill", folder, *words).returncode == 0
    written = nib.load(folder / "case-t2f.nii.gz")
    made = synthesise(images, "FLAIR", weights=tiny_weights[FLAIR], device="cpu")
    np.testing.assert_allclose(made.voxels, written.get_fdata(), atol=0.01)  # a file's affine is float32
    assert np.ptp(made.voxels) > 100
    assert not made.voxels[head_voxels(T1) == 0].any()
    np.testing.assert_allclose(made.affine, written.affine)
    sidecar = json.loads((folder / "case-t2f.json").read_text())
    assert made.verdict.model_dump(mode="json") == sidecar["verdict"]
    assert made.image.header["descrip"].item().startswith(b"SYNTHETIC flair")
    arrays = {word: np.asarray(image.dataobj) for word, image in images.items()}
    again = synthesise(arrays, "flair", affine=OBLIQUE, weights=tiny_weights[FLAIR], device="cpu")
    np.testing.assert_array_equal(again.voxels, made.voxels)


@pytest.mark.parametrize(
    ("change", "target", "error", "message"),
    [
        (lambda images: images | {"t2": np.zeros((4, 4, 4))}, "flair", UsageError, "its affine is not given"),
        (lambda images: images | {"flair": images["t2"]}, "t2", StudyRefused, "same image"),
        (lambda images: images, "t2", UsageError, "is among the images"),
        (lambda images: images | {"adc": images["t2"]}, "flair", UsageError, "unknown contrast"),
        (lambda images: {"t1": images["t1"]}, "ct", StudyRefused, "ct"),
    ],
)
def test_what_cannot_be_done_says_why(images, change, target, error, message):
    if target == "ct":
        with pytest.raises(mrimpute.MrimputeError, match="ct"):
            synthesise(change(images), target, weights="builtin")
        return
    with pytest.raises(error, match=message):
        synthesise(change(images), target, weights="builtin")


def test_a_t1c_says_what_it_cannot_show(images, tiny_weights):
    images["flair"] = nib.Nifti1Image(head_voxels(FLAIR), OBLIQUE)
    del images["t1c"]
    made = synthesise(images, "t1c", weights=tiny_weights[T1C], device="cpu")
    assert any(text.startswith("enhancement-not-known") for text in made.warnings)


def test_images_are_compared_and_studies_scanned(images, make_study):
    folder = make_study()
    lesion = nib.Nifti1Image((head_voxels(T1) > 800).astype(np.uint8), OBLIQUE)
    found = evaluate(images["t2"], images["t1"], lesion)
    assert set(found.scores) == {"whole", "brain", "lesion"}
    paths = evaluate(folder / "case-t2w.nii.gz", folder / "case-t1n.nii.gz")
    assert paths.scores["brain"].psnr == pytest.approx(
        evaluate(images["t2"], images["t1"]).scores["brain"].psnr, abs=1e-3
    )
    assert scan(folder).missing == (FLAIR,)
    assert scan(folder, {"flair": folder / "case-t2w.nii.gz"}).missing == (T2,)


@pytest.mark.parametrize("module", ["mrimpute.memory"])
def test_the_examples_in_docstrings_run(module, monkeypatch):
    monkeypatch.setenv("MRIMPUTE_THREADS", "1")
    found = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert found.attempted > 10
    assert found.failed == 0


def test_ten_lines_of_a_user_pass_mypy_strict_and_a_wrong_one_does_not(tmp_path):
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "wrong.py").write_text(USER.replace("+ 1.0)", '+ "")'))
    settings = tmp_path / "mypy.ini"  # other packages' own types say nothing of these lines, and take long to read
    settings.write_text(
        "[mypy]\nstrict = true\nignore_missing_imports = true\nfollow_imports = silent\n"
        "[mypy-torch.*,pydicom.*,nibabel.*,SimpleITK.*,huggingface_hub.*,typer.*,rich.*]\nfollow_imports = skip\n"
    )
    words = ["--config-file", str(settings), "--no-incremental", "user.py", "wrong.py"]
    done = subprocess.run([sys.executable, "-m", "mypy", *words], capture_output=True, text=True, cwd=tmp_path)
    assert [line.split(":")[0] for line in done.stdout.splitlines() if ": error:" in line] == ["wrong.py"], done.stdout
