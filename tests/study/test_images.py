import json
from pathlib import Path

import numpy as np
import pytest

from mrimpute import Contrast, find_series
from mrimpute.errors import ImageDamaged, StudyAmbiguous, StudyRefused, UsageError
from mrimpute.write.place import place_of_file
from tests.conftest import OBLIQUE, head_voxels, write_nifti

T1, T1C, T2, FLAIR = Contrast.T1, Contrast.T1C, Contrast.T2, Contrast.FLAIR


def put(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        write_nifti(folder / name, head_voxels(Contrast.T1, (20, 22, 18), number), OBLIQUE)
    return folder


def test_a_brats_folder_is_identified_with_evidence(make_study):
    study = find_series(make_study())
    assert study.present == (T1, T1C, T2)
    assert study.missing == (FLAIR,)
    assert study.naming.scheme == "brats23"
    assert "'t1c' in its name" in study.get(T1C).evidence[0].reason
    assert study.get(T1).confidence > 0.8


def test_masks_are_set_aside_and_strangers_listed(make_study):
    folder = make_study()
    put(folder, "case-seg.nii.gz", "whatever.nii.gz")
    study = find_series(folder)
    assert [item.path.name for item in study.set_aside] == ["case-seg.nii.gz"]
    assert [item.path.name for item in study.unidentified] == ["whatever.nii.gz"]


def test_two_candidates_are_refused_by_name_and_settled_by_the_user(make_study):
    folder = make_study()
    put(folder, "other-t1c.nii.gz")
    with pytest.raises(StudyAmbiguous) as caught:
        find_series(folder)
    assert "t1c found twice" in str(caught.value)
    assert "other-t1c.nii.gz" in str(caught.value)
    assert "--t1c" in caught.value.hint
    study = find_series(folder, {T1C: Path("other-t1c.nii.gz")})
    assert study.get(T1C).path.name == "other-t1c.nii.gz"
    assert any("overruled by --t1c" in item.reason for item in study.set_aside)


def test_the_users_word_wins_over_name_and_place(make_study, tmp_path):
    folder = make_study(contrasts=(T1, T2))
    stranger = put(tmp_path / "elsewhere", "scan.nii.gz") / "scan.nii.gz"
    study = find_series(folder, {FLAIR: stranger, T1C: folder / "case-t1n.nii.gz"})
    assert study.get(FLAIR).path == stranger
    assert study.get(T1C).path.name == "case-t1n.nii.gz"
    assert T1 not in study.present
    assert study.get(FLAIR).confidence == 1.0


def test_an_override_that_names_no_file_is_a_usage_error(make_study):
    folder = make_study()
    with pytest.raises(UsageError, match="no such file"):
        find_series(folder, {T1: Path("absent.nii.gz")})
    with pytest.raises(UsageError, match="two contrasts"):
        find_series(folder, {T1: Path("case-t2w.nii.gz"), FLAIR: Path("case-t2w.nii.gz")})


def test_a_name_that_contradicts_itself_is_refused_with_the_option(tmp_path):
    put(tmp_path / "s", "a_t1.nii.gz", "flair_in_t1.nii.gz")
    with pytest.raises(StudyAmbiguous, match="states both"):
        find_series(tmp_path / "s")


def test_a_sidecar_that_contradicts_the_name_is_refused(make_study):
    folder = make_study()
    (folder / "case-t1n.json").write_text(json.dumps({"EchoTime": 0.1, "RepetitionTime": 5, "ScanningSequence": "SE"}))
    with pytest.raises(StudyAmbiguous, match=r"says t1, but sidecar: .* says t2"):
        find_series(folder)


def test_a_dcm2niix_name_is_identified_by_its_sidecar(tmp_path):
    folder = put(tmp_path / "s", "study_protocol_20200101_5.nii.gz", "study_protocol_20200101_6.nii.gz")
    flair = {"EchoTime": 0.12, "RepetitionTime": 9, "InversionTime": 2.5, "ScanningSequence": "SE_IR"}
    agent = {
        "EchoTime": 0.003,
        "RepetitionTime": 0.02,
        "ScanningSequence": "GR",
        "SequenceVariant": "SK_SP_MP",
        "ContrastBolusIngredient": "GADOLINIUM",
    }
    (folder / "study_protocol_20200101_5.json").write_text(json.dumps(flair))
    (folder / "study_protocol_20200101_6.json").write_text(json.dumps(agent))
    study = find_series(folder)
    assert study.present == (T1C, FLAIR)


def test_an_agent_in_every_sidecar_is_no_evidence(make_study):
    folder = make_study(contrasts=(T1, T2))
    for name in ("case-t1n", "case-t2w"):
        (folder / f"{name}.json").write_text(json.dumps({"ContrastBolusIngredient": "GADOLINIUM"}))
    assert find_series(folder).present == (T1, T2)
    (folder / "case-t2w.json").write_text(json.dumps({"EchoTime": 0.1}))
    assert find_series(folder).present == (T1, T2)  # t1n says native, and some sites fill the field for all


def test_an_agent_in_one_sidecar_tells_it_from_the_others(make_study):
    folder = make_study(contrasts=(T1, T2), scheme="brats21")
    (folder / "case_t2.json").write_text(json.dumps({"EchoTime": 0.1}))
    (folder / "case_t1.json").write_text(json.dumps({"ContrastBolusIngredient": "GADOLINIUM"}))
    study = find_series(folder)
    assert study.present == (T1C, T2)
    assert "names a contrast agent" in study.get(T1C).evidence[0].reason
    (folder / "case_t2.json").write_text(json.dumps({"ContrastBolusIngredient": "GADOLINIUM"}))
    with pytest.raises(StudyAmbiguous, match="nothing tells whether"):
        find_series(folder)


def nnunet(tmp_path, names):
    folder = put(tmp_path / "imagesTs", "CASE_0000.nii.gz", "CASE_0001.nii.gz", "CASE_0002.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {str(i): n for i, n in enumerate(names)}}))
    return folder


@pytest.mark.parametrize("order", [("T1", "T1ce", "T2", "Flair"), ("FLAIR", "T1w", "T1gd", "T2w")])
def test_nnunet_channels_follow_dataset_json_only(tmp_path, order):
    study = find_series(nnunet(tmp_path, order))
    wanted = {"T1": T1, "T1w": T1, "T1ce": T1C, "T1gd": T1C, "T2": T2, "T2w": T2, "Flair": FLAIR, "FLAIR": FLAIR}
    for channel in range(3):
        assert study.get(wanted[order[channel]]).path.name == f"CASE_000{channel}.nii.gz"
    assert place_of_file(study, wanted[order[3]], None).image.name == "CASE_0003.nii.gz"


def test_nnunet_names_without_dataset_json_are_refused(tmp_path):
    folder = nnunet(tmp_path, ["T1"])
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(StudyRefused, match=r"no dataset\.json"):
        find_series(folder)
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "noise"}}')
    with pytest.raises(StudyRefused, match="unknown contrast"):
        find_series(folder)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(StudyRefused, match="does not list"):
        find_series(folder)


def test_a_bids_study_gets_its_result_under_derivatives(tmp_path):
    anat = put(
        tmp_path / "bids" / "sub-01" / "ses-2" / "anat",
        "sub-01_ses-2_T1w.nii.gz",
        "sub-01_ses-2_ce-gadolinium_T1w.nii.gz",
        "sub-01_ses-2_T2w.nii.gz",
    )
    for folder in (anat, anat.parent, anat.parent.parent):
        study = find_series(folder)
        assert study.present == (T1, T1C, T2)
        assert study.name == "sub-01_ses-2"
        place = place_of_file(study, FLAIR, None)
        expected = "bids/derivatives/mrimpute/sub-01/ses-2/anat/sub-01_ses-2_desc-synthetic_FLAIR.nii.gz"
        assert place.image.resolve() == tmp_path / expected


def test_one_folder_per_series_is_found_by_the_folders_names(tmp_path):
    for name in ("T1", "T1Post", "T2"):
        put(tmp_path / "visit" / name, "image.nii.gz")
    study = find_series(tmp_path / "visit")
    assert study.present == (T1, T1C, T2)
    assert place_of_file(study, FLAIR, None).image == tmp_path / "visit" / "visit_flair.nii.gz"


def test_brats_2015_folders_of_mha_are_found(tmp_path):
    import SimpleITK as sitk

    for number, name in enumerate(("T1", "T1c", "T2")):
        stem = f"VSD.Brain.XX.O.MR_{name}.{54510 + number}"
        (tmp_path / "pat" / stem).mkdir(parents=True)
        image = sitk.GetImageFromArray(head_voxels(Contrast.T1, (20, 22, 18), number))
        sitk.WriteImage(image, str(tmp_path / "pat" / stem / f"{stem}.mha"))
    study = find_series(tmp_path / "pat")
    assert study.present == (T1, T1C, T2)
    assert place_of_file(study, FLAIR, None).image.name == "pat_flair.nii.gz"


def test_a_processed_twin_is_set_aside_with_the_reason(tmp_path):
    folder = put(
        tmp_path / "s", "UCSF-PDGM-0004_T1.nii.gz", "UCSF-PDGM-0004_T1_bias.nii.gz", "UCSF-PDGM-0004_T2_bias.nii.gz"
    )
    study = find_series(folder)
    assert study.get(T1).path.name == "UCSF-PDGM-0004_T1.nii.gz"
    assert study.get(T2).path.name == "UCSF-PDGM-0004_T2_bias.nii.gz"
    assert "take it with --t1" in study.set_aside[0].reason


def test_several_studies_in_one_folder_are_refused(tmp_path):
    for name in ("a", "b"):
        put(tmp_path / "cohort" / name, f"{name}-t1n.nii.gz", f"{name}-t2w.nii.gz")
    with pytest.raises(StudyAmbiguous, match="one study at a time"):
        find_series(tmp_path / "cohort")


def test_a_multi_channel_file_is_refused_with_the_way_out(tmp_path):
    voxels = np.stack([head_voxels(Contrast.T1, (20, 22, 18))] * 4, axis=-1)
    for name in ("case_flair", "BRATS_001"):
        write_nifti(tmp_path / name / f"{name}.nii.gz", voxels, OBLIQUE)
        with pytest.raises(ImageDamaged, match="split it into one 3-D file per contrast"):
            find_series(tmp_path / name)


def test_a_stranger_of_several_volumes_does_not_stop_a_study(make_study):
    folder = make_study()
    write_nifti(folder / "run1.nii.gz", np.stack([head_voxels(Contrast.T1)] * 2, axis=-1), OBLIQUE)
    assert find_series(folder).present == (T1, T1C, T2)


def test_wrong_folders_are_refused_with_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "IM1").write_bytes(bytes(128) + b"DICM")
    for name, message in {
        "absent": "no such folder",
        "file": "is a file",
        "empty": "no image",
        "dicom": "DICOM",
    }.items():
        with pytest.raises(StudyRefused, match=message):
            find_series(tmp_path / name)


def test_hidden_files_and_broken_links_are_no_images(make_study):
    folder = make_study()
    (folder / "._case-t2f.nii.gz").write_bytes(b"macOS")
    (folder / "case-t2f.nii.gz").symlink_to(folder / "nowhere.nii.gz")
    with pytest.raises(ImageDamaged, match="cannot read"):
        find_series(folder)


def test_odd_names_are_handled(tmp_path):
    names = [f"{'ä' * 60} o'b $x-t1n.nii.gz", "-t2w.nii.gz"]
    study = find_series(put(tmp_path / "st udy", *names))
    assert study.present == (T1, T2)
    assert find_series(put(tmp_path / ("n" * 200), f"{'n' * 200}-t1n.nii.gz")).present == (T1,)


def mixed(tmp_path, *names):
    for name in names:
        put(tmp_path / Path(name).parent, Path(name).name)
    return tmp_path / Path(names[0]).parts[0]


@pytest.mark.parametrize(
    "names",
    [
        ("par/patA/t1.nii.gz", "par/patA/t1c.nii.gz", "par/patB/t2.nii.gz"),
        ("par/patA/a_t1.nii.gz", "par/patB/b_t2.nii.gz"),
        ("sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T2w.nii.gz"),
        ("root/sub-01/anat/sub-01_T1w.nii.gz", "root/sub-02/anat/sub-02_FLAIR.nii.gz"),
        ("flat/BraTS-GLI-00001-000-t1n.nii.gz", "flat/BraTS-GLI-00002-000-t2w.nii.gz"),
    ],
)
def test_series_of_two_patients_or_visits_are_never_mixed(tmp_path, names):
    with pytest.raises(StudyAmbiguous, match=r"several cases|several folders"):
        find_series(mixed(tmp_path, *names))


def test_an_earlier_result_beside_folders_of_series_does_not_hide_them(tmp_path):
    for name in ("T1", "T1Post", "T2"):
        put(tmp_path / "visit" / name, "image.nii.gz")
    put(tmp_path / "visit", "brain_mask.nii.gz", "whatever.nii.gz")
    study = find_series(tmp_path / "visit")
    assert study.present == (T1, T1C, T2)


def test_a_lone_number_at_the_end_of_a_name_makes_no_nnunet_folder(make_study):
    folder = make_study()
    put(folder, "DWI_0005.nii.gz", "series_0012.nii.gz")
    assert find_series(folder).present == (T1, T1C, T2)


def test_a_contradictory_name_does_no_harm_once_its_contrast_is_named(make_study):
    folder = make_study()
    put(folder, "flair_in_t1.nii.gz")
    assert find_series(folder, {T1: folder / "case-t1n.nii.gz"}).present == (T1, T1C, T2)


def test_a_sidecar_of_stir_against_a_name_of_t2_is_an_error(make_study):
    folder = make_study()
    times = {"EchoTime": 0.06, "RepetitionTime": 5, "InversionTime": 0.15, "ScanningSequence": "IR"}
    (folder / "case-t2w.json").write_text(json.dumps(times))
    with pytest.raises(StudyAmbiguous, match="STIR"):
        find_series(folder)


def test_one_file_by_two_ways_is_a_usage_error(make_study):
    folder = make_study()
    (folder / "link.nii.gz").symlink_to(folder / "case-t1n.nii.gz")
    with pytest.raises(UsageError, match="two contrasts"):
        find_series(folder, {T1: folder / "case-t1n.nii.gz", T2: folder / "link.nii.gz"})


def test_a_sidecar_of_another_image_is_an_error_that_says_what_to_remove(make_study):
    from mrimpute.marks import SIDECAR_SCHEMA

    folder = make_study()
    sidecar = {"schema": SIDECAR_SCHEMA, "image": {"file": "case-t2w.nii.gz", "sha256": "0" * 64}}
    (folder / "case-t2w.json").write_text(json.dumps(sidecar))
    with pytest.raises(StudyAmbiguous, match=r"or its \.json if it was acquired"):
        find_series(folder)
    sidecar["image"]["file"] = "another.nii.gz"
    (folder / "case-t2w.json").write_text(json.dumps(sidecar))
    assert T2 in find_series(folder).present


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"EchoTime": ' + "9" * 400 + ', "RepetitionTime": 1}', '{"image": 5}', "\xff"]
)
def test_odd_sidecars_are_no_evidence(make_study, content):
    folder = make_study()
    (folder / "case-t2w.json").write_text(content, encoding="latin-1")
    assert T2 in find_series(folder).present


def test_a_pipe_with_the_name_of_an_image_is_not_waited_for(make_study):
    import os

    folder = make_study()
    os.mkfifo(folder / "case-t2f.nii.gz")
    assert find_series(folder).missing == (FLAIR,)
