"""The script for a day with a GPU runs from start to end, here on small parts and on the CPU."""

import json

import pytest
import torch

from tests.gpu import day


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Run the whole day once on the CPU."""
    out = tmp_path_factory.mktemp("day")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setenv("MRIMPUTE_HOME", str(out / "home"))
        patch.setenv("MRIMPUTE_STATE", str(out / "home"))
        code = day.main([str(out)])
    return out, code


def test_every_step_has_a_result_and_nothing_failed(first):
    out, code = first
    results = json.loads((out / "results.json").read_text())
    assert code == 0, results
    assert {name for name, found in results.items() if "failed" in found} == set()
    assert {name for name, found in results.items() if found.get("holds")} == {
        "same as cpu",
        "equal bytes",
        "absent device",
        "two at once",
    }
    assert results["out of memory"] == {"skipped": "no CUDA device"}
    assert results["one step, bfloat16, plain"]["seconds"] > 0
    assert results["one study, float32"]["seconds"] > 0
    assert (out / "training" / "cwdm-toy" / "model.safetensors").is_file()
    assert "| one step, float32, plain | done |" in (out / "table.md").read_text()


def test_the_same_line_again_does_only_what_is_left(first, monkeypatch, capsys):
    out, _ = first
    file = out / "results.json"
    results = json.loads(file.read_text())
    results["absent device"] = {"failed": "x"}
    file.write_text(json.dumps(results))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert day.main([str(out)]) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == ["absent device"]


def test_what_does_not_hold_is_told_and_is_the_exit_code(first, monkeypatch):
    out, _ = first
    file = out / "results.json"
    results = json.loads(file.read_text())
    del results["two at once"]
    file.write_text(json.dumps(results))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def two_at_once(_day):
        return {"holds": False}

    monkeypatch.setattr(day, "two_at_once", two_at_once)
    assert day.main([str(out)]) == 1
    assert "| two at once | does NOT hold |" in (out / "table.md").read_text()
