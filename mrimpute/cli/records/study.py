"""What is told of a study: its series, what is no source, its settings, the plan."""

from mrimpute.cli.records.base import Record


class SeriesRecord(Record):
    """One identified series."""

    path: str
    modality: str
    confidence: float
    evidence: list[str]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    orientation: str


class InputRecord(SeriesRecord):
    """One series of a study that is filled."""

    sha256: str | None
    used: bool


class SetAsideRecord(Record):
    """One file that is no source."""

    path: str
    reason: str


class SettingsRecord(Record):
    """What the study's own mrimpute.toml chooses, where the user says nothing."""

    file: str
    weights: list[str]
    trusted: bool


class JobRecord(Record):
    """One planned target."""

    target: str
    generator: str
    sources: list[str]
    reason: str
