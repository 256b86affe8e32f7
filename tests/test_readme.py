"""The README's words against the program."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mrimpute.errors import ExitCode

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_every_exit_code_is_described():
    listed = {int(number) for row in re.findall(r"^\| ([\d /]+) \|", README, re.M) for number in row.split("/")}
    assert listed == {int(code) for code in ExitCode}


COMMANDS = (
    "fill",
    "scan",
    "example",
    "doctor",
    "evaluate",
    "weights list",
    "weights pull",
    "weights import",
    "weights verify",
    "weights path",
    "train cwdm",
    "train syndiff",
    "train aldm",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described_and_exists(cli, command):
    assert f"mrimpute {command}" in README
    assert cli(*command.split(), "--help").returncode == 0


def test_every_option_named_exists(cli):
    helps = "".join(
        cli(*words, "--help", env={"COLUMNS": "300"}).stdout
        for words in (["fill"], ["scan"], ["evaluate"], ["train", "cwdm"], ["train", "syndiff"], ["train", "aldm"])
    )
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", README)):
        assert option in helps, option


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_python_example_runs(make_study, monkeypatch):
    monkeypatch.setenv("MRIMPUTE_THREADS", "1")
    code = re.search(r"```python\n(.*?)```", README, re.S)[1]
    folder = make_study("study_dir")
    subprocess.run([sys.executable, "-c", code], cwd=folder.parent, check=True, capture_output=True)
    assert (folder / "study_dir-t2f.nii.gz").exists()


@pytest.mark.parametrize("script", ["fill_api.py", "batch.sh"])
def test_examples_run(script, make_study, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "home"))
    folder = make_study()
    words = [sys.executable, ROOT / "examples" / script, folder]
    if script == "batch.sh":
        cohort = tmp_path / "cohort"
        cohort.mkdir()
        folder.rename(cohort / "case")
        words = ["bash", ROOT / "examples" / script, cohort, tmp_path / "out"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("case-t2f.nii.gz"))
