"""What `mrimpute verify` says of synthetic images, changed ones, acquired ones, and of what is no image."""

import gzip
import json
import os
import shutil
import subprocess

import jsonschema
import nibabel as nib
import pytest
import SimpleITK
from pydicom import dcmread
from pydicom.uid import RLELossless

from mrimpute.contrasts import Contrast
from mrimpute.write.provenance import description
from tests.conftest import refuse_to_list, tree


@pytest.fixture
def verify(cli):
    """Run `verify --json`; return its exit code and its objects, each held against the schema that it prints."""
    schema = json.loads(cli("verify", "--json-schema").stdout)

    def run(*words):
        done = cli("verify", *words, "--json")
        records = [json.loads(line) for line in done.stdout.splitlines()]
        for record in records:
            jsonschema.validate(record, schema)
            assert "Traceback" not in done.stderr
        return done.returncode, records

    return run


def statuses(records):
    return [record["status"] for record in records]


def test_an_image_its_sidecar_and_its_study_are_the_same_question(made, verify):
    before = tree(made.parent)
    answers = [verify(path) for path in (made, made.with_name("case-t2f.json"), made.parent)]
    assert tree(made.parent) == before
    for code, records in answers:
        assert (code, statuses(records)) == (0, ["intact"])
        assert records == answers[0][1]
    record = answers[0][1][0]
    assert record["path"] == str(made)
    assert record["marks"] == ["descrip", "aux_file"]
    assert record["sha256"] == record["recorded_sha256"]
    assert (record["made_by"]["target"], record["made_by"]["generator"]) == ("flair", "cwdm")
    assert len(record["made_by"]["checkpoint_sha256"]) == 64
    assert [source["contrast"] for source in record["sources"]] == ["t1", "t1c", "t2"]


def test_the_text_names_maker_checkpoint_and_sources(made, cli):
    done = cli("verify", made)
    assert done.returncode == 0
    assert done.stdout.startswith(f"intact        {made}  synthetic flair by mrimpute 0.1.0, tiny-flair (cwdm, sha256 ")
    assert "from t1 (case-t1n.nii.gz), t1c" in done.stdout


def test_sources_are_found_by_their_digests_under_any_name(made, verify, tmp_path):
    elsewhere = tmp_path / "archive"
    elsewhere.mkdir()
    for number, name in enumerate(("case-t1n", "case-t1c", "case-t2w")):
        shutil.copy(made.with_name(f"{name}.nii.gz"), elsewhere / f"{number}.nii.gz")
    code, [record] = verify(made, "--source", elsewhere)
    assert (code, record["status"]) == (0, "intact")
    assert record["sources"][2]["found"] == str(elsewhere / "2.nii.gz")
    code, [record] = verify(made, "--source", elsewhere / "0.nii.gz", "--source", elsewhere / "1.nii.gz")
    assert (code, record["status"]) == (3, "other-sources")
    assert "the recorded t2" in record["text"]
    content = bytearray((elsewhere / "1.nii.gz").read_bytes())
    content[4] ^= 1  # the time in the gzip header
    (elsewhere / "1.nii.gz").write_bytes(content)
    code, [record] = verify(made, "--source", elsewhere)
    assert (code, [source["found"] is None for source in record["sources"]]) == (3, [False, True, False])


def test_a_source_that_is_not_there_is_said(made, cli):
    done = cli("verify", made, "--source", made.parent / "absent.nii.gz")
    assert (done.returncode, done.stdout) == (3, "")
    assert "absent.nii.gz" in done.stderr


def change_voxel(path):
    image = nib.load(path)
    voxels = image.get_fdata()
    voxels[20, 24, 18] += 1
    nib.save(nib.Nifti1Image(voxels, image.affine, image.header), path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("spoil", [change_voxel, cut, lambda path: path.write_bytes(b"")])
def test_a_changed_image_is_told(made, verify, spoil):
    spoil(made)
    for path in (made, made.with_name("case-t2f.json"), made.parent):
        code, records = verify(path)
        assert (code, statuses(records)) == (3, ["changed"])


def pack_anew(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1))
    return path


def unpack(path):
    plain = path.with_suffix("")
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    return plain


def to_nrrd(path):
    other = path.with_name("case-t2f.nrrd")
    SimpleITK.WriteImage(SimpleITK.ReadImage(path), other)
    path.unlink()
    return other


def turn_axes(path):
    """Store the axes in another order and direction; every voxel stays where it is."""
    image = nib.load(path)
    turned = nib.as_closest_canonical(image)
    assert nib.aff2axcodes(turned.affine) != nib.aff2axcodes(image.affine)
    nib.save(nib.Nifti1Image(turned.get_fdata(dtype="f4"), turned.affine, turned.header), path)
    return path


@pytest.mark.parametrize("rewrite", [pack_anew, unpack, to_nrrd, turn_axes])
def test_an_image_that_was_rewritten_without_loss_is_told_so(made, verify, rewrite):
    """Before, each was `changed`."""
    path = rewrite(made)
    code, [record] = verify(path)
    assert (code, record["status"]) == (0, "rewritten")
    assert record["sha256"] != record["recorded_sha256"]
    assert record["text"].endswith("its voxels, where they lie and its marks are")
    code, [record] = verify(path, "--source", path.with_name("case-t1n.nii.gz"))
    assert (code, record["status"]) == (3, "other-sources")


def without_marks(path):
    image = nib.load(path)
    nib.save(nib.Nifti1Image(image.get_fdata(dtype="f4"), image.affine), path)


def with_another_contrast(path):
    image = nib.load(path)
    image.header["descrip"] = b"SYNTHETIC t2 made by mrimpute 0.1; not acquired"
    nib.save(nib.Nifti1Image(image.get_fdata(dtype="f4"), image.affine, image.header), path)


def moved(path):
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += 0.1
    nib.save(nib.Nifti1Image(image.get_fdata(dtype="f4"), affine, image.header), path)


def move_qform(path):
    """As a program does that writes one form alone: others go by the other one."""
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += 5
    image.header.set_sform(image.affine, code=2)
    image.header.set_qform(affine, code=1)
    nib.save(nib.Nifti1Image(image.get_fdata(dtype="f4"), None, image.header), path)


def describe_as_fsl(path):
    image = nib.load(path)
    image.header["descrip"] = b"6.0.7:3b1a9ef7"
    nib.save(nib.Nifti1Image(image.get_fdata(dtype="f4"), image.affine, image.header), path)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (change_voxel, "nor are its voxels"),
        (without_marks, "where they lie are, but its header's descrip and aux_file no longer"),
        (with_another_contrast, "where they lie are, but its header's descrip no longer has the text"),
        (describe_as_fsl, "where they lie are, but its header's descrip no longer has the text"),
        (moved, "its voxels are, but they lie elsewhere (by up to 0.1 mm)"),
        (move_qform, "its voxels are, but they lie elsewhere (by its qform: origins 5.00 mm apart"),
    ],
)
def test_what_of_an_image_was_changed_is_told(made, verify, spoil, word):
    """Before, a moved qform and the text of FSL were `rewritten`, with code 0."""
    spoil(made)
    code, [record] = verify(made)
    assert (code, record["status"]) == (3, "changed")
    assert word in record["text"]


def test_a_series_compressed_without_loss_is_changed_and_its_pixels_are_told(made_series, verify):
    """No record of its headers, which name the patient, is kept: so it is not called intact."""
    series = made_series()
    for path in series.iterdir():
        data = dcmread(path)
        data.compress(RLELossless, generate_instance_uid=False)
        data.save_as(path)
    code, [record] = verify(series)
    assert (code, record["status"]) == (3, "changed")
    assert "its voxels and where they lie are, but nothing records its headers" in record["text"]


def test_a_sidecar_of_an_earlier_version_tells_of_bytes_alone(made, verify):
    sidecar = made.with_name("case-t2f.json")
    content = json.loads(sidecar.read_text())
    del content["image"]["voxels_sha256"], content["image"]["affine"]
    sidecar.write_text(json.dumps(content))
    assert verify(made)[0] == 0
    pack_anew(made)
    assert statuses(verify(made)[1]) == ["changed"]


def test_a_signed_sidecar_signs_the_image(made, tmp_path, verify):
    """As examples/verify.md has it: with the keys that ssh has, and without a word of ours."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is absent")
    key, sidecar = tmp_path / "key", made.with_name("case-t2f.json")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    signers = tmp_path / "signers"
    signers.write_text("lab@example.org " + key.with_suffix(".pub").read_text())
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "mrimpute", sidecar], check=True)
    check = ["ssh-keygen", "-q", "-Y", "verify", "-f", signers, "-I", "lab@example.org", "-n", "mrimpute", "-s"]
    assert verify(made.parent)[0] == 0  # the signature beside them is in nobody's way
    for text, holds in ((sidecar.read_bytes(), True), (sidecar.read_bytes().replace(b"t1n", b"t1x"), False)):
        done = subprocess.run([*check, f"{sidecar}.sig"], input=text, capture_output=True)
        assert (done.returncode == 0) is holds


def test_an_acquired_image_in_the_place_of_a_synthetic_one_is_told(made, verify):
    shutil.copy(made.with_name("case-t1n.nii.gz"), made)
    assert verify(made.parent)[0] == 3


def test_an_image_older_than_its_sidecar_is_told(made, verify):
    sidecar = made.with_name("case-t2f.json")
    content = json.loads(sidecar.read_text())
    content["image"] |= {"replaces": content["image"]["sha256"], "sha256": "0" * 64}
    sidecar.write_text(json.dumps(content))
    code, [record] = verify(made)
    assert (code, record["status"]) == (3, "changed")
    assert "older than its sidecar" in record["text"]


def test_image_and_sidecar_may_be_renamed_together(made, verify, tmp_path):
    shutil.copy(made, tmp_path / "x.nii.gz")
    shutil.copy(made.with_name("case-t2f.json"), tmp_path / "x.json")
    for name in ("x.nii.gz", "x.json"):
        assert verify(tmp_path / name)[0] == 0


def test_without_its_sidecar_an_image_is_marked_and_unchecked(made, verify):
    made.with_name("case-t2f.json").unlink()
    for path in (made, made.parent):
        code, [record] = verify(path)
        assert (code, record["status"], record["synthetic"]) == (3, "unchecked", True)
        assert record["made_by"] == {
            "version": "0.1.0",
            "target": "flair",
            "generator": "",
            "checkpoint": "",
            "checkpoint_sha256": "",
        }
    cut(made)
    assert statuses(verify(made)[1]) == ["unreadable"]


@pytest.mark.parametrize("key", ["image", "Sources", "checkpoint", "GeneratedBy"])
def test_a_damaged_sidecar_is_told(made, verify, key):
    sidecar = made.with_name("case-t2f.json")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {key: 7}))
    code, [record] = verify(made)
    assert (code, record["status"]) == (3, "unchecked")
    assert f"is damaged: {key}" in record["text"]


def test_a_sidecar_without_its_image_is_told(made, verify):
    made.unlink()
    code, [record] = verify(made.with_name("case-t2f.json"))
    assert (code, record["status"]) == (3, "unchecked")
    assert "not beside it" in record["text"]


def test_a_sidecar_leads_to_no_other_folder(made, verify):
    sidecar = made.with_name("case-t2f.json")
    content = json.loads(sidecar.read_text())
    content["image"]["file"] = "../case/case-t2f.nii.gz"
    sidecar.write_text(json.dumps(content))
    made.rename(made.with_name("other.nii.gz"))
    assert statuses(verify(sidecar)[1]) == ["unchecked"]


def test_a_folder_that_cannot_be_listed_is_told(made, verify, cli, monkeypatch):
    """Before, what lay in it was passed over without a word, with code 0."""
    locked = made.parent / "more"
    locked.mkdir()
    refuse_to_list(monkeypatch, locked)
    code, records = verify(made.parent)
    assert (code, statuses(records)) == (8, ["intact", "unreadable"])
    assert (records[1]["path"], "cannot be listed: Permission denied" in records[1]["text"]) == (str(locked), True)
    done = cli("verify", made, "--source", made.parent)
    assert done.returncode == 3
    assert f"cannot list {locked} (Permission denied)" in done.stderr


@pytest.mark.parametrize(
    ("name", "litter"),
    [(".DS_Store", True), ("._0001.dcm", True), ("Thumbs.db", True), (".hidden", False), ("notes.txt", False)],
)
def test_fill_and_verify_agree_on_what_else_lies_in_a_series(made_series, verify, cli, tiny_weights, name, litter):
    """Before, after a look by the Finder verify said intact and fill ended with 6."""
    series = made_series()
    (series / name).write_bytes(b"\0\0\0\1Bud1")
    code, [record] = verify(series)
    assert (code, record["status"]) == ((0, "intact") if litter else (3, "changed"))
    again = cli("fill", series.parent, "--weights", tiny_weights[Contrast.FLAIR], "--device", "cpu")
    assert again.returncode == (0 if litter else 6), again.stderr


def test_a_spread_without_its_sidecar_is_known_as_ours(made, verify):
    image = nib.load(made)
    text = description("flair-spread").encode()
    image.header["descrip"], image.header["aux_file"] = text, text[:23]
    alone = made.with_name("alone.nii.gz")
    nib.save(nib.Nifti1Image(image.get_fdata(dtype="f4"), None, image.header), alone)
    _, [record] = verify(alone)
    assert (record["status"], record["made_by"]["target"]) == ("unchecked", "flair-spread")


def test_what_is_acquired_is_not_marked(make_study, build, verify):
    study = make_study()
    for path in (study, study / "case-t1n.nii.gz", build(), build() / "im000.dcm"):
        code, [record] = verify(path)
        assert (code, record["status"], record["synthetic"]) == (7, "unmarked", False)


def test_several_that_differ_end_with_8(made, verify):
    acquired = made.with_name("case-t1n.nii.gz")
    assert verify(made, made)[0] == 0
    assert verify(acquired, acquired)[0] == 7
    code, records = verify(made, acquired, made.parent / "absent")
    assert (code, statuses(records)) == (8, ["intact", "unmarked", "unreadable"])


def test_a_saved_brain_mask_is_passed_over_in_a_folder(made, verify):
    image = nib.load(made)
    image.header["descrip"] = b"SYNTHETIC brain mask, not acquired"
    image.header["aux_file"] = b"SYNTHETIC brain mask, n"
    mask = made.with_name("case-t2f_brain-mask.nii.gz")
    nib.save(nib.Nifti1Image(image.get_fdata(), None, image.header), mask)
    assert verify(made.parent)[0] == 0
    code, [record] = verify(mask)
    assert (code, record["status"]) == (3, "unchecked")
    assert "brain mask" in record["text"]


def test_a_mark_of_another_program_is_synthetic_and_not_ours(made, verify):
    image = nib.load(made)
    image.header["descrip"], image.header["aux_file"] = b"SYNTHETIC by another", b""
    other = made.with_name("other.nii.gz")
    nib.save(nib.Nifti1Image(image.get_fdata(), None, image.header), other)
    code, [record] = verify(other)
    assert (code, record["status"], record["made_by"]) == (3, "unchecked", None)


def test_derivatives_of_a_data_set_are_one_folder(make_study, cli, tiny_weights, verify, tmp_path):
    words = ("--out", tmp_path / "cases", "--layout", "bids", "--weights", tiny_weights[Contrast.FLAIR])
    for name in ("one", "two"):
        assert cli("fill", make_study(name), *words, "--device", "cpu").returncode == 0
    shutil.copytree(tmp_path / "cases", tmp_path / "copy")
    for folder in (tmp_path / "copy", tmp_path / "copy" / "derivatives" / "mrimpute"):
        code, records = verify(folder, "--source", tmp_path / "cases")
        assert (code, statuses(records)) == (0, ["intact", "intact"])


@pytest.mark.parametrize("family", ["classic", "enhanced"])
def test_a_dicom_series_its_files_its_sidecar_and_its_study_are_the_same_question(made_series, verify, family):
    folder = made_series(family)
    for path in (folder, folder / "0001.dcm", folder.with_suffix(".json"), folder.parent):
        code, [record] = verify(path)
        assert (code, record["status"]) == (0, "intact")
        assert "SyntheticData" in record["marks"]
    code, [record] = verify(folder, "--source", folder.parent)
    assert code == 0
    assert all(source["found"] for source in record["sources"])
    [t1] = [source["found"] for source in record["sources"] if source["contrast"] == "t1"]
    code, [record] = verify(folder, "--source", t1)
    assert [source["found"] is not None for source in record["sources"]] == [True, False, False]


def test_a_series_folder_may_be_given_as_the_present_one(made_series, cli):
    folder = made_series()
    assert cli("verify", ".", cwd=folder).returncode == 0


@pytest.mark.parametrize("how", ["pixel", "tag", "lost", "added", "cut", "folder", "pipe"])
def test_a_changed_series_is_told(made_series, verify, how):
    folder = made_series()
    first = folder / "0001.dcm"
    data = dcmread(first)
    if how == "pixel":
        data.PixelData = b"\1" + data.PixelData[1:]
    if how == "tag":
        data.SyntheticData = "NO"
    data.save_as(first)
    changes = {
        "lost": first.unlink,
        "added": lambda: shutil.copy(folder.parent / "t1" / "im000.dcm", folder),
        "cut": lambda: cut(first),
        "folder": (folder / "more").mkdir,
        "pipe": lambda: os.mkfifo(folder / "pipe"),
    }
    changes.get(how, lambda: None)()
    for path in (folder, folder.with_suffix(".json"), folder.parent):
        code, records = verify(path)
        assert (code, len(records)) == (3, 1), records
        assert records[0]["status"] in ("changed", "unreadable")


def test_a_series_without_sidecar_still_tells_its_checkpoint(made_series, verify, tmp_path):
    folder = made_series()
    digest = verify(folder)[1][0]["made_by"]["checkpoint_sha256"]
    shutil.copytree(folder, tmp_path / "export")
    for number, file in enumerate(sorted((folder.parent / "t1").iterdir())):  # a PACS export: all in one folder
        shutil.copy(file, tmp_path / "export" / f"IM{number}")
    code, [record] = verify(tmp_path / "export")
    assert (code, record["status"]) == (3, "unchecked")
    assert record["made_by"]["checkpoint"] == "tiny-flair"
    assert digest.startswith(record["made_by"]["checkpoint_sha256"])
    assert len(record["made_by"]["checkpoint_sha256"]) == 16
    first = tmp_path / "export" / "0001.dcm"
    data = dcmread(first)
    for name in ("SyntheticData", "ImageType", "SeriesDescription", "DerivationDescription", "ImageComments"):
        delattr(data, name)
    for name in ("ManufacturerModelName", "ContributingEquipmentSequence"):
        delattr(data, name)
    del data.file_meta.ImplementationClassUID
    data.save_as(first)
    assert "1 of its 9 files bear no mark" in verify(tmp_path / "export")[1][0]["text"]


def test_no_tag_of_the_patient_is_told(made_series, cli):
    done = cli("verify", made_series().parent, "--json")
    assert not [word for word in ("Doe", "ID7", "1970", "A1") if word in done.stdout + done.stderr]


HOSTILE = {
    "absent.nii.gz": lambda path: None,
    "empty.nii.gz": lambda path: path.write_bytes(b""),
    "text.nii": lambda path: path.write_text("not an image"),
    "bomb.nii.gz": lambda path: path.write_bytes(gzip.compress(bytes(2**20))),
    "x.nrrd": lambda path: path.write_text("NRRD0004\n"),
    "x.dcm": lambda path: path.write_bytes(b"\0" * 128 + b"DICM\2\0"),
    "notes.txt": lambda path: path.write_text("hello"),
    "huge.json": lambda path: path.write_bytes(b"[" + b"1," * 2**20 + b"1]"),
    "deep.json": lambda path: path.write_text("[" * 100_000),
    "cut.json": lambda path: path.write_text('{"schema": "mrimpute.sidecar/1", "im'),
    "bare.json": lambda path: path.write_text('{"schema": "mrimpute.sidecar/1"}'),
    "pipe.nii.gz": os.mkfifo,
    "pipe.json": os.mkfifo,
    "link.nii.gz": lambda path: path.symlink_to("nowhere"),
    "circle.nii.gz": lambda path: path.symlink_to(path.name),
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_read_ends_with_3(verify, tmp_path, name):
    HOSTILE[name](tmp_path / name)
    code, [record] = verify(tmp_path / name)
    assert (code, record["status"], record["synthetic"]) == (3, "unreadable", None)


def test_a_folder_of_all_of_them_is_told_one_by_one(verify, made):
    for name, write in HOSTILE.items():
        write(made.parent / name)
    code, records = verify(made.parent)
    assert code == 8
    assert statuses(records).count("intact") == 1
    unreadable = {record["path"].rpartition("/")[2] for record in records if record["status"] == "unreadable"}
    assert unreadable == {n for n in HOSTILE if n.endswith((".nii.gz", ".nii", ".nrrd", ".dcm"))} - {"absent.nii.gz"}


def test_json_of_another_program_is_not_marked(verify, tmp_path):
    (tmp_path / "dataset_description.json").write_text('{"Name": "x"}')
    assert verify(tmp_path / "dataset_description.json")[0] == 7


def test_a_name_cannot_forge_a_line(made, cli):
    name = made.with_name("a\nintact  b\x1b[2J.nii.gz")
    made.rename(name)
    made.with_name("case-t2f.json").unlink()
    done = cli("verify", name)
    assert len(done.stdout.splitlines()) == 1
    assert "\x1b" not in done.stdout


def test_nothing_given_is_wrong_usage(cli):
    assert cli("verify").returncode == 2
