"""weights.toml and checkpoint folders → Checkpoint records, and where their files lie.

A record carries all that decides a result: network size, frame of the inputs, sampling. No
torch here: the rooms under `generators/` turn a record into a network.
"""

import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from mrimpute.contrasts import Contrast
from mrimpute.errors import WeightsUnavailable

CHECKPOINT_TOML = "checkpoint.toml"
LOCK_FILE = "lock.json"
HUB_WORD = "hf://"
MODEL_FILE = "model.safetensors"
BUILTIN_FOLDER = Path(__file__).parent / "weights"

Spacing = Annotated[float, Field(gt=0)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Table(BaseModel):
    """A TOML table; a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSpec(_Table):
    """The frame that a checkpoint was trained in.

    Attributes:
        orientation: array axes, for instance 'LPS'.
        spacing_mm: voxel size, one number or one per axis.
        window: voxels of the box that the network sees; None for the box around the head.
        slices: of a network that works slice by slice along the third axis: the slices' width
            (first axis), and their least height. Then there is no window.
        multiple: every axis of the window (of slices: their height) is a multiple of this.
        clip_quantiles: quantiles of the whole volume that become 0 and 1.
        quantiles_of: 'window': quantiles of what the network sees, padding included, and values beyond
            them are kept (ALDM); 'volume': see above.
        clip_floor: least grey value that can become 0; None for the plain quantile.
        mean_to: instead of quantiles: 0 stays 0, and the volume's mean becomes this, by contrast.
        ranges: contrasts whose grey values have a meaning of their own (CT: Hounsfield units):
            the two values that become 0 and 1.
    """

    orientation: Annotated[str, StringConstraints(pattern="^[LRAPSI]{3}$")]
    spacing_mm: Spacing | tuple[Spacing, Spacing, Spacing]
    window: tuple[int, int, int] | None = None
    slices: tuple[int, int] | None = None
    multiple: int = Field(default=32, ge=1)
    clip_quantiles: tuple[float, float] | None = None
    quantiles_of: Literal["volume", "window"] = "volume"
    clip_floor: float | None = 0.0
    mean_to: dict[Contrast, float] = {}
    ranges: dict[Contrast, tuple[float, float]] = {}

    @model_validator(mode="after")
    def _complete(self) -> "InputSpec":
        if any(sum(letter in pair for letter in self.orientation) != 1 for pair in ("LR", "AP", "SI")):
            raise ValueError(f"orientation {self.orientation} names an axis twice")
        if self.window and self.slices:
            raise ValueError("window and slices exclude each other")
        if bool(self.clip_quantiles) == bool(self.mean_to):
            raise ValueError("either clip_quantiles or mean_to must be given")
        if self.quantiles_of == "window" and not self.clip_quantiles:
            raise ValueError("quantiles_of needs clip_quantiles")
        pairs = [*self.ranges.values(), *([self.clip_quantiles] if self.clip_quantiles else [])]
        if any(low >= high for low, high in pairs):
            raise ValueError("quantiles and ranges must rise")
        return self

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along each axis in mm."""
        return (self.spacing_mm,) * 3 if isinstance(self.spacing_mm, float) else self.spacing_mm


class SamplingSpec(_Table):
    """How a checkpoint is sampled.

    Attributes:
        ladder: name of the noise ladder it was trained on.
        timesteps: rungs of that ladder.
        predicts: what the network's output is.
        steps: steps of the default sampler.
        sampler: what a run takes without --sampler; None for the generator's usual. 'none': an ALDM without
            diffusion.
        shared_noise: of a network that works slice by slice: give every slice the same noise.
        output_floor: values of the result up to this become 0.
    """

    ladder: Literal["linear-beta", "variance-preserving", "root-linear"]
    timesteps: int = Field(ge=2)
    predicts: Literal["clean", "noise"]
    steps: int = Field(ge=1)
    sampler: Literal["none"] | None = None
    output_floor: float = Field(default=0.0, ge=0.0, lt=1.0)
    shared_noise: bool = False


class About(_Table):
    """What a clinician wants to know before using a checkpoint."""

    licence: str
    trained_on: str
    cite: str
    quality: str = "not measured by us"
    note: str = ""


class HubFile(_Table):
    """A file in a Hugging Face Hub repository."""

    repo: str
    revision: Annotated[str, StringConstraints(pattern="^([0-9a-f]{40}|unpinned)$")]
    file: str
    bytes: int | None = None
    sha256: Sha256 | None = None


class Record(_Table):
    """One table of weights.toml, or a checkpoint.toml.

    Attributes:
        generator: which room loads it.
        sources, target: contrasts in the network's channel order, and what it makes. Without a target:
            a network that makes any of them from any one other, in the order of its classes.
        origin: 'hub', 'builtin' (in the package), 'file' (published elsewhere, imported by the
            user), or 'trained' (a folder that `mrimpute train` wrote).
        first_choice: what `--weights auto` takes for its route.
        file, sha256: the safetensors file and its digest (of a folder: may be absent).
        where: for origin 'file', where its authors publish it.
        network: sizes, read by the generator's own room.
    """

    generator: Literal["cwdm", "aldm", "syndiff"]
    sources: tuple[Contrast, ...] = Field(min_length=1)
    target: Contrast | None = None
    origin: Literal["builtin", "hub", "file", "trained"]
    first_choice: bool = False
    file: str = MODEL_FILE
    sha256: Sha256 | None = None
    hub: HubFile | None = None
    where: str = ""
    network: dict[str, Any]
    inputs: InputSpec
    sampling: SamplingSpec
    about: About

    @model_validator(mode="after")
    def _complete(self) -> "Record":
        if self.origin == "builtin" and not self.sha256:
            raise ValueError("a builtin checkpoint needs its sha256")
        if self.origin == "hub" and not self.hub:
            raise ValueError("a hub checkpoint needs its hub table")
        if self.origin == "file" and not self.where:
            raise ValueError("a checkpoint of origin 'file' needs where it is published")
        if self.target in self.sources or len(set(self.sources)) < len(self.sources):
            raise ValueError("sources and target must all differ")
        if (self.target is None) != (self.generator == "aldm"):
            raise ValueError("aldm makes any of its sources and has no target; the others have one")
        if self.inputs.mean_to and not set(self.sources) <= self.inputs.mean_to.keys() | self.inputs.ranges.keys():
            raise ValueError("inputs.mean_to must name every source")
        return self

    @property
    def makes(self) -> str:
        """What it makes from what, in words."""
        sources = ", ".join(self.sources)
        return f"{self.target} from {sources}" if self.target else f"any of {sources} from any one other"

    @property
    def one_target(self) -> Contrast:
        """The target, of a network that makes one."""
        assert self.target is not None  # aldm alone has none
        return self.target

    def fits(self, generator: str, sources: tuple[Contrast, ...], target: Contrast) -> bool:
        """Tell whether it can do a job."""
        if self.generator != generator:
            return False
        if self.target is None:
            return len(sources) == 1 and {*sources, target} <= set(self.sources)
        return self.target is target and set(self.sources) == set(sources)


@dataclass(frozen=True)
class Checkpoint:
    """A record together with the place of its file.

    Attributes:
        name: of its table, or of its folder.
        record: what it is.
        path: the safetensors file, which may not be there yet.
    """

    name: str
    record: Record
    path: Path

    @cached_property
    def sha256(self) -> str:
        """Digest of the file.

        Raises:
            WeightsUnavailable: the file is absent, or is not the one that the record names.
        """
        try:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise WeightsUnavailable(
                f"checkpoint {self.name}: cannot read {self.path} ({error.strerror})", _LIST
            ) from error
        in_store = self.path.is_relative_to(home_folder())
        expected = self.record.sha256 or (read_lock().get(self.name, {}).get("model_sha256") if in_store else None)
        if expected and digest != expected:
            raise WeightsUnavailable(
                f"checkpoint {self.name}: {self.path} is damaged (its sha256 is not the recorded one)",
                "remove it and get it again",
            )
        return digest


_LIST = "see `mrimpute weights list`"


def read_lock() -> dict[str, dict[str, str]]:
    """Return what earlier pulls and imports recorded: checkpoint name → commit and digests.

    Raises:
        WeightsUnavailable: the lock file is damaged.
    """
    file = home_folder() / LOCK_FILE
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(f"cannot read {file}: {error}", "repair or remove it") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise WeightsUnavailable(f"{file} is not a lock file", "repair or remove it")
    return content


def home_folder() -> Path:
    """Return where checkpoints and locks are kept: MRIMPUTE_HOME, or the user's cache folder."""
    return Path(os.environ.get("MRIMPUTE_HOME") or platformdirs.user_cache_dir("mrimpute"))


@cache
def load_registry() -> dict[str, Checkpoint]:
    """Return every known checkpoint by name: the package's weights.toml, then the user's own.

    Raises:
        WeightsUnavailable: a table is not valid; the message names file, table and key.
    """
    packaged = BUILTIN_FOLDER.parent / "weights.toml"
    own = Path(platformdirs.user_config_dir("mrimpute")) / "weights.toml"
    beside = BUILTIN_FOLDER.parent.parent / "weights.toml"
    known: dict[str, Checkpoint] = {}
    for file in (packaged if packaged.is_file() else beside, own):
        if file is own and not file.is_file():
            continue
        for name, table in _read_toml(file).items():
            record = _validated(f"{file}, table [{name}]", table)
            known[name] = Checkpoint(name, record, _place(name, record))
    return known


def read_checkpoint_folder(folder: Path) -> Checkpoint:
    """Return the checkpoint in a folder that `mrimpute train` wrote.

    Raises:
        WeightsUnavailable: no valid checkpoint.toml, or no weights beside it.
    """
    file = folder / CHECKPOINT_TOML
    if not file.is_file():
        raise WeightsUnavailable(f"{folder} is no checkpoint folder (no {CHECKPOINT_TOML} in it)", _LIST)
    record = _validated(str(file), _read_toml(file))
    path = folder / record.file
    if path.resolve().parent != folder.resolve() or not path.is_file():
        raise WeightsUnavailable(f"{folder}: {record.file} is not there", "train or copy it again")
    return Checkpoint(folder.resolve().name, record, path)


def choose_checkpoint(word: str, generator: str, sources: tuple[Contrast, ...], target: Contrast) -> Checkpoint:
    """Return the checkpoint that the user's word means for one job.

    Args:
        word: 'auto' (the registry's first choice), 'builtin', a name, a checkpoint folder, or a
            Hub repository that was pulled before.
        generator, sources, target: the job.

    Raises:
        WeightsUnavailable: nothing fits, or it is for another job.
    """
    job = f"{target} from {', '.join(sources)} with {generator}"
    fitting = [c for c in load_registry().values() if c.record.fits(generator, sources, target)]
    if word == "auto":
        chosen = [c for c in fitting if c.record.first_choice]
    elif word == "builtin":
        chosen = [c for c in fitting if c.record.origin == "builtin"]
    elif word in load_registry():
        chosen = [load_registry()[word]]
    elif word.startswith(HUB_WORD):
        chosen = [read_checkpoint_folder(own_folder(word))]
    elif _is_folder(Path(word)):
        chosen = [read_checkpoint_folder(Path(word))]
    else:
        raise WeightsUnavailable(f"no checkpoint and no folder is called {word!r}", _LIST)
    if not chosen:
        raise WeightsUnavailable(f"no {word} checkpoint makes {job}", _way_out(generator, sources, target))
    checkpoint = chosen[0]
    if not checkpoint.record.fits(generator, sources, target):
        record = checkpoint.record
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name} makes {record.makes} with {record.generator}, not {job}", _LIST
        )
    return checkpoint


def _way_out(generator: str, sources: tuple[Contrast, ...], target: Contrast) -> str:
    """Return what to do where no checkpoint is known for a job."""
    fitting = [c for c in load_registry().values() if c.record.fits(generator, sources, target)]
    if any(c.record.origin == "builtin" for c in fitting):
        return "add --weights builtin for the small network inside the package, or train one"
    if generator != "syndiff" or fitting:
        return "train one with `mrimpute train`, or " + _LIST
    (source,) = sources
    line = f"mrimpute train syndiff STUDY… --source {source} --target {target} --out NET"
    return f"no public weights exist for it; train with `{line}`, then add --weights NET/{source}-to-{target}"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def own_folder(word: str) -> Path:
    """Return where a user's own Hub repository (hf://owner/repo[@revision]) is kept."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "--", word.removeprefix(HUB_WORD)).strip(".-")
    return home_folder() / "checkpoints" / f"hf--{safe}"


def _place(name: str, record: Record) -> Path:
    if record.origin == "builtin":
        return BUILTIN_FOLDER / record.file
    return home_folder() / "checkpoints" / name / MODEL_FILE


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(f"cannot read {file}: {error}", "repair or remove it") from error


def _validated(where: str, table: Any) -> Record:
    try:
        return Record.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "table"
        raise WeightsUnavailable(f"{where}: {key}: {first['msg']}", "correct the entry") from error
