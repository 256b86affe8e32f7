"""What is looked at, and what is found."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mrimpute.errors import ExitCode


class Status(StrEnum):
    """What became of an image since it was made; the words stand in the JSON records."""

    INTACT = "intact"
    REWRITTEN = "rewritten"
    CHANGED = "changed"
    UNCHECKED = "unchecked"
    OTHER_SOURCES = "other-sources"
    UNMARKED = "unmarked"
    UNREADABLE = "unreadable"

    @property
    def exit_code(self) -> ExitCode:
        """The exit code: 0 only for what was proven."""
        known = {
            Status.INTACT: ExitCode.DONE,
            Status.REWRITTEN: ExitCode.DONE,
            Status.UNMARKED: ExitCode.UNMET,
        }
        return known.get(self, ExitCode.REFUSED)


@dataclass(frozen=True)
class Maker:
    """What made an image, as far as its marks or its sidecar tell; '' for what they do not.

    Attributes:
        version: of mrimpute.
        target: contrast made.
        generator, checkpoint: method and name of the network.
        checkpoint_sha256: digest of the weights; of a DICOM series without sidecar its first 16 digits.
    """

    version: str = ""
    target: str = ""
    generator: str = ""
    checkpoint: str = ""
    checkpoint_sha256: str = ""


@dataclass(frozen=True)
class Candidate:
    """An image, or what stands where one is expected.

    Attributes:
        path: the NIfTI file, the folder of a DICOM series, or one of its files.
        files: whose bytes, in this order, are the image.
        sidecar: where its sidecar belongs; None where nothing tells.
        marks: fields that call it synthetic.
        maker: what they say made it; None where they do not name mrimpute.
        damage: why it cannot be read, '' where it can.
        note: what else should be said of it.
    """

    path: Path
    files: tuple[Path, ...] = ()
    sidecar: Path | None = None
    marks: tuple[str, ...] = ()
    maker: Maker | None = None
    damage: str = ""
    note: str = ""


@dataclass(frozen=True)
class Source:
    """A source that a sidecar records, and the given file or folder that has its digest."""

    contrast: str
    file: str
    sha256: str
    found: Path | None = None


@dataclass(frozen=True)
class Finding:
    """What is found of one image.

    Attributes:
        path: as in the candidate.
        status: intact, changed, …
        text: why, in words.
        marks: fields that call it synthetic.
        maker: what made it; None where nothing names mrimpute.
        sidecar: that was read; None where there is none.
        sha256, recorded: digest of the image as it is, and as its sidecar has it; '' for none.
        sources: as its sidecar records them.
    """

    path: Path
    status: Status
    text: str
    marks: tuple[str, ...] = ()
    maker: Maker | None = None
    sidecar: Path | None = None
    sha256: str = ""
    recorded: str = ""
    sources: tuple[Source, ...] = ()
