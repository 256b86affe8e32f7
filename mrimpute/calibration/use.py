"""Where a calibration, or the package's own regressions on every source, hold: which networks, which contrasts."""

from collections.abc import Collection
from dataclasses import replace

from mrimpute.calibration.curve import NetworkRun
from mrimpute.calibration.folder import builtin_site
from mrimpute.calibration.gram import PLAIN, RICH, SHARP, Kinds, split, widened
from mrimpute.calibration.screen import MAX_SPACING_RATIO, sorted_spacing, spacing_ratio, words_of
from mrimpute.calibration.site import FRAME, Curve, Regressor, Site
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import StudyRefused, UsageError, WeightsUnavailable
from mrimpute.generators.contract import Sampling
from mrimpute.generators.records import has_regression
from mrimpute.prepare.sources import Sources
from mrimpute.registry import Checkpoint, InputSpec

Correction = Regressor | Curve | None
"""What a network is blended with, or what its result goes through; None for the network as it is."""

SHARP_FROM = {
    Contrast.T1: ((Contrast.T1C,), (Contrast.T2,), (Contrast.T1C, Contrast.T2)),
    Contrast.T1C: ((Contrast.FLAIR,),),
    Contrast.T2: ((Contrast.FLAIR,),),
}
"""Target → sources of which the package's regressions for any scanner know the standard deviations too (see
`Gram.evened`): those with which no left-out patient and no left-out scanner lost (3 patients, and without t1c 3 of
another scanner, in the head and inside its mask). A t1 of T2 gained 0.9 to 2.8 dB."""


def check_use(
    site: Site, checkpoint: Checkpoint, sampling: Sampling | None, target: Contrast, sources: Collection[Contrast]
) -> None:
    """Check that a calibration says something of a checkpoint.

    Args:
        site: the calibration.
        checkpoint, sampling: the network and how it is sampled; None where the checkpoint is not here yet.
        target, sources: what it makes of what.

    Raises:
        UsageError: its regression sees other grey values or voxels than calibrations.
        WeightsUnavailable: it has no regression, and the calibration no curve for it.
    """
    if has_regression(checkpoint):
        if not has_frame(checkpoint.record.inputs):
            raise UsageError(
                f"--calibration: {checkpoint.name} sees other voxels or grey values than the calibration {site.name}",
                "use --weights builtin, or leave the calibration out",
            )
    elif sampling is not None and network_run(checkpoint, sampling, target, sources) not in site.network_runs:
        raise _no_curve(site, checkpoint, sampling, target, sources)


def network_run(
    checkpoint: Checkpoint, sampling: Sampling, target: Contrast, sources: Collection[Contrast]
) -> NetworkRun:
    """Return what a curve belongs to: a network, how it is sampled, and what it makes of what.

    Raises:
        WeightsUnavailable: its file is not there, or is not the one that its record names.
    """
    taken = tuple(contrast for contrast in checkpoint.record.sources if contrast in sources)
    return NetworkRun(checkpoint.sha256, sampling.sampler, sampling.steps, target, taken)


def _no_curve(
    site: Site, checkpoint: Checkpoint, sampling: Sampling, target: Contrast, sources: Collection[Contrast]
) -> WeightsUnavailable:
    """Return the error for a network that a calibration says nothing of, with the line that mends it."""
    sampled = f"{sampling.sampler}, {sampling.steps} steps" if sampling.steps else sampling.sampler
    return WeightsUnavailable(
        f"the calibration {site.name} has no curve for {target} from {', '.join(sources)} by {checkpoint.name} "
        f"({sampled}), a network without a regression",
        f"learn one: mrimpute calibrate STUDY… --missing {target} --weights {checkpoint.name}, sampled alike; or leave "
        "the calibration out",
    )


def regressed_beside(
    checkpoint: Checkpoint,
    sources: Collection[Contrast],
    target: Contrast,
    present: Collection[Contrast],
    calibrated: bool,
) -> tuple[Contrast, ...]:
    """Return the present contrasts that a checkpoint's regression takes beside its sources.

    That needs coefficients for them: a calibration's, or those of the studies that the built-in networks saw.
    """
    if not (takes_package(checkpoint) or (calibrated and has_regression(checkpoint))):
        return ()
    return tuple(contrast for contrast in BRATS_FOUR if contrast in present and contrast not in {*sources, target})


def correction_of(
    site: Site | None, checkpoint: Checkpoint, sampling: Sampling, target: Contrast, sources: Sources, masked: bool
) -> Correction:
    """Return the regression to blend a network with, or the curve for one without.

    Args:
        site: the calibration; None for none.
        checkpoint, sampling: the network, and how it is sampled.
        target: what is made.
        sources: of the study, and what a regression takes beside them.
        masked: whether a brain mask is applied to them.

    Raises:
        UsageError, WeightsUnavailable: see `check_use`.
        StudyRefused: the calibration says nothing of the target, or is of other heads.
    """
    present = _ordered(sources.everything)
    if site is None:
        more = sources.beside or (takes_package(checkpoint) and _kinds(target, present) != PLAIN)
        return steadied(target, present, sources.digests) if more else None
    check_use(site, checkpoint, sampling, target, sources.volumes)
    _check_heads(site, sources, masked)
    warnings = _protocol_warnings(site, checkpoint, sources)
    if has_regression(checkpoint):
        return replace(site.regressor(target, present, sources.digests), warnings=warnings)
    curve = site.curve(network_run(checkpoint, sampling, target, sources.volumes), sources.digests)
    if curve is None:
        raise StudyRefused(
            f"the calibration {site.name} has no other study that {checkpoint.name} was run on",
            "calibrate with another study, or leave the calibration out",
        )
    return replace(curve, warnings=warnings)


def placed_regressor(target: Contrast, sources: Sources, place: str) -> Regressor:
    """Return the package's regression for a study whose scanner is that of some training studies.

    Args:
        target: what is made.
        sources: of the study, and what a regression takes beside them.
        place: where those training studies were scanned.
    """
    present = _ordered(sources.everything)
    found = builtin_site().regressor(target, present, sources.digests, place, _kinds(target, present, placed=True))
    return replace(found, calibration="", figure=None)


def takes_package(checkpoint: Checkpoint) -> bool:
    """Tell whether a network is blended with regressions on the studies that the built-in networks saw."""
    return has_regression(checkpoint) and checkpoint.record.origin == "builtin"


def steadied(target: Contrast, present: Collection[Contrast], digests: Collection[str]) -> Regressor:
    """Return the package's regression for any scanner: the one on all sources with those on one each; see
    `apply.settled`.

    Args:
        target, present, digests: as for `Site.regressor`.

    Raises:
        StudyRefused: no study that remains has the target beside one of them.
    """
    whole = _anywhere(target, present, digests)
    parts = [_anywhere(target, [source], digests) for source in whole.sources]
    rich = any(len(split(one.weights, one.sources)[0]) for one in (whole, *parts))
    weights, *singles = [
        widened(one.weights, one.sources, whole.sources, RICH if rich else PLAIN) for one in (whole, *parts)
    ]
    return replace(whole, weights=weights, singles=tuple(singles), calibration="", figure=None)


def _anywhere(target: Contrast, present: Collection[Contrast], digests: Collection[str]) -> Regressor:
    sources = _ordered(present)
    return builtin_site().evened.regressor(target, sources, digests, kinds=_kinds(target, sources))


def _kinds(target: Contrast, sources: tuple[Contrast, ...], placed: bool = False) -> Kinds:
    """Return which features of the sources the package's regression takes.

    Args:
        target, sources: what it makes of what.
        placed: whether the study's scanner is that of training studies. For a t1 it takes all of them there, as in a
            calibration. Finished, two patients left out gained 0.8 and 0.5 dB; a t2 and a flair would gain 0.1 to 0.4,
            but in the many lesions of one of them lose 0.5 and 1.2; a t1c would lose.
    """
    if placed:
        return RICH if target is Contrast.T1 else PLAIN
    return SHARP if sources in SHARP_FROM.get(target, ()) else PLAIN


def _ordered(contrasts: Collection[Contrast]) -> tuple[Contrast, ...]:
    return tuple(contrast for contrast in BRATS_FOUR if contrast in contrasts)


def _check_heads(site: Site, sources: Sources, masked: bool) -> None:
    """Check that heads with skull meet a calibration of heads with skull, and stripped ones one of stripped ones.

    Args:
        site: the calibration.
        sources: of a study.
        masked: whether a brain mask is applied to them.

    Raises:
        StudyRefused: they do not.
    """
    full = bool(sources.with_skull) and not masked
    if full and not site.with_skull:
        raise StudyRefused(
            f"{', '.join(sources.with_skull)}: not skull-stripped, and the calibration {site.name} is of stripped ones",
            "add --brain-mask FILE or --skull-strip, or leave the calibration out",
        )
    if site.with_skull and not full:
        raise StudyRefused(
            f"the study is skull-stripped, and the calibration {site.name} is of heads with skull",
            "calibrate with stripped studies, or leave the calibration out",
        )


def _protocol_warnings(site: Site, checkpoint: Checkpoint, sources: Sources) -> tuple[str, ...]:
    """Return what speaks against a calibration, or against its figures."""
    warnings = []
    for contrast, volume in sources.everything.items():
        sizes = [one.spacing_mm[contrast] for one in site.studies if contrast in one.spacing_mm]
        own = sorted_spacing(volume.grid.spacing)
        if sizes and all(spacing_ratio(own, size) >= MAX_SPACING_RATIO for size in sizes):
            warnings.append(
                f"{contrast} has voxels of {words_of(own)} mm, the studies of the calibration {site.name} "
                f"{words_of(sizes[0])} mm: another protocol, it seems"
            )
    if site.knows(checkpoint.record.trained_on_voxels or ()):
        warnings.append(
            f"{checkpoint.name} was trained on a study of the calibration {site.name}: expect less than its figures say"
        )
    return tuple(warnings)


def has_frame(inputs: InputSpec) -> bool:
    """Tell whether a network sees the voxel size and grey values of calibrations, in whatever box."""
    box = {key: getattr(FRAME, key) for key in ("orientation", "window", "slices", "multiple")}
    return inputs.model_copy(update=box) == FRAME
