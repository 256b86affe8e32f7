"""Studies on a real Dask cluster: a scheduler and two workers, processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from mrimpute.contrasts import Contrast
from tests.conftest import WIDE, surroundings

pytest.importorskip("distributed", reason="Dask is absent: pip install 'mrimpute[cluster]'")
SCHEDULER = "import sys; from distributed.cli.dask_scheduler import main; main(sys.argv[1:])"
WORKER = "import sys; from distributed.cli.dask_worker import main; main(sys.argv[1:])"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, cli_home):
    """Start a scheduler and two workers; return its address and the workers' processes."""
    folder = tmp_path_factory.mktemp("dask")
    environment = surroundings(cli_home, {"DASK_DISTRIBUTED__WORKER__LIFETIME__DURATION": "10 minutes"})
    running = []

    def start(script, *words):
        command = [sys.executable, "-c", script, *words]
        with (folder / f"{len(running)}.log").open("w") as log:
            running.append(subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log))
        return running[-1]

    told = folder / "scheduler.json"
    start(SCHEDULER, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(told))
    end = time.monotonic() + 60
    while not told.exists() or not told.read_text().endswith("}"):
        assert time.monotonic() < end, (folder / "0.log").read_text()
        time.sleep(0.1)
    address = json.loads(told.read_text())["address"]
    words = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--resources", "GPU=1")
    workers = [start(WORKER, address, *words, "--name", name) for name in ("one", "two")]
    yield address, workers
    for process in running:
        process.kill()
        process.wait()


def test_the_study_of_a_killed_worker_is_done_by_another_and_none_twice(
    cluster, cli, cli_home, make_study, tiny_weights, tmp_path, monkeypatch
):
    """Twelve studies; of two workers one dies as soon as three images stand."""
    address, workers = cluster
    studies = [make_study(f"case{n:02d}", seed=n, shape=(20, 24, 18), affine=WIDE) for n in range(12)]
    words = [*(study.name for study in studies), "--weights", tiny_weights[Contrast.FLAIR], "--device", "cpu", "--json"]
    command = [sys.executable, "-m", "mrimpute", "fill", *map(str, words), "--cluster", address, "--out", "out"]
    pipe = subprocess.PIPE
    running = subprocess.Popen(command, env=surroundings(cli_home), cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
    end = time.monotonic() + 120
    while len(list(tmp_path.glob("out/*/*-t2f.nii.gz"))) < 3:
        assert time.monotonic() < end and running.poll() is None
        time.sleep(0.02)
    os.kill(workers[0].pid, signal.SIGKILL)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    records = [json.loads(line) for line in out.splitlines()]
    assert sorted(record["study"] for record in records) == sorted(study.name for study in studies)
    assert {record["status"] for record in records} <= {"filled", "skipped"}  # skipped: its result died with the worker
    assert sum(record["status"] == "skipped" for record in records) <= 1
    assert len(list(tmp_path.glob("out/*/*-t2f.nii.gz"))) == len(studies)
    assert not list(tmp_path.glob("out/*/.mrimpute*"))

    schema = json.loads(cli("fill", "--json-schema").stdout)
    pytest.importorskip("jsonschema").validate(records[0], schema)
    monkeypatch.chdir(tmp_path)
    alone = cli("fill", *words, "--out", "alone")
    here = {record["study"]: record for record in map(json.loads, alone.stdout.splitlines())}
    for record in records:
        same = here[record["study"]]
        assert record["inputs"] == same["inputs"]
        assert record["outputs"][0]["recipe"] == same["outputs"][0]["recipe"]
        image = tmp_path / record["outputs"][0]["path"]
        assert image.read_bytes() == (tmp_path / same["outputs"][0]["path"]).read_bytes()


def test_a_bad_study_and_a_word_of_the_studys_own_are_told_as_on_one_machine(cluster, cli, make_study, tmp_path):
    address, _ = cluster
    study = make_study()
    (study / "mrimpute.toml").write_text('weights = "builtin"\n')
    words = ["fill", study, tmp_path / "absent", "--dry-run"]
    there, here = cli(*words, "--cluster", address), cli(*words)
    assert sorted(there.stdout.splitlines()) == sorted(here.stdout.splitlines())
    assert sorted(there.stderr.splitlines()) == sorted(here.stderr.splitlines())
    assert there.returncode == here.returncode == 8


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [("tcp://127.0.0.1:9", 5, "no Dask scheduler answers"), ("nowhere://x", 2, "tcp://HOST:PORT")],
)
def test_no_scheduler_is_said_in_a_line(cli, make_study, monkeypatch, address, code, said):
    monkeypatch.setattr("mrimpute.batch.cluster.ANSWER_S", 0.5)
    done = cli("fill", make_study(), "--weights", "builtin", "--cluster", address)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_without_dask_the_package_to_install_is_named(cli, make_study, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = cli("fill", make_study(), "--weights", "builtin", "--cluster", "tcp://127.0.0.1:9")
    assert done.returncode == 2
    assert "pip install 'mrimpute[cluster]'" in done.stderr
