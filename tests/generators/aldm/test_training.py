import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mrimpute.contrasts import Contrast
from mrimpute.diffusion.ladder import root_linear_ladder
from mrimpute.errors import OutputRefused, UsageError, WeightsUnavailable
from mrimpute.generators import regression
from mrimpute.generators.aldm import training
from mrimpute.generators.aldm.autoencoder import FirstStage, begin_code_book, standardise_latents
from mrimpute.generators.aldm.checkpoint import load_networks
from mrimpute.generators.aldm.config import STAGES, AldmConfig
from mrimpute.generators.aldm.examples import encode_studies, random_pairs
from mrimpute.generators.aldm.generator import load
from mrimpute.generators.aldm.perceptual import PerceptualLoss, load_perceptual
from mrimpute.generators.aldm.plan import PRESETS, LossWeights, TrainingPlan, check_start, record_of
from mrimpute.generators.aldm.training import train
from mrimpute.generators.aldm.unet import NoisePredictor
from mrimpute.generators.contract import Sampling
from mrimpute.prepare import Prepared
from mrimpute.registry import read_checkpoint_folder
from mrimpute.registry.tensors import write_weights
from mrimpute.training.augment import Augmentation
from mrimpute.training.cases import TrainingCase
from mrimpute.training.state import record_text
from tests.conftest import head_voxels

CPU = torch.device("cpu")
PAIR = (Contrast.T1, Contrast.T2)
TINY = AldmConfig(
    channels=8,
    groups=4,
    codes=16,
    spade_channels=4,
    spade_hidden=4,
    classes=2,
    unet_channels=64,
    unet_mult=(1, 1),
    attention_at=(2,),
    head_width=16,
)
SIZE = 32
"""Edge of the studies in voxels."""
CROP = 24
"""The least that the discriminator takes."""


@pytest.fixture(autouse=True)
def few_boxes(monkeypatch):
    monkeypatch.setattr(training, "BOOK_BOXES", 3)


def plan(stage, **changes):
    fields = {"network": TINY, "steps": 4, "crop": CROP, "frame": "brain", "ema": 0.9, "learning_rate": 1e-3}
    return TrainingPlan(stage, PAIR, **(fields | changes))


@pytest.fixture
def cases():
    draw = np.random.default_rng(0)
    made = []
    for name in "ab":
        heads = np.stack([head_voxels(contrast, (SIZE, SIZE, SIZE), int(draw.integers(9))) for contrast in PAIR])
        made.append(TrainingCase(name, (heads / heads.max()).astype(np.float32)))
    return made


def quiet(_step, _figures):
    pass


def networks():
    torch.manual_seed(1)
    return FirstStage(TINY)


def before(stage, folder):
    """Store untrained networks as the stage before."""
    if stage == "autoencoder":
        return None
    (folder / "before").mkdir(exist_ok=True)
    write_weights(folder / "before" / "model.safetensors", networks().state_dict())
    earlier = {"spade": "autoencoder", "diffusion": "spade"}[stage]
    (folder / "before" / "checkpoint.toml").write_text(record_text(record_of(plan(earlier), [])))
    return read_checkpoint_folder(folder / "before")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stopped_run_goes_on_exactly(cases, tmp_path, stage):
    class Stop(Exception):
        pass

    def stop(step, _figures):
        if step == 2:
            raise Stop

    options = {
        "augment": Augmentation.parse("mirror,gamma"),
        "batch": 2,
        "variants": 1 if stage == "autoencoder" else 2,
    }
    train(plan(stage, **options), cases[:1], before(stage, tmp_path), tmp_path / "straight", CPU, quiet, 2)
    with pytest.raises(Stop):
        train(plan(stage, **options), cases[:1], before(stage, tmp_path), tmp_path / "broken", CPU, stop, 2)
    train(plan(stage, **options), cases[:1], before(stage, tmp_path), tmp_path / "broken", CPU, quiet, 2)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("straight", "broken")]
    assert files[0] == files[1]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_trains_its_own_part_alone(cases, tmp_path, stage):
    torch.manual_seed(0 if stage == "autoencoder" else 1)  # the plan's seed; that of the stage before
    first = FirstStage(TINY)
    train(plan(stage), cases, before(stage, tmp_path), tmp_path, CPU, quiet)
    loaded = load_networks(read_checkpoint_folder(tmp_path))
    moved = {
        key.split(".")[0]
        for key, old in first.state_dict().items()
        if abs(loaded.first_stage.state_dict()[key] - old).max() > 2e-3
    }
    autoencoder = {"encoder", "decoder", "quantize", "quant_conv", "post_quant_conv"}
    assert moved == {"autoencoder": autoencoder, "spade": {"spade"}, "diffusion": set()}[stage]
    assert (loaded.unet is not None) == (stage == "diffusion")


def test_the_code_book_learns_under_our_preset_and_not_under_the_authors(cases, tmp_path):
    torch.manual_seed(0)
    start = FirstStage(TINY).quantize.embedding.weight.detach().clone()
    as_drawn = replace(PRESETS["mrimpute"], quantise_from=0)  # later the codes are drawn anew
    for name, losses in {"ours": as_drawn, "code": PRESETS["code"]}.items():
        train(plan("autoencoder", losses=losses), cases, None, tmp_path / name, CPU, quiet)
        made = load_networks(read_checkpoint_folder(tmp_path / name)).first_stage
        change = float((made.quantize.embedding.weight - start).abs().max())
        assert (change > 1e-3) == (name == "ours"), name


def test_the_discriminator_takes_part_from_its_start_step_on(cases, tmp_path):
    seen = []
    losses = LossWeights(adversarial=0.1, adversarial_from=0.5)
    train(
        plan("autoencoder", losses=losses), cases, None, tmp_path, CPU, lambda _step, figures: seen.append(figures), 2
    )
    assert "judge" not in seen[0]
    assert {"judge", "adversarial"} <= set(seen[1])


@pytest.mark.parametrize(
    ("stage", "name", "steps"), [("autoencoder", "l1", 12), ("spade", "latent", 30), ("diffusion", "noise", 45)]
)
def test_the_losses_fall(cases, tmp_path, stage, name, steps):
    seen = []
    losses = LossWeights(adversarial=0, image=0, cycle=0, clean=0)
    batch = 4 if stage == "diffusion" else 1  # the noise of some timesteps is harder to tell
    longer = plan(stage, steps=steps, batch=batch, learning_rate=3e-3, losses=losses)
    train(
        longer, cases, before(stage, tmp_path), tmp_path, CPU, lambda _step, figures: seen.append(figures), steps // 3
    )
    assert seen[-1][name] < 0.97 * seen[0][name]


@pytest.fixture
def volumes(cases):
    return [torch.from_numpy(image)[None, None] * 2 - 1 for case in cases for image in case.images]


def head_latents(stage, volume):
    latent = stage.quant_conv(stage.encoder(volume))
    return latent[:, :, (torch.nn.functional.max_pool3d(volume, 4) > -1)[0, 0]]


def test_the_code_book_begins_from_latents_of_variance_one_and_nothing_else_changes(volumes):
    stage = networks().requires_grad_(False)
    plain = [stage.decode(stage.quant_conv(stage.encoder(volume))) for volume in volumes]
    begin_code_book(stage, volumes, np.random.default_rng(0))
    for volume, before in zip(volumes, plain, strict=True):
        torch.testing.assert_close(stage.decode(stage.quant_conv(stage.encoder(volume))), before, atol=1e-4, rtol=1e-4)
    rows = torch.cat([head_latents(stage, volume)[0].T for volume in volumes])
    torch.testing.assert_close(rows.mean(0), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(rows.std(0), torch.ones(4), atol=1e-3, rtol=0)
    codes = stage.quantize.embedding.weight
    assert (torch.cdist(codes, rows).min(dim=1).values < 0.01).all()  # cdist rounds
    assert len(codes.unique(dim=0)) == len(codes)


def test_standardised_latents_keep_their_codes_and_images(volumes):
    stage = networks().requires_grad_(False)
    begin_code_book(stage, volumes, np.random.default_rng(0))
    stage.quantize.embedding.weight.mul_(0.1)  # as training lets them shrink
    stage.quant_conv.weight.mul_(0.1)
    before = [stage.quantize(stage.quant_conv(stage.encoder(volume)))[1] for volume in volumes]
    images = [stage.decode(stage.encode(volume)) for volume in volumes]
    standardise_latents(stage, volumes)
    for volume, indices, image in zip(volumes, before, images, strict=True):
        now = stage.quantize(stage.quant_conv(stage.encoder(volume)))[1]
        assert (now == indices).float().mean() > 0.999  # of float32's ties
        torch.testing.assert_close(stage.decode(stage.encode(volume)), image, atol=1e-3, rtol=1e-3)
    rows = torch.cat([head_latents(stage, volume)[0].T for volume in volumes])
    assert float(rows.square().mean()) == pytest.approx(1, abs=1e-2)


def test_studies_are_encoded_once_in_several_variants(cases):
    stage = networks().requires_grad_(False)
    many = plan("spade", variants=3, augment=Augmentation.parse("mirror=0.5,gamma=0.3"), crop=0)
    studies = encode_studies(many, stage, cases, CPU)
    assert len(studies) == 6
    for number, study in enumerate(studies):
        case = cases[number // 3]
        assert np.array_equal(study.images, case.images) or np.array_equal(study.images[:, ::-1], case.images)
        for image, latent in zip(study.images, study.exact, strict=True):
            assert torch.equal(stage.encode(torch.from_numpy(image.copy())[None, None] * 2 - 1)[0], latent)
        assert torch.equal(study.seen, study.exact) == (number % 3 == 0)
    plain = encode_studies(plan("spade"), stage, cases, CPU)
    assert all(torch.equal(study.seen, study.exact) for study in plain)


def test_pairs_are_two_contrasts_of_one_place(cases):
    stage = networks().requires_grad_(False)
    options = plan("spade", batch=3)
    pairs = random_pairs(options, encode_studies(options, stage, cases, CPU), np.random.default_rng(2), CPU)
    assert pairs.source.shape == pairs.target.shape == (3, 4, CROP // 4, CROP // 4, CROP // 4)
    assert pairs.image.shape == (3, 1, CROP, CROP, CROP)
    assert all(a != b for a, b in zip(*pairs.classes, strict=True))
    whole = [torch.from_numpy(image) * 2 - 1 for case in cases for image in case.images]
    for box in pairs.image[:, 0]:
        places = [image.unfold(0, CROP, 4).unfold(1, CROP, 4).unfold(2, CROP, 4) for image in whole]
        assert any(bool((place == box).flatten(3).all(3).any()) for place in places)


def test_regressions_steady_what_is_made(cases, tmp_path):
    train(plan("spade", regression=True), cases, before("spade", tmp_path), tmp_path / "net", CPU, quiet)
    stored = read_checkpoint_folder(tmp_path / "net")
    assert stored.record.network["regression"] is True
    coefficients = load_networks(stored).coefficients
    assert coefficients.shape == (2, 2, 6)
    pairs = [(torch.from_numpy(case.images[[0]]), torch.from_numpy(case.images[1])) for case in cases]
    assert torch.equal(coefficients[0, 1], regression.fit(pairs))
    assert not coefficients[0, 0].any()
    image = cases[0].images[0]
    prepared = Prepared({Contrast.T1: image}, image > 0, None, ("a",))
    generator = load(stored, Sampling("none", 0), CPU, torch.float32)
    (made,) = generator(prepared, (Contrast.T2,), 0, quiet)
    raw = replace(generator, networks=replace(generator.networks, coefficients=None))
    (plain,) = raw(prepared, (Contrast.T2,), 0, quiet)
    seen = torch.from_numpy(image)
    expected = regression.blended(
        torch.from_numpy(plain.voxels), regression.estimate(seen[None], coefficients[0, 1], seen > 0), seen > 0
    )
    assert np.array_equal(made.voxels, expected.numpy())
    assert not np.array_equal(made.voxels, plain.voxels)
    uptake = replace(generator, classes=(Contrast.T1, Contrast.T1C))  # which nothing but agent shows
    little = uptake.blended(torch.from_numpy(plain.voxels), prepared, Contrast.T1C).numpy()
    estimate = regression.estimate(seen[None], coefficients[0, 1], seen > 0).numpy()
    assert 0 < np.abs(little - estimate).mean() < 0.5 * np.abs(made.voxels - estimate).mean()


@pytest.mark.parametrize("content", ["missing", "shape"])
def test_a_checkpoint_without_its_regressions_is_refused(cases, tmp_path, content):
    train(plan("spade", regression=True), cases, before("spade", tmp_path), tmp_path / "net", CPU, quiet)
    state = load_file(tmp_path / "net" / "model.safetensors")
    coefficients = state.pop(regression.COEFFICIENTS)
    if content == "shape":
        state[regression.COEFFICIENTS] = coefficients[:1].clone()
    write_weights(tmp_path / "net" / "model.safetensors", state)
    with pytest.raises(WeightsUnavailable, match="must hold 2 x 2 x 6 numbers"):
        load_networks(read_checkpoint_folder(tmp_path / "net"))


@pytest.fixture
def vgg(tmp_path):
    """A file as torchvision's: more layers than are used, and a classifier."""
    torch.manual_seed(0)
    state = PerceptualLoss("").state_dict()
    more = {"features.24.weight": torch.zeros(512, 512, 3, 3), "classifier.0.bias": torch.zeros(4096)}
    torch.save(state | more, tmp_path / "vgg16.pth")
    return tmp_path / "vgg16.pth"


def test_the_perceptual_loss_compares_features_of_slices(vgg, volumes):
    loss = load_perceptual(vgg)
    assert float(loss(volumes[0], volumes[0], (16, 16, 16))) == 0
    other = volumes[0].clone()
    other[:, :, 16] += 0.1
    assert float(loss(other, volumes[0], (16, 16, 16))) > 0
    far = volumes[0].clone()
    far[:, :, 3, 3, 3] += 0.1  # on none of the three slices
    assert float(loss(far, volumes[0], (16, 16, 16))) == 0


def test_the_perceptual_loss_takes_part_where_its_file_is_given(cases, tmp_path, vgg):
    seen = []
    train(
        plan("autoencoder"),
        cases,
        None,
        tmp_path / "net",
        CPU,
        lambda _s, figures: seen.append(figures),
        perceptual=vgg,
    )
    assert seen[0]["perceptual"] > 0
    with pytest.raises(OutputRefused, match="other options"):
        train(plan("autoencoder"), cases, None, tmp_path / "net", CPU, quiet)


def test_other_perceptual_files_are_refused(tmp_path):
    with pytest.raises(WeightsUnavailable, match="cannot be read safely"):
        load_perceptual(tmp_path / "none.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsUnavailable, match="cannot read"):
        load_perceptual(tmp_path / "bad.safetensors")
    torch.save({"features.0.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsUnavailable, match="belongs to another network"):
        load_perceptual(tmp_path / "other.pth")


def test_the_spade_stack_begins_as_the_identity_and_leaves_it(cases, tmp_path):
    latent = torch.randn(1, 4, 8, 8, 8)
    stage = networks().requires_grad_(False)
    assert not torch.allclose(stage.spade(latent, [1]), latent, atol=0.1)
    stage.spade.begin_as_identity()
    torch.testing.assert_close(stage.spade(latent, [0]), latent)
    train(plan("spade", steps=3), cases, before("spade", tmp_path), tmp_path / "net", CPU, quiet)
    made = load_networks(read_checkpoint_folder(tmp_path / "net")).first_stage
    difference = float((made.spade(latent, [0]) - latent).abs().max())
    assert 1e-4 < difference < 0.5


def test_the_noise_predictor_begins_with_the_noisy_latent():
    torch.manual_seed(2)
    unet = NoisePredictor(replace(TINY, unet_mult=(1, 1, 2), attention_at=(4, 2)))
    unet.begin_as_identity()
    noisy, others = torch.randn(2, 4, 8, 8, 8), torch.randn(2, 8, 8, 8, 8)
    with torch.inference_mode():
        predicted = unet(torch.cat([noisy, others], dim=1), torch.tensor([990, 3]), torch.tensor([0, 1]))
    expected = noisy / noisy.std((2, 3, 4), correction=0, keepdim=True)
    torch.testing.assert_close(predicted, expected, atol=2e-3, rtol=2e-3)


def test_the_loss_of_the_clean_latent_weighs_the_noisy_steps(cases, tmp_path):
    """With an untrained predictor of zeros the error is the noise itself, whose square is 1 on average."""
    plain = replace(plan("diffusion"), identity=False, steps=1, crop=0)
    logged = {}
    for name, losses in {
        "off": LossWeights(clean=0),
        "none": LossWeights(clean_ratio=0),
        "capped": LossWeights(clean_ratio=0.5),
        "all": LossWeights(clean_ratio=1e9),
    }.items():
        train(replace(plain, losses=losses), cases, before("diffusion", tmp_path), tmp_path / name, CPU, quiet)
        logged[name] = json.loads((tmp_path / name / "log.jsonl").read_text())
    assert "clean" not in logged["off"]
    assert logged["none"]["clean"] == 0
    noise = logged["all"]["noise"]
    ratios = 1 / root_linear_ladder().alphas_cumprod - 1
    found = logged["all"]["clean"] / noise
    assert np.isclose(ratios, found, rtol=1e-4).any()  # of some timestep
    assert logged["capped"]["clean"] / noise == pytest.approx(min(found, 0.5), rel=1e-4)


@pytest.mark.parametrize("identity", [True, False])
def test_an_untrained_noise_predictor_starts_with_the_noisy_latent(cases, tmp_path, identity):
    options = {"steps": 1, "learning_rate": 1e-9, "ema": 0.0, "identity": identity}
    train(plan("diffusion", **options), cases, before("diffusion", tmp_path), tmp_path / "net", CPU, quiet)
    unet = load_networks(read_checkpoint_folder(tmp_path / "net")).unet
    noisy = torch.randn(1, 4, 8, 8, 8)
    with torch.inference_mode():
        predicted = unet(torch.cat([noisy, torch.zeros(1, 8, 8, 8, 8)], dim=1), torch.tensor([9]), torch.tensor([0]))
    error = float((predicted - noisy).abs().mean())
    assert (error < 0.1) == identity


@pytest.mark.parametrize("width, told", [(32, False), (64, True)])
def test_a_level_with_one_channel_per_group_does_not_see_the_step(width, told):
    torch.manual_seed(3)
    block = NoisePredictor(replace(TINY, unet_channels=width)).output_blocks[-1][0]
    torch.nn.init.normal_(block.out_layers[-1].weight, std=0.1)
    image, (one, other) = torch.randn(1, block.skip_connection.in_channels, 8, 8, 8), torch.randn(2, 1, 4 * width)
    with torch.inference_mode():
        change = float((block(image, one) - block(image, other)).abs().max())
    assert (change > 0.1) == told
    assert (change < 1e-4) == (not told)
    if not told:
        with pytest.raises(UsageError, match="take --unet-channels 64"):
            plan("diffusion", network=replace(TINY, unet_channels=width))
        plan("spade", network=replace(TINY, unet_channels=width))  # has no noise predictor


def test_training_in_half_precision_passes_the_start_of_the_code_book(cases, tmp_path):
    """The weights are changed in place there, behind the back of autocast's cache."""
    options = {"steps": 4, "learning_rate": 1e-5, "losses": LossWeights(quantise_from=0.5, adversarial=0)}
    lines = {}
    for half in (False, True):
        folder = tmp_path / str(half)
        train(plan("autoencoder", half_precision=half, **options), cases, None, folder, CPU, quiet, 1)
        lines[half] = [json.loads(line)["l1"] for line in (folder / "log.jsonl").read_text().splitlines()]
    np.testing.assert_allclose(lines[True], lines[False], rtol=0.05)


@pytest.mark.parametrize("words", ["colour=1", "cycle", "cycle=-1", "cycle=nan", "cycle=inf", "adversarial=x"])
def test_other_weights_of_losses_are_refused(words):
    assert LossWeights().changed("adversarial=0, cycle=2") == LossWeights(adversarial=0, cycle=2)
    with pytest.raises(UsageError, match="is not understood"):
        LossWeights().changed(words)


def test_heads_of_different_size_do_not_fit_in_a_batch(cases, tmp_path):
    small = TrainingCase("c", cases[0].images[:, :24])
    with pytest.raises(UsageError, match="32x32x32 voxels do not fit in a batch"):
        train(plan("autoencoder", batch=2, crop=SIZE), [*cases, small], None, tmp_path / "net", CPU, quiet)
    assert not (tmp_path / "net").exists()


def test_a_validation_before_the_code_book_begins_does_not_quantise(cases, tmp_path):
    options = {"steps": 2, "crop": 0, "learning_rate": 1e-5, "losses": LossWeights(quantise_from=0.5, adversarial=0)}
    held_out = [TrainingCase("held out", cases[0].images[:, ::-1].copy())]
    train(plan("autoencoder", **options), cases, None, tmp_path, CPU, quiet, 1, held_out)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    before, after = (line["t1_to_t1_psnr_db"] for line in lines)
    assert before == pytest.approx(after, abs=1)  # with the codes as they were initialised: nothing of an image


@pytest.mark.parametrize("stage", ["spade", "diffusion"])
def test_a_stage_goes_on_from_itself(cases, tmp_path, stage):
    train(plan(stage, learning_rate=1e-2), cases, before(stage, tmp_path), tmp_path / "first", CPU, quiet)
    first = read_checkpoint_folder(tmp_path / "first")
    check_start(stage, first)
    train(plan(stage, steps=1, learning_rate=1e-6), cases, first, tmp_path / "second", CPU, quiet)
    states = [load_file(tmp_path / name / "model.safetensors") for name in ("first", "second")]
    for key, tensor in states[0].items():
        torch.testing.assert_close(tensor.float(), states[1][key].float(), atol=1e-4, rtol=2e-3)
