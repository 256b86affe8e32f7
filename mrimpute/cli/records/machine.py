"""What `weights` tells of a checkpoint, and `doctor` of the machine."""

from typing import Literal

from pydantic import Field

from mrimpute.cli.records.base import Record
from mrimpute.registry.record import About


class WeightsRecord(Record):
    """One checkpoint of `mrimpute weights list` and `show`; `bytes` is of the file here, else of the Hub's;
    `megabytes` is about that, also where the exact size is not known."""

    schema_name: Literal["mrimpute.weights/1"] = Field(default="mrimpute.weights/1", alias="schema")
    version: str
    name: str
    generator: str
    sources: list[str]
    target: str | None
    origin: str
    first_choice: bool
    available: bool
    path: str
    bytes: int | None
    megabytes: float | None
    sha256: str | None
    about: About


class DoctorRecord(Record):
    """What a question for help begins with."""

    schema_name: Literal["mrimpute.doctor/1"] = Field(default="mrimpute.doctor/1", alias="schema")
    mrimpute: str
    python: str
    system: str
    torch: str
    numpy: str
    nibabel: str
    simpleitk: str = Field(alias="SimpleITK")
    pydicom: str
    huggingface_hub: str = Field(alias="huggingface-hub")
    safetensors: str
    openvino: str | None
    cpus_allowed: int
    memory_available_gib: float | None
    cuda_devices: list[str]
    store: str
    store_writable: bool
    disk_free_gib: float
    checkpoints_here: list[str]
    hub: str
    hub_cache: str
    hub_offline: bool
    hub_token: bool
