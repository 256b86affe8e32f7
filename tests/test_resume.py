"""`fill --resume`: what earlier runs finished is passed over unopened; whatever differs is looked at again."""

import json
import os
import shutil

import jsonschema
import pytest

from mrimpute.contrasts import Contrast
from mrimpute.files import listing
from mrimpute.study import images
from tests.conftest import WIDE, head_voxels, write_nifti

FLAIR = Contrast.FLAIR
SHAPE = (20, 24, 18)


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """The small studies are seconds old, which counts as not settled."""
    monkeypatch.setattr(listing, "SETTLED_NS", -(10**12))


@pytest.fixture
def looked_at(monkeypatch):
    """Return the folders that were identified, which opens every header."""
    folders = []
    real = images._identify
    monkeypatch.setattr(images, "_identify", lambda folder, *words: folders.append(folder.name) or real(folder, *words))
    return folders


@pytest.fixture
def cohort(make_study, cli, tiny_weights, tmp_path):
    """Two filled studies; return a function that runs the same line again, with options more, and tells the records."""
    studies = [make_study(name, shape=SHAPE, affine=WIDE, seed=seed) for seed, name in enumerate(("one", "two"))]
    shutil.copytree(tiny_weights[FLAIR], tmp_path / "weights")
    runs = tmp_path / "runs"
    runs.mkdir()
    first = ("fill", *studies, "--weights", tmp_path / "weights", "--device", "cpu", "--out", tmp_path / "out")
    done = cli(*first, "--json")
    assert done.returncode == 0, done.stderr
    (runs / "1.jsonl").write_text(done.stdout)

    def again(*more):
        done = cli(*first, *more, "--json", "--resume", runs)
        return done.returncode, {record["study"]: record for record in map(json.loads, done.stdout.splitlines())}

    return again


def test_what_stands_as_it_was_left_is_passed_over_unopened(cohort, cli, looked_at, tmp_path):
    looked_at.clear()
    code, records = cohort()
    assert (code, looked_at) == (0, [])
    first = [json.loads(line) for line in (tmp_path / "runs" / "1.jsonl").read_text().splitlines()]
    schema = json.loads(cli("fill", "--json-schema").stdout)
    for earlier in first:
        record = records[earlier["study"]]
        jsonschema.validate(record, schema)
        assert (record["status"], record["exit"], record["outputs"][0]["skipped"]) == ("skipped", 0, True)
        assert record["outputs"][0]["sha256"] == earlier["outputs"][0]["sha256"]
        assert earlier["seen"] and record["seen"] == earlier["seen"]
    words = ("fill", tmp_path / "one", tmp_path / "two", "--weights", tmp_path / "weights", "--device", "cpu")
    done = cli(*words, "--out", tmp_path / "out", "--resume", tmp_path / "runs" / "1.jsonl")
    assert done.stdout.split() == [str(tmp_path / "out" / name / f"{name}-t2f.nii.gz") for name in ("one", "two")]
    assert "as an earlier run left it; skipped" in done.stderr
    assert looked_at == []


def touch(tmp_path):
    path = tmp_path / "one" / "one-t1n.nii.gz"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def change_keeping_size_and_time(tmp_path):
    """What looks alike by size and time of content is told by the time of change."""
    path = tmp_path / "one" / "one-t1n.nii.gz"
    told, content = path.stat(), bytearray(path.read_bytes())
    content[4] ^= 1  # the time in the gzip header: the voxels stay
    path.write_bytes(content)
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


def another_size(tmp_path):
    write_nifti(tmp_path / "one" / "one-t1n.nii.gz", head_voxels(Contrast.T1, SHAPE, seed=9), WIDE)


def made(tmp_path):
    return tmp_path / "out" / "one" / "one-t2f.nii.gz"


def replace_result(tmp_path):
    path = made(tmp_path)
    told, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


def delete_sidecar(tmp_path):
    made(tmp_path).with_name("one-t2f.json").unlink()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (touch, "skipped"),
        (change_keeping_size_and_time, "failed"),  # another digest of a source: another recipe
        (another_size, "failed"),
        (lambda tmp_path: made(tmp_path).unlink(), "filled"),
        (delete_sidecar, "failed"),
        (replace_result, "failed"),
    ],
)
def test_a_study_that_stands_otherwise_is_looked_at(cohort, looked_at, tmp_path, change, status):
    change(tmp_path)
    looked_at.clear()
    code, records = cohort()
    assert looked_at == ["one"]
    assert records[str(tmp_path / "one")]["status"] == status
    assert records[str(tmp_path / "two")]["status"] == "skipped"
    assert code == (8 if status == "failed" else 0)


def test_a_file_that_is_added_is_looked_at_while_it_is_there(cohort, looked_at, tmp_path):
    """In the study, or above both where it may decide what their images are."""
    for place, studies in (
        ("one/mrimpute.toml", ["one"]),
        ("one/one-t1n.json", ["one"]),
        ("two/export", ["two"]),
        ("dataset.json", ["one", "two"]),
    ):
        (tmp_path / place).write_text("{}" if place.endswith("json") else "")
        looked_at.clear()
        assert (cohort()[0], looked_at) == (0, studies)
        (tmp_path / place).unlink()
        looked_at.clear()
        assert (cohort()[0], looked_at) == (0, [])


def test_with_other_wishes_every_study_is_looked_at(cohort, looked_at):
    for words, code in (
        (("--seed", "1"), 6),
        (("--intensity", "unit"), 6),
        (("--steps", "2"), 6),
        (("--missing", "flair"), 0),
        (("--no-checks",), 0),
        (("--overwrite",), 0),
    ):
        looked_at.clear()
        assert (cohort(*words)[0], looked_at) == (code, ["one", "two"])


def test_what_is_to_be_overwritten_is_made_anew_every_time(cohort, looked_at, tmp_path):
    """Though a run with the same wish told of it."""
    _, records = cohort("--overwrite")
    (tmp_path / "runs" / "2.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records.values()))
    looked_at.clear()
    _, records = cohort("--overwrite")
    assert looked_at == ["one", "two"]
    assert {record["status"] for record in records.values()} == {"filled"}


def test_with_other_weights_of_the_same_name_every_study_is_looked_at(cohort, looked_at, tiny_weights, tmp_path):
    """Other steps beside the same network, then another network."""
    record = tmp_path / "weights" / "checkpoint.toml"
    text = record.read_text()
    record.write_text(text.replace("steps = 1", "steps = 2"))
    assert record.read_text() != text
    looked_at.clear()
    assert cohort()[0] == 6
    record.write_text(text)
    model = tmp_path / "weights" / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    assert cohort()[0] != 0
    assert looked_at == ["one", "two"] * 2


def test_another_folder_in_the_place_of_a_study_is_looked_at(cohort, looked_at, tmp_path):
    """The name alone counts for nothing."""
    (tmp_path / "one").rename(tmp_path / "three")
    shutil.copytree(tmp_path / "two", tmp_path / "one")
    for path in (tmp_path / "one").iterdir():
        path.rename(path.with_name(path.name.replace("two", "one")))
    looked_at.clear()
    code, records = cohort()
    assert (code, looked_at) == (8, ["one"])
    assert "another recipe" in records[str(tmp_path / "one")]["error"]["text"]


def test_what_was_looked_at_again_is_passed_over_the_next_time(cohort, looked_at, tmp_path):
    touch(tmp_path)
    looked_at.clear()
    _, records = cohort()
    (tmp_path / "runs" / "2.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records.values()))
    assert looked_at == ["one"]
    assert cohort()[0] == 0
    assert looked_at == ["one"]


def test_files_that_changed_a_moment_ago_are_never_known_again(cohort, looked_at, tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "SETTLED_NS", 10**12)
    looked_at.clear()
    _, records = cohort()
    assert looked_at == ["one", "two"]
    assert [record["seen"] for record in records.values()] == [None, None]


def test_a_study_with_files_of_its_own_elsewhere_is_never_known_again(cli, make_study, tiny_weights, tmp_path):
    study = make_study("one", shape=SHAPE, affine=WIDE)
    words = ("--t1", study / "one-t1n.nii.gz", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json")
    record = json.loads(cli("fill", study, *words).stdout)
    assert (record["status"], record["seen"]) == ("filled", None)


def test_dicom_results_in_the_study_itself_are_known_again(cli, build, tiny_weights, looked_at, tmp_path):
    for number, contrast in enumerate((Contrast.T1, Contrast.T1C, Contrast.T2), 1):
        study = build(contrast, number=number).parent
    words = ("fill", study, "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json")
    runs = tmp_path / "runs.jsonl"
    runs.write_text(cli(*words).stdout)
    looked_at.clear()
    assert json.loads(cli(*words, "--resume", runs).stdout)["status"] == "skipped"
    assert looked_at == []
    slices = sorted((study / "mrimpute_flair").iterdir())
    slices[0].unlink()
    assert cli(*words, "--resume", runs).returncode == 6
    assert len(looked_at) == 1


@pytest.mark.parametrize(
    ("content", "code"), [(None, 2), ("no line of ours\n", 3), ('{"schema": "mrimpute.fi', 0), ("", 0)]
)
def test_a_file_of_lines_that_is_none(cli, make_study, tiny_weights, tmp_path, content, code):
    runs = tmp_path / "runs.jsonl"
    if content is not None:
        runs.write_text(content)
    study = make_study(shape=SHAPE, affine=WIDE)
    done = cli("fill", study, "--weights", tiny_weights[FLAIR], "--device", "cpu", "--resume", runs)
    assert done.returncode == code, done.stderr
    assert (code == 0) or len(done.stderr.splitlines()) == 1


def test_a_plan_passes_over_nothing(cli, make_study, tmp_path):
    done = cli("fill", make_study(shape=SHAPE, affine=WIDE), "--resume", tmp_path / "absent.jsonl", "--dry-run")
    assert (done.returncode, done.stdout) == (2, "")
    assert "leave one of them out" in done.stderr and len(done.stderr.splitlines()) == 1
