"""Checkpoint folders from somebody else: records and tensors that lie, hang, or are something else."""

import json
import os
import pickle
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from mrimpute.contrasts import Contrast
from tests.conftest import WIDE, write_study, write_tiny_weights
from tests.registry.test_hostile import LINES
from tests.reliability.corpus.case import Case

WORDS = ("fill", "{study}", "--missing", "flair", "--weights", "{beside}", "--device", "cpu")
MODEL, RECORD = "model.safetensors", "checkpoint.toml"


def line(folder: Path, old: str, new: str) -> None:
    file = folder / RECORD
    content = file.read_text()
    assert old in content, old
    file.write_text(content.replace(old, new, 1))


def value(folder: Path, key: str, new: str) -> None:
    """Give a key of the record another value."""
    file = folder / RECORD
    content, count = re.subn(rf"(?m)^{key} = .*(?:\n {{4}}.*)*(?:\n\])?$", f"{key} = {new}", file.read_text(), count=1)
    assert count, key
    file.write_text(content)


def tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    found = load_file(folder / MODEL)
    change(found)
    save_file(found, folder / MODEL)


def first_key(found: dict[str, torch.Tensor]) -> str:
    return sorted(found)[0]


def put(found: dict[str, torch.Tensor], make: Callable[[torch.Tensor], torch.Tensor]) -> None:
    key = first_key(found)
    found[key] = make(found[key]).contiguous()


def header(folder: Path, content: object, length: int | None = None, more: bytes = b"") -> None:
    text = json.dumps(content).encode() if not isinstance(content, bytes) else content
    size = len(text) if length is None else length
    (folder / MODEL).write_bytes(size.to_bytes(8, "little") + text + more)


def cut(folder: Path, length: int) -> None:
    os.truncate(folder / MODEL, length)


class _Bomb:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, ("touch /tmp/mrimpute-pickle-ran",)


def instead(folder: Path, name: str, make: Callable[[Path], object]) -> None:
    (folder / name).unlink()
    make(folder / name)


def contents(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


ENTRY = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
VALUES = {
    "no generator of ours": ("generator", '"../../evil"'),
    "a generator that is a module": ("generator", '"os"'),
    "a target that is none": ("target", '"adc"'),
    "steps below nothing": ("steps", "-1"),
    "no channels": ("base_channels", "0"),
    "no groups": ("groups", "0"),
    "a multiple of nothing": ("multiple", "0"),
    "voxels of nothing": ("spacing_mm", "0.0"),
    "voxels without end": ("spacing_mm", "inf"),
    "voxels NaN": ("spacing_mm", "nan"),
}
TENSORS: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "a tensor is missing": lambda found: found.pop(first_key(found)),
    "a tensor too many": lambda found: found.update(extra=torch.zeros(3)),
    "a tensor of another shape": partial(put, make=lambda one: torch.zeros(3, 1, 4)),
    "a NaN": partial(put, make=lambda one: torch.full_like(one, torch.nan)),
    "an infinity": partial(put, make=lambda one: torch.full_like(one, torch.inf)),
    "whole numbers": partial(put, make=lambda one: one.to(torch.int64)),
    "truth values": partial(put, make=lambda one: one.to(torch.bool)),
    "weights of 1e38": lambda found: [one.fill_(1e38) for one in found.values()],
    "no tensors": lambda found: found.clear(),
}
HEADERS = {
    "a header that ends nowhere": partial(header, content={"a": ENTRY}, length=2**40),
    "a header longer than the file": partial(header, content={"a": ENTRY}, length=10_000),
    "a header that is no JSON": partial(header, content=b"{" * 64),
    "tensors that overlap": partial(header, content={"a": ENTRY, "b": ENTRY}, more=bytes(32)),
    "a tensor beyond the file": partial(header, content={"a": ENTRY | {"data_offsets": [0, 10**12]}}, more=bytes(16)),
    "a tensor below nothing": partial(header, content={"a": ENTRY | {"shape": [-4]}}, more=bytes(16)),
    "a shape that overflows": partial(header, content={"a": ENTRY | {"shape": [2**62, 2**62]}}, more=bytes(16)),
    "200,000 tensors": partial(
        header, content={str(n): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(200_000)}
    ),
    **{f"cut at {length}": partial(cut, length=length) for length in (0, 7, 100)},
}
FILES = {
    "a pickle": (MODEL, contents(pickle.dumps(_Bomb()))),
    "a folder for weights": (MODEL, os.mkdir),
    "a pipe for weights": (MODEL, os.mkfifo),
    "a loop for weights": (MODEL, lambda path: path.symlink_to(path.name)),
    "no weights": (MODEL, lambda path: None),
    "no record": (RECORD, lambda path: None),
    "a folder for a record": (RECORD, os.mkdir),
    "a pipe for a record": (RECORD, os.mkfifo),
    "/dev/zero for a record": (RECORD, lambda path: path.symlink_to("/dev/zero")),
    "a record of 8 MB": (RECORD, contents(b"# " + b"x" * 2**23)),
    "a record that is no text": (RECORD, contents(bytes(range(256)))),
    "an empty record": (RECORD, contents(b"")),
}


def hostile() -> Iterator[Case]:
    """Yield a good study and weights that are hostile; each must end with 4, and no pickle may run."""
    for name, (old, new) in LINES.items():
        yield _case(name, partial(line, old=old, new=new))
    for name, (key, new) in VALUES.items():
        yield _case(name, partial(value, key=key, new=new))
    for name, change in TENSORS.items():
        yield _case(name, partial(tensors, change=change))
    for name, spoil in HEADERS.items():
        yield _case(name, spoil)
    for name, (file, make) in FILES.items():
        yield _case(name, partial(instead, name=file, make=make))


def _case(name: str, spoil: Callable[[Path], object]) -> Case:
    def build(study: Path) -> None:
        write_study(study, shape=(20, 24, 18), affine=WIDE)
        spoil(write_tiny_weights(study.parent / "beside", Contrast.FLAIR))

    return Case(name, build, (), (4,), WORDS)
