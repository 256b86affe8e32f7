"""What `verify` tells of one image, and `bids … group` of all images of a data set."""

from typing import Literal

from pydantic import Field

from mrimpute.cli.records.base import Record

StatusWord = Literal["intact", "rewritten", "changed", "unchecked", "other-sources", "unmarked", "unreadable"]
"""What is found of an image, as `mrimpute.verify.Status` has it."""


class MakerRecord(Record):
    """What made an image, as far as it is told; the digest may be cut to 16 digits."""

    version: str
    target: str
    generator: str
    checkpoint: str
    checkpoint_sha256: str


class SourceRecord(Record):
    """One recorded source, and the given path whose digest is the same."""

    contrast: str
    file: str
    sha256: str
    found: str | None


class VerifyRecord(Record):
    """One image of `mrimpute verify`; `synthetic` is null where it cannot be read."""

    schema_name: Literal["mrimpute.verify/1"] = Field(default="mrimpute.verify/1", alias="schema")
    version: str
    path: str
    status: StatusWord
    exit: int
    synthetic: bool | None
    text: str
    marks: list[str]
    made_by: MakerRecord | None
    sidecar: str | None
    sha256: str | None
    recorded_sha256: str | None
    sources: list[SourceRecord]


class GroupImageRecord(Record):
    """One synthetic image of a session; `status` as in `mrimpute verify`."""

    participant: str
    session: str | None
    path: str
    status: StatusWord
    target: str
    generator: str
    checkpoint: str
    sha256: str | None


class GroupRecord(Record):
    """What `mrimpute bids IN OUT group` finds in OUT: numbers of images by target, checkpoint and status, and each;
    paths as given. In summary.json they are relative to OUT, and of IN there is the folder's name."""

    schema_name: Literal["mrimpute.bids-group/1"] = Field(default="mrimpute.bids-group/1", alias="schema")
    version: str
    exit: int
    data: str
    derivatives: str
    participants: int
    sessions: int
    sessions_with_images: int
    targets: dict[str, int]
    checkpoints: dict[str, int]
    statuses: dict[str, int]
    images: list[GroupImageRecord]
