"""Time to pass over finished studies: python tests/benchmarks/resume.py [COUNT] [FILLED]

FILLED (100) small studies are really filled and then filled again, without and with --resume. Then COUNT (100000)
studies are passed over with --resume, whose folders look finished: three empty files, an empty image and an empty
sidecar each, and the JSON line of a real study under their names. No file is opened on that way: size does not count.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from mrimpute import Options
from mrimpute.batch.resume import seen_of, wishes_of
from mrimpute.cli.records.fill import FillRecord
from mrimpute.files.listing import SETTLED_NS, listing_of
from mrimpute.fill import Engine
from tests.conftest import write_study

WORDS = ("--weights", "builtin", "--device", "cpu", "--json", "--quiet")


def run(folders: Iterable[Path], out: Path, lines: Path, *words: object) -> tuple[float, float]:
    """Fill a list of studies; return seconds and CPU seconds."""
    listed = "".join(f"{folder}\n" for folder in folders)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "mrimpute", "fill", "-", "--out", out, *WORDS, *words]
    with lines.open("w") as told:
        subprocess.run([str(word) for word in command], input=listed, text=True, check=True, stdout=told)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, spent


def finished(root: Path, out: Path, count: int, study: Path) -> Iterator[str]:
    """Write folders that look finished, and yield the lines that a run would have told of them."""
    options = Options(weights=("builtin",), device="cpu", out=out)
    outcome = Engine(options).fill(study)
    (line,) = (root.parent / "one.jsonl").read_text().splitlines()
    made = outcome.outputs[0]
    names = [path.name for path in study.iterdir()]
    folders = [root / f"{number // 1000:03d}" / f"s{number:06d}" for number in range(count)]
    for folder in folders:
        place = out / folder.name
        folder.mkdir(parents=True)
        place.mkdir()
        for path in (*(folder / name for name in names), place / made.path.name, place / f"{study.name}-t2f.json"):
            path.touch()
    time.sleep(SETTLED_NS / 1e9)
    wishes = wishes_of(options, ())
    for folder in folders:
        output = replace(made, path=out / folder.name / made.path.name)
        seen = seen_of(replace(outcome, folder=folder, outputs=(output,), listing=listing_of(folder)), wishes)
        text = line.replace(str(made.path), str(output.path)).replace(str(study), str(folder))
        yield FillRecord.model_validate_json(text).model_copy(update={"seen": seen}).line()


def main() -> None:
    count, filled = (int(word) for word in (*sys.argv[1:], *("100000", "100")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        studies = [write_study(root / f"real{number:04d}", seed=number) for number in range(filled)]
        time.sleep(SETTLED_NS / 1e9)
        lines = root / "real.jsonl"
        for what, words in (("filled", ()), ("again", ()), ("again with --resume", ("--resume", lines))):
            seconds, cpu = run(
                studies, root / "out", root / "told.jsonl" if words or what == "again" else lines, *words
            )
            print(
                f"{filled} small studies {what}: {seconds:.1f} s, {cpu:.1f} s of CPU, {1e3 * cpu / filled:.2f} ms each"
            )
        run(studies[:1], root / "marked-out", root / "one.jsonl")
        lines = root / "marked.jsonl"
        with lines.open("w") as written:
            written.writelines(
                f"{line}\n" for line in finished(root / "marked", root / "marked-out", count, studies[0])
            )
        folders = sorted((root / "marked").glob("*/*"))
        os.sync()
        seconds, cpu = run(folders, root / "marked-out", root / "told.jsonl", "--resume", lines)
        told = [json.loads(line) for line in (root / "told.jsonl").open()]
        passed, memory = sum(one["status"] == "skipped" for one in told), told[-1]["cost"]["peak_rss_mb"]
        size = lines.stat().st_size / 1e6
        print(
            f"{passed} of {count} passed over: {seconds:.1f} s, {cpu:.1f} s of CPU, {memory} MB, lines of {size:.0f} MB"
        )


if __name__ == "__main__":
    main()
