"""`mrimpute bids`: a BIDS data set in, a valid data set of derivatives out."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import jsonschema
import pytest

from mrimpute.bids import check_derivatives, describe_derivatives, uri_of
from mrimpute.contrasts import Contrast
from mrimpute.errors import OutputRefused
from mrimpute.files import listing
from mrimpute.study import images
from tests.conftest import ROOT, WIDE, head_voxels, tree, write_nifti

VALIDATOR = shutil.which("bids-validator-deno", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
WORDS = {Contrast.T1: "T1w", Contrast.T1C: "ce-gadolinium_T1w", Contrast.T2: "T2w"}


@pytest.fixture
def data(tmp_path):
    """Build a data set of three sessions: two of one participant, one of another who has no session folders."""
    root = tmp_path / "data"
    for seed, names in enumerate((("sub-01", "ses-a"), ("sub-01", "ses-b"), ("sub-02",))):
        for contrast, word in WORDS.items():
            file = root.joinpath(*names, "anat", "_".join((*names, f"{word}.nii.gz")))
            write_nifti(file, head_voxels(contrast, (20, 24, 18), seed), WIDE)
    description = {"Name": "Computed heads", "BIDSVersion": "1.9.0", "DatasetType": "raw", "License": "CC0"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    (root / "README").write_text("Heads that were computed for a test; no patient was scanned for them.\n" * 3)
    return root


@pytest.fixture
def words(tiny_weights):
    return ["--weights", tiny_weights[Contrast.FLAIR], "--missing", "flair", "--device", "cpu"]


IMAGES = [
    "sub-01/ses-a/anat/sub-01_ses-a_desc-synthetic_FLAIR",
    "sub-01/ses-b/anat/sub-01_ses-b_desc-synthetic_FLAIR",
    "sub-02/anat/sub-02_desc-synthetic_FLAIR",
]


def test_participants_are_filled_and_summed_up(cli, data, words, tmp_path):
    out, before = tmp_path / "derivatives" / "mrimpute", tree(data)
    out.parent.mkdir()
    first = cli("bids", data, out, "participant", "--participant_label", "sub-02", "01", "--session-label", "a", *words)
    assert (first.returncode, first.stdout) == (2, "")  # no session of 02 is called a, which would be passed over
    one = cli("bids", data, out, "participant", "--participant-label", "01", "--session-label", "ses-a", *words)
    assert (one.returncode, one.stdout) == (0, f"{out}/{IMAGES[0]}.nii.gz\n"), one.stderr
    done = cli("bids", data, out, "participant", *words, "--skip-bids-validator", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["status"] for record in records] == ["skipped", "filled", "filled"]
    assert tree(data) == before
    files = {f"{name}{ending}" for name in IMAGES for ending in (".nii.gz", ".json")}
    assert set(tree(out)) == files | {"dataset_description.json"}
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"][0]["Name"] == "mrimpute"
    assert described["SourceDatasets"] == [{"URL": "../../data"}]
    assert (out / described["SourceDatasets"][0]["URL"]).resolve() == data.resolve()
    sidecar = json.loads((out / f"{IMAGES[0]}.json").read_text())
    assert sidecar["Sources"][0] == "bids:raw:sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz"
    assert sidecar["SkullStripped"] is True
    assert cli("verify", out, "--source", data).returncode == 0

    group = cli("bids", data, out, "group", "--json")
    assert group.returncode == 0, group.stderr
    schema = json.loads(cli("bids", "--json-schema").stdout)
    jsonschema.validate(record := json.loads(group.stdout), schema)
    assert (record["participants"], record["sessions"], record["sessions_with_images"]) == (2, 3, 3)
    assert record["statuses"] == {"intact": 3}
    told = [str(out / f"{name}.nii.gz") for name in IMAGES]
    assert (record["data"], [image["path"] for image in record["images"]]) == (str(data), told)
    kept = json.loads((out / "summary.json").read_text())
    assert (kept["data"], kept["derivatives"], kept["images"][2]["path"]) == ("data", ".", f"{IMAGES[2]}.nii.gz")
    jsonschema.validate(kept, schema)
    texts = [file.read_text() for file in out.rglob("*") if file.suffix in (".json", ".tsv", ".html")]
    assert len(texts) == 7 and not any(str(tmp_path) in text for text in texts)  # they go out with the derivatives
    assert [row.split("\t")[-1] for row in (out / "summary.tsv").read_text().splitlines()[1:]] == [
        f"{name}.nii.gz" for name in IMAGES
    ]
    written = [str(out / name) for name in ("summary.tsv", "summary.json", "index.html")]
    assert cli("bids", data, out, "group").stdout.splitlines() == written
    if VALIDATOR is None:
        pytest.skip("bids-validator-deno is absent; all but the validator's word was checked")
    checked = subprocess.run([VALIDATOR, out, "--format", "json"], capture_output=True, text=True)
    issues = json.loads(checked.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


@pytest.mark.parametrize(
    ("data", "out", "uri"),
    [
        ("raw", "raw/derivatives/mrimpute", "../.."),
        ("a b", "made", "../a%20b"),
        ("home/alice/raw", "scratch/made", ""),  # who works there is nobody's business
    ],
)
def test_derivatives_name_their_data_set_but_not_the_way_there(tmp_path, data, out, uri):
    made = tmp_path / out
    assert uri_of(tmp_path / data, made) == uri
    made.mkdir(parents=True)
    describe_derivatives(made, uri)
    described = json.loads((made / "dataset_description.json").read_text())
    assert described.get("DatasetLinks") == ({"raw": uri} if uri else None)
    assert "alice" not in str(described)


@pytest.mark.parametrize("link", ["../data", "file://{root}/other", None])
def test_derivatives_of_another_data_set_are_refused(cli, data, words, tmp_path, link):
    out = tmp_path / "out"
    out.mkdir()
    describe_derivatives(out, link.format(root=tmp_path) if link else "")
    other, before = data.rename(tmp_path / "other"), tree(out)
    for level in (["participant", "--skip-bids-validator", *words], ["group"]):
        done = cli("bids", other, out, *level)
        assert (done.returncode, done.stdout, tree(out)) == (6, "", before)
        assert f"but {other} is ../other" in done.stderr and "choose another OUT" in done.stderr
        assert done.stderr.count("\n") == 1


def test_derivatives_that_do_not_tell_the_way_may_be_given_a_link(tmp_path):
    """Who runs mrimpute writes it into the description; one that leads elsewhere is another data set."""
    data, out = tmp_path / "home" / "alice" / "raw", tmp_path / "made"
    for link, fits in (("", True), (data.as_uri(), True), ("../home/alice/raw", True), ("../home/bob/raw", False)):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        describe_derivatives(out, link)
        with nullcontext() if fits else pytest.raises(OutputRefused, match="choose another OUT"):
            check_derivatives(out, data)


def test_options_that_the_group_level_would_pass_over_are_wrong_usage(cli, data, words, tmp_path):
    out = tmp_path / "out"
    assert cli("bids", data, out, "participant", *words, "--participant-label", "02", "--seed", "1").returncode == 0
    before = tree(out)
    for more in (["--dry-run"], ["--missing", "flair"]):
        done = cli("bids", data, out, "group", *more)
        assert (done.returncode, done.stdout, tree(out)) == (2, "", before)
        assert f"{more[0]} goes with the participant level" in done.stderr
    assert cli("bids", data, out, "group", "--n_cpus", "1", env={"MRIMPUTE_SEED": "1"}).returncode == 0


def test_a_changed_image_and_a_session_without_one_are_told(cli, data, words, tmp_path):
    out = tmp_path / "out"
    only = ["--participant-label", "01", "--skip-bids-validator"]
    assert cli("bids", data, out, "participant", *words, *only).returncode == 0
    with (out / f"{IMAGES[1]}.nii.gz").open("r+b") as image:
        image.seek(60)
        image.write(b"\xff\xff")
    group = cli("bids", data, out, "group")
    assert group.returncode == 8
    assert f"{out}/{IMAGES[1]}.nii.gz: " in group.stderr
    rows = [row.split("\t") for row in (out / "summary.tsv").read_text().splitlines()[1:]]
    assert [row[:3] for row in rows] == [
        ["sub-01", "ses-a", "flair"],
        ["sub-01", "ses-b", rows[1][2]],
        ["sub-02", "n/a", "n/a"],
    ]
    (out / "summary.tsv").write_text("mine\n")
    refused = cli("bids", data, out, "group")
    assert refused.returncode == 6
    assert (out / "summary.tsv").read_text() == "mine\n"


def test_what_an_earlier_run_finished_is_passed_over_unopened(cli, data, words, tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "SETTLED_NS", -(10**12))  # the sessions are seconds old
    line = ("bids", data, tmp_path / "out", "participant", "--skip-bids-validator", *words)
    told = tmp_path / "runs.jsonl"
    told.write_text(cli(*line, "--participant-label", "02", "--json").stdout)
    opened, real = [], images._identify
    monkeypatch.setattr(images, "_identify", lambda folder, *more: opened.append(folder) or real(folder, *more))
    done = cli(*line, "--resume", told, "--json")
    assert done.returncode == 0, done.stderr
    assert [json.loads(one)["status"] for one in done.stdout.splitlines()].count("skipped") == 1
    assert {folder.parent.name for folder in opened} == {"ses-a", "ses-b"}
    assert cli(*line, "--resume", told, "--dry-run").returncode == 2
    assert cli("bids", data, tmp_path / "out", "group", "--resume", told).returncode == 2


def test_a_dry_run_writes_nothing(cli, data, words, tmp_path):
    done = cli("bids", data, tmp_path / "out", "participant", *words, "--dry-run", "--skip-bids-validator")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "extra", "code", "said"),
    [
        (lambda data: data / "absent", [], 3, "is no BIDS data set"),
        (lambda data: data / "sub-01", [], 3, "is no BIDS data set"),
        (lambda data: data, ["--participant-label", "01", "7"], 2, "no participant with images: 7"),
        (lambda data: data, ["--session-label", "z"], 2, "no session with images: z"),
        (lambda data: data, ["--weights"], 2, "--weights"),
        (lambda data: data, ["--participant-label"], 2, "--participant-label has no label"),
        (lambda data: data, ["--participant-label", "--seed", "1"], 2, "--participant-label has no label"),
        (lambda data: data, ["--session_label", ""], 2, "--session_label' is empty"),
    ],
)
@pytest.mark.parametrize("level", ["participant", "group"])
def test_what_cannot_be_is_said_in_a_line(cli, data, tmp_path, make, extra, code, said, level):
    done = cli("bids", make(data), tmp_path / "out", level, "--skip-bids-validator", *extra)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_folders_that_are_not_for_derivatives(cli, data, tmp_path):
    assert cli("bids", data, data, "participant", "--skip-bids-validator").returncode == 2
    assert cli("bids", data, tmp_path / "out", "group").returncode == 3  # nothing was made yet
    assert cli("bids", data, tmp_path / "out", "everything").returncode == 2
    shutil.copytree(data, tmp_path / "other")
    refused = cli("bids", data, tmp_path / "other", "participant", "--skip-bids-validator")
    assert refused.returncode == 6
    assert "does not describe derivatives by mrimpute" in refused.stderr
    for folder in data.glob("sub-*"):
        shutil.rmtree(folder)
    empty = cli("bids", data, tmp_path / "out", "participant", "--skip-bids-validator")
    assert empty.returncode == 3
    assert "has no folder sub-*/anat" in empty.stderr


@pytest.mark.parametrize(("code", "result"), [(0, 0), (16, 3)])
def test_the_validator_on_path_is_asked_first(cli, data, words, tmp_path, code, result):
    here = tmp_path / "bin"
    here.mkdir()
    (here / "bids-validator").write_text(f'#!/bin/sh\necho "looked at $1"\nexit {code}\n')
    (here / "bids-validator").chmod(0o755)
    line = ["bids", data, tmp_path / "out", "participant", "--dry-run", *words]
    done = cli(*line, env={"PATH": f"{here}:/usr/bin:/bin"})
    assert done.returncode == result
    assert (f"finds errors in {data}: looked at {data}" in done.stderr) == (code != 0)
    without = cli(*line, env={"PATH": "/bin"})
    assert without.returncode == 0
    assert "no bids-validator is on PATH" in without.stderr


def test_the_babs_example_has_the_options_there_are(cli):
    text = (ROOT / "examples" / "babs.yaml").read_text()
    told = cli("bids", "--help", env={"COLUMNS": "300"}).stdout
    arguments = text.split("bids_app_args:\n")[1].split("\n\n")[0]
    for line in arguments.splitlines():
        option = line.split(": ")[-1].strip('"') if "$" in line else line.strip().split(":")[0]
        assert option in told, option
