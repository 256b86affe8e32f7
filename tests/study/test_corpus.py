"""A fast part of the labelled corpus of real series names, sidecars and exams, against the goals of its score.py."""

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from mrimpute.io.dicom.facts import Facts
from mrimpute.study import identify
from mrimpute.study.candidate import Candidate
from mrimpute.study.judge import Told, judge
from mrimpute.study.names import read_name
from mrimpute.study.settle import settle
from mrimpute.study.sidecar import facts_of
from mrimpute.volume import Grid
from tests.conftest import OBLIQUE, head_voxels, write_nifti

pytestmark = pytest.mark.data
USABLE = ("t1", "t1c", "t2", "flair")
GRID = Grid((40, 48, 36), OBLIQUE)


@pytest.fixture(scope="module")
def corpus(shared: Path) -> Path:
    folder = shared / "data" / "series-corpus"
    if not folder.is_dir():
        pytest.skip("the corpus is absent")
    return folder


def clean(text: str) -> str:
    return re.sub(r'[\s/\\:*?"<>|]+', "_", text.strip())[:180]


def taken(facts: Facts, stem: str | None) -> str:
    """Return what a lone series is taken for: a contrast, 'asked' or 'left'."""
    names = []
    if stem is not None:
        reading = read_name(stem)
        names = [Told("name", reading.reading, reading.word)]
    verdict = judge(facts, names)
    if verdict.aside or verdict.contrast is None:
        return "left"
    settled = settle([Candidate(Path("x"), verdict, facts, GRID)], [], set())
    return "asked" if settled.problems else str(next(iter(settled.kept), "left"))


def verdicts(rows) -> tuple[Counter, list]:
    """Return how often usable series are read right, and what is dangerously wrong."""
    counts: Counter = Counter()
    dangerous = []
    for truth, found, name in rows:
        wrong = found in (*USABLE, "pd", "ct") and truth not in (found, "ambiguous")
        dangerous += [(truth, found, name)] if wrong else []
        if truth in USABLE:
            counts["usable"] += 1
            counts["right"] += truth == found
    return counts, dangerous


def names(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "names.tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def by_file_name(corpus: Path):
    for row in names(corpus):
        if row["kind"] != "dicom":
            stem = clean(row["text"]) if row["kind"] == "filename" else "5_" + clean(row["text"])
            yield row["truth"], taken(facts_of({}), stem), row["text"]


def by_description(corpus: Path):
    for row in names(corpus):
        if row["kind"] != "filename":
            text = re.sub("_+", " ", row["text"]) if row["source"].startswith("tcga") else row["text"]
            agent = "gadolinium" if row["kind"] == "dicom" else ""
            facts = Facts("MR", "classic", ("ORIGINAL", "PRIMARY", "M"), (text.lower(), "", "", ""), agent=agent)
            yield row["truth"], taken(facts, None), row["text"]


def by_sidecar(corpus: Path):
    for line in (corpus / "sidecars.jsonl").read_text().splitlines():
        row = json.loads(line)
        yield row["truth"], taken(facts_of(row["sidecar"]), row["filename"]), row["filename"]


def by_header(corpus: Path):
    for line in (corpus / "sidecars.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["sidecar"].get("SeriesDescription") and row["truth"] != "ct":
            yield row["truth"], taken(facts_of(row["sidecar"]), None), row["filename"]


@pytest.mark.parametrize(
    ("route", "goal"), [(by_file_name, 0.80), (by_description, 0.88), (by_sidecar, 0.93), (by_header, 0.93)]
)
def test_no_series_is_taken_for_what_it_is_not_and_usable_ones_are_read(corpus, route, goal):
    counts, dangerous = verdicts(route(corpus))
    assert dangerous == []
    assert counts["right"] >= goal * counts["usable"]


def is_right(item: dict[str, str], pick: str) -> bool:
    """Tell whether a pick is right: by its label, or where that is ambiguous by the label of its source."""
    return pick == (item.get("source_label") if item["truth"] == "ambiguous" else item["truth"])


def test_whole_exams_are_accepted_with_right_picks_or_asked_about(corpus, tmp_path):
    template = write_nifti(tmp_path / "template.nii.gz", head_voxels("t1", (20, 22, 18)), OBLIQUE)
    accepted, wrong = [], []
    exams = [json.loads(line) for line in (corpus / "studies.jsonl").read_text().splitlines()]
    for exam in exams:
        folder = tmp_path / exam["id"]
        folder.mkdir()
        truth = {}
        for item in exam["series"]:
            stem = clean(item["file"])
            while stem in truth:
                stem += "a"
            truth[stem] = item
            (folder / f"{stem}.nii.gz").hardlink_to(template)
            if "sidecar" in item:
                (folder / f"{stem}.json").write_text(json.dumps(item["sidecar"]))
        study = identify(folder)
        picks = (
            {} if study.problems else {item.path.name.removesuffix(".nii.gz"): item.contrast for item in study.series}
        )
        wrong += [(exam["id"], name) for name, pick in picks.items() if truth[name]["truth"] not in (pick, "ambiguous")]
        assert not (exam["expect"] == "refuse" and picks), exam["id"]
        if exam["kind"].startswith("clinical exam"):
            accepted.append(bool(picks) and all(is_right(truth[name], str(pick)) for name, pick in picks.items()))
    assert wrong == []
    assert sum(accepted) >= 0.75 * len(accepted)  # the others hold two T1 and no word about agent
