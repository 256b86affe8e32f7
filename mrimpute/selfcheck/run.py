"""The sources of one synthetic image looked at in the frame of calibrations, for the verdict on it."""

from collections.abc import Iterable

from mrimpute.calibration import Site, builtin_site
from mrimpute.calibration.present import Present
from mrimpute.prepare import Prepared
from mrimpute.registry import Checkpoint
from mrimpute.selfcheck.judge import Evidence
from mrimpute.selfcheck.ranges import package_is_measured, with_ranges
from mrimpute.write.verdict import Figure


def evidence_of(present: Present, checkpoint: Checkpoint, site: Site | None) -> Evidence:
    """Return what the sources of an image tell: each present contrast is predicted from the other present ones.

    Args:
        present: the sources.
        checkpoint: what makes the image.
        site: the calibration; None for the package's own regressions of the 45 terms.
    """
    known = site or builtin_site().plain
    if unlike := present.unlike(known):
        return Evidence(unjudged=unlike)
    figures = figures_in(present.framed, known, present.sources.digests)
    return Evidence(figures, unjudged=_unmeasured(figures, checkpoint, site))


def figures_in(seen: Prepared, site: Site, digests: Iterable[str]) -> tuple[Figure, ...]:
    """Return the self-check of series in the frame of calibrations, with the ranges of held-out studies."""
    from mrimpute.selfcheck.figures import figures_of, predicted

    own = list(digests)
    made = predicted(seen.images, seen.head, site, own)
    return tuple(with_ranges(one, site, own) for one in figures_of(seen.images, made, seen.head))


def _unmeasured(figures: tuple[Figure, ...], checkpoint: Checkpoint, site: Site | None) -> str:
    """Return why figures have no ranges to stand beside; '' where they have."""
    if checkpoint.record.origin != "builtin" or not (site or package_is_measured()):
        return f"no range was measured for the weights {checkpoint.name}"
    if not figures or not all(one.psnr_range for one in figures):
        return "fewer than two studies of the calibration hold these contrasts: no range" if site else "no range"
    return ""
