"""Size, time and memory of a report and of a cohort page: python tests/benchmarks/report.py [COUNT] [STUDY]

The computed head of `mrimpute example` with its built-in FLAIR, or STUDY, a folder that lacks FLAIR: one report, then
the page of a cohort of COUNT (500) copies of the result, each command in a process of its own.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(*words: object) -> tuple[float, float]:
    """Run a command; return seconds and CPU seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, "-m", "mrimpute", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak(*words: object) -> float:
    """Return the peak memory in MB of one command, from a process that starts nothing else."""
    script = "import resource, runpy, sys; sys.argv = ['mrimpute', *sys.argv[1:]]\n"
    script += "try: runpy.run_module('mrimpute', run_name='__main__')\nexcept SystemExit: pass\n"
    script += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, check=True)
    return float(done.stderr.splitlines()[-1])


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        study = Path(sys.argv[2]) if len(sys.argv) > 2 else root / "example"
        if len(sys.argv) <= 2:
            run("example", study)
        run("fill", study, "--missing", "flair", "--weights", "builtin", "--out", root / "made", "-q")
        made = next((root / "made").iterdir())
        seconds, cpu = run("report", made, "--source", study)
        size = next(made.glob("*_report.html")).stat().st_size
        print(f"report: {seconds:.1f} s, {cpu:.1f} s of CPU, {size / 1e6:.2f} MB")
        for number in range(count):
            shutil.copytree(made, root / "cohort" / f"sub-{number:04d}", copy_function=os.link)
        seconds, cpu = run("report", "--cohort", root / "cohort")
        size = (root / "cohort" / "index.html").stat().st_size
        memory = peak("report", "--cohort", root / "cohort")
        told = f"{seconds:.1f} s, {cpu:.1f} s of CPU, {memory:.0f} MB at most, page of {size / 1e6:.2f} MB"
        print(f"cohort of {count}: {told}")


if __name__ == "__main__":
    main()
