"""The real Hub client against a server on loopback."""

import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mrimpute.contrasts import Contrast
from mrimpute.generators.cwdm.checkpoint import load_networks
from mrimpute.registry import Checkpoint, load_registry
from tests.conftest import GOLDENS, tree
from tests.processes import Forked
from tests.registry.hub_server import COMMIT, OTHER_COMMIT, Hub, serving

REPO = "someone/weights"
FLAIR = Contrast.FLAIR


def pickled(tensors) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


class Destination:
    """A user's folders, with a registry entry `tiny` of Hub origin, and the real command line."""

    def __init__(self, root: Path, weights: Path) -> None:
        self.root, self.home, self.weights = root, root / "home", weights
        self.state = pickled(load_file(weights / "model.safetensors"))
        config = root / "config" / "mrimpute"
        config.mkdir(parents=True)
        text = (weights / "checkpoint.toml").read_text().replace('origin = "trained"', 'origin = "hub"')
        top, *tables = text.split("\n[")
        hub = f'hub = {{ repo = "{REPO}", revision = "unpinned", file = "tiny.pt" }}'
        parts = [f"[tiny]\n{top}\n{hub}", *(f"tiny.{table}" for table in tables)]
        (config / "weights.toml").write_text("\n[".join(parts))
        self.hub = Hub()
        self.hub.add(REPO, "tiny.pt", self.state)

    def environment(self, **more: str) -> dict[str, str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("MRIMPUTE_", "HF_"))}
        return plain | {
            "MRIMPUTE_HOME": str(self.home),
            "MRIMPUTE_STATE": str(self.root / "state"),
            "HF_HOME": str(self.root / "hf"),
            "XDG_CONFIG_HOME": str(self.root / "config"),
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_HUB_DOWNLOAD_TIMEOUT": "1",
            "HF_HUB_ETAG_TIMEOUT": "1",
            "MRIMPUTE_THREADS": "1",
            **more,
        }

    def start(self, *words: object, **more: str) -> Forked:
        return Forked(words, self.environment(**more))

    def run(self, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
        return self.start(*words, **more).done()

    def run_from_nothing(self, *words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mrimpute", *map(str, words)]
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=120)

    @property
    def model(self) -> Path:
        return self.home / "checkpoints" / "tiny" / "model.safetensors"


@pytest.fixture
def place(tmp_path, tiny_weights):
    made = Destination(tmp_path, tiny_weights[FLAIR])
    with serving(made.hub):
        yield made


def refused(done, message, code=4):
    assert done.returncode == code, done.stderr
    assert message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if "fetching" not in line]) == 1, done.stderr
    assert done.stdout == ""


def test_a_pull_is_verified_converted_and_locked(place):
    done = place.run_from_nothing("weights", "pull", "tiny")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(place.model)
    assert "licence that of your data" in done.stderr
    want, have = load_file(place.weights / "model.safetensors"), load_file(place.model)
    assert all(torch.equal(want[key], have[key]) for key in want)
    assert all(REPO in request for request in place.hub.requests)  # no call of the client's own
    lock = json.loads((place.home / "lock.json").read_text())["tiny"]
    assert lock["commit"] == COMMIT
    assert lock["source_sha256"] == hashlib.sha256(place.state).hexdigest()
    assert lock["model_sha256"] == hashlib.sha256(place.model.read_bytes()).hexdigest()
    verified = place.run("weights", "verify", "tiny")
    assert verified.stdout == f"{lock['model_sha256']}  tiny\n"


def test_fill_fetches_what_it_needs_once_and_then_works_without_a_network(place, make_study):
    folder = make_study()
    done = place.run("fill", folder, "--weights", "tiny")
    assert done.returncode == 0, done.stderr
    assert "fetching tiny" in done.stderr
    before, asked = (folder / "case-t2f.nii.gz").read_bytes(), len(place.hub.requests)
    (folder / "case-t2f.nii.gz").unlink()
    again = place.run("fill", folder, "--weights", "tiny", HF_ENDPOINT="http://127.0.0.1:9")
    assert again.returncode == 0, again.stderr
    assert (folder / "case-t2f.nii.gz").read_bytes() == before
    assert len(place.hub.requests) == asked


def test_no_network_call_that_was_not_asked_for(place, make_study):
    folder = make_study()
    for words in (
        ["scan", folder],
        ["fill", folder, "--dry-run", "--weights", "tiny"],
        ["weights", "list"],
        ["fill", folder, "--weights", place.weights],
        ["fill", folder.with_name("absent"), "--weights", "tiny"],
    ):
        place.run(*words)
    assert place.hub.requests == []


def test_offline_the_hub_clients_own_cache_is_used(place):
    """As in a hospital into which somebody carried a Hugging Face cache."""
    script = f"from huggingface_hub import hf_hub_download; hf_hub_download({REPO!r}, 'tiny.pt')"
    subprocess.run([sys.executable, "-c", script], env=place.environment(), check=True, capture_output=True)
    asked = len(place.hub.requests)
    done = place.run("weights", "pull", "tiny", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert len(place.hub.requests) == asked
    assert json.loads((place.home / "lock.json").read_text())["tiny"]["commit"] == COMMIT
    shutil.rmtree(place.home)
    blob = next((place.root / "hf").rglob("tiny.pt")).resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    refused(place.run("weights", "pull", "tiny", HF_HUB_OFFLINE="1"), "sha256")


def test_a_missing_network_ends_with_the_lines_to_type(place, make_study):
    folder = make_study()
    before = tree(folder)
    done = place.run("fill", folder, "--weights", "tiny", HF_HUB_OFFLINE="1")
    refused(done, "mrimpute weights pull tiny")
    assert "mrimpute weights import tiny FILE" in done.stderr
    assert "--weights builtin" in done.stderr
    pulled = place.run("weights", "pull", "tiny", HF_ENDPOINT="http://127.0.0.1:9")
    refused(pulled, "cannot be fetched")
    assert "mrimpute weights import tiny FILE" in pulled.stderr
    assert tree(folder) == before
    assert not place.model.exists()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "absent or private"),
        (403, "absent or private"),
        (404, "absent or private"),
        (429, "the Hub refused"),
        (500, "the Hub refused"),
    ],
)
def test_a_hub_that_refuses_is_told_in_one_line(place, status, message):
    place.hub.status = status
    refused(place.run("weights", "pull", "tiny"), message)


def test_a_hub_that_stalls_is_left(place):
    place.hub.stall = 4
    refused(place.run("weights", "pull", "tiny"), "cannot be fetched")


def test_a_missing_file_and_a_missing_repository_are_told(place):
    place.hub.files.clear()
    place.hub.add(REPO, "other.pt", b"x")
    refused(place.run("weights", "pull", "tiny"), "holds no tiny.pt")
    place.hub.heads.clear()
    refused(place.run("weights", "pull", "tiny"), "absent or private")


def test_wrong_bytes_of_the_right_size_are_never_used_nor_kept(place):
    place.hub.corrupt = True
    refused(place.run("weights", "pull", "tiny"), "sha256")
    assert not place.model.exists()
    place.hub.corrupt = False
    assert place.run("weights", "pull", "tiny").returncode == 0


def test_a_cut_download_is_resumed(place):
    place.hub.cut_after = len(place.state) // 2
    done = place.run("weights", "pull", "tiny")
    if done.returncode:
        refused(done, "cannot be fetched")
        assert not place.model.exists()
        done = place.run("weights", "pull", "tiny")
    assert done.returncode == 0, done.stderr
    assert sum("GET" in request and "resolve" in request for request in place.hub.requests) == 2
    assert place.run("weights", "verify", "tiny").returncode == 0


def test_a_locked_checkpoint_is_never_replaced_by_another_revision(place):
    assert place.run("weights", "pull", "tiny").returncode == 0
    first = place.model.read_bytes()
    place.model.unlink()
    other = {key: value + 1 for key, value in load_file(place.weights / "model.safetensors").items()}
    place.hub.add(REPO, "tiny.pt", pickled(other), OTHER_COMMIT)
    again = place.run("weights", "pull", "tiny")
    assert again.returncode == 0, again.stderr
    assert place.model.read_bytes() == first  # the locked commit, not the new head

    place.model.unlink()
    shutil.rmtree(place.root / "hf")
    place.hub.files = {key: value for key, value in place.hub.files.items() if key[1] == OTHER_COMMIT}
    refused(place.run("weights", "pull", "tiny"), "no such revision any more")
    place.hub.add(REPO, "tiny.pt", pickled(other), COMMIT)
    refused(place.run("weights", "pull", "tiny"), "not the file that was recorded before")
    assert not place.model.exists()


def test_a_private_repository_needs_the_token(place):
    place.hub.token = "hf_secret"
    refused(place.run("weights", "pull", "tiny"), "set HF_TOKEN")
    done = place.run("weights", "pull", "tiny", HF_TOKEN="hf_secret")
    assert done.returncode == 0, done.stderr
    assert "hf_secret" not in done.stdout + done.stderr


def test_eight_processes_pull_one_file_at_once(place):
    patient = {"HF_HUB_DOWNLOAD_TIMEOUT": "30", "HF_HUB_ETAG_TIMEOUT": "30"}
    for process in [place.start("weights", "pull", "tiny", **patient) for _ in range(8)]:
        done = process.done()
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(place.model)
    assert sorted(path.name for path in place.model.parent.iterdir()) == ["model.safetensors"]
    assert sum(request.startswith("GET") and "resolve" in request for request in place.hub.requests) == 1


def test_a_users_own_repository_works(place, make_study):
    own = "lab/own-net"
    for name in ("model.safetensors", "checkpoint.toml"):
        place.hub.add(own, name, (place.weights / name).read_bytes())
    folder = make_study()
    done = place.run("fill", folder, "--weights", f"hf://{own}@main")
    assert done.returncode == 0, done.stderr
    (folder / "case-t2f.nii.gz").unlink()
    again = place.run("fill", folder, "--weights", f"hf://{own}@main", HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    refused(place.run("weights", "pull", "hf://lab/absent"), "absent or private")
    refused(place.run("weights", "pull", "hf://not a repository"), "hf://owner/repo")
    kept = next((place.home / "checkpoints").glob("hf--*")) / "model.safetensors"
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    refused(place.run("weights", "pull", f"hf://{own}@main"), "is damaged")


def test_a_file_fetched_by_hand_is_imported_strictly(place, tmp_path):
    file = tmp_path / "tiny.pt"
    file.write_bytes(place.state)
    done = place.run("weights", "import", "tiny", file)
    assert done.returncode == 0, done.stderr
    assert place.hub.requests == []
    assert json.loads((place.home / "lock.json").read_text())["tiny"]["file"] == "tiny.pt"
    assert place.run("weights", "path", "tiny").stdout.strip() == str(place.model)
    place.model.write_bytes(place.model.read_bytes()[:-1] + b"x")
    refused(place.run("weights", "verify", "tiny"), "damaged")


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/mrimpute-evil-was-here",)


def _bad_files(weights):
    state = load_file(weights / "model.safetensors")
    bias = torch.ones(8)
    return {
        "code": (pickle.dumps(Evil()), "cannot be read safely"),
        "code in torch's format": (pickled({"a": Evil()}), "cannot be read safely"),
        "junk": (b"junk", "cannot be read safely"),
        "empty": (b"", "cannot be read safely"),
        "not tensors": (pickled({"a": 1}), "holds no state dict"),
        "a list": (pickled([1]), "holds no state dict"),
        "missing key": (pickled(dict(list(state.items())[1:])), "is missing"),
        "unknown key": (pickled(state | {"extra": torch.zeros(1)}), "is unknown"),
        "wrong shape": (pickled(state | {"out.2.bias": torch.zeros(9)}), "has shape"),
        "not finite": (pickled(state | {"out.2.bias": torch.full((8,), torch.inf)}), "not finite"),
        "too large": (pickled(state | {"out.2.bias": torch.full((8,), 1e300, dtype=torch.float64)}), "not finite"),
        "quantized": (
            pickled(state | {"out.2.bias": torch.quantize_per_tensor(bias, 0.1, 0, torch.qint8)}),
            "no plain",
        ),
        "sparse": (pickled(state | {"out.2.bias": bias.to_sparse()}), "no plain"),
        "nowhere": (pickled(state | {"out.2.bias": bias.to("meta")}), "no plain"),
        "whole numbers": (pickled(state | {"out.2.bias": bias.long()}), "no plain"),
        "truths": (pickled(state | {"out.2.bias": bias.bool()}), "no plain"),
        "complex": (pickled(state | {"out.2.bias": bias.cfloat()}), "no plain"),
        "numbers as keys": (pickled({1: bias}), "holds no state dict"),
        "pairs as keys": (pickled({("out", 2): bias}), "holds no state dict"),
    }


@pytest.mark.filterwarnings("ignore:.*quantize")
def test_a_file_that_is_not_this_networks_is_refused_and_runs_no_code(place, cli, tmp_path):
    def importing(name, file):
        return cli("weights", "import", name, file, env=place.environment())

    evil = Path("/tmp/mrimpute-evil-was-here")
    evil.unlink(missing_ok=True)
    for name, (content, message) in _bad_files(place.weights).items():
        file = tmp_path / "bad.pt"
        file.write_bytes(content)
        refused(importing("tiny", file), message)
        assert not place.model.exists(), name
    assert not evil.exists()
    refused(importing("nonsense", tmp_path / "bad.pt"), "no checkpoint is called", 2)
    refused(importing("cwdm-t1-small", tmp_path / "bad.pt"), "built in")
    refused(importing("tiny", tmp_path / "absent.pt"), "no such file")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_lightning_wraps_or_two_keys_share_is_imported(place, tmp_path):
    """Before, 'state_dict' around the tensors was taken for one generator only, and shared memory was a bug."""
    state = load_file(place.weights / "model.safetensors")
    one = torch.ones(16)
    shared = {key: one[:8] if key == "out.2.bias" else tensor for key, tensor in state.items()}
    shared["out.0.bias"] = one[: state["out.0.bias"].numel()] if "out.0.bias" in state else None
    shared = {key: tensor for key, tensor in shared.items() if tensor is not None}
    (tmp_path / "tiny.ckpt").write_bytes(pickled({"state_dict": shared, "epoch": 3}))
    done = place.run("weights", "import", "tiny", tmp_path / "tiny.ckpt")
    assert done.returncode == 0, done.stderr
    assert torch.equal(load_file(place.model)["out.2.bias"], torch.ones(8))


def test_the_authors_format_at_full_size_gives_the_golden_output(place):
    """A state dict with the official keys, in the authors' pickle format, through the whole way."""
    from collections import OrderedDict

    entries = json.loads((GOLDENS / "cwdm" / "state_dict.json").read_text())["entries"]
    draw = np.random.default_rng(77001)
    state = OrderedDict()
    for key, shape, _ in entries:
        z = draw.standard_normal(shape)
        scaled = (
            0.1 * z if key.endswith(".bias") else 1 + 0.2 * z if len(shape) == 1 else z / np.sqrt(np.prod(shape[1:]))
        )
        state[key] = torch.from_numpy(scaled.astype(np.float32))
    place.hub.add("pfriedri/cwdm", "flair_gen.pt", pickled(state))
    place.hub.cut_after = 200_000_000
    done = place.run("weights", "pull", "cwdm-flair", HF_HUB_DOWNLOAD_TIMEOUT="30")
    assert done.returncode == 0, done.stderr
    assert "326 MB, licence MIT" in done.stderr
    assert any("bytes=" in request for request in place.hub.requests)  # went on where it was cut
    path = Path(done.stdout.strip())
    network = load_networks(Checkpoint("cwdm-flair", load_registry()["cwdm-flair"].record, path))
    x = np.random.default_rng(77002).standard_normal((1, 32, 32, 48, 16)).astype(np.float32)
    with torch.inference_mode():
        output = network.unet(torch.from_numpy(x), torch.tensor([321]))
    golden = load_file(GOLDENS / "cwdm" / "unet_official_output.safetensors")["output"]
    assert (output - golden).abs().max() < 3e-5
