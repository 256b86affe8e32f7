"""`mrimpute merge`: many lists of JSON lines, one line per study."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import surroundings


def line(study: str, status: str = "filled", code: int = 0, sha256: str = "a", **more: object) -> str:
    """Return a line as `fill --json` writes it, as far as `merge` looks at it, and a mark to tell it by."""
    outputs = [{"sha256": sha256}] if status in ("filled", "skipped") else []
    head = {"schema": "mrimpute.fill/1", "version": "0", "status": status, "exit": code, "study": study}
    return json.dumps({**head, "outputs": outputs, **more}) + "\n"


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        (line("s", "refused", 3), line("s"), "second"),
        (line("s"), line("s", "failed", 5), "first"),
        (line("s", "failed", 5), line("s", "refused", 3), "second"),
        (line("s"), line("s", "skipped"), "first"),
        (line("s"), line("s", "skipped", sha256="b"), "second"),
        (line("s"), line("s", sha256="b"), "second"),
        (line("s/"), line("./s", sha256="b"), "second"),
    ],
)
def test_of_several_lines_of_a_study_the_best_and_then_the_later_one_is_taken(cli, tmp_path, first, second, taken):
    files = [write(tmp_path / "1.jsonl", first, line("t")), write(tmp_path / "2.jsonl", second)]
    done = cli("merge", *files)
    assert done.stdout == {"first": first, "second": second}[taken] + line("t")
    assert done.stderr.startswith("mrimpute: 2 studies: ")
    assert done.stderr.endswith("; 1 stood in several lines\n")


@pytest.mark.parametrize(("codes", "code"), [((0, 0), 0), ((3, 3), 3), ((0, 3), 8), ((3, 5), 8), ((6,), 6), ((), 0)])
def test_the_exit_code_is_that_of_one_run_over_all(cli, tmp_path, codes, code):
    words = {0: "filled"}
    files = [
        write(tmp_path / f"{number}.jsonl", line(f"s{number}", words.get(exit_code, "refused"), exit_code))
        for number, exit_code in enumerate(codes)
    ]
    assert cli("merge", *(files or [write(tmp_path / "empty.jsonl")])).returncode == code


def test_what_no_task_told_of_is_named(cli, tmp_path):
    listed = write(tmp_path / "list.txt", "a\nb/\nc\n")
    lines = write(tmp_path / "1.jsonl", line("a/"), line("x"))
    done = cli("merge", lines, "--studies", listed)
    assert done.returncode == 8
    assert [json.loads(text)["study"] for text in done.stdout.splitlines()] == ["a/", "x"]
    assert (
        "b is in no line" in done.stderr and "c is in no line" in done.stderr and "x is not in the list" in done.stderr
    )
    assert "2 studies: 2 filled; 2 missing" in done.stderr
    assert cli("merge", write(tmp_path / "0.jsonl"), "--studies", listed, "--quiet").returncode == 8
    whole = cli("merge", lines, "--studies", "-", "-0", input="a\0x\0")
    assert (whole.returncode, whole.stderr) == (0, "mrimpute: 2 studies: 2 filled\n")


def test_what_is_left_is_a_list_for_the_next_run(cli, tmp_path):
    lines = write(tmp_path / "1.jsonl", line("a"), line("b", "failed", 5), line("c", "planned"), line("d", "complete"))
    listed = write(tmp_path / "list.txt", "a\nb\nc\nd\ne\n")
    done = cli("merge", lines, "--studies", listed, "--left")
    assert (done.returncode, done.stdout) == (8, "b\nc\ne\n")
    null = cli("merge", lines, "--studies", "-", "-0", "--left", input="a\0b\0c\0d\0e\0")
    assert null.stdout == "b\0c\0e\0"


def test_a_line_that_was_cut_is_said_and_passed_over(cli, tmp_path):
    killed = write(tmp_path / "killed.jsonl", line("a"), line("b")[:60])
    done = cli("merge", killed)
    assert (done.returncode, done.stdout) == (0, line("a"))
    assert f"{killed}, line 2 was cut off" in done.stderr
    gone_on = write(tmp_path / "gone-on.jsonl", line("a"), line("b")[:60], line("b"), line("c").rstrip("\n"))
    done = cli("merge", gone_on)
    assert [json.loads(text)["study"] for text in done.stdout.splitlines()] == ["a", "b", "c"]
    assert f"{gone_on}, line 2 was cut off" in done.stderr
    assert "line 3" not in done.stderr


@pytest.mark.parametrize(
    "content",
    [
        "no json\n",
        "{}\n",
        "[1]\n",
        '{"schema": "mrimpute.verify/1"}\n',
        line("s", code=True),
        line("s").replace("exit", "code"),
    ],
)
def test_what_is_no_list_of_fill_is_refused(cli, tmp_path, content):
    good, other = write(tmp_path / "1.jsonl", line("a")), write(tmp_path / "2.jsonl", line("b"), content)
    done = cli("merge", good, other)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"mrimpute: {other}, line 2 is no JSON line of mrimpute fill")


def test_files_that_cannot_be_read_or_would_be_written_too(cli, cli_home, tmp_path):
    assert "cannot read" in (absent := cli("merge", tmp_path / "absent.jsonl")).stderr
    assert absent.returncode == 3
    assert cli("merge", tmp_path).returncode == 3
    assert cli("merge").returncode == 2
    good = write(tmp_path / "1.jsonl", line("a"))
    assert cli("merge", good, "--studies", tmp_path / "absent.txt").returncode == 2
    with good.open("a") as both:
        command = [sys.executable, "-m", "mrimpute", "merge", str(good)]
        done = subprocess.run(command, stdout=both, stderr=subprocess.PIPE, text=True, env=surroundings(cli_home))
    assert done.returncode == 2
    assert "would be read and written at once" in done.stderr
    assert good.read_text() == line("a")


def test_real_lines_go_through_unchanged_and_fit_the_schema(cli, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    told = cli("fill", tmp_path / "absent", os.devnull, "--json")
    lines = write(tmp_path / "1.jsonl", told.stdout)
    done = cli("merge", lines)
    assert (done.returncode, done.stdout) == (told.returncode, told.stdout)
    schema = json.loads(cli("merge", "--json-schema").stdout)
    for text in done.stdout.splitlines():
        jsonschema.validate(json.loads(text), schema)
