"""Do three or more series fit their names, and is their scanner known? Each is predicted from the others.

A regression knows what a T1 looks like beside a T2 and a FLAIR. Where two names are swapped, or one is wrong, another
naming of the same series predicts each of them better from the others. How well the best naming does tells whether the
scanner is like those of the regression's studies. What this cannot see: lesions that were wiped out or pasted in
change it by 1 to 2 %.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations
from typing import Literal

import numpy as np

from mrimpute.calibration.folder import builtin_site
from mrimpute.calibration.gram import EVERY, Gram, squared_error
from mrimpute.calibration.present import Present
from mrimpute.calibration.site import Site
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import StudyRefused
from mrimpute.prepare import Prepared
from mrimpute.volume import FloatArray

WARN_GAP, REFUSE_GAP = 0.15, 0.30
"""Natural logarithm of the rms error as named over that of the best naming. Measured with patients left out, on three
patients of known scanners (12 triples): 0 of 12 clean ones above 0; of 36 swapped pairs 32 above 0.15 and 25 above
0.30, of 36 wrong names 29 and 21, the right naming proposed in all of these. On a scanner that the studies do not know
(5 studies): clean ones reach 0.22, and the proposal is never right."""
KNOWN, FOREIGN = -1.90, -1.82
"""Logarithm of the rms error of the best naming, up to which a scanner is known, from which it is foreign. Measured:
-2.11 to -1.91 where another patient of the scanner is among the studies, -1.90 to -1.82 and -1.81 to -1.71 on two
scanners that are not, -2.20 to -2.16 on the latter with a calibration (8 studies, 6 patients)."""

Verdict = Literal["known", "like training", "foreign"]


@dataclass(frozen=True)
class Fit:
    """How series fit their names.

    Attributes:
        disagreement: mean over the series of ln rmse, each predicted from the others, under the best naming.
        gap: by how much the names as given do worse.
        likelier: name as given → name that fits better, where they differ.
        place: of a known scanner, where the training studies that predict best were scanned; '' where nobody says.
    """

    disagreement: float
    gap: float
    likelier: dict[Contrast, Contrast]
    place: str = ""

    @property
    def scanner(self) -> Verdict:
        """Whether the scanner is one that the regression's studies know."""
        if self.disagreement > FOREIGN:
            return "foreign"
        return "known" if self.disagreement <= KNOWN else "like training"

    @property
    def is_mix_up(self) -> bool:
        """Whether the likelier names differ as a mix-up does: two swapped, or one wrong.

        What fits better with three other names is an image of another kind (of two tissues alone, for instance).
        """
        return len(self.likelier) == 1 or (
            len(self.likelier) == 2 and set(self.likelier) == set(self.likelier.values())
        )

    @property
    def description(self) -> dict[str, object]:
        """What a sidecar tells of it; likelier names where they can be trusted."""
        told = self.gap > WARN_GAP and self.scanner != "foreign"
        return {
            "scanner": self.scanner,
            "training_site": self.place,
            "disagreement": round(self.disagreement, 3),
            "naming_gap": round(self.gap, 3),
            "likelier_names": {str(given): str(likely) for given, likely in self.likelier.items()} if told else {},
        }


def fit_in(present: Present, site: Site | None) -> Fit | None:
    """Return how the series of a study fit their names; None where that cannot be told.

    Args:
        present: the series.
        site: the calibration; None for the built-in networks' studies.

    Raises:
        StudyRefused: they do not lie on each other, or one has no grey values.
    """
    known = site or builtin_site()
    return None if present.unlike(known) else fit_of(_gram_of(present.framed), known.plain, present.sources.digests)


def with_fit(ready: Prepared, fit: Fit | None, site: Site | None) -> Prepared:
    """Check that series fit their names, and say how they do; of those of which nothing can be told, nothing.

    Args:
        ready: the series in the network's frame.
        fit, site: see `fit_in`.

    Raises:
        StudyRefused: another naming fits much better, on a scanner that is known.
    """
    if fit is None:
        return ready
    if fit.gap > REFUSE_GAP and fit.is_mix_up and fit.scanner != "foreign":
        raise StudyRefused(
            f"the series do not fit their names: {_mix_up(fit.likelier)} ({fit.gap:.2f}, over {REFUSE_GAP})",
            f"name them: {' '.join(f'--{one} PATH' for one in fit.likelier)}; or --no-checks if the names are right",
        )
    return replace(ready, fit=fit.description, warnings=(*ready.warnings, *_notes(fit, site)))


def _notes(fit: Fit, site: Site | None) -> Iterator[str]:
    """Yield what the user should know of a fit that is not refused."""
    if fit.scanner == "foreign":
        learnt = f"the studies of the calibration {site.name}" if site else "the built-in networks' studies"
        remedy = "calibrate with other studies" if site else "calibrate with one complete study of this scanner"
        yield f"the scanner is foreign to {learnt}: brightness will be off; {remedy} (mrimpute calibrate)"
        if fit.gap > REFUSE_GAP:
            yield "whether the series fit their names cannot be told on a foreign scanner, and they fit badly: look"
    elif fit.gap > WARN_GAP:
        yield f"check the names of the series: {_mix_up(fit.likelier)} ({fit.gap:.2f}, over {WARN_GAP})"


def _mix_up(likelier: Mapping[Contrast, Contrast]) -> str:
    return ", ".join(f"what is called {given} looks like {likely}" for given, likely in likelier.items())


def _gram_of(ready: Prepared) -> Gram:
    """Return the matrix of a study's series, of every fifth voxel of its head."""
    from mrimpute.calibration.apply import gram_of

    return gram_of(ready.images, ready.head, EVERY)


def fit_of(gram: Gram, site: Site, digests: Collection[str]) -> Fit | None:
    """Return how a study's series fit their names, and where their scanner is known, whose it is.

    None where the site's studies lack one of these names.

    Args:
        gram: of the study, and
        site: what is known; both of the plain terms.
        digests: of the study's voxels, which count for nothing here.
    """
    given, learnt = gram.present, _learnt(site, digests)
    found = {
        named: value
        for named in permutations(BRATS_FOUR, len(given))
        if (value := _disagreement(gram, named, learnt)) is not None
    }
    if given not in found:
        return None
    best = min(found, key=found.__getitem__)
    likelier = {one: likely for one, likely in zip(given, best, strict=True) if one is not likely}
    fit = Fit(found[best], found[given] - found[best], likelier)
    return replace(fit, place=_place(gram, best, site, digests)) if fit.scanner == "known" else fit


def _place(gram: Gram, named: tuple[Contrast, ...], site: Site, digests: Collection[str]) -> str:
    """Return the place whose studies alone predict a study's series best; '' where the site names none."""
    found = {place: _disagreement(gram, named, _learnt(site.of_place(place), digests)) for place in site.places}
    known = {place: value for place, value in found.items() if value is not None}
    return min(known, key=known.__getitem__, default="")


Learnt = Callable[[Contrast, tuple[Contrast, ...]], FloatArray | None]
"""Target and sources, in the order of BRATS_FOUR → coefficients of exactly these; None where there are none."""


def _learnt(site: Site, digests: Collection[str]) -> Learnt:
    """Return what a site teaches of any target and sources, each computed once: namings share them."""

    @cache
    def learnt(target: Contrast, sources: tuple[Contrast, ...]) -> FloatArray | None:
        try:
            regressor = site.regressor(target, sources, digests)
        except StudyRefused:
            return None
        return regressor.weights if regressor.sources == sources else None

    return learnt


def _disagreement(gram: Gram, named: tuple[Contrast, ...], learnt: Learnt) -> float | None:
    """Return the mean ln rmse over the series under one naming, each predicted from the others."""
    slots = dict(zip(named, gram.present, strict=True))
    errors = []
    for target in named:
        sources = tuple(contrast for contrast in BRATS_FOUR if contrast in slots and contrast is not target)
        weights = learnt(target, sources)
        if weights is None:
            return None
        own = tuple(slots[contrast] for contrast in sources)
        errors.append(max(squared_error(gram.matrix, own, slots[target], weights), 1e-9))
    return float(np.mean(np.log(errors)) / 2)
