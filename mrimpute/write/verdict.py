"""What the checks make of a synthetic image: one word with its reasons, and the figures that it stands on.

The models are what sidecars and JSON lines hold; `mrimpute.selfcheck` decides which word it is.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mrimpute.contrasts import Contrast

Word = Literal["as expected", "look at it", "do not use", "not judged"]
AS_EXPECTED: Word = "as expected"
LOOK: Word = "look at it"
DO_NOT_USE: Word = "do not use"
NOT_JUDGED: Word = "not judged"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Model):
    """Lowest and highest value that held-out studies showed."""

    low: float
    high: float


class Figure(_Model):
    """How an acquired series looks when it is predicted from the others of its study; ranges are null where none was
    measured.

    PSNR (dB) and sharpness (gradient energy of the prediction over the acquired) are of voxels of 1 mm in the head,
    SSIM of voxels of 2 mm.
    """

    contrast: Contrast
    sources: tuple[Contrast, ...]
    psnr_db: float
    ssim: float
    sharpness: float
    studies: int = 0
    psnr_range: Range | None = None
    ssim_range: Range | None = None
    sharpness_range: Range | None = None

    @property
    def values(self) -> tuple[tuple[str, float, Range | None], ...]:
        """The three figures with their names and ranges."""
        return (
            ("PSNR", self.psnr_db, self.psnr_range),
            ("SSIM", self.ssim, self.ssim_range),
            ("sharpness", self.sharpness, self.sharpness_range),
        )


class Verdict(_Model):
    """One word, why, and the self-check's figures."""

    word: Word
    reasons: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()

    @property
    def text(self) -> str:
        """The word with its reasons, on one line."""
        return f"{self.word} ({'; '.join(self.reasons)})" if self.reasons else self.word


def recorded(sidecar: dict[str, Any]) -> Verdict:
    """Return the verdict that a sidecar holds; one that says so where it holds none."""
    try:
        return Verdict.model_validate(sidecar.get("verdict"))
    except ValidationError:
        return Verdict(word=NOT_JUDGED, reasons=("its sidecar holds no verdict; --overwrite makes and judges it anew",))
