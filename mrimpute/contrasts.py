"""The six contrasts (modalities) and every spelling of them, mapped once."""

from enum import StrEnum

from mrimpute.errors import UsageError


class Contrast(StrEnum):
    """What a series shows; the value is the name used everywhere in mrimpute."""

    T1 = "t1"
    T1C = "t1c"
    T2 = "t2"
    FLAIR = "flair"
    PD = "pd"
    CT = "ct"


LIMITS = {
    Contrast.T1C: "enhancement-not-known: no source of this t1c was acquired after a contrast agent, so where agent "
    "would enhance is not known and the image does not show it"
}
"""Target → the warning, with its code before the colon, that goes with every image made of it."""
BRATS_FOUR = (Contrast.T1, Contrast.T1C, Contrast.T2, Contrast.FLAIR)
"""The four contrasts of the BraTS challenges, in the order cWDM and BraTS list them."""

ALIASES: dict[str, Contrast] = {
    **dict.fromkeys(("t1", "t1w", "t1n", "t1pre", "t1native", "mprage", "3dt1"), Contrast.T1),
    **dict.fromkeys(
        ["t1c", "t1ce", "t1gd", "t1gad", "t1gado", "t1post", "t1km", "t1wks", "t1wce", "t1cw", "t1+c", "t1+gd", "ct1"],
        Contrast.T1C,
    ),
    **dict.fromkeys(("t1ks", "gado"), Contrast.T1C),
    **dict.fromkeys(("t2", "t2w", "3dt2"), Contrast.T2),
    **dict.fromkeys(("flair", "t2f", "t2flair", "fla", "fl", "3dflair"), Contrast.FLAIR),
    **dict.fromkeys(("pd", "pdw", "dp"), Contrast.PD),
    "ct": Contrast.CT,
}
"""Lower-case spelling → contrast: what users type and what file names say."""


def parse_contrast(text: str) -> Contrast:
    """Return the contrast that a user's word means, in any case and known spelling.

    Raises:
        UsageError: the word is not a known spelling.
    """
    key = text.strip().lower().replace("_", "").replace("-", "")
    if key not in ALIASES:
        known = ", ".join(Contrast)
        raise UsageError(f"unknown contrast {text!r}", f"use one of {known}")
    return ALIASES[key]
