"""From the command line: calibrate, fill with it, and evaluate; what is told, and what is refused."""

import json
import shutil
from functools import partial

import jsonschema
import nibabel as nib
import numpy as np
import pytest

from mrimpute.calibration.folder import builtin_site, write_site
from mrimpute.contrasts import BRATS_FOUR
from tests.calibration import conftest
from tests.conftest import tree

T1, T1C, T2, FLAIR = BRATS_FOUR
write_study = partial(conftest.write_study, spacing=1.62)
"""Studies that just span a head, as `fill` wants it; the narrower ones of some seeds do not."""
BUILTIN = ("--missing", "flair", "--weights", "builtin", "--device", "cpu")


@pytest.fixture
def scan(tmp_path):
    return partial(write_study, tmp_path)


@pytest.fixture(scope="module")
def calibrated(cli, tmp_path_factory):
    """Calibrate from two patients of the new scanner."""
    root = tmp_path_factory.mktemp("calibrated")
    done = cli("calibrate", write_study(root, "ann", 0), write_study(root, "bob", 1), "--out", root / "site")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(root / "site")
    return root


@pytest.fixture
def site(calibrated, tmp_path):
    """The calibration, its two studies beside it."""
    shutil.copytree(calibrated, tmp_path, dirs_exist_ok=True)
    return tmp_path / "site"


def error_of(folder, truth):
    made = nib.load(next(folder.glob("*-t2f.nii.gz"))).get_fdata()
    acquired = nib.load(truth).get_fdata()
    scale = np.corrcoef(made.ravel(), acquired.ravel())[0, 1]
    return 1 - scale


@pytest.fixture
def lacking(scan, tmp_path):
    """A patient of the new scanner whose flair was taken away, and where it is."""
    folder = scan("cyd", 2)
    truth = tmp_path / "truth.nii.gz"
    shutil.move(folder / "cyd-t2f.nii.gz", truth)
    return folder, truth


def test_a_calibrated_image_is_nearer_and_says_what_it_stands_on(cli, site, lacking, tmp_path):
    folder, truth = lacking
    before = tree(folder)
    plain = cli("fill", folder, *BUILTIN, "--out", tmp_path / "plain", "--json")
    done = cli("fill", folder, *BUILTIN, "--out", tmp_path / "cal", "--calibration", site, "--json")
    assert (plain.returncode, done.returncode) == (0, 0), done.stderr
    assert tree(folder) == before
    assert error_of(tmp_path / "cal" / "cyd", truth) < 0.5 * error_of(tmp_path / "plain" / "cyd", truth)

    record = json.loads(done.stdout)
    jsonschema.validate(record, json.loads(cli("fill", "--json-schema").stdout))
    (output,) = record["outputs"]
    digest = output["recipe"]["calibration"]
    assert len(digest) == 64
    assert output["regression"]["studies"] == 2
    assert output["regression"]["sources"] == ["t1", "t1c", "t2"]
    assert output["regression"]["expected"]["psnr_db"] > 20
    assert output["regression"]["expected"]["half_width_of_90_percent"] is None  # of two studies
    sidecar = json.loads((tmp_path / "cal" / "cyd" / "cyd-t2f.json").read_text())
    assert sidecar["fingerprint"]["calibration"] == digest
    assert sidecar["regression"] == output["regression"]
    for name in ("ann", "bob", str(site)):
        assert name not in json.dumps(sidecar)
    assert json.loads(plain.stdout)["outputs"][0]["regression"] is None

    again = cli("fill", folder, *BUILTIN, "--out", tmp_path / "cal", "--calibration", site, "--json")
    assert json.loads(again.stdout)["status"] == "skipped"
    other = cli("fill", folder, *BUILTIN, "--out", tmp_path / "cal")  # a calibration is part of the recipe
    assert other.returncode == 6
    assert "made before by another recipe" in other.stderr


def test_a_study_in_its_own_calibration_is_left_out_of_it(cli, site, scan, tmp_path):
    words = ("--out", tmp_path / "out", "--calibration", site, "--json", "--generator", "cwdm")
    part = tmp_path / "own"
    shutil.copytree(tmp_path / "ann", part)
    (part / "ann-t2f.nii.gz").unlink()
    record = json.loads(cli("fill", part, *BUILTIN, *words).stdout)
    assert record["outputs"][0]["regression"]["studies"] == 1
    assert record["outputs"][0]["regression"]["own_study_left_out"] is True


def test_a_contrast_that_the_calibration_does_not_know_is_no_source(cli, scan, tmp_path):
    learnt = [scan(name, seed, (T1, T2, FLAIR)) for name, seed in (("ann", 0), ("bob", 1))]
    assert cli("calibrate", *learnt, "--out", tmp_path / "site").returncode == 0
    folder = scan("cyd", 2, (T1, T1C))
    words = ("--missing", "t2", "--weights", "builtin", "--device", "cpu", "--calibration", tmp_path / "site")
    done = cli("fill", folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    (output,) = record["outputs"]
    assert set(output["recipe"]["sources"]) == {"t1"}
    assert output["regression"]["sources"] == ["t1"]
    assert {one["modality"]: one["used"] for one in record["inputs"]} == {"t1": True, "t1c": False}
    assert "t1c was not used beside the sources: the regression has no coefficients with it" in done.stderr
    sidecar = json.loads((folder / "cyd-t2w.json").read_text())
    assert ([one["contrast"] for one in sidecar["Sources"]], sidecar["register"]) == (["t1"], {})
    assert json.loads(cli("fill", folder, *words, "--json").stdout)["status"] == "skipped"


def test_threads_are_those_asked_for_from_the_first_regression_on(cli, site, lacking, monkeypatch):
    import torch

    from mrimpute.calibration import apply

    found, estimated = [], apply.estimated
    monkeypatch.setattr(apply, "estimated", lambda *words: found.append(torch.get_num_threads()) or estimated(*words))
    torch.set_num_threads(2)
    done = cli("fill", lacking[0], *BUILTIN, "--calibration", site, "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert found == [1]


def test_with_two_sources_the_network_takes_one_and_the_regression_both(cli, scan, tmp_path):
    folder = scan("dan", 5, (T1, T2), scanner="old")
    words = (*BUILTIN, "--generator", "aldm", "--json")
    done = cli("fill", folder, *words)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["plan"][0]["sources"] == ["t2"]
    output = record["outputs"][0]
    assert output["regression"]["from"] == "package"
    assert output["regression"]["sources"] == ["t1", "t2"]
    assert set(output["recipe"]["sources"]) == {"t1", "t2"}
    assert all(one["used"] and one["sha256"] for one in record["inputs"])
    sidecar = json.loads((folder / "dan-t2f.json").read_text())
    assert [one["contrast"] for one in sidecar["Sources"]] == ["t2", "t1"]
    alone = scan("eve", 5, (T2,), scanner="old")
    record = json.loads(cli("fill", alone, *words, "--missing", "t1").stdout)
    t1, flair = sorted(record["outputs"], key=lambda one: one["modality"] != "t1")
    assert flair["regression"] is None
    assert t1["regression"]["from"] == "package"  # which knows more of a T2 than the network's own
    assert (t1["regression"]["sources"], list(t1["recipe"]["sources"])) == (["t2"], ["t2"])
    one, two = (nib.load(path).get_fdata() for path in (folder / "dan-t2f.nii.gz", alone / "eve-t2f.nii.gz"))
    assert not np.array_equal(one, two)


def test_the_store_keeps_a_calibration_by_name_and_a_study_may_choose_it(cli, scan, lacking, tmp_path):
    home = {"MRIMPUTE_HOME": str(tmp_path / "home")}
    ann = scan("ann", 0)
    assert cli("calibrate", ann, "--name", "trio", env=home).returncode == 0
    assert cli("calibrate", ann, "--name", "trio", env=home).returncode == 6
    again = cli("calibrate", ann, "--name", "trio", "--overwrite", "--json", env=home)
    digest = json.loads(again.stdout)["sha256"]
    folder, _ = lacking
    (folder / "mrimpute.toml").write_text('calibration = "trio"\nweights = "builtin"\n')
    done = cli("fill", folder, "--missing", "flair", "--device", "cpu", "--json", env=home)
    assert json.loads(done.stdout)["outputs"][0]["recipe"]["calibration"] == digest
    (folder / "mrimpute.toml").write_text(f'calibration = "{tmp_path}/site"\n')
    refused = cli("fill", folder, *BUILTIN, env=home)
    assert refused.returncode == 4
    assert "the store holds no calibration called" in refused.stderr


def test_the_store_is_listed_without_a_name_or_a_date(cli, scan, tmp_path):
    home = {"MRIMPUTE_HOME": str(tmp_path / "home")}
    assert "holds no calibration" in cli("calibrate", "--list", env=home).stdout
    assert cli("calibrate", scan("ann", 0, (T1, FLAIR)), "--name", "trio", env=home).returncode == 0
    (tmp_path / "home" / "calibrations" / "broken").mkdir()
    told = cli("calibrate", "--list", env=home)
    assert told.returncode == 0
    name, studies, *contrasts = told.stdout.splitlines()[1].split()
    assert (name, studies, contrasts[:2]) == ("trio", "1", ["t1,", "flair"])
    assert "broken is no usable calibration" in told.stderr
    (line,) = cli("calibrate", "--list", "--json", env=home).stdout.splitlines()
    assert (json.loads(line)["name"], json.loads(line)["curves"]) == ("trio", [])
    assert cli("calibrate", "--list", "--name", "trio", env=home).returncode == 2


def test_a_batch_calibrates_from_its_own_complete_studies_and_shards_agree(cli, scan, tmp_path):
    cohort = [scan("ann", 0), scan("bob", 1), scan("cyd", 2, (T1, T1C, T2)), scan("dan", 5, (T1, T1C, T2))]
    batch = (*BUILTIN, "--calibrate-from", "batch", "--json")

    def digests(*words):
        done = cli("fill", *cohort, *batch, *words)
        assert done.returncode == 0, done.stderr
        records = [json.loads(line) for line in done.stdout.splitlines()]
        return {out["recipe"]["calibration"] for one in records for out in one["outputs"]}, done.stderr

    whole, said = digests("--out", tmp_path / "whole")
    assert len(whole) == 1
    assert f"calibrated from {cohort[0]}, {cohort[1]}" in said or f"{cohort[1]}, {cohort[0]}" in said
    assert (tmp_path / "whole" / "mrimpute_calibration" / "calibration.toml").is_file()
    first, _ = digests("--out", tmp_path / "parts", "--shard", "0/2")
    second, reused = digests("--out", tmp_path / "parts", "--shard", "1/2")
    assert "calibration of an earlier run" in reused
    assert first | second == whole
    for name in ("cyd", "dan"):
        one, two = (tmp_path / part / name / f"{name}-t2f.nii.gz" for part in ("whole", "parts"))
        assert np.array_equal(nib.load(one).get_fdata(), nib.load(two).get_fdata())
    cohort.insert(0, scan("abe", 4))
    kept, _ = digests("--out", tmp_path / "whole")
    assert kept == whole
    cohort.pop()  # one that lacks flair is enough
    new, _ = digests("--out", tmp_path / "whole", "--recalibrate", "--overwrite")
    assert new != whole


def test_what_a_calibration_saw_is_measured_only_if_asked(cli, site, scan, tmp_path):
    words = ("--leave-one-out", "--missing", "flair", "--weights", "builtin", "--device", "cpu", "--json")
    seen = tmp_path / "ann"
    refused = cli("evaluate", seen, *words, "--calibration", site)
    assert refused.returncode == 3
    assert "the calibration learnt from this study" in refused.stderr
    told = cli("evaluate", seen, *words, "--calibration", site, "--seen")
    assert json.loads(told.stdout)["seen"] == "calibration"
    new = scan("cyd", 2)
    plain = json.loads(cli("evaluate", new, *words).stdout)
    better = json.loads(cli("evaluate", new, *words, "--calibrate-from", seen).stdout)
    assert (plain["seen"], better["seen"]) == ("no", "no")
    assert better["scores"]["brain"]["psnr"] > plain["scores"]["brain"]["psnr"] + 3


def test_a_network_is_not_measured_on_what_it_saw(cli, scan, tiny_weights, tmp_path):
    folder = scan("ann", 0)
    from mrimpute.io import read_volume

    net = tmp_path / "net"
    shutil.copytree(tiny_weights[FLAIR], net)
    words = ("--leave-one-out", "--missing", "flair", "--weights", net, "--device", "cpu")
    assert json.loads(cli("evaluate", folder, *words, "--json").stdout)["seen"] == "unknown"
    digest = read_volume(folder / "ann-t1n.nii.gz").voxel_digest
    record = (net / "checkpoint.toml").read_text()
    (net / "checkpoint.toml").write_text(f'trained_on_voxels = ["{digest}"]\n{record}')
    refused = cli("evaluate", folder, *words)
    assert refused.returncode == 3
    assert "the network learnt from this study" in refused.stderr
    assert "seen: network" in cli("evaluate", folder, *words, "--seen").stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["fill", "{cyd}", "--calibration", "nowhere"], 4, "no calibration and no folder is called 'nowhere'"),
        (["fill", "{cyd}", "--calibration", "{ann}"], 4, "no usable calibration"),
        (["fill", "{cyd}", "--calibration", "{site}", "--calibrate-from", "{ann}"], 2, "exclude each other"),
        (["fill", "{cyd}", "--calibrate-from", "batch"], 2, "add --out DIR"),
        (
            ["fill", "{cyd}", "--calibrate-from", "batch", "--calibrate-from", "{ann}", "--out", "o"],
            2,
            "no other study",
        ),
        (["fill", "{cyd}", "--recalibrate"], 2, "goes with --calibrate-from batch"),
        (["fill", "{cyd}", "--calibrate-from", "{cyd}"], 3, "it lacks flair"),
        (["fill", "{site}/absent", "--calibrate-from", "{ann}"], 3, "no such folder"),
        (["fill", "{cyd}", "--calibrate-from", "batch", "--out", "{old}", "--dry-run"], 4, "an earlier version"),
        (["fill", "{cyd}", "--calibrate-from", "batch", "--out", "{site}/o"], 3, "none of the 1 studies holds flair"),
        (["fill", "{cyd}", "--calibration", "{site}", "--weights", "{tiny}"], 4, "has no curve for flair"),
        (["calibrate", "{ann}"], 2, "give either --out DIR or --name SITE"),
        (["calibrate", "--name", "x"], 2, "no study is given"),
        (["calibrate", "{ann}", "--name", "../x"], 2, "is no name for a calibration"),
        (["calibrate", "{ann}", "--out", "{site}"], 6, "add --overwrite"),
        (["calibrate", "{cyd}", "--missing", "flair", "--out", "{site}/new"], 3, "no study is left"),
        (["evaluate", "{cyd}", "{ann}", "--calibration", "{site}"], 2, "goes with --leave-one-out"),
    ],
)
def test_what_cannot_be_calibrated_ends_with_one_line(cli, site, lacking, tiny_weights, tmp_path, words, code, message):
    folder, _ = lacking
    places = {"cyd": folder, "ann": tmp_path / "ann", "site": site, "tiny": tiny_weights[FLAIR], "old": tmp_path / "o"}
    write_site(builtin_site().plain, tmp_path / "o" / "mrimpute_calibration")  # 45 terms, as calibrations had
    rest = [] if "--weights" in words or words[0] != "fill" else BUILTIN[2:]
    wanted = BUILTIN[:2] if words[0] == "fill" else []
    before = tree(tmp_path)
    done = cli(*[word.format(**places) for word in words], *wanted, *rest)
    assert done.returncode == code, done.stderr
    assert message in done.stderr and "calibrated from" not in done.stderr
    assert tree(tmp_path) == before


def test_heads_with_skull_do_not_meet_a_calibration_of_stripped_ones(cli, site, lacking, monkeypatch):
    import importlib

    folder, _ = lacking
    module = importlib.import_module("mrimpute.prepare.sources")
    monkeypatch.setattr(module, "with_skull", lambda found: [T1])
    done = cli("fill", folder, *BUILTIN, "--calibration", site)
    assert done.returncode == 3
    assert "not skull-stripped, and the calibration site is of stripped ones" in done.stderr
