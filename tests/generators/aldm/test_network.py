import hashlib
import json

import numpy as np
import pytest
import torch
from torch import nn

from mrimpute.diffusion.ladder import root_linear_ladder
from mrimpute.errors import UsageError
from mrimpute.generators.aldm import autoencoder
from mrimpute.generators.aldm.autoencoder import Downsample, FirstStage
from mrimpute.generators.aldm.config import AldmConfig
from mrimpute.generators.aldm.method import check_steps
from mrimpute.generators.aldm.sampling import ddim, ddim_schedule
from mrimpute.generators.aldm.unet import NoisePredictor
from mrimpute.generators.blocks import lay_out
from tests.conftest import GOLDENS


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def keys(network):
    return {key: list(value.shape) for key, value in network.state_dict().items()}


def test_the_default_networks_have_the_official_keys(shared):
    folder = shared / "reference" / "aldm"
    official = json.loads((folder / "state_dict_vqgan.json").read_text())["entries"]
    whole = json.loads((folder / "state_dict_ldm.json").read_text())["entries"]
    with torch.device("meta"):
        first, unet = keys(FirstStage(AldmConfig())), keys(NoisePredictor(AldmConfig()))
    assert first == {key: shape for key, shape, _ in official if not key.startswith("loss.")}
    prefix = "model.diffusion_model."
    assert unet == {key.removeprefix(prefix): shape for key, shape, _ in whole if key.startswith(prefix)}
    assert list(unet) == [key.removeprefix(prefix) for key, _, _ in whole if key.startswith(prefix)]


def test_networks_made_for_their_sizes_alone_draw_no_weights(monkeypatch):
    """PyTorch would import its compiler, to draw nothing."""
    monkeypatch.setattr(nn.init, "normal_", lambda *_given: pytest.fail("drawn"))
    with torch.device("meta"):
        networks = FirstStage(AldmConfig()), NoisePredictor(AldmConfig())
    assert all(parameter.is_meta for network in networks for parameter in network.parameters())


@pytest.mark.parametrize("size", [(16, 6, 4), (18, 5, 4), (19, 4, 7), (2, 2, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_laid_out_map_is_halved_some_planes_at_a_time(size, dtype):
    layer = Downsample(16)
    x = torch.randn(2, 16, *size).to(dtype)
    exact = layer.to(dtype)(x)
    lay_out(layer, torch.device("cpu"), dtype)
    made = layer(x.contiguous(memory_format=torch.channels_last_3d))
    assert made.shape == exact.shape
    assert made.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(made, exact)


def test_the_weights_are_those_of_the_rule(golden):
    for network, listed in ((golden.first_stage, "vqgan_weights"), (golden.unet, "unet_weights")):
        state = network.state_dict()
        assert len(state) == len(golden.manifest[listed])
        for key, shape, _, _, digest in golden.manifest[listed]:
            raw = state[key].numpy().astype("<f4").tobytes()
            assert (list(state[key].shape), hashlib.sha256(raw).hexdigest()[:16]) == (shape, digest), key


def test_the_autoencoder_equals_the_authors(golden):
    stage = golden.first_stage
    h = stage.encoder(golden["in_x_src"])
    golden.check("enc_h", h)
    latent = stage.quant_conv(h)
    golden.check("quant_conv_out", latent)
    quantised, indices, loss = stage.quantize(latent)
    golden.check("z_q", quantised)
    assert torch.equal(indices, golden["out_indices"])
    assert float(loss) == pytest.approx(float(golden["out_codebook_loss"][0]), abs=2e-7)
    golden.check("post_quant_out", stage.post_quant_conv(quantised))
    golden.check("dec_recon", stage.decode(quantised))
    golden.check("z_q_target", stage.encode(golden["in_x_src"].flip(2)))


def test_codes_are_found_in_slices_of_rows(golden, monkeypatch):
    rows = golden["out_quant_conv_out"].movedim(1, -1).reshape(-1, 4)
    monkeypatch.setattr(autoencoder, "ROWS", 7)
    assert torch.equal(golden.first_stage.quantize.nearest(rows), golden["out_indices"])


def test_spade_equals_the_authors(golden):
    latent = golden["out_z_q"]
    for target in golden.classes:
        made = golden.first_stage.spade(latent, [target])
        golden.check(f"spade_c{target}", made)
        golden.check(f"dec_spade_c{target}", golden.first_stage.decode(made))
    both = torch.cat([latent, latent.flip(2)])
    golden.check("spade_batch2", golden.first_stage.spade(both, golden.classes))


def test_the_noise_predictor_equals_the_authors(golden):
    first, _ = golden.classes
    single = torch.cat([golden["in_x_T"], golden["out_z_q"], golden[f"out_spade_c{first}"]], dim=1)
    golden.check("eps_single", golden.unet(single, golden["in_t1"], torch.tensor([first])))
    made = golden.unet(golden["out_unet_in_batch2"], golden["in_t2"], torch.tensor(golden.classes))
    golden.check("eps_batch2", made)


def test_every_block_has_the_authors_statistics(golden):
    target = golden.classes[0]
    seen = set()
    modules = dict(golden.first_stage.named_modules())
    modules |= {f"unet.{name}": module for name, module in golden.unet.named_modules()}

    def look(name):
        def hook(_module, _inputs, output):
            output = output[0] if isinstance(output, tuple) else output
            if name in golden.statistics and name not in seen:
                shape, mean, deviation = golden.statistics[name]
                seen.add(name)
                if name.endswith(("norm", "qkv", "proj_out")):  # of flattened voxels
                    output = output.flatten(2)
                assert list(output.flatten().shape) == [np.prod(shape)], name
                assert float(output.mean()) == pytest.approx(mean, abs=2e-5), name
                assert float(output.std(correction=0)) == pytest.approx(deviation, abs=2e-5), name

        return hook

    handles = [module.register_forward_hook(look(name)) for name, module in modules.items() if name]
    quantised = golden.first_stage.encode(golden["in_x_src"])
    moved = golden.first_stage.spade(quantised, [target])
    golden.first_stage.decode(moved)
    golden.unet(torch.cat([golden["in_x_T"], quantised, moved], 1), golden["in_t1"], torch.tensor([target]))
    for handle in handles:
        handle.remove()
    assert len(seen) > 0.7 * len(golden.statistics)


def test_trajectories_equal_the_authors(golden):
    target = golden.classes[0]
    quantised = golden.first_stage.encode(golden["in_x_src"])
    moved = golden.first_stage.spade(quantised, [target])

    def predict(state, timestep):
        x = torch.cat([state, quantised, moved], dim=1)
        return golden.unet(x, torch.tensor([timestep]), torch.tensor([target]))

    for name, steps, eta in golden.trajectories:
        noise = iter(golden["in_step_noise"])
        path = list(ddim(predict, golden["in_x_T"], ddim_schedule(steps, root_linear_ladder()), eta, noise))
        golden.check(f"{name}_x", torch.stack([state for state, _ in path]))
        golden.check(f"{name}_pred_x0", torch.stack([clean for _, clean in path]))
        golden.check(f"{name}_decoded", golden.first_stage.decode(path[-1][0]))


def test_the_schedule_equals_the_authors():
    with np.load(GOLDENS / "aldm" / "schedule.npz") as arrays:
        tables = dict(arrays)
    ladder = root_linear_ladder()
    np.testing.assert_allclose(ladder.betas, tables["betas_float64"], rtol=1e-12)
    np.testing.assert_allclose(ladder.alphas_cumprod, tables["alphas_cumprod"], rtol=1e-6)
    for steps in (1, 4, 5, 10, 20, 25, 50, 100, 200, 250, 500):
        made = ddim_schedule(steps, root_linear_ladder())
        assert list(made.timesteps[::-1]) == tables[f"ddim{steps}_timesteps"].tolist()
        np.testing.assert_allclose(made.levels[::-1], tables[f"ddim{steps}_alphas"], rtol=1e-6)
        np.testing.assert_allclose(made.before[::-1], tables[f"ddim{steps}_alphas_prev"], rtol=1e-6)


@pytest.mark.parametrize("steps", [0, -1, 3, 7, 9, 27, 36, 101, 251, 333, 501, 1000, 1001])
def test_step_counts_that_the_table_does_not_hold_are_refused(steps):
    with pytest.raises(UsageError, match="does not fit ALDM's table"):
        check_steps(steps)


@pytest.mark.parametrize(
    "changes",
    [{"groups": 7}, {"unet_channels": 48}, {"head_width": 24}, {"codes": 0}, {"channel_mult": ()}],
)
def test_impossible_sizes(changes):
    with pytest.raises(ValueError, match="must be"):
        AldmConfig(**changes)
