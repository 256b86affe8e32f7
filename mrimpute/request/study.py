"""Every wish about one study checked and resolved before a voxel is read: options + study + settings → Request.

No torch, no network, no voxel. A wish that cannot be honoured is a UsageError here; a checkpoint
that is not known is held, and told once the study was read.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Literal

from mrimpute.contrasts import LIMITS, Contrast
from mrimpute.errors import MrimputeError, StudyRefused, UsageError, as_mrimpute_error
from mrimpute.files.listing import Listing, listing_of
from mrimpute.io.dicom.series import DicomSeries
from mrimpute.plan import Plan, make_plan
from mrimpute.prepare import skull
from mrimpute.prepare.reading import Inputs
from mrimpute.prepare.sources import Reference, find_reference
from mrimpute.request.broken import broken_notes, check_broken
from mrimpute.request.options import Options
from mrimpute.request.order import Order, order_of
from mrimpute.request.trust import trusted
from mrimpute.settings import Settings, read_settings
from mrimpute.study import Series, Study, find_series
from mrimpute.write.fit import check_fit, check_stripped
from mrimpute.write.layout import check_complete
from mrimpute.write.place import Destination, place_of_file, place_of_series

Form = Literal["nifti", "dicom"]


@dataclass(frozen=True)
class Request:
    """One study, and everything that will be done to it.

    Attributes:
        folder: the study, as given.
        study, settings, plan: once known.
        reference: the series that the user wants results to lie on.
        orders: one per target of the plan.
        form: whether results are NIfTI files or DICOM series.
        destinations: target → where its result belongs.
        error: what ended the request; the fields that were settled before it are there.
        listing: how the study's files stood before one was opened; see `listing_of`.
    """

    folder: Path
    study: Study | None = None
    settings: Settings = field(default_factory=Settings)
    plan: Plan | None = None
    reference: Reference | None = None
    orders: tuple[Order, ...] = ()
    form: Form = "nifti"
    destinations: dict[Contrast, Destination] = field(default_factory=dict)
    error: MrimputeError | None = None
    listing: Listing | None = None

    @property
    def sources(self) -> dict[Contrast, list[Series]]:
        """Target → series of its sources, in the generator's order."""
        if self.study is None:
            return {}
        return {one.job.target: [self.study.get(contrast) for contrast in one.job.sources] for one in self.orders}

    @property
    def regressed(self) -> dict[Contrast, list[Series]]:
        """Target → series that its regression takes beside the sources."""
        if self.study is None:
            return {}
        return {one.job.target: [self.study.get(contrast) for contrast in one.beside] for one in self.orders}

    @property
    def beside(self) -> list[Series]:
        """The study's series of the head that no target is made from."""
        used = {contrast for one in self.orders for contrast in one.job.sources}
        listed = self.study.series if self.study else ()
        return [one for one in listed if one.contrast not in used and one.contrast is not Contrast.CT and self.orders]

    @property
    def images(self) -> list[Path]:
        """The places of the results."""
        return [place.image for place in self.destinations.values()]

    @property
    def largest(self) -> int:
        """Most voxels that a result may have."""
        grids = [series.grid for listed in self.sources.values() for series in listed]
        grids += [self.reference.series.grid] if self.reference else []
        return max((prod(grid.shape) for grid in grids), default=0)

    @property
    def highest_number(self) -> int:
        """Highest series number of a DICOM study."""
        return self.study.highest_number if self.study else 0

    def dicom_of(self, contrasts: Collection[str]) -> dict[Contrast, DicomSeries]:
        """Return those of some sources that are DICOM series."""
        listed = self.study.series if self.study else ()
        return {one.contrast: one.dicom for one in listed if one.dicom is not None and one.contrast in contrasts}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the study's series and what is made of them."""
        if self.study is None:
            return ()
        targets = {job.target for job in self.plan.jobs} if self.plan else set()
        return (
            *(warning for series in self.study.series for warning in series.warnings),
            *(broken_notes(self.study) if self.plan else ()),
            *(LIMITS[target] for target in targets if target in LIMITS),
            *(
                f"{item.path} may be an acquired {item.likely}, but is set aside: {item.reason}"
                for item in self.study.set_aside
                if item.likely in targets and not item.broken
            ),
        )


def make_request(folder: Path, missing: Sequence[Contrast], options: Options) -> Request:
    """Settle all wishes about one study.

    Args:
        folder: the study.
        missing: targets; empty for every one of t1, t2, flair that is not there.
        options: of the run.

    Returns:
        The request; where the study or a wish is refused, with its error and what was settled before.
    """
    request = Request(folder, listing=listing_of(folder))
    try:
        study = find_series(folder, options.overrides, options.ignore_broken)
        request = replace(request, study=study, settings=read_settings(folder))
        check_broken(study, missing, options)
        request = replace(request, plan=make_plan(study, missing, options.generator))
        return _with_orders(request, options)
    except Exception as error:
        return replace(request, error=as_mrimpute_error(error))


def _with_orders(request: Request, options: Options) -> Request:
    """Resolve weights, sampling, form, places and reference of a planned study.

    Raises:
        MrimputeError: a wish cannot be honoured.
    """
    study, plan = request.study, request.plan
    assert study is not None and plan is not None  # settled before
    settings = trusted(request.settings, request.folder, options) if plan.jobs else Settings()
    form = form_of(study, options)
    if options.layout is not None:
        check_complete(study, options.layout, [job.target for job in plan.jobs])
        if not options.as_is:
            check_fit(study, options.layout)
    destinations = {job.target: _destination(study, job.target, form, options) for job in plan.jobs}
    orders = tuple(order_of(job, study.present, study.folder, settings, options) for job in plan.jobs)
    reference = find_reference(study, options.reference)
    return replace(request, settings=settings, reference=reference, orders=orders, form=form, destinations=destinations)


def form_of(study: Study, options: Options) -> Form:
    """Tell whether results of a study are DICOM series or NIfTI files.

    Raises:
        UsageError: DICOM is asked for and nothing gives a series to go by, or as [0, 1].
    """
    has_series = study.is_dicom or (options.format == "dicom" and isinstance(options.reference, Path))
    if options.format == "dicom" and not has_series:
        raise UsageError(f"{study.folder} holds no DICOM series to go by", "add --reference FOLDER_OF_A_DICOM_SERIES")
    if not has_series or options.format == "nifti" or options.layout is not None:
        return "nifti"
    if options.intensity == "unit":
        raise UsageError("DICOM stores whole numbers, not [0, 1]", "add --format nifti, or leave --intensity out")
    return "dicom"


def _destination(study: Study, target: Contrast, form: Form, options: Options) -> Destination:
    """Return where the result of one target belongs.

    Raises:
        UsageError: a CT as DICOM.
    """
    if form == "nifti":
        return place_of_file(study, target, options.out, options.layout)
    if target is Contrast.CT:
        raise UsageError("a synthetic CT is written as NIfTI only", "add --format nifti")
    return place_of_series(study, target, options.out)


def writes_bids(request: Request, options: Options) -> bool:
    """Tell whether results go into a BIDS tree."""
    if options.layout is not None:
        return options.layout.name == "bids"
    scheme = request.study.naming.scheme if request.study else ""
    return request.form == "nifti" and options.out is None and scheme == "bids"


def check_inputs(request: Request, inputs: Inputs, options: Options) -> None:
    """Check what only the sources' voxels tell, before anything is made of them.

    Raises:
        StudyRefused: they had to be moved, or have skull, and a complete case copies them as they are.
        ImageDamaged: one that is only copied cannot be read.
        ResourcesExhausted: they have skull, and no stripper is on PATH.
    """
    if options.layout is not None and options.layout.needs and any(one.moved for one in inputs.sources.values()):
        raise StudyRefused(
            f"{request.folder}: series are out of register, and a {options.layout.name} case copies them so",
            "register the study first, or use --layout same",
        )
    if request.study is not None and options.layout is not None and not options.as_is:
        seen = {contrast: contrast in one.with_skull for one in inputs.sources.values() for contrast in one.volumes}
        check_stripped(request.study, options.layout, seen)
    if options.skull_strip and any(one.with_skull for one in inputs.sources.values()):
        skull.program()
