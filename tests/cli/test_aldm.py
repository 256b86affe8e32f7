"""`fill` with one source and several targets: ALDM from the command line."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from mrimpute.contrasts import BRATS_FOUR
from mrimpute.registry import read_checkpoint_folder
from tests.conftest import tree

T1, T1C, T2, FLAIR = BRATS_FOUR
SIZES = ["--channels", 8, "--groups", 4, "--codes", 32, "--spade-channels", 4, "--spade-hidden", 4]
TINY = [*SIZES, "--unet-channels", 64, "--brain-window", "--crop", 32, "--steps", 2, "--device", "cpu"]


@pytest.fixture(scope="module")
def nets(cli, tmp_path_factory):
    """The three stages, trained for two steps each on a phantom by the command line."""
    from tests.conftest import OBLIQUE, WORDS, head_voxels, write_nifti

    folder = tmp_path_factory.mktemp("aldm")
    for contrast in BRATS_FOUR:
        for seed, name in enumerate(("study", "held-out")):
            path = folder / name / f"case{WORDS['brats23'][contrast]}.nii.gz"
            write_nifti(path, head_voxels(contrast, seed=seed), OBLIQUE)
    before: list[object] = []
    for stage in ("autoencoder", "spade", "diffusion"):
        measured = [] if stage == "diffusion" else ["--validate", folder / "held-out"]
        words = ["--stage", stage, "--out", folder / stage, *before, *TINY, *measured]
        done = cli("train", "aldm", folder / "study", *words)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [str(folder / stage)]
        assert ("perceptual loss: off" in done.stderr) == (stage == "autoencoder")
        before = ["--start", folder / stage]
    return folder


def test_each_stage_leaves_a_checkpoint_and_a_log(nets):
    for stage, losses in (
        ("autoencoder", {"l1", "codebook", "t1_to_t1_psnr_db"}),
        ("spade", {"latent", "image", "cycle", "t1_to_t2_psnr_db"}),
        ("diffusion", {"noise"}),
    ):
        record = read_checkpoint_folder(nets / stage).record
        assert record.sources == BRATS_FOUR
        assert record.network["stage"] == stage
        line = json.loads((nets / stage / "log.jsonl").read_text().splitlines()[-1])
        assert losses <= set(line)
        assert line["step"] == 2


def test_all_that_one_sequence_lacks_is_made_in_one_run_and_one_target_alone_is_the_same(
    cli, make_study, nets, tmp_path
):
    study = make_study(contrasts=(T1,))
    before = tree(study)
    done = cli("fill", study, "--weights", nets / "diffusion", "--steps", 2, "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [one["modality"] for one in record["outputs"]] == ["t2", "flair"]  # a t1c only if asked for
    images = [nib.load(one["path"]) for one in record["outputs"]]
    source = nib.load(study / "case-t1n.nii.gz")
    for image in images:
        assert image.shape == source.shape
        assert np.allclose(image.affine, source.affine, atol=1e-6)
        assert not image.get_fdata()[source.get_fdata() == 0].any()
    assert not np.array_equal(images[0].get_fdata(), images[1].get_fdata())
    assert {one["recipe"]["sampler"] for one in record["outputs"]} == {"ddim"}
    assert {name: content for name, content in tree(study).items() if name in before} == before
    again = cli("fill", study, "--weights", nets / "diffusion", "--steps", 2, "--device", "cpu", "--json")
    assert json.loads(again.stdout)["status"] == "skipped"

    bare = tmp_path / "bare" / "case"
    bare.mkdir(parents=True)
    shutil.copy(study / "case-t1n.nii.gz", bare)
    words = ["--weights", nets / "diffusion", "--steps", 2, "--device", "cpu", "--generator", "aldm"]
    done = cli("fill", bare, "-m", "flair", *words, "--out", tmp_path / "one")
    assert done.returncode == 0, done.stderr
    one, among = tmp_path / "one" / "case" / "case-t2f.nii.gz", study / "case-t2f.nii.gz"
    assert one.read_bytes() == among.read_bytes()


def test_a_target_that_cannot_be_placed_does_not_stop_the_others(cli, make_study, nets):
    study = make_study(contrasts=(T1,))
    (study / "case-t2w.json").write_text("{}")
    done = cli("fill", study, "--weights", nets / "diffusion", "--steps", 2, "--device", "cpu")
    assert done.returncode == 6
    assert done.stdout.split() == [str(study / "case-t2f.nii.gz")]


def test_an_autoencoder_alone_makes_nothing(cli, make_study, nets):
    study = make_study(contrasts=(T1,))
    done = cli("fill", study, "--weights", nets / "autoencoder", "--device", "cpu", "--sampler", "none")
    assert done.returncode == 2
    assert "autoencoder alone" in done.stderr
    assert not list(study.glob("*t2w*"))


def test_without_diffusion(cli, make_study, nets):
    study = make_study(contrasts=(FLAIR,))
    done = cli("fill", study, "--weights", nets / "spade", "--device", "cpu", "--sampler", "ddim")
    assert done.returncode == 2
    assert "add --sampler none" in done.stderr
    assert cli("fill", study, "--weights", nets / "spade", "--device", "cpu").returncode == 0
    assert json.loads((study / "case-t2w.json").read_text())["fingerprint"]["sampler"] == "none"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--steps", 7], "does not fit ALDM's table"),
        (["--sampler", "paper", "--steps", 10], "takes 200 steps, not 10"),
        (["--sampler", "ddpm"], "aldm is not sampled with ddpm"),
    ],
)
def test_sampling_that_aldm_does_not_do(cli, make_study, nets, words, text):
    study = make_study(contrasts=(T1,))
    done = cli("fill", study, "--weights", nets / "diffusion", "--device", "cpu", *words)
    assert done.returncode == 2, done.stderr
    assert text in done.stderr


def test_the_authors_file_is_asked_for_by_name(cli, make_study):
    done = cli("fill", make_study(contrasts=(T1,)))
    assert done.returncode == 4
    assert "aldm-brats-stage2" in done.stderr


@pytest.mark.parametrize(
    ("stage", "start", "more", "text"),
    [
        ("diffusion", "autoencoder", [], "goes on from spade, not from autoencoder"),
        ("spade", "diffusion", [], "goes on from autoencoder, not from diffusion"),
        ("autoencoder", "autoencoder", [], "leave --start out"),
        ("autoencoder", "spade", [], "leave --start out"),
        ("diffusion", "spade", ["--validate", "."], "not measured while it is trained"),
    ],
)
def test_stages_go_on_from_the_one_before(cli, nets, tmp_path, stage, start, more, text):
    words = ["--stage", stage, "--start", nets / start, *TINY, *more]
    done = cli("train", "aldm", nets / "study", "--out", tmp_path / "net", *words)
    assert done.returncode == 2, done.stderr
    assert text in done.stderr


@pytest.mark.parametrize(
    ("stage", "words", "text"),
    [
        ("spade", ["--augment", "gamma"], "--augment go together"),
        ("spade", ["--perceptual", "x"], "the perceptual loss is the autoencoder's"),
    ],
)
def test_options_that_do_not_fit_a_later_stage(cli, nets, tmp_path, stage, words, text):
    start = ["--stage", stage, "--start", nets / "autoencoder", "--out", tmp_path / "net"]
    done = cli("train", "aldm", nets / "study", *start, *TINY, *words)
    assert done.returncode == 2, done.stderr
    assert text in done.stderr


def test_a_stage_sees_what_the_one_before_saw(cli, nets, tmp_path):
    authors = [word for word in TINY if word != "--brain-window"]
    start = ["--stage", "spade", "--start", nets / "autoencoder", "--out", tmp_path / "net"]
    done = cli("train", "aldm", nets / "study", *start, *authors)
    assert done.returncode == 2
    assert "trained in another frame; add --brain-window" in done.stderr


def test_too_many_levels_for_the_authors_box(cli, make_study, tmp_path):
    words = ["--stage", "autoencoder", "--levels", "1,1,2,2", "--channels", 8, "--groups", 4]
    done = cli("train", "aldm", make_study(contrasts=BRATS_FOUR), "--out", tmp_path / "net", *words)
    assert done.returncode == 2
    assert "the networks need multiples of 32 voxels" in done.stderr


def test_a_run_from_another_start_is_not_gone_on_with(cli, nets):
    words = ["--stage", "diffusion", "--start", nets / "other", *TINY]
    shutil.copytree(nets / "spade", nets / "other")
    model = nets / "other" / "model.safetensors"
    state = load_file(model)
    save_file({key: tensor * 1.01 for key, tensor in state.items()}, model)
    done = cli("train", "aldm", nets / "study", "--out", nets / "diffusion", *words)
    assert done.returncode == 6
    assert "holds a run with other options" in done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--stage", "spade"], "give a checkpoint of the stage autoencoder with --start"),
        (["--stage", "autoencoder", "--crop", 16], "needs cubes of at least 24"),
        (["--stage", "autoencoder", "--crop", 0, "--batch", 2], "do not fit in a batch"),
        (["--stage", "colour"], "unknown stage"),
        (["--stage", "autoencoder", "--preset", "x"], "unknown preset"),
        (["--stage", "autoencoder", "--groups", 3], "divisible by groups"),
        (["--stage", "autoencoder", "--channels", 0], "every size must be positive"),
        (["--stage", "autoencoder", "--unet-channels", -32], "every size must be positive"),
        (["--stage", "autoencoder", "--levels", "1,x"], "impossible network"),
        (["--stage", "autoencoder", "--levels", "0,1"], "every size must be positive"),
        (["--stage", "autoencoder", "--attention", "3"], "must be among [1, 2, 4]"),
        (["--stage", "autoencoder", "--losses", "cycle=-1"], "'cycle=-1' is not understood"),
        (["--stage", "autoencoder", "--variants", 2], "--variants copies"),
        (["--stage", "autoencoder", "--learning-rate", "nan"], "must be positive"),
        (["--stage", "autoencoder", "--seed", 2**63], "the seed must be"),
        (["--stage", "autoencoder", "--perceptual", "nowhere.pth"], "nowhere.pth is not a file"),
        (["--stage", "autoencoder", "--preset", "code", "--perceptual", "."], "with a weight above 0"),
        (["--stage", "autoencoder", "--contrasts", "t1"], "at least two contrasts"),
        (["--stage", "autoencoder", "--contrasts", "t1,t2,t1"], "each once"),
        (["--stage", "autoencoder", "--crop", 10], "not a multiple of 16"),
    ],
)
def test_training_that_cannot_be(cli, make_study, tmp_path, words, text):
    done = cli("train", "aldm", make_study(contrasts=BRATS_FOUR), "--out", tmp_path / "net", *TINY, *words)
    assert done.returncode == 2, done.stderr
    assert text in done.stderr
    assert not (tmp_path / "net").exists()
