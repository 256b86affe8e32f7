import numpy as np
import pytest
import torch

from mrimpute.contrasts import Contrast
from mrimpute.generators.aldm.autoencoder import FirstStage
from mrimpute.generators.aldm.checkpoint import load_networks
from mrimpute.generators.aldm.config import AldmConfig
from mrimpute.generators.aldm.plan import PRESETS, STAGES, Losses, TrainingPlan, checkpoint_toml
from mrimpute.generators.aldm.training import train
from mrimpute.generators.strict import write_weights
from mrimpute.registry import read_checkpoint_folder
from mrimpute.training.augment import Augmentation
from mrimpute.training.cases import TrainingCase
from tests.conftest import head_voxels

CPU = torch.device("cpu")
PAIR = (Contrast.T1, Contrast.T2)
TINY = AldmConfig(
    channels=8, groups=4, codes=16, spade_channels=4, spade_hidden=4, classes=2, unet_channels=32, head_width=16
)


def plan(stage, **changes):
    fields = {"network": TINY, "steps": 4, "crop": 32, "frame": "brain", "ema": 0.9, "learning_rate": 1e-3}
    return TrainingPlan(stage, PAIR, **(fields | changes))


@pytest.fixture
def cases():
    draw = np.random.default_rng(0)
    made = []
    for name in "ab":
        heads = np.stack([head_voxels(contrast, (48, 48, 48), int(draw.integers(9))) for contrast in PAIR])
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
    (folder / "before" / "checkpoint.toml").write_text(checkpoint_toml(plan(earlier), []))
    return read_checkpoint_folder(folder / "before")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stopped_run_goes_on_exactly(cases, tmp_path, stage):
    class Stop(Exception):
        pass

    def stop(step, _figures):
        if step == 2:
            raise Stop

    options = {"augment": Augmentation.parse("mirror,gamma"), "batch": 2}
    train(plan(stage, **options), cases, before(stage, tmp_path), tmp_path / "straight", CPU, quiet, 2)
    with pytest.raises(Stop):
        train(plan(stage, **options), cases, before(stage, tmp_path), tmp_path / "broken", CPU, stop, 2)
    train(plan(stage, **options), cases, before(stage, tmp_path), tmp_path / "broken", CPU, quiet, 2)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("straight", "broken")]
    assert files[0] == files[1]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_trains_its_own_part_alone(cases, tmp_path, stage):
    first = networks()
    train(plan(stage), cases, before(stage, tmp_path), tmp_path, CPU, quiet)
    loaded = load_networks(read_checkpoint_folder(tmp_path))
    moved = {
        key.split(".")[0]
        for key, old in first.state_dict().items()
        if abs(loaded.first_stage.state_dict()[key] - old).max() > 2e-3
    }
    own = {"encoder", "decoder", "quantize", "quant_conv", "post_quant_conv"}
    if stage == "autoencoder":  # begins anew, so all differ but in what no step touched
        assert own <= moved
    else:
        assert moved == ({"spade"} if stage == "spade" else set())
    assert (loaded.unet is not None) == (stage == "diffusion")


def test_the_code_book_learns_under_our_preset_and_not_under_the_authors(cases, tmp_path):
    torch.manual_seed(0)
    start = FirstStage(TINY).quantize.embedding.weight.detach().clone()
    for name, losses in PRESETS.items():
        train(plan("autoencoder", losses=losses), cases, None, tmp_path / name, CPU, quiet)
        made = load_networks(read_checkpoint_folder(tmp_path / name)).first_stage
        change = float((made.quantize.embedding.weight - start).abs().max())
        assert (change > 1e-3) == (name == "mrimpute"), name


def test_the_discriminator_takes_part_from_its_start_step_on(cases, tmp_path):
    seen = []
    losses = Losses(adversarial=0.1, start=0.5)
    train(
        plan("autoencoder", losses=losses), cases, None, tmp_path, CPU, lambda _step, figures: seen.append(figures), 2
    )
    assert "judge" not in seen[0]
    assert {"judge", "adversarial"} <= set(seen[1])


@pytest.mark.parametrize(("stage", "name"), [("autoencoder", "l1"), ("spade", "latent"), ("diffusion", "noise")])
def test_the_losses_fall(cases, tmp_path, stage, name):
    seen = []
    longer = plan(stage, steps=60, learning_rate=3e-3, losses=Losses(adversarial=0, image=0, cycle=0))
    train(longer, cases, before(stage, tmp_path), tmp_path, CPU, lambda _step, figures: seen.append(figures), 20)
    assert seen[-1][name] < 0.97 * seen[0][name]
