"""Whom to cite."""

import json

from mrimpute.contrasts import Contrast


def entries(text):
    assert text.count("{") == text.count("}")
    return [line.split("{")[0] for line in text.splitlines() if line.startswith("@")]


def test_all_papers_and_the_data_by_default(cli):
    done = cli("cite")
    assert done.returncode == 0
    assert entries(done.stdout) == ["@misc", "@article", "@inproceedings", "@article", "@article"]


def test_of_a_result_what_made_it(cli, make_study, tmp_path):
    folder = make_study()
    sidecar = tmp_path / "case.json"
    network = {"name": "n", "generator": "cwdm", "sha256": "", "origin": "hub"}
    mark = {
        "schema": "mrimpute.sidecar/1",
        "Contrast": "flair",
        "GeneratedBy": [{"Version": "0.1.0"}],
        "sources": [],
        "checkpoint": network,
        "image": {"file": "case.nii.gz", "sha256": ""},
    }
    sidecar.write_text(json.dumps(mark))
    assert entries(cli("cite", sidecar).stdout) == ["@misc"]
    network["origin"] = "builtin"
    sidecar.write_text(json.dumps(mark))
    assert entries(cli("cite", sidecar).stdout) == ["@misc", "@article", "@article"]
    refused = cli("cite", sidecar, folder / f"case-{Contrast.T1}n.nii.gz")
    assert refused.returncode == 3
    assert "cannot read" in refused.stderr and refused.stdout == ""
    (tmp_path / "other.json").write_text("{}")
    assert "no sidecar by mrimpute" in cli("cite", tmp_path / "other.json").stderr
    for change, told in (
        ({"generator": "later"}, "tells of a generator 'later'"),
        ({"generator": ["cwdm"]}, "checkpoint.generator is missing or wrong"),
    ):
        sidecar.write_text(json.dumps(mark | {"checkpoint": network | change}))
        done = cli("cite", sidecar)
        assert (done.returncode, done.stdout) == (3, "") and told in done.stderr
    sidecar.write_text(json.dumps(mark | {"checkpoint": [1]}))
    assert cli("cite", sidecar).returncode == 3
