"""One target before and after it is written, with all that must be told about it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.io.dicom.series import DicomSeries
from mrimpute.prepare import Prepared
from mrimpute.prepare.skull import BrainMask
from mrimpute.prepare.sources import Gathered
from mrimpute.registry import Checkpoint
from mrimpute.volume import FloatArray
from mrimpute.write import provenance
from mrimpute.write.place import Place
from mrimpute.write.provenance import Fingerprint

BLACK_LIMIT = 0.5


@dataclass(frozen=True)
class Check:
    """One figure measured on a written image, and the limit it should keep."""

    name: str
    value: float
    limit: float

    @property
    def ok(self) -> bool:
        """Whether the value keeps the limit."""
        return self.value <= self.limit


@dataclass(frozen=True)
class Output:
    """One synthetic image.

    Attributes:
        path: its NIfTI file, or the folder of its DICOM series.
        target: its contrast.
        skipped: whether it was there already, made by the same recipe.
        sha256: digest of the file.
        fingerprint: what decided its voxels.
        checkpoint: the weights.
        reference: contrast of the series whose grid it has (None where skipped).
        zero, one: grey values that the network's 0 and 1 became (None where skipped).
        checks: what was measured on the written image.
    """

    path: Path
    target: Contrast
    skipped: bool
    sha256: str
    fingerprint: Fingerprint
    checkpoint: Checkpoint
    reference: Contrast | None = None
    zero: float | None = None
    one: float | None = None
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Made:
    """One target as the network made it, with all that must be told about it.

    Attributes:
        target: its contrast.
        place: where it belongs.
        unit: (X, Y, Z) in [0, 1] on the reference's grid.
        ready: how the sources were prepared.
        gathered: the sources.
        series: the sources that are DICOM, by contrast.
        highest_number: highest series number beside the reference.
        mask: the brain mask that was used.
        fingerprint, checkpoint: what decided the voxels.
    """

    target: Contrast
    place: Place
    unit: FloatArray
    ready: Prepared
    gathered: Gathered
    series: dict[Contrast, DicomSeries]
    highest_number: int
    mask: BrainMask | None
    fingerprint: Fingerprint
    checkpoint: Checkpoint

    def sidecar(self, digest: str, zero: float, one: float) -> dict[str, object]:
        """Return the content of the JSON file beside it; `digest` is that of the image."""
        return provenance.sidecar(
            self.place.image.name,
            digest,
            self.fingerprint,
            self.checkpoint,
            self.gathered.volumes,
            self.gathered.alignments,
            self.gathered.onto,
            self.ready.recipe,
            (zero, one),
            self.ready.warnings,
            self.mask,
        )

    def output(self, digest: str, zero: float, one: float, checks: tuple[Check, ...]) -> Output:
        """Describe it as written."""
        reference = self.ready.recipe.reference
        return Output(
            self.place.image,
            self.target,
            False,
            digest,
            self.fingerprint,
            self.checkpoint,
            reference,
            zero,
            one,
            checks,
        )

    @property
    def black(self) -> Check:
        """How much of the head is black."""
        dark = float(np.mean(self.unit[self.ready.recipe.head] == 0))
        return Check("share of the head that is black", dark, BLACK_LIMIT)
