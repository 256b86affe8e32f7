"""`fill` on DICOM studies, from the command line."""

import json
import re

import nibabel as nib
import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.study import find_series
from tests.conftest import tree

FLAIR = Contrast.FLAIR
THREE = (Contrast.T1, Contrast.T1C, Contrast.T2)
CANARIES = [f"Canary{number:02d}x" for number in range(20)]


def test_a_dicom_study_is_filled_on_its_own_grid(build, cli, tiny_weights):
    for number, contrast in enumerate(THREE, 1):
        study = build(contrast, number=number).parent
    before = tree(study)
    words = [
        "fill",
        study,
        "--missing",
        "flair",
        "--weights",
        tiny_weights[FLAIR],
        "--format",
        "nifti",
        "--device",
        "cpu",
    ]
    done = cli(*words)
    assert done.returncode == 0, done.stderr
    made = study / "study_flair.nii.gz"
    assert done.stdout.split() == [str(made)]
    image, grid = nib.load(made), find_series(study).get(Contrast.T1).grid
    np.testing.assert_allclose(image.affine, grid.affine, atol=1e-4)
    assert image.shape == grid.shape
    assert {name: content for name, content in tree(study).items() if name in before} == before
    again = cli(*words)
    assert again.returncode == 0, again.stderr
    assert "already" in again.stderr or "skipped" in again.stderr


def test_no_tag_value_is_told_anywhere(build, cli, tiny_weights, tmp_path):
    def marked(data, _index):
        words = iter(CANARIES)
        for keyword in (
            *("PatientName", "PatientID", "OtherPatientNames", "PatientAddress", "PatientComments"),
            *("ReferringPhysicianName", "InstitutionName", "InstitutionAddress", "StationName", "OperatorsName"),
            *("StudyDescription", "AccessionNumber", "StudyID", "DeviceSerialNumber", "ImageComments"),
            *("PerformedProcedureStepDescription", "RequestingPhysician", "AdmissionID"),
        ):
            setattr(data, keyword, next(words))
        data.SeriesDescription += f" {next(words)}"
        block = data.private_block(0x0029, "ACME", create=True)
        block.add_new(1, "LO", next(words))

    for number, contrast in enumerate(THREE, 1):
        study = build(contrast, change=marked, number=number).parent
    words = ["--weights", tiny_weights[FLAIR], "--device", "cpu"]
    runs = [
        cli("scan", study),
        cli("scan", study, "--json"),
        cli("fill", study, *words, "--json", "--debug"),
        cli(
            "fill",
            study,
            "--weights",
            tiny_weights[FLAIR],
            "--device",
            "cpu",
            "--format",
            "nifti",
            "--out",
            study / "o",
        ),
        cli("fill", study, "--missing", "ct", "--debug"),
        cli("fill", study, "--t1", study / "absent", "--debug"),
    ]
    told = "".join(run.stdout + run.stderr for run in runs)
    for name, content in tree(study).items():
        if not name.endswith(".dcm"):
            told += name + content.decode("latin-1")
    assert (study / "o" / "study" / "study_flair.json").exists()
    assert (study / "mrimpute_flair.json").exists()
    found = [word for word in CANARIES if re.search(word, told)]
    assert not found
    assert json.loads(runs[1].stdout)["inputs"]


def test_an_empty_or_foreign_folder_is_told_apart(cli, tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    done = cli("fill", tmp_path)
    assert done.returncode == 3
    assert "and DICOM" in done.stderr
