"""What a report shows of a sidecar, read strictly; what older sidecars lack has its default."""

from pathlib import Path
from typing import Self

from pydantic import AliasChoices, BaseModel, Field, ValidationError, model_validator

from mrimpute.contrasts import Contrast
from mrimpute.errors import ImageDamaged
from mrimpute.marks import read_sidecar


class _Program(BaseModel):
    version: str = Field(alias="Version")


class _Source(BaseModel):
    contrast: Contrast
    sha256: str


class _Checkpoint(BaseModel):
    name: str
    generator: str
    origin: str
    sha256: str
    licence: str
    trained_on: str
    cite: str
    quality: str = ""


class _Fingerprint(BaseModel):
    sampler: str
    steps: int
    seed: int
    samples: int = 1
    precision: str
    device: str
    calibration: str = ""


class _Image(BaseModel):
    file: str
    sha256: str


class _Intensity(BaseModel):
    zero: float
    one: float

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.one > self.zero:
            raise ValueError("1 is no brighter than 0")
        return self


class _Grid(BaseModel):
    of: Contrast
    spacing_mm: tuple[float, float, float]


class Register(BaseModel):
    """How a source lay on the reference; `moved_by` is the motion in RAS mm where it was moved."""

    mean_mm: float
    largest_mm: float
    moved_by: list[list[float]] | None = None


class _Fit(BaseModel):
    scanner: str = ""
    naming_gap: float | None = None
    likelier_names: dict[Contrast, Contrast] = {}


class _Regression(BaseModel):
    studies: int


class _Mask(BaseModel):
    litres: float


class Record(BaseModel):
    """The part of a sidecar that is shown. File names are left out, for they may name a patient."""

    target: Contrast = Field(alias="Contrast")
    programs: list[_Program] = Field(alias="GeneratedBy", min_length=1)
    sources: list[_Source] = Field(validation_alias=AliasChoices("sources", "Sources"), min_length=1)
    kind: str = "image"
    checkpoint: _Checkpoint
    fingerprint: _Fingerprint
    image: _Image
    intensity: _Intensity
    grid: _Grid
    register_: dict[Contrast, Register | str] = Field(alias="register", default_factory=dict)
    brain_mask: _Mask | None = None
    fit: _Fit | None = None
    checked: bool = True
    regression: _Regression | None = None
    warnings: list[str] = []
    created: str = ""


def read_record(sidecar: Path) -> Record | None:
    """Read a sidecar of ours; None where there is none.

    Raises:
        ImageDamaged: it lacks what a report shows, or holds something else there.
    """
    content = read_sidecar(sidecar)
    if not content:
        return None
    try:
        return Record.model_validate(content)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ImageDamaged(f"{sidecar} is damaged: {place} is missing or wrong", "make the image again") from error
