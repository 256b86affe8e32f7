"""The real command line, in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.files import new_part
from tests.conftest import surroundings, tree
from tests.processes import Forked
from tests.test_imports import HEAVY

FLAIR = Contrast.FLAIR


@pytest.fixture
def weights(tiny_weights):
    return ["--weights", tiny_weights[FLAIR], "--device", "cpu"]


def one_line(done):
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def test_stdout_holds_the_written_path_and_nothing_else(cli, make_study, weights):
    folder = make_study()
    done = cli("fill", folder, "--missing", "flair", *weights)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder / 'case-t2f.nii.gz'}\n"
    warning, note, citation = done.stderr.splitlines()
    assert "was not measured: the head has less than 0.3 litres" in warning
    assert "not for diagnosis" in note
    assert citation.startswith("mrimpute: cite: Friedrich")
    before = tree(folder)
    killed = new_part(folder)  # a run that was killed after its image had its place
    killed.with_name(killed.name.replace(f"-{os.getpid()}-", "-999999999-")).write_bytes(b"")
    again = cli("fill", folder, "-m", "FLAIR", *weights, "--quiet")
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "")
    assert tree(folder) == before


def test_json_is_one_object_per_study(cli, make_study, weights):
    folders = [make_study("a", seed=1), make_study("b", seed=2)]
    done = cli("fill", *folders, *weights, "--json", "-q")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["status"] for record in records] == ["filled", "filled"]
    record = records[0]
    assert record["schema"] == "mrimpute.fill/1"
    assert record["study"] == str(folders[0])
    assert record["missing"] == ["flair"]
    assert record["plan"][0]["generator"] == "cwdm"
    assert record["outputs"][0]["synthetic"] is True
    assert record["outputs"][0]["path"].endswith("a-t2f.nii.gz")
    assert record["inputs"][0]["sha256"]
    assert record["recipe"]["steps"] == record["outputs"][0]["recipe"]["steps"] == 1
    assert [check["ok"] for check in record["checks"]] == [True, True]
    assert record["error"] is None


def test_one_bad_study_does_not_stop_the_rest(cli, make_study, weights):
    good, bad, more = make_study("good"), make_study("bad"), make_study("more")
    (bad / "bad-t1n.nii.gz").write_bytes(b"damaged")
    done = cli("fill", good, bad, more, *weights, "--json")
    assert done.returncode == 8
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(r["status"], r["exit"]) for r in records] == [("filled", 0), ("refused", 3), ("filled", 0)]
    assert records[1]["error"]["code"] == "image-damaged"
    assert "bad-t1n.nii.gz" in done.stderr


def test_studies_that_fail_alike_give_their_own_code(cli, tmp_path):
    done = cli("fill", tmp_path / "x", tmp_path / "y")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 2


def test_dry_run_prints_the_plan_and_writes_nothing(cli, make_study):
    folder = make_study()
    before = tree(folder)
    done = cli("fill", folder, "--dry-run")
    assert done.returncode == 0
    assert "flair by cwdm from t1, t1c, t2" in done.stdout
    record = json.loads(cli("fill", folder, "--dry-run", "--json").stdout)
    assert record["status"] == "planned"
    assert tree(folder) == before


def test_heavy_modules_are_not_imported_for_help_scan_and_dry_run(make_study):
    folder = str(make_study())
    images = ("nibabel", "pydicom", "PIL")
    for words, heavy in (
        (["--help"], HEAVY + images),
        (["fill", "--help"], HEAVY + images),
        (["weights", "list"], HEAVY + images),
        (["scan", folder], HEAVY),
        (["fill", folder, "--dry-run"], HEAVY),
    ):
        script = (
            "import sys\nfrom mrimpute.cli.app import main\n"
            f"try:\n    main({words!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
            f"assert not set({heavy}) & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


USAGE = {
    "unknown contrast": ["--missing", "adc"],
    "unknown option": ["--colour", "red"],
    "unknown sampler": ["--sampler", "euler"],
    "zero steps": ["--steps", "0"],
    "weights twice": ["--weights", "a", "--weights", "b"],
    "unknown device": ["--device", "tpu", "--weights", "builtin"],
    "few ddpm steps": ["--sampler", "ddpm", "--steps", "10", "--weights", "builtin"],
    "absent override": ["--t1", "nowhere.nii.gz"],
    "progress elsewhere": ["--progress", "plain", "--cluster", "tcp://127.0.0.1:1"],
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_words_end_with_one_line_and_code_2(cli, make_study, name):
    folder = make_study()
    before = tree(folder)
    done = cli("fill", folder, *USAGE[name])
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(one_line(done)) < 250
    assert tree(folder) == before


@pytest.mark.parametrize("words", [[""], ["case", "--out", ""], ["case", "--out="], ["case", "--reference", ""]])
def test_a_variable_without_a_value_does_not_mean_the_current_folder(cli, make_study, weights, words):
    folder = make_study()
    before = tree(folder.parent)
    done = cli("fill", *words, *weights, cwd=folder.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert "; give it; the variable" in one_line(done)
    assert tree(folder.parent) == before


def test_a_series_can_be_named_for_one_study_only(cli, make_study):
    done = cli("fill", make_study("a"), make_study("b"), "--t1", "x.nii.gz")
    assert done.returncode == 2
    assert "one study only" in one_line(done)


REFUSED = {
    "wrong path": (lambda folder: folder.with_name("absent"), "no such folder"),
    "a file": (lambda folder: folder / "case-t1n.nii.gz", "is a file"),
    "empty folder": (lambda folder: _emptied(folder), "no image"),
    "truncated": (lambda folder: _truncated(folder), "truncated"),
}


def _emptied(folder):
    for path in folder.iterdir():
        path.unlink()
    return folder


def _truncated(folder):
    path = folder / "case-t1c.nii.gz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return folder


def _without(folder, name):
    (folder / name).unlink()
    return folder


@pytest.mark.parametrize("name", REFUSED)
def test_a_study_that_cannot_be_used_ends_with_one_line_and_code_3(cli, make_study, name):
    change, message = REFUSED[name]
    folder = change(make_study())
    before = tree(folder) if folder.is_dir() else None
    done = cli("fill", folder)
    assert done.returncode == 3
    assert message in one_line(done)
    assert before is None or tree(folder) == before


def test_weights_that_are_not_there_end_with_code_4(cli, make_study):
    done = cli("fill", make_study())
    assert done.returncode == 4
    assert "--weights builtin" in one_line(done)


def test_a_cuda_device_that_is_not_there_ends_with_code_5(cli, make_study, tiny_weights):
    done = cli("fill", make_study(), "--weights", tiny_weights[FLAIR], "--device", "cuda:99")
    assert done.returncode == 5
    assert "use --device cpu" in one_line(done)


def test_a_place_that_is_taken_ends_with_code_6(cli, make_study, weights):
    folder = make_study()
    (folder / "case-t2f.json").write_text('{"EchoTime": 0.1}')
    done = cli("fill", folder, *weights)
    assert done.returncode == 6
    assert "was not made by mrimpute" in one_line(done)


def test_an_image_made_without_checks_is_no_result_of_a_run_with_them(cli, make_study, tiny_weights):
    study = make_study()
    words = ("fill", study, "--weights", tiny_weights[Contrast.FLAIR], "--device", "cpu", "--json")
    sidecar = study / "case-t2f.json"

    def told(*more):
        done = cli(*words, *more)
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert record["outputs"][0]["checked"] is json.loads(sidecar.read_text()).get("checked", True)
        return record["status"], record["outputs"][0]["checked"]

    assert told("--no-checks", "--report") == ("filled", False)
    assert "not looked at: --no-checks was given" in (study / "case-t2f_report.html").read_text()
    assert told("--no-checks") == ("skipped", False)
    before = tree(study)
    refused = cli(*words)
    assert refused.returncode == 6 and len(refused.stderr.splitlines()) == 1
    assert "case-t2f.nii.gz was made with --no-checks; add --overwrite" in refused.stderr
    assert tree(study) == before
    assert told("--overwrite") == ("filled", True)
    assert told("--no-checks") == told() == ("skipped", True)
    old = json.loads(sidecar.read_text())
    del old["checked"]  # as before it was told
    sidecar.write_text(json.dumps(old))
    assert told() == ("skipped", True)


def test_a_folder_that_is_not_writable_ends_with_code_6(make_study, tmp_path):
    """As a user without root's rights."""
    if os.geteuid():
        pytest.skip("needs root to become another user")
    folder = make_study()
    script = (
        "import os, sys\nfrom mrimpute.cli.app import main\n"
        "try:\n"
        f"    main(['fill', {str(folder)!r}, '--dry-run', '-q'])\n"  # imports what another user cannot read
        "except SystemExit:\n"
        "    import mrimpute.fill, filelock\n"
        "    os.setgid(65534); os.setuid(65534)\n"
        f"    main(['fill', {str(folder)!r}])"
    )
    for path in (folder, *folder.parents):
        if path.stat().st_uid == 0 and path != path.parent and Path(tempfile.gettempdir()) in path.parents:
            path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"MRIMPUTE_STATE": "/tmp/mrimpute-nobody-home"},
    )
    assert done.returncode == 6, done.stderr
    assert "cannot write in" in one_line(done)


def test_debug_shows_the_traceback_and_keeps_the_code(cli, tmp_path, make_study, tiny_weights):
    done = cli(
        "fill", tmp_path / "absent", make_study(), "--weights", tiny_weights[FLAIR], "--device", "cpu", "--debug"
    )
    assert done.returncode == 8
    assert "Traceback" in done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in cli("fill", tmp_path / "absent", env={"MRIMPUTE_DEBUG": "0"}).stderr


SAMPLING = """
from pathlib import Path
import mrimpute.engine.target as line
real = line.synthesise

def synthesise(*words):
    Path({place!r}).touch()
    return real(*words)

line.synthesise = synthesise
"""
"""Tells in a file when the network begins."""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_ends_the_run_cleanly(make_study, weights, number, code, tmp_path):
    folder, place = make_study(), tmp_path / "sampling"
    before = tree(folder)
    words = ["fill", folder, *weights, "--sampler", "ddpm"]
    running = Forked(words, surroundings(tmp_path / "home"), SAMPLING.format(place=str(place)))
    deadline = time.monotonic() + 60
    while not place.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(running.process.pid, number)
    done = running.done(timeout=30)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert tree(folder) == before


def test_environment_variables_stand_for_options(cli, make_study, tiny_weights, tmp_path):
    folder = make_study()
    environment = {
        "MRIMPUTE_WEIGHTS": str(tiny_weights[FLAIR]),
        "MRIMPUTE_SEED": "5",
        "MRIMPUTE_OUT": str(tmp_path / "out"),
        "MRIMPUTE_STEPS": "1",
        "MRIMPUTE_QUIET": "1",
    }
    done = cli("fill", folder, env=environment)
    assert done.returncode == 0, done.stderr
    sidecar = json.loads((tmp_path / "out" / "case" / "case-t2f.json").read_text())
    assert (sidecar["fingerprint"]["seed"], sidecar["fingerprint"]["steps"]) == (5, 1)


def test_scan_shows_evidence_and_routes(cli, make_study):
    folder = make_study(contrasts=(Contrast.T1, Contrast.T2))
    (folder / "case-seg.nii.gz").write_bytes(b"never opened")
    done = cli("scan", folder)
    assert done.returncode == 0
    assert "'t1n' in its name" in done.stdout
    assert "missing       t1c, flair" in done.stdout
    assert "flair by syndiff from t2" in done.stdout
    record = json.loads(cli("scan", folder, "--json").stdout)
    assert record["missing"] == ["t1c", "flair"]
    assert record["set_aside"][0]["reason"].startswith("a segmentation")
    bad = cli("scan", folder.with_name("absent"), folder, "--json")
    assert bad.returncode == 8
    assert [json.loads(line)["exit"] for line in bad.stdout.splitlines()] == [3, 0]


def test_weights_list_and_path(cli):
    listed = cli("weights", "list")
    assert listed.returncode == 0
    assert "cwdm-flair-small" in listed.stdout
    assert "MIT" in listed.stdout
    records = [json.loads(line) for line in cli("weights", "list", "--json").stdout.splitlines()]
    assert {record["target"] for record in records} >= set(BRATS_FOUR)
    path = cli("weights", "path", "cwdm-flair-small")
    assert path.returncode == 0
    assert path.stdout.strip().endswith(".safetensors")
    for name, code in (("cwdm-flair", 4), ("nonsense", 2)):
        done = cli("weights", "path", name)
        assert done.returncode == code
        assert one_line(done)


def test_example_then_fill_works_offline(cli, tmp_path):
    """The README's main line; of the whole computed head, a cube of 8 cm is filled, for time."""
    done = cli("example", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    for path in done.stdout.splitlines():
        nib.Nifti1Image.from_bytes(nib.load(path).slicer[80:160, 80:160, 40:120].to_bytes()).to_filename(path)
    filled = cli("fill", tmp_path / "demo")  # without a word on weights: the example's own settings hold
    assert filled.returncode == 0, filled.stderr
    assert filled.stdout.strip().endswith("example-t2f.nii.gz")
    assert "mrimpute.toml chooses --weights builtin" in filled.stderr
    again = cli("example", tmp_path / "demo")
    assert again.returncode == 6
    assert "exists already" in one_line(again)


@pytest.mark.parametrize("text", ["colour = 1", "weights = 3", "weights = [1]", "weights ="])
def test_settings_that_cannot_be_used_are_refused(cli, make_study, text):
    folder = make_study()
    (folder / "mrimpute.toml").write_text(text)
    done = cli("fill", folder)
    assert done.returncode == 3
    assert "mrimpute.toml" in one_line(done)


def test_the_users_word_on_weights_wins_over_the_studys(cli, make_study, tiny_weights):
    folder = make_study()
    (folder / "mrimpute.toml").write_text('weights = "nonsense"')
    assert cli("fill", folder).returncode == 3
    done = cli("fill", folder, "--weights", tiny_weights[FLAIR], "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "mrimpute.toml" not in done.stderr


def test_version_and_help(cli):
    assert cli("--version").stdout.startswith("mrimpute ")
    assert "Exit codes" in cli("--help").stdout
    for command in ("fill", "scan", "example"):
        assert "Example: mrimpute" in cli(command, "--help").stdout


WORDS = {"t1": "t1n", "t1c": "t1c", "t2": "t2w", "flair": "t2f"}


def best_copy(images, unit, brain):
    """Return the PSNR of the best copy of an image, each given the truth's own histogram."""
    scores = []
    for image in images:
        copy = np.sort(unit[brain])[np.argsort(np.argsort(image.get_fdata()[brain], kind="stable"))]
        scores.append(-10 * np.log10(np.mean((copy - unit[brain]) ** 2)))
    return max(scores)


@pytest.mark.data
@pytest.mark.parametrize("missing", BRATS_FOUR)
def test_a_real_patient_is_filled_better_than_by_copying(cli, shared, tmp_path, missing):
    """OPENMS-07 without each contrast in turn; brain PSNR against the acquired image must pass the
    histogram-matched copy. (The built-in weights have seen this patient.) T1 and T1c are so alike that the whole
    patient is needed; for the others a cube of 8 cm is enough to pass the best copy of any source."""
    source = shared / "data" / "ms-mni" / "OPENMS-07"
    study = tmp_path / "OPENMS-07"
    study.mkdir()
    images = {contrast: nib.load(source / f"OPENMS-07-{WORDS[contrast]}.nii.gz") for contrast in BRATS_FOUR}
    if missing in (Contrast.T2, FLAIR):
        images = {contrast: image.slicer[50:130, 65:145, 45:125] for contrast, image in images.items()}
    truth = images.pop(missing)
    for contrast, image in images.items():  # as float32: rescaled integers would leave no 0 around the brain
        voxels = np.asarray(image.dataobj, np.float32)
        nib.Nifti1Image(voxels, image.affine).to_filename(study / f"OPENMS-07-{WORDS[contrast]}.nii.gz")
    done = cli("fill", study, "--missing", missing, "--weights", "builtin", "--intensity", "unit")
    assert done.returncode == 0, done.stderr
    made = nib.load(done.stdout.strip())
    sidecar = json.loads(Path(done.stdout.strip().removesuffix(".nii.gz") + ".json").read_text())
    assert sidecar["fit"]["scanner"] == "known"
    if missing in (Contrast.T1, Contrast.T1C):  # a cube is too little to tell whose scanner it is
        assert sidecar["regression"]["training_site"] == sidecar["fit"]["training_site"] == "OPENMS"
    np.testing.assert_array_equal(made.affine, truth.affine)
    assert made.shape == truth.shape
    values = truth.get_fdata()
    brain = np.any([values != 0, *(image.get_fdata() != 0 for image in images.values())], axis=0)
    low, high = max(0, np.quantile(values, 0.001)), np.quantile(values, 0.999)
    unit = (np.clip(values, low, high) - low) / (high - low)
    psnr = -10 * np.log10(np.mean((made.get_fdata() - unit)[brain] ** 2))
    floor = {"t1": 15.29, "t1c": 17.42}.get(missing) or best_copy(images.values(), unit, brain)
    assert psnr > floor


def test_on_a_terminal_a_bar_is_drawn_and_stdout_still_holds_results_only(make_study, tiny_weights, tmp_path):
    """stderr is a pseudo-terminal, stdout a pipe: as in `mrimpute fill … > list.txt` typed by hand."""
    import pty

    folder = make_study()
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "mrimpute", "fill", folder, "--weights", tiny_weights[FLAIR], "--device", "cpu"]
    environment = os.environ | {"MRIMPUTE_STATE": str(tmp_path / "home"), "MRIMPUTE_THREADS": "1", "TERM": "xterm"}
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=slave, text=True, env=environment
    )
    os.close(slave)
    pieces: list[bytes] = []

    def watch():
        with suppress(OSError):  # the terminal's end, once the process has let go of it
            while piece := os.read(master, 100_000):
                pieces.append(piece)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate(timeout=120)
    watcher.join(30)
    os.close(master)
    shown = b"".join(pieces).decode()
    assert process.returncode == 0
    assert out == f"{folder / 'case-t2f.nii.gz'}\n"
    drawn = re.search(
        "case · (reading|comparing|preparing|loading)", shown
    )  # the network itself is too quick to be seen
    assert drawn and drawn.start() < shown.index("not for diagnosis")
    assert "\x1b[2Kmrimpute: " in shown.replace("\r", "").replace("\x1b[1A", "")  # the bar's line is cleared first


def test_a_path_the_system_refuses_ends_with_one_line(cli, tmp_path):
    done = cli("example", tmp_path / ("x" * 300))
    assert done.returncode == 6
    assert "File name too long" in one_line(done)


def test_a_full_stdout_ends_with_one_line(cli, tmp_path):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "mrimpute", "weights", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 5
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
