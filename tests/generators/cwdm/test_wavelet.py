import numpy as np
import pytest
import pywt
import torch
from safetensors.torch import load_file

from mrimpute.generators.cwdm import _wavelet
from tests.conftest import GOLDENS

NAMES = ("LLL", "LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH")
LIMIT = 5e-6


def test_sub_bands_equal_the_authors():
    golden = load_file(GOLDENS / "cwdm" / "haar.safetensors")
    bands = _wavelet.dwt(golden["volume"])
    for channel, name in enumerate(NAMES):
        assert (bands[:, channel : channel + 1] - golden[f"dwt_{name}"]).abs().max() < LIMIT, name
    assert (_wavelet.pack(golden["volume"]) - golden["packed_from_volume"]).abs().max() < LIMIT
    assert (_wavelet.idwt(golden["coeffs"]) - golden["volume_from_coeffs_plain_idwt"]).abs().max() < LIMIT
    assert (_wavelet.unpack(golden["coeffs"]) - golden["volume_from_coeffs_unpack_times3"]).abs().max() < LIMIT


def test_sub_bands_equal_pywavelets():
    volume = np.random.default_rng(3).standard_normal((6, 10, 14)).astype(np.float32)
    bands = _wavelet.dwt(torch.from_numpy(volume)[None, None])
    expected = pywt.dwtn(volume, "haar", mode="periodization")
    for channel, name in enumerate(NAMES):
        key = name.replace("L", "a").replace("H", "d")
        np.testing.assert_allclose(bands[0, channel].numpy(), expected[key], atol=LIMIT)


def test_unpack_undoes_pack():
    volume = torch.randn(2, 1, 8, 12, 6, generator=torch.Generator().manual_seed(0))
    assert (_wavelet.unpack(_wavelet.pack(volume)) - volume).abs().max() < LIMIT


def test_an_odd_axis_is_refused():
    with pytest.raises(ValueError, match="even sizes"):
        _wavelet.dwt(torch.zeros(1, 1, 8, 7, 8))
