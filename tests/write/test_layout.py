"""Complete cases under a segmenter's names."""

import gzip
import itertools
import json

import nibabel as nib
import numpy as np
import pytest

from mrimpute import Contrast, find_series
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.errors import StudyRefused, UsageError
from mrimpute.write.layout import check_complete, parse_layout
from tests.conftest import OBLIQUE, head_voxels, tree, write_nifti

T1, T1C, T2, FLAIR = BRATS_FOUR
NAMES = {T1: ("T1", "T1w"), T1C: ("T1ce", "T1gd"), T2: ("T2", "T2w"), FLAIR: ("Flair", "FLAIR")}


def dataset(tmp_path, channels, **more):
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps({"channel_names": {str(i): name for i, name in enumerate(channels)}, **more}))
    return file


def filled(cli, folder, layout, out, weights):
    words = ("--weights", weights, "--device", "cpu", "--layout", layout, "--out", out)
    return cli("fill", folder, *words, "--as-is")  # small heads


EXPECTED = {
    "brats21": ("case/case_t1.nii.gz", "case/case_t1ce.nii.gz", "case/case_t2.nii.gz", "case/case_flair.nii.gz"),
    "brats23": ("case/case-t1n.nii.gz", "case/case-t1c.nii.gz", "case/case-t2w.nii.gz", "case/case-t2f.nii.gz"),
    "bids": (
        "sub-case/anat/sub-case_T1w.nii.gz",
        "sub-case/anat/sub-case_ce-gadolinium_T1w.nii.gz",
        "sub-case/anat/sub-case_T2w.nii.gz",
        "derivatives/mrimpute/sub-case/anat/sub-case_desc-synthetic_FLAIR.nii.gz",
    ),
}


@pytest.mark.parametrize("layout", EXPECTED)
def test_a_complete_case_is_assembled(cli, make_study, tiny_weights, tmp_path, layout):
    folder = make_study(scheme="brats21")
    before = tree(folder)
    done = filled(cli, folder, layout, tmp_path / "out", tiny_weights[FLAIR])
    assert done.returncode == 0, done.stderr
    names = EXPECTED[layout]
    images = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.nii.gz")}
    assert images == set(names)
    for name, source in zip(names[:3], ("case_t1", "case_t1ce", "case_t2"), strict=True):
        assert (tmp_path / "out" / name).read_bytes() == (folder / f"{source}.nii.gz").read_bytes()
    assert nib.load(tmp_path / "out" / names[3]).header["descrip"].item().startswith(b"SYNTHETIC")
    if layout == "bids":
        for root, kind in ((tmp_path / "out", "raw"), (tmp_path / "out" / "derivatives" / "mrimpute", "derivative")):
            assert json.loads((root / "dataset_description.json").read_text())["DatasetType"] == kind
    assert set(done.stdout.split()) == {str(tmp_path / "out" / name) for name in names}
    assert tree(folder) == before
    again = filled(cli, folder, layout, tmp_path / "out", tiny_weights[FLAIR])
    assert again.returncode == 0, again.stderr
    assert "skipped" in again.stderr


def test_plain_images_are_packed_once_and_copies_of_any_level_are_found_again(
    cli, make_study, tiny_weights, tmp_path, monkeypatch
):
    """Before, each was packed twice, when the places were looked at too."""
    folder = make_study(scheme="brats21")
    for path in list(folder.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    packed = []
    real = gzip.compress
    monkeypatch.setattr(gzip, "compress", lambda *words, **named: packed.append(words[0]) or real(*words, **named))
    done = filled(cli, folder, "brats21", tmp_path / "out", tiny_weights[FLAIR])
    assert done.returncode == 0, done.stderr
    sources = [(folder / f"case_{word}.nii").read_bytes() for word in ("t1", "t1ce", "t2")]
    assert sorted(map(packed.count, sources)) == [1, 1, 1]
    copy = tmp_path / "out" / "case" / "case_t1.nii.gz"
    assert gzip.decompress(copy.read_bytes()) == sources[0]
    packed.clear()
    copy.write_bytes(real(sources[0], 9))  # as earlier versions did
    again = filled(cli, folder, "brats21", tmp_path / "out", tiny_weights[FLAIR])
    assert (again.returncode, packed) == (0, [])
    for other in (real(sources[1]), sources[0], b""):
        copy.write_bytes(other)
        assert filled(cli, folder, "brats21", tmp_path / "out", tiny_weights[FLAIR]).returncode == 6


@pytest.mark.parametrize("order", list(itertools.permutations(BRATS_FOUR)), ids=lambda order: ">".join(order))
def test_every_channel_order_of_nnunet_is_kept(make_study, tmp_path, order):
    """A mix-up of channels runs and gives wrong masks, so every one of the 24 orders is tried."""
    for spelling in (0, 1):
        layout = parse_layout(f"nnunet:{dataset(tmp_path, [NAMES[c][spelling] for c in order])}")
        study = find_series(make_study())
        assert layout.needs == order
        for channel, contrast in enumerate(order):
            name = layout.image(study, contrast, tmp_path, contrast is FLAIR).name
            assert name == f"case_{channel:04d}.nii.gz"


@pytest.mark.parametrize("channels", [("T1", "T1ce", "T2", "Flair"), ("FLAIR", "T1w", "T1gd", "T2w")])
def test_an_nnunet_case_is_written_in_the_datasets_order(cli, make_study, tiny_weights, tmp_path, channels):
    folder = make_study(scheme="brats21")
    out = tmp_path / "imagesTs"
    done = filled(cli, folder, f"nnunet:{dataset(tmp_path, channels)}", out, tiny_weights[FLAIR])
    assert done.returncode == 0, done.stderr
    lower = {"T1": "t1", "T1w": "t1", "T1ce": "t1ce", "T1gd": "t1ce", "T2": "t2", "T2w": "t2"}
    for number, name in enumerate(channels):
        image = out / f"case_{number:04d}.nii.gz"
        if name.lower() == "flair":
            assert nib.load(image).header["descrip"].item().startswith(b"SYNTHETIC flair")
        else:
            assert image.read_bytes() == (folder / f"case_{lower[name]}.nii.gz").read_bytes()


def test_a_study_with_all_four_is_assembled_too(cli, make_study, tmp_path):
    done = cli("fill", make_study(contrasts=BRATS_FOUR), "--layout", "brats21", "--out", tmp_path / "out", "--as-is")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4


def test_different_grids_are_refused_with_the_way_out(cli, make_study, tmp_path):
    folder = make_study()
    write_nifti(folder / "case-t2w.nii.gz", head_voxels(T2, (40, 48, 18)), OBLIQUE @ np.diag([1.0, 1, 2, 1]))
    done = cli("fill", folder, "--layout", "brats23", "--out", tmp_path / "out", "--weights", "builtin")
    assert done.returncode == 3
    assert "different grids" in done.stderr
    assert "resample" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_case_that_would_stay_incomplete_is_refused(make_study, tmp_path):
    study = find_series(make_study(contrasts=(T1, T2)))
    with pytest.raises(StudyRefused, match="needs t1c too"):
        check_complete(study, parse_layout("brats21"), [FLAIR])
    two = parse_layout(f"nnunet:{dataset(tmp_path, ['T2', 'Flair'])}")
    check_complete(study, two, [FLAIR])


def test_an_acquired_file_that_is_not_nifti_is_refused(make_study, tmp_path):
    import SimpleITK as sitk

    folder = make_study(contrasts=(T1, T1C))
    image = sitk.ReadImage(str(folder / "case-t1n.nii.gz"))
    sitk.WriteImage(image, str(folder / "case-t2w.mha"))
    with pytest.raises(StudyRefused, match="is not NIfTI"):
        check_complete(find_series(folder), parse_layout("brats21"), [FLAIR])


def test_a_name_that_is_taken_is_never_overwritten(cli, make_study, tiny_weights, tmp_path):
    taken = tmp_path / "out" / "case" / "case-t1n.nii.gz"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"somebody's")
    done = filled(cli, make_study(), "brats23", tmp_path / "out", tiny_weights[FLAIR])
    assert done.returncode == 6
    assert "is another file" in done.stderr
    assert taken.read_bytes() == b"somebody's"


@pytest.mark.parametrize("word", ["brats19", "nnunet", "nnunet:", "BIDS"])
def test_an_unknown_layout_is_a_usage_error(word):
    with pytest.raises(UsageError, match="unknown layout"):
        parse_layout(word)


def test_a_layout_needs_a_folder_of_its_own(cli, make_study):
    done = cli("fill", make_study(), "--layout", "brats21")
    assert done.returncode == 2
    assert "add --out DIR" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"channel_names": {"0": "T1", "1": "T1w"}}', "not numbered"),
        ('{"channel_names": {"1": "T1", "2": "T2"}}', "not numbered"),
        ('{"channel_names": {"0": "ADC"}}', "unknown contrast"),
        ('{"channel_names": {"0": "T1"}, "file_ending": ".mha"}', r"end in \.mha"),
        ("{}", "does not list"),
    ],
)
def test_a_dataset_json_that_cannot_be_used_is_refused(tmp_path, content, message):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(StudyRefused, match=message):
        parse_layout(f"nnunet:{tmp_path / 'dataset.json'}")


def test_a_plain_nifti_is_packed_for_a_layout_and_otherwise_unchanged(cli, make_study, tiny_weights, tmp_path):
    import gzip

    folder = make_study()
    packed = folder / "case-t1n.nii.gz"
    (folder / "case-t1n.nii").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    done = filled(cli, folder, "brats23", tmp_path / "out", tiny_weights[FLAIR])
    assert done.returncode == 0, done.stderr
    copy = tmp_path / "out" / "case" / "case-t1n.nii.gz"
    assert gzip.decompress(copy.read_bytes()) == (folder / "case-t1n.nii").read_bytes()


@pytest.mark.parametrize("contrast", list(Contrast))
def test_layout_words_are_read_back_as_what_they_are(contrast):
    from mrimpute.study.names import read_name

    for name in ("brats21", "brats23", "bids"):
        words = parse_layout(name).words
        if contrast in words:
            prefix = "sub-x_" if name == "bids" else "x_"
            assert read_name(prefix + words[contrast]).contrast is contrast


def test_two_patients_never_share_a_case(cli, make_study, tiny_weights, tmp_path):
    """The second patient of one name is refused before anything of it is written."""
    first, second = make_study("a/pat", seed=1), make_study("b/pat", seed=2)
    out = tmp_path / "mix"
    assert filled(cli, first, "brats23", out, tiny_weights[FLAIR]).returncode == 0
    for path in out.rglob("*t2f*"):
        path.unlink()
    before = tree(out)
    done = filled(cli, second, "brats23", out, tiny_weights[FLAIR])
    assert done.returncode == 6
    assert tree(out) == before


def test_a_layout_without_a_place_for_the_target_is_refused(cli, make_study, tmp_path):
    layout = f"nnunet:{dataset(tmp_path, ['T1', 'T1ce', 'T2'])}"
    done = cli("fill", make_study(), "--layout", layout, "--out", tmp_path / "out", "--missing", "flair")
    assert done.returncode == 3
    assert "no place for flair" in done.stderr
    absent = cli("fill", make_study("other"), "--layout", "nnunet:absent.json", "--out", tmp_path / "out")
    assert absent.returncode == 3
    assert "no such file: absent.json" in absent.stderr
