"""What is told of one target: the image as made, what made it, and the file that came of it."""

from dataclasses import dataclass, field
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.device import threads_used
from mrimpute.files import content_sha256
from mrimpute.io.dicom.series import DicomSeries
from mrimpute.marks import read_sidecar
from mrimpute.prepare import Image
from mrimpute.prepare.skull import BrainMask
from mrimpute.prepare.sources import Sources
from mrimpute.registry import Checkpoint
from mrimpute.study.names import BIDS_MADE
from mrimpute.write import provenance
from mrimpute.write.place import Destination, Standing
from mrimpute.write.provenance import Fingerprint
from mrimpute.write.verdict import Verdict, recorded

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
    """One synthetic image that was written or found.

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
        threads: of the CPU that made it (None where skipped): more or fewer change its last digits.
        regression: what the network was blended with, in the sidecar's words; None for the regression in its own
            file or none, and where skipped.
        verdict: what the checks make of it; None where nothing was checked.
        notes: what the disk refused after the image had its place.
        checked: whether names and scanner were judged when it was made; not under --no-checks.
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
    threads: int | None = None
    regression: dict[str, object] | None = None
    verdict: Verdict | None = None
    notes: tuple[str, ...] = ()
    checked: bool = True

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the checks and the disk make one say."""
        failed = (f"{self.path}: {c.name} is {c.value:.3g}, over {c.limit:g}" for c in self.checks if not c.ok)
        return (*failed, *self.notes)


@dataclass(frozen=True)
class Result:
    """One target that is ready to be written.

    Attributes:
        image: what was made.
        destination: where it belongs.
        sources: what it was made from.
        dicom: the sources that are DICOM series, by contrast.
        highest_number: highest series number of the study.
        mask: the brain mask that was used.
        fingerprint, checkpoint: what decided the voxels.
        standing: what stands at the destination and may be replaced.
        kind: what the image is among several samples; 'image' where there are none.
        verdict: what the checks make of it; None where nothing was checked.
        checked: see `Output`.
    """

    image: Image
    destination: Destination
    sources: Sources
    dicom: dict[Contrast, DicomSeries]
    highest_number: int
    mask: BrainMask | None
    fingerprint: Fingerprint
    checkpoint: Checkpoint
    standing: Standing = field(default_factory=Standing)
    kind: str = "image"
    verdict: Verdict | None = None
    checked: bool = True

    def sidecar(self, digest: str, voxel_digest: str, zero: float, one: float) -> dict[str, object]:
        """Return the content of the JSON file beside it; the digests are those of the image's bytes and voxels."""
        content = provenance.sidecar(
            self.destination.image.name,
            digest,
            voxel_digest,
            self.fingerprint,
            self.checkpoint,
            self.sources.everything,
            self.sources.alignments,
            self.sources.onto,
            self.image.recipe,
            (zero, one),
            self.image.warnings,
            self.mask,
            threads_used(),
            self.image.regression,
            self.image.fit,
            self.kind,
            self.verdict,
            self.checked,
        )
        if f"_{BIDS_MADE}" not in self.destination.image.name:
            return content
        stripped = self.mask is not None or not self.sources.with_skull
        return provenance.bids_sidecar(content, self.sources.everything, stripped)

    def output(self, digest: str, zero: float, one: float, *checks: Check, notes: tuple[str, ...]) -> Output:
        """Return the description of the written image; `notes` is what the disk refused afterwards."""
        black = Check("share of the head that is black", self.image.black, BLACK_LIMIT)
        reference = self.image.recipe.reference
        return Output(
            self.destination.image,
            self.image.target,
            False,
            digest,
            self.fingerprint,
            self.checkpoint,
            reference,
            zero,
            one,
            (*checks, black),
            threads_used(),
            self.image.regression,
            self.verdict,
            notes,
            self.checked,
        )


def found(place: Destination, checkpoint: Checkpoint) -> Output:
    """Describe an image that was there already, made by the same recipe, which its sidecar tells."""
    sidecar = read_sidecar(place.sidecar)
    fingerprint = Fingerprint(**sidecar["fingerprint"])
    target, digest = Contrast(fingerprint.target), content_sha256(place.image)
    verdict, checked = recorded(sidecar), sidecar.get("checked", True)
    return Output(place.image, target, True, digest, fingerprint, checkpoint, verdict=verdict, checked=checked)
