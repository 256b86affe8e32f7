"""The straight line: study folder → request → inputs → images → written."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mrimpute import device
from mrimpute.contrasts import Contrast
from mrimpute.engine import BrainMasks, ClaimedPlaces, Networks, Watch, import_early
from mrimpute.engine.target import Checked, Maker
from mrimpute.errors import Unexpected, as_mrimpute_error
from mrimpute.files import hold
from mrimpute.outcome import Outcome, Target, outcome_of
from mrimpute.prepare import Image
from mrimpute.prepare.reading import Inputs, read_inputs
from mrimpute.prepare.skull import BrainMask
from mrimpute.prepare.sources import Sources
from mrimpute.progress import Progress
from mrimpute.registry import Checkpoint, hub
from mrimpute.request import Options, Order, Request, check_inputs, make_request, writes_bids
from mrimpute.volume import Volume
from mrimpute.write.copies import complete_case, plan_copies
from mrimpute.write.place import check_free, check_place
from mrimpute.write.verdict import Verdict


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
        networks = Networks(options, notify or (lambda _line: None))
        self.maker = Maker(options, networks, BrainMasks(options), progress or (lambda _step: None))
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
                check_free(request.destinations.values(), options.samples)
                for place in request.destinations.values():
                    check_place(place, request.largest, options.save_mask, options.samples)
                with device.memory_errors():
                    inputs = read_inputs(
                        request.sources,
                        request.beside,
                        request.reference,
                        options.register,
                        options.brain_mask,
                        request.regressed,
                        Watch(self.maker.progress, request.folder, ahead=True).tell,
                        partial(self._all_stand, request),
                    )
                check_inputs(request, inputs, options)
        except Exception as error:
            return replace(inputs, error=as_mrimpute_error(error))
        return inputs

    def read_ahead(self, request: Request) -> tuple[Inputs, tuple[Checked, ...]]:
        """Read a study before its turn, and prepare what its networks get, where that can be done beforehand."""
        inputs = self.read(request)
        return inputs, self.maker.ahead(request, inputs)

    def carry_out(self, request: Request, inputs: Inputs, checked: Sequence[Checked] = ()) -> Outcome:
        """Make and write the targets of a request; the first failure is told after the other targets were made."""
        if inputs.error or request.study is None:
            return outcome_of(request, inputs, error=inputs.error)
        layout, out = self.options.layout, self.options.out
        targets: list[Target] = []
        copies: list[Path] = []
        try:
            with hold([request.folder, *request.images]):
                for order in request.orders:
                    own = next((one for one in checked if one.order is order), None)
                    targets.append(self._attempt(request, order, inputs, own))
                error = next((target.error for target in targets if target.error), None)
                if error is None:
                    made = [target.output.path for target in targets if target.output]
                    copies = complete_case(request.study, layout, out, made, writes_bids(request, self.options))
        except Exception as failure:
            error = as_mrimpute_error(failure)
        return outcome_of(request, inputs, targets, copies, error)

    def image(self, order: Order, sources: Sources) -> tuple[Image, Checkpoint]:
        """Make one target without writing it; return it and the checkpoint that made it."""
        return self.maker.image(order, sources)

    def judged_image(self, order: Order, sources: Sources) -> tuple[Image, Checkpoint, Verdict]:
        """Make one target without writing it; return it, the checkpoint that made it, and the verdict."""
        return self.maker.judged_image(order, sources)

    def _all_stand(self, request: Request, volumes: Mapping[Path, Volume], mask: BrainMask | None) -> bool:
        """Tell whether every image stands before anything is compared; where not, have what makes them imported."""
        standing = self.maker.all_stand(request, volumes, mask)
        if not standing:
            import_early()
        return standing

    def _attempt(self, request: Request, order: Order, inputs: Inputs, checked: Checked | None) -> Target:
        try:
            with device.memory_errors():
                if inputs.finished:
                    return self.maker.standing(request, order)
                return self.maker.target(request, order, inputs.sources[order.job.target], checked)
        except Exception as error:
            return Target(error=as_mrimpute_error(error))
