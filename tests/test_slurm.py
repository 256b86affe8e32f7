"""A cohort as an array of a real Slurm: its daemons run here, on ports and folders of their own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from mrimpute.contrasts import Contrast
from tests.conftest import ROOT, WIDE, surroundings

DAEMONS = ("munged", "slurmctld", "slurmd")
PROGRAMS = (*DAEMONS, "sbatch", "scancel", "scontrol", "squeue")
TASKS, STUDIES = 2, 20

CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=32000
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def wait_for(what: Callable[[], object], seconds: float, pause: float = 0.05) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(pause)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start munge and Slurm; return the environment in which its commands find them."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent:
        pytest.skip(f"no Slurm here: {', '.join(absent)} (Debian: slurm-wlm, munge)")
    if os.geteuid() != 0:
        pytest.skip("slurmd runs as root only")
    folder = tmp_path_factory.mktemp("slurm")
    for inside in (folder, *folder.parents):
        if str(inside).startswith("/tmp/"):
            inside.chmod(0o755)  # munged refuses a socket that others cannot reach
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    host = socket.gethostname().partition(".")[0]
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(host=host, folder=folder, controller=free_port(), node=free_port()).lstrip()
    )
    environment = {"SLURM_CONF": str(configuration), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    words = {
        "munged": [f"--{name}={folder}/{file}" for name, file in MUNGE.items()] + ["--force"],
        "slurmctld": [],
        "slurmd": ["-N", host],
    }
    try:
        for daemon in DAEMONS:
            subprocess.run([daemon, *words[daemon]], env=os.environ | environment, check=True, capture_output=True)
        idle = ["sinfo", "--noheader", "--states=idle"]
        wait_for(lambda: subprocess.run(idle, env=os.environ | environment, capture_output=True).stdout.strip(), 30)
        yield environment
    finally:
        for daemon in reversed(DAEMONS):
            pid = folder / f"{daemon}.pid"
            if pid.exists():
                os.kill(int(pid.read_text()), 15)


MUNGE = {"socket": "munge.sock", "key-file": "key", "pid-file": "munged.pid", "log-file": "log", "seed-file": "seed"}


def test_an_array_of_which_a_task_is_stopped_and_queued_again_fills_each_study_once(
    slurm, cli, cli_home, make_study, tiny_weights, tmp_path
):
    """`examples/slurm.sh` as it is: two tasks, 20 studies, one task told to stop in the middle of its ten."""
    studies = [make_study(f"case{n:02d}", seed=n, shape=(20, 24, 18), affine=WIDE) for n in range(STUDIES)]
    listed, out, here = tmp_path / "list.txt", tmp_path / "out", tmp_path / "bin"
    listed.write_text("".join(f"{study}\n" for study in studies))
    here.mkdir()
    (here / "mrimpute").write_text(f'#!/bin/sh\nexec {sys.executable} -m mrimpute "$@"\n')
    (here / "mrimpute").chmod(0o755)
    environment = surroundings(cli_home, slurm | {"PATH": f"{here}:{slurm['PATH']}", "OMP_NUM_THREADS": "1"})

    def command(*words: object) -> str:
        done = subprocess.run([str(word) for word in words], env=environment, cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    words = ("--weights", tiny_weights[Contrast.FLAIR], "--device", "cpu")
    job = command(
        "sbatch", "--parsable", f"--array=0-{TASKS - 1}", ROOT / "examples" / "slurm.sh", listed, out, *words
    ).strip()
    first = out / "runs" / f"{job}-1-0.jsonl"
    wait_for(lambda: first.exists() and first.read_bytes().count(b"\n") >= 2, 120)
    command("scancel", "--batch", "--signal=USR1", f"{job}_1")
    wait_for(lambda: "PD" in command("squeue", "--noheader", "--format=%t", "--jobs", f"{job}_1"), 60, pause=0.2)
    # Else Slurm lets two minutes pass; in the very second in which the task was killed it would not be launched.
    command("scontrol", "update", f"JobId={job}_1", "StartTime=now+3seconds")
    wait_for(lambda: not command("squeue", "--noheader", "--jobs", job).strip(), 120, pause=0.5)

    logs = "".join(path.read_text() for path in tmp_path.glob("mrimpute-*.log"))
    runs = sorted(out.glob("runs/*.jsonl"))
    assert [path.name for path in runs] == [f"{job}-{name}.jsonl" for name in ("0-0", "1-0", "1-1")], logs
    assert "stopped by a signal" in logs
    done = cli("merge", *runs, "--studies", listed)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(record["study"] for record in records) == [str(study) for study in studies]
    assert len({record["outputs"][0]["path"] for record in records}) == STUDIES
    assert len(list(out.glob("case*/*-t2f.nii.gz"))) == STUDIES
    stopped = len(first.read_text().splitlines())
    assert 2 <= stopped < STUDIES // TASKS
    assert f"{STUDIES} studies: {STUDIES} filled; {stopped} stood in several lines" in done.stderr
