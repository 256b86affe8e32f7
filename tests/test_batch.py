"""Many studies in one call."""

import json
import os
import sys
import threading
from pathlib import Path

import pytest

from mrimpute import Contrast, Options
from mrimpute.batch import fill_all, shard
from mrimpute.contrasts import BRATS_FOUR
from mrimpute.device import allowed_cpus
from mrimpute.errors import UsageError
from mrimpute.files import content_sha256
from mrimpute.fill import Engine
from mrimpute.registry import read_checkpoint_folder
from mrimpute.study import find_series
from tests.conftest import WIDE, surroundings, tree
from tests.processes import Forked

FLAIR = Contrast.FLAIR


@pytest.fixture
def cohort(make_study):
    return [make_study(f"case{number:02d}", seed=number, shape=(20, 24, 18), affine=WIDE) for number in range(20)]


def test_twenty_studies_with_one_corrupt_give_nineteen_results(cli, cohort, tiny_weights):
    (cohort[7] / "case07-t2w.nii.gz").write_bytes(b"\x1f\x8bdamaged")
    done = cli("fill", *cohort, "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json")
    assert done.returncode == 8
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == 20
    bad = [record for record in records if record["exit"]]
    assert [(record["status"], record["exit"], record["study"]) for record in bad] == [("refused", 3, str(cohort[7]))]
    assert sum(record["status"] == "filled" for record in records) == 19
    assert sum("case07-t2w.nii.gz" in line for line in done.stderr.splitlines()) == 1
    assert "\r" not in done.stderr  # no bar in a log

    before = {folder: tree(folder) for folder in cohort}
    again = cli("fill", *cohort, "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json", "--quiet")
    assert again.returncode == 8
    statuses = [json.loads(line)["status"] for line in again.stdout.splitlines()]
    assert statuses.count("skipped") == 19
    assert {folder: tree(folder) for folder in cohort} == before


@pytest.mark.parametrize(("options", "joint"), [(["-"], "\n"), (["-0", "-"], "\0")])
def test_studies_are_read_from_stdin(cli, make_study, tiny_weights, options, joint):
    folders = [make_study("first one"), make_study("second\none" if joint == "\0" else "second")]
    words = ["fill", *options, "--weights", tiny_weights[FLAIR], "--device", "cpu", "-q"]
    done = cli(*words, input=joint.join(map(str, folders)) + joint)
    assert done.returncode == 0, done.stderr
    assert all(list(folder.glob("*t2f.nii.gz")) for folder in folders)
    empty = cli(*words, input="")
    assert (empty.returncode, empty.stdout) == (2, "")
    assert "the list on stdin is empty" in empty.stderr


@pytest.mark.parametrize(("options", "joint"), [(["-"], "\r\n"), (["-0", "-"], "\0")])
def test_scan_reads_studies_from_stdin_too(cli, make_study, options, joint):
    folders = [make_study("one"), make_study("two")]
    done = cli("scan", *options, "--json", input=joint.join(map(str, folders)) + joint)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["study"] for line in done.stdout.splitlines()] == [str(folder) for folder in folders]
    silent = cli("scan", *options, "--quiet", input=joint.join(map(str, folders)) + joint)
    assert (silent.returncode, silent.stdout, silent.stderr) == (0, "", "")


def test_json_lines_match_the_published_schema(cli, make_study, tiny_weights, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(cli("fill", "--json-schema").stdout)
    good, full = make_study("good"), make_study("full", contrasts=BRATS_FOUR)
    done = cli("fill", good, full, tmp_path / "absent", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json")
    skipped = cli("fill", good, "--weights", tiny_weights[FLAIR], "--device", "cpu", "--json")
    planned = cli("fill", good, "--dry-run", "--json")
    lines = [*done.stdout.splitlines(), *skipped.stdout.splitlines(), *planned.stdout.splitlines()]
    statuses = []
    for line in lines:
        jsonschema.validate(json.loads(line), schema)
        statuses.append(json.loads(line)["status"])
    assert sorted(statuses) == ["complete", "filled", "planned", "refused", "skipped"]


def test_each_network_is_loaded_once_whatever_the_order(make_study, tiny_weights, monkeypatch, tmp_path):
    from mrimpute.generators.cwdm import generator

    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "home"))
    loaded = []
    real = generator.load_networks
    monkeypatch.setattr(
        generator, "load_networks", lambda checkpoint: loaded.append(checkpoint.name) or real(checkpoint)
    )
    module = sys.modules["mrimpute.request.order"]
    monkeypatch.setattr(module, "choose_checkpoint", lambda *words: read_checkpoint_folder(tiny_weights[words[-1]]))
    targets = [FLAIR, Contrast.T2, FLAIR, Contrast.T2, FLAIR]
    folders = [
        make_study(f"c{n}", [c for c in BRATS_FOUR if c is not target], (20, 24, 18), WIDE)
        for n, target in enumerate(targets)
    ]
    done = list(fill_all(Engine(Options(device="cpu", threads=1)), folders, ()))
    assert all(item.error is None for item in done)
    assert len(done) == 5
    assert sorted(loaded) == ["tiny-flair", "tiny-t2"]


def test_studies_in_one_call_are_what_they_are_alone(make_study, tiny_weights, monkeypatch, tmp_path):
    """The next one is prepared beside the one that is computed; where that fails or memory is short, in its turn."""
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "home"))
    cohort = [make_study(name, seed=seed, shape=(20, 24, 18), affine=WIDE) for seed, name in enumerate("abc")]
    module, main = sys.modules["mrimpute.engine.target"], threading.current_thread()
    real, beside = module.prepare_sources, []

    def prepared(sources, *words):
        beside.append(threading.current_thread() is not main)
        if beside[-1] and sources.onto.path.parent == cohort[1]:
            raise MemoryError
        return real(sources, *words)

    monkeypatch.setattr(module, "prepare_sources", prepared)

    def made(name, fill):
        options = Options(weights=(str(tiny_weights[FLAIR]),), device="cpu", threads=1, out=tmp_path / name)
        assert [item.error for item in fill(Engine(options), cohort)] == [None] * 3
        return {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.nii.gz")}, sorted(beside)

    alone, _ = made("alone", lambda engine, folders: [engine.fill(folder) for folder in folders])
    beside.clear()
    assert made("together", lambda engine, folders: fill_all(engine, folders, ())) == (alone, [False, True, True, True])
    beside.clear()
    monkeypatch.setattr(sys.modules["mrimpute.batch.run"], "ROOM_AHEAD", 2**60)
    coming = fill_all(Engine(Options(weights=(str(tiny_weights[FLAIR]),), device="cpu", threads=1)), cohort, ())
    assert next(coming).error is None
    assert beside == [True]  # the first, whose turn it was


def test_shards_split_a_cohort_without_loss_or_overlap(tmp_path):
    folders = [tmp_path / name for name in "dcbafe"]
    parts = [shard(folders, f"{part}/4") for part in range(4)]
    assert sorted(folder for part in parts for folder in part) == sorted(folders)
    assert shard(list(reversed(folders)), "1/4") == parts[1]


def in_array(monkeypatch, number, first, last, count, step=1):
    told = {"ID": number, "MIN": first, "MAX": last, "COUNT": count, "STEP": step}
    for word, value in told.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{word}", str(value))


def test_a_slurm_array_gives_the_part(monkeypatch, tmp_path):
    folders = [tmp_path / name for name in "abcdefgh"]
    in_array(monkeypatch, 11, 10, 12, 3)
    assert shard(folders, "slurm") == shard(folders, "1/3")
    in_array(monkeypatch, 7, 7, 7, 1)
    assert shard(folders, "slurm") == folders
    parts = []
    for number in (5, 15, 25):
        in_array(monkeypatch, number, 5, 25, 3, step=10)
        parts += shard(folders, "slurm")
    assert sorted(parts) == folders


@pytest.mark.parametrize(("given", "allowed"), [("1", 1), ("100000", None), ("", None), ("two", None)])
def test_threads_are_no_more_than_slurm_gave_the_task(monkeypatch, given, allowed):
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    without = allowed_cpus()
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", given)
    assert allowed_cpus() == (allowed or without)


def test_a_slurm_array_with_gaps_or_none_is_a_usage_error(monkeypatch, tmp_path):
    in_array(monkeypatch, 7, 1, 9, 3)  # --array=1,7,9
    with pytest.raises(UsageError, match="have gaps"):
        shard([tmp_path], "slurm")
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    with pytest.raises(UsageError, match="no Slurm array job"):
        shard([tmp_path], "slurm")


@pytest.mark.parametrize("word", ["4/4", "x/4", "1", "-1/4", "1/0", ""])
def test_a_wrong_shard_is_a_usage_error(word, tmp_path):
    with pytest.raises(UsageError, match="--shard"):
        shard([tmp_path], word)


def test_an_empty_shard_is_no_error(cli, make_study):
    done = cli("fill", make_study(), "--shard", "1/2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_study_at_all_is_a_usage_error(cli):
    done = cli("fill", "--missing", "flair")
    assert done.returncode == 2
    assert "no study is given" in done.stderr


def test_doctor_tells_what_support_asks_first(cli_home, cli):
    done = Forked(["doctor", "--json"], surroundings(cli_home, {"HF_TOKEN": "hf_secret"})).done()
    facts = json.loads(done.stdout)
    assert facts["hub_offline"] is True
    assert facts["torch"]
    assert facts["cpus_allowed"] == len(os.sched_getaffinity(0))
    assert facts["store_writable"] is True
    assert "cwdm-flair-small" in facts["checkpoints_here"]
    assert facts["hub_token"] is True
    assert "hf_secret" not in done.stdout
    assert "cpus_allowed" in cli("doctor").stdout


def test_two_studies_for_one_place_are_refused_before_the_cohort_is_cut(cli, make_study, tiny_weights, tmp_path):
    first, second = make_study("x/same", seed=1), make_study("y/same", seed=2)
    words = ["--weights", tiny_weights[FLAIR], "--device", "cpu", "--out", tmp_path / "out", "--overwrite"]
    for shard_words in ([], ["--shard", "0/2"], ["--shard", "1/2"]):
        done = cli("fill", first, second, make_study("z"), *words, *shard_words)
        assert done.returncode == 6
        assert "would both be written to" in done.stderr
        assert done.stdout == ""
    sessions = [make_study(f"sub-{subject}/ses-1") for subject in (1, 2)]
    assert cli("fill", *sessions, *words[:-1], "--dry-run").returncode == 6  # no BIDS names: one place
    for subject, folder in enumerate(sessions):
        for path in folder.iterdir():
            word = {"t1n": "T1w", "t1c": "ce-gadolinium_T1w", "t2w": "T2w"}[path.name[-10:-7]]
            path.rename(folder / f"sub-{subject}_ses-1_{word}.nii.gz")
    assert cli("fill", *sessions, *words[:-1], "--dry-run").returncode == 0


def test_an_engine_tells_two_studies_for_one_place_apart(make_study, tiny_weights, monkeypatch, tmp_path):
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "home"))
    folders = [make_study("x/same", seed=1), make_study("y/same", seed=2)]
    options = Options(weights=(str(tiny_weights[FLAIR]),), device="cpu", threads=1, out=tmp_path / "out")
    done = list(fill_all(Engine(options), folders, ()))
    assert [int(item.error.exit_code) if item.error else 0 for item in done] == [0, 6]


RACE = """
import os, sys, time
from pathlib import Path
import mrimpute.engine.target
line = sys.modules["mrimpute.engine.target"]
real, barrier = line.write, Path({barrier!r})

def write(*words, **named):
    "Wait until both processes have decided that nothing is there."
    (barrier / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(barrier.iterdir())) < 2:
        if time.monotonic() > deadline:
            raise RuntimeError("the other process did not come so far")
        time.sleep(0.01)
    return real(*words, **named)

line.write = write
"""


@pytest.mark.parametrize("form", ["nifti", "dicom"])
def test_of_two_processes_for_one_place_one_is_refused(make_study, build, tiny_weights, tmp_path, form):
    """Two studies of one name, one --out, states of their own as on two machines; 3 of 3 lost one image before."""
    if form == "nifti":
        studies = [
            make_study(f"{site}/same", shape=(20, 24, 18), affine=WIDE, seed=seed) for seed, site in enumerate("ab")
        ]
    else:
        for site in "ab":
            for number, contrast in enumerate((Contrast.T1, Contrast.T1C, Contrast.T2), 1):
                build(contrast, number=number, root=f"{site}/same")
        studies = [tmp_path / site / "same" for site in "ab"]
    (tmp_path / "barrier").mkdir()
    words = ["--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--out", tmp_path / "out"]
    race = RACE.format(barrier=str(tmp_path / "barrier"))
    running = [
        Forked(["fill", study, *words], surroundings(tmp_path / f"state{number}"), race)
        for number, study in enumerate(studies)
    ]
    done = [process.done() for process in running]
    assert sorted(one.returncode for one in done) == [0, 6], done
    winner = next(number for number, one in enumerate(done) if one.returncode == 0)
    assert "appeared meanwhile" in done[1 - winner].stderr
    made = Path(done[winner].stdout.strip())
    record = json.loads(next((tmp_path / "out" / "same").glob("*.json")).read_text())
    assert record["image"]["sha256"] == content_sha256(made)
    assert record["fingerprint"]["sources"]["t1"] == find_series(studies[winner]).get(Contrast.T1).read().sha256
    assert not list((tmp_path / "out" / "same").glob(".mrimpute*"))


def test_a_bug_in_one_study_does_not_end_the_batch(make_study, tiny_weights, monkeypatch, tmp_path):
    monkeypatch.setenv("MRIMPUTE_STATE", str(tmp_path / "home"))
    folders = [make_study(name, shape=(20, 24, 18), affine=WIDE) for name in ("a", "b", "c")]
    engine = Engine(Options(weights=(str(tiny_weights[FLAIR]),), device="cpu", threads=1))
    real, seen = engine.maker.networks.obtain, []

    def faulty(order):
        seen.append(order)
        if len(seen) == 2:
            raise ZeroDivisionError("a bug")
        return real(order)

    monkeypatch.setattr(engine.maker.networks, "obtain", faulty)
    done = list(fill_all(engine, folders, ()))
    assert [int(item.error.exit_code) if item.error else 0 for item in done] == [0, 1, 0]
    assert "unexpected error (ZeroDivisionError)" in str(done[1].error)


def test_names_that_are_not_utf_8_work(process, cli, make_study, tiny_weights):
    folder = make_study()
    odd = folder.parent / os.fsdecode(b"st\xe4dy")
    folder.rename(odd)
    words = ["--weights", tiny_weights[FLAIR], "--device", "cpu"]
    done = cli("fill", odd, *words, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "filled"
    listed = process("fill", os.fsencode(odd), *words, encoding="latin-1")
    assert listed.stdout.encode("latin-1").strip() == os.fsencode(odd / "case-t2f.nii.gz")


def test_a_study_that_cannot_be_looked_at_does_not_stop_the_rest(cli, make_study, tiny_weights, tmp_path):
    done = cli("fill", tmp_path / ("x" * 300), make_study(), "--weights", tiny_weights[FLAIR], "--device", "cpu")
    assert done.returncode == 8
    assert "cannot look at" in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_a_nul_in_a_list_of_lines_is_a_usage_error(cli):
    done = cli("fill", "-", input="a\0b\0")
    assert done.returncode == 2
    assert "-0" in done.stderr


def test_a_signal_that_python_wraps_is_still_a_signal():
    """A signal while a class is being made comes as a RuntimeError with the signal as its cause."""
    from mrimpute.errors import ExitCode, Terminated, Unexpected

    wrapped = RuntimeError("Error calling __set_name__")
    wrapped.__cause__ = Terminated(ExitCode.TERMINATED)
    with pytest.raises(Terminated):
        Unexpected(wrapped)
