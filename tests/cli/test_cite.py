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
    mark = {"schema": "mrimpute.sidecar/1", "image": {}, "checkpoint": {"generator": "cwdm", "origin": "hub"}}
    sidecar.write_text(json.dumps(mark))
    assert entries(cli("cite", sidecar).stdout) == ["@misc"]
    mark["checkpoint"]["origin"] = "builtin"
    sidecar.write_text(json.dumps(mark))
    assert entries(cli("cite", sidecar).stdout) == ["@misc", "@article", "@article"]
    refused = cli("cite", sidecar, folder / f"case-{Contrast.T1}n.nii.gz")
    assert refused.returncode == 3
    assert "no sidecar by mrimpute" in refused.stderr
