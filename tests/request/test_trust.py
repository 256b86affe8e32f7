"""A study folder does not choose the network, nor spend the user's token."""

import json

import pytest

from mrimpute import Contrast
from mrimpute.registry import hub
from tests.conftest import tree

FLAIR = Contrast.FLAIR


@pytest.fixture
def study(make_study):
    def make(word, name="case"):
        folder = make_study(name)
        (folder / "mrimpute.toml").write_text(f"weights = {json.dumps(word)}")
        return folder

    return make


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry run"])
@pytest.mark.parametrize("word", ["hf://evil/repo", "cwdm=hf://evil/repo", "/somewhere", "nets", "nonsense"])
def test_a_study_may_not_name_weights_of_its_own(cli, study, monkeypatch, word, dry):
    monkeypatch.setattr(hub, "_asking_the_hub", lambda *_: pytest.fail("the Hub was asked"))
    folder = study(word)
    (folder / "nets").mkdir()
    before = tree(folder)
    done = cli("fill", folder, "--quiet", "--json", *dry)
    assert done.returncode == 3, done.stderr
    assert "mrimpute.toml" in done.stderr
    assert "--trust-study-settings" in done.stderr
    assert json.loads(done.stdout)["settings"]["weights"] == [word]
    assert tree(folder) == before
    assert cli("evaluate", "--leave-one-out", folder).returncode == 3
    assert cli("fill", folder, "--dry-run", "--weights", "builtin").returncode == 0


@pytest.mark.parametrize("word", ["builtin", "cwdm-flair-small", ["cwdm=builtin", "syndiff=auto"]])
def test_words_of_this_machine_are_taken_and_said_even_quietly(cli, study, word):
    folder = study(word)
    for words in (["--dry-run"], ["--dry-run", "--quiet"]):
        done = cli("fill", folder, *words)
        assert done.returncode == 0, done.stderr
        assert "mrimpute.toml chooses --weights" in done.stderr
    record = json.loads(cli("fill", folder, "--dry-run", "--json").stdout)
    assert record["settings"]["weights"] == ([word] if isinstance(word, str) else word)
    assert record["settings"]["trusted"] is False
    assert "chooses" not in cli("fill", folder, "--dry-run", "--weights", "auto").stderr


def test_a_trusted_study_names_a_folder_of_its_own(cli, study, tiny_weights, tmp_path):
    folder = study("nets/tiny")
    (folder / "nets").mkdir()
    (folder / "nets" / "tiny").symlink_to(tiny_weights[FLAIR])
    done = cli("fill", folder, "--trust-study-settings", "--quiet", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "chooses --weights" in done.stderr


def test_a_word_does_not_steer_the_terminal(cli, study):
    done = cli("fill", study("\x1b[2Jnets"), "--dry-run")
    assert "\x1b" not in done.stderr
    assert done.returncode == 3


def test_settings_nested_without_end_are_refused(cli, make_study):
    folder = make_study()
    (folder / "mrimpute.toml").write_text("weights = " + "[" * 100_000)
    done = cli("fill", folder)
    assert done.returncode == 3, done.stderr
    assert "mrimpute.toml" in done.stderr
