"""Two patients or two visits in one folder are refused whatever names and sidecars tell them by; one goes on."""

import json
from pathlib import Path

import pytest

from mrimpute.study import identify
from tests.conftest import OBLIQUE, head_voxels, write_nifti

TWO_VISITS = """
T1_03.02.2024 T2_17.05.2024
T1_03-02-2024 T2_17-05-2024
03-02-2024_T1 17-05-2024_T2
T1_03_02_2024 FLAIR_17_05_2024
T1_3.2.24 T2_17.5.24
T1_03Feb2024 T2_17May2024
T1_03022024 T2_17052024
T1_2019 T2_2023
T1_vor_OP T2_nach_OP
T1_pre_op T2_post_op
T1_avant_chirurgie FLAIR_apres_chirurgie
T1_prima_intervento T2_dopo_intervento
T1_antes_cirugia T2_despues_cirugia
T1_przed_operacja T2_po_operacji
T1_до_операции T2_после_операции
T1_före_operation T2_efter_operation
T1_术前 T2_术后
T1_präoperativ T2_postoperativ
T1_preoperatorio T2_postoperatorio
T1_prert T2_postrt
T1_3Monate T2_6Monate
T1_wk0 T2_wk12
T1_3_months T2_6_months
T1_3mois FLAIR_6mois
T1_3M T2_6M
M3_T1 M6_T2
T1_Baseline FLAIR_6Monate
T1_V1 T2_V2
kontrola1_T1 kontrola2_T2
visite1_T1 visite2_T2
T1_1jahr T2_2jahr
T1_visitA T2_visitB
"""
TWO_PATIENTS = """
Anna_Rossi_T1 Anna_Bianchi_T2
Max_Muster_T1 Max_Meier_FLAIR
Müller_Hans_T1 Müller_Petra_FLAIR
Głowacki_T1 Hlaváček_T2
3_Anna_Rossi_T1 4_Anna_Bianchi_T2
Rossi_Anna_T1_sag Rossi_Luca_T2_tra
T1_Rossi_Anna T2_Rossi_Luca
T1_tra_Rossi T2_tra_Bianchi
T1_12345678 T2_23456789
T1_tra_12345678 T2_tra_23456789
MRN445566_T1 MRN778899_T2
001_T1 001_FLAIR 002_T2
S1_T1 S1_FLAIR S2_T2
T1_200103 FLAIR_200103 T2_210103
"""
ONE = """
3_T1_sag_103012 4_T2_tra_103544 5_FLAIR_tra_104102
T1_20240203_101112 T2_20240203_102030
T1_20240203101112 T2_20240203102030
Rossi_Anna_T1_sag Rossi_Anna_T2_ax Rossi_Anna_FLAIR_ax
Rossi_Anna_T1 Rossi_T2
T1_tra_postop T2_tra_postop FLAIR_tra_postop
T1_postop T2 FLAIR
T1_postop T2_prert
T1_tra_5mm T2_tra_3mm FLAIR_cor_2mm
T1_mpr_navi T2_tse_hippocampus FLAIR_epilepsie
T1_1.2.840.113619.2.5.1762583153.215519 T2_1.2.840.113619.2.5.1762583154.215520
s001_T1 s002_T2
T1_nach_KM T2 T1_vor_KM
T1_v2 T2_v2
2_lat_T1 3_lat_T2
5_T1 6_FLAIR 7_T2_tra 7_PD_tra
T1_sag T1_sag_KM T2_tra
T1_se_320 FLAIR_tra_320 T2_tse_512
"""
SIDECARS = {
    "name": ({"PatientName": "ROSSI^ANNA"}, {"PatientName": "BIANCHI^ANNA"}),
    "birth date": ({"PatientBirthDate": "19500101"}, {"PatientBirthDate": "19610203"}),
    "sex": ({"PatientSex": "F"}, {"PatientSex": "M"}),
    "age": ({"PatientAge": "031Y"}, {"PatientAge": "062Y"}),
    "day": ({"AcquisitionDateTime": "2024-01-01T10:11:12"}, {"AcquisitionDateTime": "2024-05-01T10:11:12"}),
    "study date": ({"StudyDate": "20240101"}, {"StudyDate": "20240501"}),
}
ONE_BY_SIDECAR = {
    "one name written in two ways": ({"PatientName": "Rossi^Anna^"}, {"PatientName": "ROSSI^ANNA"}),
    "past midnight": ({"AcquisitionDateTime": "2024-01-01T23:50:00"}, {"AcquisitionDateTime": "2024-01-02T00:10:00"}),
    "no date": ({"StudyDate": "anonymous"}, {"StudyDate": ""}),
}


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    return write_nifti(tmp_path_factory.mktemp("image") / "i.nii.gz", head_voxels("t1", (20, 22, 18)), OBLIQUE)


def found(folder: Path, image: Path, names: str):
    for name in names.split():
        (folder / f"{name}.nii.gz").hardlink_to(image)
    return identify(folder)


@pytest.mark.parametrize("names", [*TWO_VISITS.strip().splitlines(), *TWO_PATIENTS.strip().splitlines()])
def test_two_patients_or_visits_are_refused_by_their_names(tmp_path, image, names):
    study = found(tmp_path, image, names)
    assert "holds series whose names tell of several cases" in study.problems[0].text
    assert study.series == ()


@pytest.mark.parametrize("names", ONE.strip().splitlines())
def test_one_patient_with_usual_differences_goes_on(tmp_path, image, names):
    study = found(tmp_path, image, names)
    assert study.problems == ()
    assert len(study.series) >= 2


@pytest.mark.parametrize("kind", [*SIDECARS, *ONE_BY_SIDECAR])
def test_sidecars_tell_patients_and_days_apart(tmp_path, image, kind):
    for stem, content in zip(("T1", "T2"), (SIDECARS | ONE_BY_SIDECAR)[kind], strict=True):
        (tmp_path / f"{stem}.json").write_text(json.dumps(content))
    study = found(tmp_path, image, "T1 T2")
    assert bool(study.problems) == (kind in SIDECARS)
    assert all("by their sidecars (T1.nii.gz, T2.nii.gz)" in problem.text for problem in study.problems)
