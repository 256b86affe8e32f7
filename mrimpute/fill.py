"""The straight line: study folder → request → inputs → images → written."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mrimpute import device
from mrimpute.calibration.naming import with_fit
from mrimpute.calibration.use import regressor_of
from mrimpute.contrasts import Contrast
from mrimpute.engine import BrainMasks, ClaimedPlaces, Networks, Watch, Weights
from mrimpute.errors import Unexpected, as_mrimpute_error
from mrimpute.make import prepare_sources, synthesise
from mrimpute.outcome import Outcome, Target, outcome_of
from mrimpute.prepare import Image
from mrimpute.prepare.skull import BrainMask
from mrimpute.prepare.sources import Inputs, Sources, read_inputs
from mrimpute.progress import Progress
from mrimpute.registry import Checkpoint, hub
from mrimpute.request import Options, Order, Request, check_inputs, fingerprint_of, make_request, writes_bids
from mrimpute.write import Result, write
from mrimpute.write.copies import complete_case, plan_copies
from mrimpute.write.nifti import write_mask
from mrimpute.write.place import already_made, check_free, check_place, holding, mask_left_out
from mrimpute.write.result import found


def fill(
    folder: Path, missing: Sequence[Contrast] = (), options: Options | None = None, progress: Progress | None = None
) -> Outcome:
    """Make the sequences that one study lacks, and write them beside it.

    Args:
        folder: the study.
        missing: targets; empty for every one of t1, t2, flair that is not there.
        options: see `Options`.
        progress: called as the work goes on.

    Returns:
        What was written; `outputs` is empty where nothing was missing.

    Raises:
        MrimputeError: see `mrimpute.errors`; nothing half-written is left.
    """
    return Engine(options or Options(), progress).fill(folder, missing)


class Engine:
    """Fills studies one after the other; a network stays loaded while it is the one needed."""

    def __init__(self, options: Options, progress: Progress | None = None, notify: hub.Notify | None = None) -> None:
        self.options = options
        self.progress = progress or (lambda _step: None)
        self.networks = Networks(options, notify or (lambda _line: None))
        self.masks = BrainMasks(options)
        self.claimed = ClaimedPlaces()

    def fill(self, folder: Path, missing: Sequence[Contrast] = ()) -> Outcome:
        """Fill one study; see the function `fill`."""
        request = self.request(folder, missing)
        outcome = self.carry_out(request, self.read(request))
        if outcome.error:
            raise (outcome.error.__cause__ if isinstance(outcome.error, Unexpected) else None) or outcome.error
        return outcome

    def request(self, folder: Path, missing: Sequence[Contrast] = ()) -> Request:
        """Identify the series, plan the targets and settle every wish; nothing is read but headers."""
        return make_request(folder, missing, self.options)

    def read(self, request: Request) -> Inputs:
        """Check the places of the results, then read and check the sources; nothing heavier happens before."""
        inputs, options = Inputs(error=request.error), self.options
        try:
            if request.error is None and request.study is not None:
                copies = plan_copies(request.study, options.layout, options.out)
                self.claimed.take([*copies, *request.images], request.folder)
                check_free(request.destinations.values())
                for place in request.destinations.values():
                    check_place(place, request.largest, options.save_mask)
                with device.memory_errors():
                    inputs = read_inputs(
                        request.sources,
                        request.beside,
                        request.reference,
                        options.register,
                        options.brain_mask,
                        request.regressed,
                        Watch(self.progress, request.folder, ahead=True).tell,
                    )
                check_inputs(request, inputs, options)
        except Exception as error:
            return replace(inputs, error=as_mrimpute_error(error))
        return inputs

    def carry_out(self, request: Request, inputs: Inputs) -> Outcome:
        """Make and write the targets of a request; the first failure is told after the other targets were made."""
        if inputs.error or request.study is None:
            return outcome_of(request, inputs, error=inputs.error)
        layout, out = self.options.layout, self.options.out
        targets: list[Target] = []
        copies: list[Path] = []
        try:
            with holding(request.study, request.images):
                targets += [self._attempt(request, order, inputs) for order in request.orders]
                error = next((target.error for target in targets if target.error), None)
                if error is None:
                    made = [target.output.path for target in targets if target.output]
                    copies = complete_case(request.study, layout, out, made, writes_bids(request, self.options))
        except Exception as failure:
            error = as_mrimpute_error(failure)
        return outcome_of(request, inputs, targets, copies, error)

    def image(self, order: Order, sources: Sources) -> tuple[Image, Checkpoint]:
        """Make one target without writing it; return it and the checkpoint that made it."""
        with device.memory_errors():
            weights = self.networks.obtain(order)
            watch = Watch(self.progress, sources.onto.path)
            return self._image(order, sources, self.masks.of(sources), weights, watch), weights[0]

    def _attempt(self, request: Request, order: Order, inputs: Inputs) -> Target:
        try:
            with device.memory_errors():
                return self._target(request, order, inputs.sources[order.job.target])
        except Exception as error:
            return Target(error=as_mrimpute_error(error))

    def _target(self, request: Request, order: Order, sources: Sources) -> Target:
        """Make and write one target, or find it made by the same recipe."""
        options, place = self.options, request.destinations[order.job.target]
        watch = Watch(self.progress, request.folder)
        checkpoint, sampling = weights = self.networks.obtain(order)
        fingerprint = fingerprint_of(order, checkpoint, sampling, sources, self.masks.word(sources), options)
        standing = already_made(place, fingerprint, options.overwrite)
        if standing.finished:
            return Target(found(place, fingerprint, checkpoint), warnings=mask_left_out(place, options.save_mask))
        mask = self.masks.of(sources, watch.tell)
        image = self._image(order, sources, mask, weights, watch)
        dicom = request.dicom_of(fingerprint.sources)
        highest = max(request.highest_number, sources.highest_number)
        result = Result(image, place, sources, dicom, highest, mask, fingerprint, checkpoint, standing)
        output = write(result, request.form == "dicom", scaled=options.intensity == "study")
        masks = (write_mask(result, mask),) if mask and options.save_mask else ()
        return Target(output, masks, (*sources.notes, *image.warnings, *output.warnings))

    def _image(self, order: Order, sources: Sources, mask: BrainMask | None, weights: Weights, watch: Watch) -> Image:
        target, (checkpoint, _) = order.job.target, weights
        watch.tell(f"preparing {target}")
        regressor = regressor_of(order.calibration, checkpoint, target, sources, mask is not None)
        ready = prepare_sources(sources, checkpoint.record, mask, regressor)
        if self.options.checks:
            ready = with_fit(ready, order.calibration, sources, mask, checkpoint.record.inputs)
        generator = self.networks.load(weights, ready.recipe.window.size, watch.tell)
        return synthesise(ready, generator, target, self.options.seed, mask, watch.steps(f"sampling {target}"))
