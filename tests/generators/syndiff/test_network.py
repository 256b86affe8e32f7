import pytest
import torch
from safetensors.torch import load_file

from mrimpute.diffusion.ladder import variance_preserving_ladder
from mrimpute.generators.blocks import lay_out
from mrimpute.generators.syndiff import layers, resampling
from mrimpute.generators.syndiff.network import DiffusiveGenerator, NetworkConfig
from mrimpute.generators.syndiff.training_networks import (
    DiffusiveDiscriminator,
    OneShotGenerator,
    PatchDiscriminator,
    _DownBlock,
    _TimeEmbedding,
)
from tests.generators.syndiff.conftest import STORED, check_weights, draw, image, read_json, set_weights


def gap(one, other):
    assert one.shape == other.shape
    return float((one - other).abs().max())


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("generator", lambda: DiffusiveGenerator(NetworkConfig())),
        ("discriminator", DiffusiveDiscriminator),
        ("resnet_generator", OneShotGenerator),
        ("patch_discriminator", PatchDiscriminator),
    ],
)
def test_official_networks_have_the_official_keys(name, make):
    official = read_json(f"state_dict_{name}")
    with torch.device("meta"):
        state = make().state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == {k: shape for k, shape, _ in official["entries"]}
    assert sum(value.numel() for value in state.values()) == official["parameter_count"]


@pytest.mark.parametrize("case", ["even", "odd", "one"])
def test_fir_resampling_equals_the_authors(case):
    golden = load_file(STORED / "fir.safetensors")
    x = golden[f"{case}.x"]
    assert gap(resampling.halve(x), golden[f"{case}.downsample_2d"]) < 5e-6
    assert gap(resampling.double(x), golden[f"{case}.upsample_2d"]) < 5e-6
    half = x.bfloat16()
    for laid in (half, half.contiguous(memory_format=torch.channels_last)):
        made = resampling.double(laid)
        assert made.dtype == torch.bfloat16
        assert gap(made.float(), resampling.double(half.float())) <= 2**-8 * half.abs().max()


def test_filter_and_convolution_in_one_equal_the_authors():
    golden = load_file(STORED / "fir.safetensors")
    weight, bias = golden["conv.weight"], golden["conv.bias"]
    with_bias = resampling.halve_by_convolution(golden["conv.x"], weight, bias)
    assert gap(with_bias, golden["conv.pyramid_downsample_module"]) < 5e-6
    without = resampling.halve_by_convolution(golden["conv.x"], weight, torch.zeros_like(bias))
    assert gap(without, golden["conv.conv_downsample_2d"]) < 5e-6


@torch.inference_mode()
def test_single_layers_equal_the_authors():
    golden = load_file(STORED / "layers.safetensors")
    x, temb, zemb = golden["x"], golden["temb"], golden["zemb"]
    blocks = {"same": (16, 16, ""), "change": (16, 32, ""), "down": (16, 16, "down"), "up": (16, 16, "up")}
    for name, (inputs, outputs, resample) in blocks.items():
        block = set_weights(layers.ResBlock(inputs, outputs, 64, 24, resample))
        assert gap(block(x, temb, zemb), golden[f"resblock_{name}.output"]) < 2e-5, name
    norm = set_weights(layers.AdaptiveNorm(16, 24))
    attention = set_weights(layers.Attention(16), gain=2.0)
    for prefix, value in (("", x), ("tiny_", golden["tiny_x"])):
        assert gap(norm(value, zemb), golden[f"adagn.{prefix}output"]) < 2e-5
        assert gap(attention(value), golden[f"attention.{prefix}output"]) < 2e-5
    mapping = set_weights(DiffusiveGenerator(NetworkConfig(32, 16, (1, 2), 1, latent_width=24))).z_transform
    set_weights(mapping)
    assert gap(mapping(golden["latent"]), golden["z_transform.output"]) < 2e-5
    assert gap(mapping(golden["latent_tiny"]), golden["z_transform.tiny_output"]) < 2e-5
    for width in (16, 33, 64):
        assert gap(layers.sinusoids(torch.arange(9), width), golden[f"time_embedding.dim{width}"]) < 2e-5
    assert gap(set_weights(_DownBlock(16, 32, 64))(x, temb), golden["disc_block.output"]) < 2e-5
    assert gap(set_weights(_TimeEmbedding(64))(torch.arange(9)), golden["disc_time_embedding.output"]) < 2e-5


def small(name, folder):
    config = read_json(name, folder)["config"]
    size, base, widths, blocks = (config[k] for k in ("image_size", "num_channels_dae", "ch_mult", "num_res_blocks"))
    return set_weights(
        DiffusiveGenerator(NetworkConfig(size, base, tuple(widths), blocks, latent_width=config["z_emb_dim"]))
    )


@torch.inference_mode()
def test_the_small_generators_equal_the_authors(goldens):
    for name in ("gen_small_a", "gen_small_b"):
        golden = load_file(goldens / f"{name}.safetensors")
        network = small(name, goldens)
        check_weights(network, read_json(name, goldens)["weights"])
        assert gap(network(golden["x"], golden["t"], golden["z"]), golden["output"]) < 1e-5
        assert gap(network.z_transform(golden["z"]), golden["zemb"]) < 1e-5
    golden = load_file(goldens / "gen_small_a.safetensors")
    network = small("gen_small_a", goldens)
    made = network(golden["nonsquare.x"], golden["t"][:1], golden["z"][:1])
    assert gap(made, golden["nonsquare.output"]) < 1e-5


@torch.inference_mode()
def test_the_stored_small_generator_equals_the_authors():
    golden = load_file(STORED / "gen_small_b.safetensors")
    assert gap(small("gen_small_b", STORED)(golden["x"], golden["t"], golden["z"]), golden["output"]) < 1e-5


@torch.inference_mode()
def test_a_laid_out_generator_stays_near_the_authors():
    golden, network = load_file(STORED / "gen_small_b.safetensors"), small("gen_small_b", STORED)
    lay_out(network, torch.device("cpu"), torch.float32)
    assert gap(network(golden["x"], golden["t"], golden["z"]), golden["output"]) < 1e-5
    lay_out(network, torch.device("cpu"), torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        made = [network(*item).float() for item in zip(*(golden[key].split(1) for key in "xtz"), strict=True)]
    assert (torch.cat(made) - golden["output"]).norm() < 0.02 * golden["output"].norm()


@torch.inference_mode()
def test_training_networks_equal_the_authors(goldens):
    golden, recorded = load_file(goldens / "nets.safetensors"), read_json("nets", goldens)
    resnet, patch = set_weights(OneShotGenerator()), set_weights(PatchDiscriminator())
    check_weights(resnet, recorded["resnet"]["weights"])
    assert gap(resnet(golden["resnet.x"]), golden["resnet.output"]) < 3e-5
    assert gap(patch(golden["patch.x"]), golden["patch.output"]) < 3e-5
    for name, judge in (("small", DiffusiveDiscriminator(8, 32)), ("official", DiffusiveDiscriminator())):
        set_weights(judge, gain=1.7)
        for batch in (1, 2, 4, 8):
            stem = f"disc_{name}.b{batch}"
            x, noisier = golden.get(f"{stem}.x"), golden.get(f"{stem}.x_t1")
            if x is None:
                x = image("nets.disc_official.x.8", (8, 1, 64, 64))
                noisier = image("nets.disc_official.xt.8", (8, 1, 64, 64))
            assert gap(judge(x, torch.arange(batch) % 4, noisier), golden[f"{stem}.output"]) < 3e-5, stem


@torch.inference_mode()
def test_the_official_generator_equals_the_authors(goldens):
    golden, recorded = load_file(goldens / "official_size.safetensors"), read_json("official_size", goldens)
    network = set_weights(DiffusiveGenerator(NetworkConfig()))
    check_weights(network, recorded["weights"])
    shape = (1, 1, 256, 256)
    x = torch.cat([draw("official.xt", shape), image("official.src", shape)], dim=1)
    made = network(x, torch.tensor([1]), draw("official.z", (1, 100)))
    assert gap(made, golden["forward.output"]) < 1e-5


def test_ladders_equal_the_authors():
    golden = load_file(STORED / "schedule.safetensors")
    for count in (1, 2, 4, 8):
        ladder = variance_preserving_ladder(count)
        tables = {
            "post_betas": ladder.betas,
            "alphas_cumprod": ladder.alphas_cumprod,
            "alphas_cumprod_prev": ladder.alphas_cumprod_prev,
            "posterior_variance": ladder.posterior_variance,
            "posterior_mean_coef1": ladder.posterior_mean_clean,
            "posterior_mean_coef2": ladder.posterior_mean_noisy,
        }
        for name, table in tables.items():
            torch.testing.assert_close(
                torch.from_numpy(table).float(),
                golden[f"T{count}.{name}"],
                rtol=1e-6,
                atol=1e-12,
                msg=f"{count} {name}",
            )


@pytest.mark.parametrize(
    "changes",
    [{"image_size": 100}, {"channel_mult": ()}, {"base_channels": 2}, {"res_blocks": 0}, {"timesteps": 0}],
)
def test_impossible_sizes_are_value_errors(changes):
    with pytest.raises(ValueError, match=r"must|multiple"):
        NetworkConfig(**changes)


def test_slices_of_another_width_are_refused():
    network = DiffusiveGenerator(NetworkConfig(32, 16, (1, 2), 1, latent_width=24))
    with pytest.raises(ValueError, match="32 pixels wide, not 48"):
        network(torch.zeros(1, 2, 32, 48), torch.tensor([0]), torch.zeros(1, 100))
