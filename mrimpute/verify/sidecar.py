"""A sidecar of ours, read strictly: what it lacks or misstates makes it damaged."""

from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, ValidationError

from mrimpute.errors import ImageDamaged
from mrimpute.files import read_json
from mrimpute.marks import SIDECAR_SCHEMA
from mrimpute.verify.model import Maker, Source

_Row = tuple[float, float, float, float]


class _Program(BaseModel):
    version: str = Field(alias="Version")


class _Source(BaseModel):
    contrast: str
    file: str
    sha256: str


class RecordedCheckpoint(BaseModel):
    """The network that made an image; of earlier versions without its origin."""

    name: str
    generator: str
    sha256: str
    origin: str = ""


class RecordedImage(BaseModel):
    """An image as its sidecar has it; of earlier versions without the digest of its voxels."""

    file: str
    sha256: str
    replaces: str | None = None
    voxels_sha256: str | None = None
    affine: tuple[_Row, _Row, _Row, _Row] | None = None


class Sidecar(BaseModel):
    """What a sidecar says that can be checked."""

    contrast: str = Field(alias="Contrast")
    generated_by: list[_Program] = Field(alias="GeneratedBy", min_length=1)
    listed: list[_Source] = Field(validation_alias=AliasChoices("sources", "Sources"))
    checkpoint: RecordedCheckpoint
    image: RecordedImage

    @property
    def maker(self) -> Maker:
        """What made the image."""
        network = self.checkpoint
        return Maker(self.generated_by[0].version, self.contrast, network.generator, network.name, network.sha256)

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it was made from."""
        return tuple(Source(item.contrast, item.file, item.sha256) for item in self.listed)

    def image_beside(self, path: Path) -> Path:
        """Return the image that a sidecar at a path describes; a name that leads elsewhere is not followed."""
        name = self.image.file
        return path.with_name(name) if Path(name).name == name and name not in ("", "..") else path


def read_beside(path: Path) -> dict[str, Any]:
    """Return the object in the JSON file beside an image; {} where there is no file, or something else in it.

    Raises:
        ImageDamaged: it cannot be read, is larger than a sidecar can be, or is no JSON.
    """
    try:
        return read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ImageDamaged(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ImageDamaged(f"cannot read {path}: no JSON") from error


def read_sidecar(path: Path) -> Sidecar | None:
    """Return a sidecar of ours; None where there is none, or one of another program.

    Raises:
        ImageDamaged: it cannot be read, or lacks what a sidecar of ours has.
    """
    content = read_beside(path)
    if content.get("schema") != SIDECAR_SCHEMA:
        return None
    try:
        return Sidecar.model_validate(content)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ImageDamaged(f"{path} is damaged: {place} is missing or wrong") from error
