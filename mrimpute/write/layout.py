"""Complete cases under the names that a segmenter wants: acquired files copied, synthetic added."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mrimpute import io
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import StudyRefused, UsageError
from mrimpute.files import read_json
from mrimpute.study import Study
from mrimpute.study.folder import read_dataset_json
from mrimpute.study.names import SCHEMES, bids_naming

LAYOUTS = ("same", "brats21", "brats23", "bids", "nnunet:DATASET_JSON")
_SUFFIX = ".nii.gz"
_BIDS_WORDS = {Contrast.T1: "T1w", Contrast.T1C: "ce-gadolinium_T1w", Contrast.T2: "T2w", Contrast.FLAIR: "FLAIR"}


@dataclass(frozen=True)
class Layout:
    """Names of a complete case.

    Attributes:
        name: brats21, brats23, bids, bids-derivatives or nnunet.
        words: contrast → its word in a file name (nnunet: the channel, four digits).
        needs: contrasts that a complete case has, in the segmenter's order; () where no acquired file is copied.
        dataset_json: of nnU-Net; None for the others.
    """

    name: str
    words: Mapping[Contrast, str]
    needs: tuple[Contrast, ...]
    dataset_json: Path | None = None

    def image(self, study: Study, contrast: Contrast, out: Path, synthetic: bool) -> Path:
        """Return where an image of a case belongs."""
        word = self.words[contrast]
        if self.name == "nnunet":
            return out / f"{_safe(study.name)}_{word}{_SUFFIX}"
        if self.name in ("bids", DERIVATIVES.name):
            subject = _bids_subject(study)
            folders = [part for part in subject.split("_") if part.split("-")[0] in ("sub", "ses")]
            if synthetic:
                stem = bids_naming([subject]).stem(contrast)
                root = out if self.name == DERIVATIVES.name else out / "derivatives" / "mrimpute"
                return root.joinpath(*folders, "anat", f"{stem}{_SUFFIX}")
            return out.joinpath(*folders, "anat", f"{subject}_{word}{_SUFFIX}")
        joint = "_" if self.name == "brats21" else "-"
        return out / study.name / f"{study.name}{joint}{word}{_SUFFIX}"


DERIVATIVES = Layout("bids-derivatives", dict.fromkeys(Contrast, ""), ())
"""Synthetic images alone, in a BIDS derivatives data set of their own."""


def parse_layout(word: str) -> Layout | None:
    """Return the layout that a user's word means; None for 'same'.

    Raises:
        UsageError: an unknown word.
        StudyRefused: a dataset.json that cannot be used.
    """
    if word == "same":
        return None
    if word in ("brats21", "brats23"):
        words = next(scheme.words for scheme in SCHEMES if scheme.name == word)
        return Layout(word, words, BRATS_FOUR)
    if word == "bids":
        return Layout(word, _BIDS_WORDS, BRATS_FOUR)
    name, colon, file = word.partition(":")
    if name != "nnunet" or not colon or not file:
        raise UsageError(f"unknown layout {word!r}", f"use one of {', '.join(LAYOUTS)}")
    channels = read_dataset_json(Path(file))
    ending = read_json(Path(file)).get("file_ending", _SUFFIX)
    if ending != _SUFFIX:
        raise StudyRefused(f"{file} wants files that end in {ending}", f"mrimpute writes {_SUFFIX}")
    ordered = sorted(channels)
    if ordered != list(range(len(ordered))) or len(set(channels.values())) < len(channels):
        raise StudyRefused(f"{file}: its channels are not numbered 0, 1, … with a contrast each", "repair it")
    words = {contrast: f"{channel:04d}" for channel, contrast in channels.items()}
    return Layout("nnunet", words, tuple(channels[channel] for channel in ordered), Path(file))


def check_complete(study: Study, layout: Layout, targets: Sequence[Contrast]) -> None:
    """Check, before anything heavy, that the case will be complete and on one grid.

    Raises:
        StudyRefused: a contrast would still be missing, the series lie on different grids, or
            one is not NIfTI.
    """
    unknown = [target for target in targets if target not in layout.words]
    if unknown:
        raise StudyRefused(
            f"{study.folder}: the {layout.name} layout has no place for {', '.join(unknown)}",
            f"ask only for {', '.join(layout.needs)}",
        )
    absent = [contrast for contrast in layout.needs if contrast not in study.present and contrast not in targets]
    if absent:
        words = " ".join(f"--missing {contrast}" for contrast in layout.needs if contrast in (*absent, *targets))
        raise StudyRefused(f"{study.folder}: a {layout.name} case needs {', '.join(absent)} too", f"ask with {words}")
    used = [study.get(contrast) for contrast in layout.needs if contrast in study.present]
    for series in used:
        if not series.grid.same_as(used[0].grid):
            raise StudyRefused(
                f"{study.folder}: {used[0].path.name} and {series.path.name} lie on different grids, "
                f"which no {layout.name} case may",
                "resample the series onto one grid first, or use --layout same",
            )
        if io.split_suffix(series.path.name)[1].lower() not in io.NIFTI_SUFFIXES:
            raise StudyRefused(f"{series.path} is not NIfTI", f"convert it for a {layout.name} case")


def _bids_subject(study: Study) -> str:
    """Return the BIDS subject and session, sub-X[_ses-Y]: the study's own, or one made of its name."""
    if study.naming.scheme == "bids":
        return study.name
    return "sub-" + (re.sub(r"[^A-Za-z0-9]", "", study.name) or "01")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)
