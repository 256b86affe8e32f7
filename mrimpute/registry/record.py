"""One table of weights.toml, or one checkpoint.toml, as a typed record: all that decides a result."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from mrimpute.contrasts import Contrast

MODEL_FILE = "model.safetensors"

Spacing = Annotated[float, Field(ge=0.1, le=20)]
Length = Annotated[int, Field(ge=1, le=1024)]
Quantile = Annotated[float, Field(ge=0, le=1)]
VoxelDigest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
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
        clip_quantiles: quantiles that become 0 and 1.
        quantiles_of: of what. 'volume': the whole, so that empty margin counts; 'head': the same for a volume of which
            the head fills a fixed share, so that it does not; 'window': what the network sees, padding included, and
            values beyond them are kept (ALDM).
        clip_floor: least grey value that can become 0; None for the plain quantile.
        mean_to: instead of quantiles: 0 stays 0, and the mean over the head becomes this, by contrast.
        ranges: contrasts whose grey values have a meaning of their own (CT: Hounsfield units):
            the two values that become 0 and 1.
    """

    orientation: Annotated[str, StringConstraints(pattern="^[LRAPSI]{3}$")]
    spacing_mm: Spacing | tuple[Spacing, Spacing, Spacing]
    window: tuple[Length, Length, Length] | None = None
    slices: tuple[Length, Length] | None = None
    multiple: int = Field(default=32, ge=1, le=512)
    clip_quantiles: tuple[Quantile, Quantile] | None = None
    quantiles_of: Literal["volume", "head", "window"] = "volume"
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
        if self.quantiles_of == "window" and (self.ranges or not self.clip_quantiles):
            raise ValueError("quantiles_of = 'window' needs clip_quantiles, and takes no ranges")
        if self.clip_floor and (self.quantiles_of == "window" or self.mean_to):
            raise ValueError("clip_floor goes with clip_quantiles of the volume or the head alone")
        if self.mean_to.keys() & self.ranges.keys():
            raise ValueError("mean_to and ranges name the same contrast")
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
    timesteps: int = Field(ge=2, le=100_000)
    predicts: Literal["clean", "noise"]
    steps: int = Field(ge=1, le=100_000)
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
    """A file in a Hugging Face Hub repository; `megabytes` is about what a pull fetches, where `bytes` is not known."""

    repo: str
    revision: Annotated[str, StringConstraints(pattern="^([0-9a-f]{40}|unpinned)$")]
    file: str
    bytes: int | None = Field(default=None, ge=1)
    megabytes: float | None = Field(default=None, gt=0)
    sha256: Sha256 | None = None


class Record(_Table):
    """One table of weights.toml, or a checkpoint.toml.

    Attributes:
        generator: which room of mrimpute.generators loads it; its method checks the rest.
        sources, target: contrasts in the network's channel order, and what it makes. Without a target:
            a network that makes any of them from any one other, in the order of its classes.
        origin: 'hub', 'builtin' (in the package), 'file' (published elsewhere, imported by the
            user), or 'trained' (a folder that `mrimpute train` wrote).
        first_choice: what `--weights auto` takes for its route.
        file, sha256: the safetensors file and its digest (of a folder: may be absent).
        where: for origin 'file', where its authors publish it.
        trained_on_voxels: digests of the images that it was trained on (`Volume.voxel_digest`); None where
            nobody knows.
        network: sizes, read by the generator's own room.
    """

    generator: Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]*$")]
    sources: tuple[Contrast, ...] = Field(min_length=1)
    target: Contrast | None = None
    origin: Literal["builtin", "hub", "file", "trained"]
    first_choice: bool = False
    file: str = MODEL_FILE
    sha256: Sha256 | None = None
    hub: HubFile | None = None
    where: str = ""
    trained_on_voxels: tuple[VoxelDigest, ...] | None = None
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
        if self.inputs.mean_to and not set(self.sources) <= self.inputs.mean_to.keys() | self.inputs.ranges.keys():
            raise ValueError("inputs.mean_to must name every source")
        return self

    @property
    def makes(self) -> str:
        """Which contrast it makes from which, in words."""
        sources = ", ".join(self.sources)
        return f"{self.target} from {sources}" if self.target else f"any of {sources} from any one other"

    @property
    def one_target(self) -> Contrast:
        """The target, of a network that makes one."""
        assert self.target is not None  # the generator's method checked it
        return self.target

    def fits(self, generator: str, sources: tuple[Contrast, ...], target: Contrast) -> bool:
        """Tell whether the checkpoint can do a job."""
        if self.generator != generator:
            return False
        if self.target is None:
            return len(sources) == 1 and {*sources, target} <= set(self.sources)
        return self.target is target and set(self.sources) == set(sources)
