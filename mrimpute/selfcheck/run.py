"""One synthetic image judged: its sources looked at in the frame of calibrations, and the verdict."""

from collections.abc import Iterable

from mrimpute.calibration import Site, builtin_site
from mrimpute.calibration.naming import in_frame
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.prepare import Image, Prepared
from mrimpute.prepare.register import MIN_LITRES
from mrimpute.prepare.skull import BrainMask
from mrimpute.prepare.sources import Sources
from mrimpute.registry import Checkpoint
from mrimpute.selfcheck.judge import MIN_SERIES, Evidence, judge
from mrimpute.selfcheck.ranges import package_is_measured, with_ranges
from mrimpute.write.verdict import Figure, Verdict


def judged(
    image: Image, ready: Prepared, sources: Sources, checkpoint: Checkpoint, site: Site | None, mask: BrainMask | None
) -> Verdict:
    """Judge a synthetic image by its sources: each present contrast predicted from the other present ones.

    Args:
        image: what was made.
        ready: its sources in the network's frame.
        sources: of the study, and what a regression takes beside them.
        checkpoint: what made it.
        site: the calibration; None for the package's own regressions.
        mask: where the brain is; None for the images as they are.
    """
    known = site or builtin_site()
    present = [one for one in sources.everything if one in BRATS_FOUR]
    unjudged = _unlike(present, ready, sources, known, mask)
    figures: tuple[Figure, ...] = ()
    if not unjudged:
        seen = in_frame(ready, sources, mask, checkpoint.record.inputs)
        figures = figures_in(seen, known, [volume.voxel_digest for volume in sources.everything.values()])
        unjudged = _unmeasured(figures, checkpoint, site)
    return judge(Evidence(figures, image.fit, image.black, unjudged))


def figures_in(seen: Prepared, site: Site, digests: Iterable[str]) -> tuple[Figure, ...]:
    """Return the self-check of series in the frame of calibrations, with the ranges of held-out studies."""
    from mrimpute.selfcheck.figures import figures_of, predicted

    made = predicted(seen.images, seen.head, site, list(digests))
    return tuple(with_ranges(one, site) for one in figures_of(seen.images, made, seen.head))


def _unlike(present: list[Contrast], ready: Prepared, sources: Sources, known: Site, mask: BrainMask | None) -> str:
    """Return why a study cannot be compared with the studies that were learnt from; '' where it can."""
    if len(present) < MIN_SERIES:
        return f"{len(present)} series: it takes {MIN_SERIES} to predict each from the others"
    if (bool(sources.with_skull) and mask is None) != known.with_skull:
        return "the head has skull and those that were learnt from have not, or the other way round"
    litres = ready.recipe.grid.litres(ready.recipe.head)
    return f"the head has {litres:.2f} litres, less than {MIN_LITRES}" if litres < MIN_LITRES else ""


def _unmeasured(figures: tuple[Figure, ...], checkpoint: Checkpoint, site: Site | None) -> str:
    """Return why figures have no ranges to stand beside; '' where they have."""
    if checkpoint.record.origin != "builtin" or not (site or package_is_measured()):
        return f"no range was measured for the weights {checkpoint.name}"
    if not figures or not all(one.psnr_range for one in figures):
        return "fewer than two studies of the calibration hold these contrasts: no range" if site else "no range"
    return ""
