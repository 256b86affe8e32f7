"""Reports and cohort pages in a real browser: they work, ask nothing of anybody, and name nobody."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import html5lib
import numpy as np
import pytest
from PIL import Image

from mrimpute.contrasts import Contrast
from mrimpute.files import sha256_of
from mrimpute.report import gather
from mrimpute.write.provenance import WARNING
from tests.conftest import write_nifti

sync_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is absent")
expect = sync_api.expect
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOSTILE = "<script>window.hurt=1<`script>&\"'"
"""Name of a study's folder; a slash cannot be in it."""
FLAIR = Contrast.FLAIR


@pytest.fixture(scope="module")
def filled(cli, tiny_weights, phantom_head, tmp_path_factory):
    """Two studies of one head, filled with three samples and a report each, and the same as DICOM-free cohort."""
    root = tmp_path_factory.mktemp("reports")
    for name in ("plain", HOSTILE):
        for contrast, voxels in phantom_head.items():
            affine = np.diag([-2.0, -2.0, 2.0, 1.0])
            affine[:3, 3] = 80, 96, -72
            write_nifti(root / name / f"case_{contrast}.nii.gz", voxels.astype(np.float32), affine)
    words = ("--missing", "flair", "--weights", tiny_weights[FLAIR], "--device", "cpu", "--no-checks")
    done = cli("fill", root / HOSTILE, *words, "--steps", "2", "--samples", "2", "--report", "--picture", "--json")
    assert done.returncode == 0, done.stderr
    assert cli("fill", root / "plain", *words).returncode == 0
    return root


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium on PATH (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """Open a page; at the end nothing may have been asked for, said on the console, or thrown."""
    troubles = []
    context = browser.new_context(viewport={"width": 1100, "height": 800}, accept_downloads=True)

    def open_page(path):
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        asked = lambda request: request.url.startswith("data:") or request.url == path.as_uri()  # noqa: E731
        page.on("request", lambda request: None if asked(request) else troubles.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready=yes]", timeout=20_000)
        return page

    yield open_page
    context.close()
    assert troubles == []


def report_of(filled):
    return next((filled / HOSTILE).glob("*_report.html"))


def saved(page, click):
    with page.expect_download() as waiting:
        click()
    return Path(waiting.value.path()).read_text().splitlines()


def pixels(page, selector):
    return page.eval_on_selector(selector, "one => one.toDataURL()")


def test_keys_pointer_and_flicker_move_the_slices_in_all_planes(filled, opened):
    page = opened(report_of(filled))
    assert page.evaluate("window.hurt") is None
    assert HOSTILE in page.inner_text("h1")
    where = page.inner_text("#where")
    before = [pixels(page, f"#plane{plane}") for plane in range(3)]
    page.keyboard.press("ArrowUp")
    expect(page.locator("#where")).not_to_have_text(where)
    after = [pixels(page, f"#plane{plane}") for plane in range(3)]
    assert all(one != other for one, other in zip(before, after, strict=True))  # the crosshair is linked
    box = page.locator("#plane1").bounding_box()
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.wheel(0, 100)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#where")).to_have_text(re.compile("^T1 · "))
    assert "Coronal" in page.inner_text("#where") and pixels(page, "#plane0") != after[0]
    page.keyboard.press("f")
    expect(page.locator("#where")).to_have_text(re.compile("^FLAIR · "))  # the one shown before
    page.keyboard.press("f")
    labels = page.locator("#tiles figcaption").all_inner_texts()
    assert labels[:4] == ["FLAIR (synthetic)", "T1 (acquired)", "T1 with agent (acquired)", "T2 (acquired)"]
    assert "T1 predicted" in labels and "T1 predicted − acquired" in labels
    assert labels[-1].startswith("Spread of samples")


def test_ones_own_verdict_is_saved_as_a_row(filled, opened):
    page = opened(report_of(filled))
    page.fill("#comment", "=1+1\tlook\nagain")
    head, row = saved(page, lambda: page.click("text=Use with care"))
    told = dict(zip(head.split("\t"), row.split("\t"), strict=True))
    assert told["study"] == HOSTILE and told["verdict"] == "use with care"
    assert told["comment"] == "'=1+1 look again" and told["target"] == "flair"
    assert (
        re.fullmatch("[0-9a-f]{64}", told["sha256"]) and told["mrimpute_verdict"] == "do not use"
    )  # of random weights


def test_the_cohort_is_sorted_filtered_and_judged(cli, filled, opened):
    done = cli("report", "--cohort", filled)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{filled / 'index.html'}\n"
    page = opened(filled / "index.html")
    rows = page.locator("tbody tr:visible")
    assert rows.count() == 2
    page.click("text=Study")
    first = page.locator("tbody tr:visible td:nth-child(2)").first.inner_text()
    page.click("text=Study")
    assert page.locator("tbody tr:visible td:nth-child(2)").first.inner_text() != first
    page.fill("#filter", "plain")
    assert rows.count() == 1
    page.locator("select.own >> visible=true").first.select_option("use")
    head, row = saved(page, lambda: page.click("#save"))
    assert dict(zip(head.split("\t"), row.split("\t"), strict=True))["study"] == "plain"
    page.fill("#filter", "")
    assert page.locator("tbody a").count() == 1
    assert page.evaluate("window.hurt") is None


class Seen(HTMLParser):
    """What a page asks for from elsewhere."""

    def __init__(self):
        super().__init__()
        self.asked, self.alts = [], []

    def handle_starttag(self, tag, attrs):
        held = dict(attrs)
        self.asked += [v for k, v in attrs if k in ("src", "href", "action", "style") or k.startswith("on")]
        if tag == "img":
            self.alts.append(held.get("alt"))


def test_pages_are_valid_small_and_name_nobody(cli, filled):
    assert cli("report", "--cohort", filled).returncode == 0
    for path in (report_of(filled), filled / "index.html"):
        text = path.read_text()
        html5lib.HTMLParser(strict=True).parse(text)
        assert len(text) < 6_000_000
        seen = Seen()
        seen.feed(text)
        assert all(one.startswith("data:image/webp") or one.endswith("_report.html") for one in seen.asked)
        assert seen.alts and all(seen.alts)
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
        assert "default-src &#39;none&#39;" in policy and "unsafe" not in policy and policy.count("sha256-") == 2
    assert str(filled.parent) not in report_of(filled).read_text()
    assert "case_t1.nii.gz" not in report_of(filled).read_text()


def test_sources_that_are_elsewhere_are_named_and_what_is_no_report_of_ours_stays(cli, filled, tmp_path):
    shutil.copytree(filled / "plain", tmp_path / "made")
    sources = tmp_path / "sources"
    sources.mkdir()
    for word in ("t1", "t1c", "t2"):
        (tmp_path / "made" / f"case_{word}.nii.gz").rename(sources / f"{word}.nii.gz")
    result = tmp_path / "made" / "case_flair.nii.gz"
    lost = cli("report", result)
    assert lost.returncode == 3 and len(lost.stderr.splitlines()) == 1
    assert "its sources t1, t1c, t2 are not there, or have changed; name their folder with --source" in lost.stderr
    report = tmp_path / "made" / "case_flair_report.html"
    report.write_text("mine")
    refused = cli("report", result, "--source", sources)
    assert refused.returncode == 6 and report.read_text() == "mine"
    shutil.copy(report_of(filled), report)  # one of ours is replaced
    done = cli("report", tmp_path / "made", "--source", sources)
    assert (done.returncode, done.stdout) == (0, f"{report}\n"), done.stderr
    for words in ((sources,), ("--cohort", sources), (tmp_path / "absent",)):
        none = cli("report", *words)
        assert none.returncode == 3 and len(none.stderr.splitlines()) == 1
    assert cli("report", "--cohort", tmp_path, "--source", sources).returncode == 2


def test_a_damaged_sidecar_is_one_line_and_the_rest_of_the_cohort_is_shown(cli, filled, tmp_path):
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        for ending in ("nii.gz", "json"):
            shutil.copy(filled / "plain" / f"case_flair.{ending}", tmp_path / name)
    sidecar = tmp_path / "bad" / "case_flair.json"
    sidecar.write_text(sidecar.read_text().replace('"zero"', '"nought"'))
    done = cli("report", "--cohort", tmp_path)
    assert done.returncode == 0 and "intensity.zero is missing or wrong" in done.stderr
    assert (tmp_path / "index.html").read_text().count("<tr data-word") == 1


def pixels_of(picture):
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_fill_and_scan_draw_what_is_there(cli, filled):
    drawn = next((filled / HOSTILE).glob("*_picture.png"))
    picture = pixels_of(drawn)
    assert picture.shape[1] > picture.shape[0] > 300  # four images side by side
    amber = (picture[..., 0] > 200) & (picture[..., 1] > 120) & (picture[..., 2] < 60)
    assert amber[:, : picture.shape[1] // 2].sum() < amber[:, 3 * picture.shape[1] // 4 :].sum() + amber[-30:].sum()
    sheet = filled / "scan.png"
    done = cli("scan", filled / "plain", "--picture", sheet)
    assert done.returncode == 0 and pixels_of(sheet).shape[1] > 300
    assert cli("scan", filled / "plain", filled / HOSTILE, "--picture", sheet).returncode == 2
    assert cli("scan", filled / "plain", "--picture", filled / "scan.jpg").returncode == 2


def test_a_dicom_result_with_samples_has_a_report_and_a_second_run_finds_everything(build, cli, tiny_weights):
    for number, contrast in enumerate((Contrast.T1, Contrast.T1C, Contrast.T2), 1):
        folder = build(contrast, number=number).parent
    words = ("--weights", tiny_weights[FLAIR], "--missing", "flair", "--device", "cpu", "--no-self-check")
    done = cli("fill", folder, *words, "--steps", "2", "--samples", "2", "--report")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in folder.iterdir() if path.name.startswith("mrimpute"))
    assert names == [
        "mrimpute_flair", "mrimpute_flair.json", "mrimpute_flair_report.html", "mrimpute_flair_sample-01.json",
        "mrimpute_flair_sample-01.nii.gz", "mrimpute_flair_sample-02.json", "mrimpute_flair_sample-02.nii.gz",
        "mrimpute_flair_spread.json", "mrimpute_flair_spread.nii.gz",
    ]  # fmt: skip
    text = (folder / "mrimpute_flair_report.html").read_text()
    assert "Spread of samples" in text and "mean of 2 samples" in text
    assert str(folder.parent) not in text and "im000" not in text
    again = cli("fill", folder, *words, "--steps", "2", "--samples", "2", "--json")
    assert '"skipped"' in again.stdout
    page = folder / "mrimpute_flair_report.html"
    cut = text.replace(WARNING, "")  # the digest of the image is still in it
    assert cut != text
    page.write_text(cut)
    again = cli("fill", folder, *words, "--steps", "2", "--samples", "2", "--report", "--picture", "--json")
    assert json.loads(again.stdout)["copies"][-2:] == [str(page), str(folder / "mrimpute_flair_picture.png")]
    assert page.read_text() == text
    garbage = b"\0" + json.loads((folder / "mrimpute_flair.json").read_text())["image"]["sha256"].encode()
    page.write_bytes(garbage)
    refused = cli("fill", folder, *words, "--steps", "2", "--samples", "2", "--report")
    assert (refused.returncode, page.read_bytes()) == (6, garbage)
    assert "is no report of mrimpute" in refused.stderr
    page.unlink()
    assert cli("report", folder).returncode == 0


def test_a_tree_of_sources_is_looked_through_once_and_pd_is_shown_too(cli, filled, tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(gather, "sha256_of", lambda path: looked.append(path) or sha256_of(path))
    result = next((filled / HOSTILE).glob("*_flair.json"))
    record = json.loads(result.read_text())
    record["Sources"] = [record["Sources"][0] | {"contrast": "pd"}]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(result.with_suffix(".nii.gz"), tmp_path / name)
        (tmp_path / name / result.name).write_text(json.dumps(record))
    done = cli("report", tmp_path / "one", tmp_path / "two", "--source", filled / HOSTILE)
    assert done.returncode == 0, done.stderr
    assert looked and len(looked) == len(set(looked))
    assert '"label": "PD"' in (tmp_path / "one" / "case_flair_report.html").read_text()
