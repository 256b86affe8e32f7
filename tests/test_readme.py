"""The README's words, the model cards' and the examples' against the program."""

import ast
import importlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from mrimpute.contrasts import Contrast
from mrimpute.errors import ExitCode
from mrimpute.registry import load_registry

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
CARDS = (ROOT / "mrimpute" / "weights" / "README.md").read_text()
TRAINING = (ROOT / "examples" / "training" / "README.md").read_text()
VERIFY = (ROOT / "examples" / "verify.md").read_text()
GUIDE = (ROOT / "examples" / "guide.md").read_text()
AGENTS = (ROOT / "examples" / "agents.md").read_text()
PAGES = (
    "README.md",
    "mrimpute/weights/README.md",
    "examples/agents.md",
    "examples/cohort.md",
    "examples/guide.md",
    "examples/training/README.md",
    "examples/verify.md",
)


def test_the_readme_is_short():
    lines = README.splitlines()
    assert len(lines) <= 170
    assert len(README.split()) <= 1100  # tables and code counted
    install = next(line for line in lines if line.startswith("python3 -m venv"))  # one line to paste
    assert [line for line in lines if len(line) > 150] == [install]


def test_every_exit_code_is_described():
    listed = {int(number) for row in re.findall(r"^\| ([\d /]+) \|", README, re.M) for number in row.split("/")}
    assert listed == {int(code) for code in ExitCode}


COMMANDS = (
    "fill",
    "merge",
    "bids",
    "scan",
    "example",
    "doctor",
    "cite",
    "evaluate",
    "calibrate",
    "verify",
    "report",
    "weights list",
    "weights pull",
    "weights import",
    "weights verify",
    "weights path",
    "weights show",
    "train cwdm",
    "train syndiff",
    "train aldm",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described_and_exists(cli, command):
    assert f"mrimpute {command}" in README + GUIDE
    assert cli(*command.split(), "--help").returncode == 0


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_a_shell_block_exists(page):
    blocks = "".join(re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.S))
    named = re.findall(r"(?:^|[|] |-m )mrimpute ((?:weights|train) [a-z]+|[a-z]+)", blocks, re.M)
    assert named and set(named) <= set(COMMANDS)


def test_every_option_named_exists(cli):
    helps = "".join(
        cli(*words, "--help", env={"COLUMNS": "300"}).stdout
        for words in (
            ["fill"],
            ["merge"],
            ["bids"],
            ["scan"],
            ["example"],
            ["evaluate"],
            ["calibrate"],
            ["verify"],
            ["report"],
            ["train", "cwdm"],
            ["train", "syndiff"],
            ["train", "aldm"],
        )
    )
    of_others = {"--nproc-per-node", "--index-url"}  # torchrun's, pip's
    for option in (
        set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", README + CARDS + TRAINING + VERIFY + GUIDE + AGENTS)) - of_others
    ):
        assert option in helps, option


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text()):
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), target


def _anchors(file: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_model_cards_have_the_hubs_form():
    data = ModelCard(CARDS).data
    assert (data.license, data.pipeline_tag, data.metrics) == ("cc", "image-to-image", ["psnr", "ssim"])
    for part in ("Model details", "Training procedure", "Evaluation", "Limitations"):
        assert CARDS.count(f"### {part}\n") >= 3, part
    for part in ("Intended use", "Out of scope", "Training data", "Citation"):
        assert f"# {part}\n" in CARDS, part


def test_every_checkpoint_and_its_measured_quality_stand_in_the_model_cards():
    for name, checkpoint in load_registry().items():
        assert f"`{name}`" in CARDS, name
        for figures in re.findall(r"\d+\.\d+ / \d\.\d+", checkpoint.record.about.quality or ""):
            assert figures in CARDS, (name, figures)


@pytest.mark.parametrize(
    "figure",
    ["0.47 dB", "17.63 dB in 31 minutes", "17.24 and 18.46 dB", "| 18.7 | 12.4 | 16.0 |", "81.5 million", "34 times"],
)
def test_figures_that_left_the_readme_stand_in_the_model_cards(figure):
    assert figure in CARDS


@pytest.mark.parametrize("page", [README, CARDS])
def test_the_warning_stands_first(page):
    body = " ".join(page.split("\n# ")[-1].split("\n## ")[0].split())
    assert "A synthetic image is a computed guess. It may lack a lesion or show a false one." in body
    assert "never for diagnosis" in body


def test_no_page_cites_what_is_not_here():
    examples = [path for path in (ROOT / "examples").rglob("*") if path.suffix in (".md", ".py", ".sh")]
    for path in [ROOT / "CHANGELOG.md", *(ROOT / page for page in PAGES), *examples]:
        assert not re.search(r"\b(SPEC|DESIGN|HOUSE|STYLE|BASELINES)\b|research/", path.read_text()), path


@pytest.fixture
def example(monkeypatch, tmp_path):
    """Run a file of examples/ as a user does; one in Python in this process."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "home"))
    monkeypatch.setenv("MRIMPUTE_THREADS", "1")

    def run(script: str, *words: object) -> None:
        command = [str(ROOT / "examples" / script), *map(str, words)]
        if script.endswith(".py"):
            monkeypatch.setattr(sys, "argv", command)
            runpy.run_path(command[0], run_name="__main__")
            return
        done = subprocess.run(["bash", *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    return run


def test_the_python_example_runs(example, make_study, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README, re.S)[1]
    folder = make_study("study_dir")
    monkeypatch.chdir(folder.parent)
    exec(code, {})
    assert (folder / "study_dir-t2f.nii.gz").exists()


@pytest.mark.parametrize("script", ["fill_api.py", "batch.sh", "segmenter.sh"])
def test_examples_run(script, example, make_study, tmp_path):
    folder = make_study() if script == "fill_api.py" else make_study("cohort/case")
    words = {
        "fill_api.py": (folder,),
        "batch.sh": (folder.parent, tmp_path / "out"),
        "segmenter.sh": (folder.parent, tmp_path / "out", "brats23", "--weights", "builtin", "--as-is"),
    }
    example(script, *words[script])
    made = list(tmp_path.rglob("case-t2f.nii.gz"))
    assert len(made) == 1
    assert len(list(made[0].parent.glob("case-*.nii.gz"))) == (1 if script == "batch.sh" else 4)


def test_the_dicom_example_runs(example, build, tmp_path):
    for number, contrast in enumerate((Contrast.T1, Contrast.T1C, Contrast.T2), 1):
        build(contrast, number=number)
    example("dicom.sh", tmp_path / "study", tmp_path / "out")
    assert len(list((tmp_path / "out" / "study" / "mrimpute_flair").glob("*.dcm"))) == 9


def test_training_recipes_are_listed_and_whole():
    """They take data that are not here; what can be looked at is their syntax and their names."""
    folder = ROOT / "examples" / "training"
    for path in sorted(folder.iterdir()):
        if path.suffix == ".sh":
            subprocess.run(["bash", "-n", path], check=True)
        elif path.suffix == ".py":
            compile(path.read_text(), path, "exec")
    recipes = {path.name for path in folder.iterdir() if path.suffix in (".sh", ".py")}
    assert recipes == set(re.findall(r"^\| \[([\w.]+)\]", TRAINING, re.M))


RECIPES = sorted((ROOT / "examples").rglob("*.py"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_what_a_recipe_imports_is_there(recipe):
    """The long ones are not run here."""
    for node in ast.walk(ast.parse(recipe.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mrimpute"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")
