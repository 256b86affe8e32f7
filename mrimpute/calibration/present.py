"""A study's series as every check of their grey values sees them: in the frame of calibrations, brought there once."""

from dataclasses import dataclass
from functools import cached_property

from mrimpute.calibration.site import FRAME, Site
from mrimpute.calibration.use import has_frame
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.prepare import Prepared, prepare
from mrimpute.prepare.rigid import MIN_LITRES
from mrimpute.prepare.skull import BrainMask, masked
from mrimpute.prepare.sources import Sources
from mrimpute.registry import InputSpec
from mrimpute.volume import Volume

MIN_SERIES = 3
"""Fewer are not predicted from each other."""


@dataclass(frozen=True)
class Present:
    """The series of a study that one target is made from.

    Attributes:
        ready: the network's sources in its frame.
        sources: of the study, and what a regression takes beside them.
        mask: where the brain is; None for the images as they are.
        inputs: the network's frame.
    """

    ready: Prepared
    sources: Sources
    mask: BrainMask | None
    inputs: InputSpec

    @cached_property
    def volumes(self) -> dict[Contrast, Volume]:
        """Those of the four contrasts that regressions know, in their order."""
        return {one: self.sources.everything[one] for one in BRATS_FOUR if one in self.sources.everything}

    @property
    def litres(self) -> float:
        """Volume of the head."""
        return self.ready.recipe.grid.litres(self.ready.recipe.head)

    @cached_property
    def framed(self) -> Prepared:
        """The series in the frame of calibrations; the network's own frame, where that is the same.

        Raises:
            StudyRefused: they do not lie on each other, or one has no grey values.
        """
        if has_frame(self.inputs) and self.ready.images.keys() == self.volumes.keys():
            return self.ready
        onto = self.sources.reference.contrast, self.sources.onto
        return prepare(masked(self.volumes, self.mask), FRAME, onto)

    def unlike(self, site: Site) -> str:
        """Return why the series cannot be predicted from each other as those of a site are; '' where they can."""
        if len(self.volumes) < MIN_SERIES:
            return f"{len(self.volumes)} series: it takes {MIN_SERIES} to predict each from the others"
        if (bool(self.sources.with_skull) and self.mask is None) != site.with_skull:
            return "the head has skull and those that were learnt from have not, or the other way round"
        return f"the head has {self.litres:.2f} litres, less than {MIN_LITRES}" if self.litres < MIN_LITRES else ""
