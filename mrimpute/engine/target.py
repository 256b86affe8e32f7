"""One target of a study: found as it was made before, or made, judged and written."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mrimpute import device
from mrimpute.calibration import Regressor
from mrimpute.calibration.information import with_information
from mrimpute.calibration.naming import fit_in, with_fit
from mrimpute.calibration.present import Present
from mrimpute.calibration.use import Correction, correction_of, placed_regressor, takes_package
from mrimpute.engine import BrainMasks, Networks, Watch, Weights, begin
from mrimpute.engine.earlier import all_stand
from mrimpute.engine.samples import Further, further_of, sampled
from mrimpute.errors import MrimputeError, OutputRefused
from mrimpute.files import remove_dead_parts
from mrimpute.generators.contract import Generator
from mrimpute.make import prepare_sources, synthesise, with_correction
from mrimpute.marks import read_sidecar
from mrimpute.outcome import Target
from mrimpute.prepare import Image, Prepared
from mrimpute.prepare.frame import image_of
from mrimpute.prepare.reading import Inputs
from mrimpute.prepare.skull import BrainMask
from mrimpute.prepare.sources import Sources
from mrimpute.progress import Progress
from mrimpute.registry import HUB_WORD, Checkpoint
from mrimpute.request import Options, Order, Request, fingerprint_of, sampling_of
from mrimpute.selfcheck import Evidence, evidence_of, judge
from mrimpute.volume import Volume
from mrimpute.write import Result, write
from mrimpute.write.nifti import write_mask
from mrimpute.write.place import Destination, Standing, already_made, mask_left_out, standing_at
from mrimpute.write.provenance import Fingerprint, OpenKeys
from mrimpute.write.result import found
from mrimpute.write.verdict import Verdict


@dataclass(frozen=True)
class Checked:
    """The sources of one target in the network's frame, and what looking at them there told."""

    order: Order
    ready: Prepared
    evidence: Evidence | None


@dataclass(frozen=True)
class Bench:
    """All that one target is made with, whatever the seed."""

    order: Order
    ready: Prepared
    generator: Generator
    mask: BrainMask | None
    watch: Watch
    evidence: Evidence | None


@dataclass(frozen=True)
class Maker:
    """Makes the targets of a run's studies.

    Attributes:
        options: of the run.
        networks, masks: what lives between two studies.
        progress: called with each step.
    """

    options: Options
    networks: Networks
    masks: BrainMasks
    progress: Progress

    def image(self, order: Order, sources: Sources) -> tuple[Image, Checkpoint]:
        """Make one target without writing it; return it and the checkpoint that made it."""
        return self.judged_image(order, sources)[:2]

    def judged_image(self, order: Order, sources: Sources) -> tuple[Image, Checkpoint, Verdict]:
        """Make one target without writing it; return it, the checkpoint that made it, and the verdict."""
        with device.memory_errors():
            watch = Watch(self.progress, sources.onto.path)
            weights = self.networks.obtain(order)
            begin(self.options, watch.tell)
            correction, sources = self._corrected(order, sources, weights)
            mask = self.masks.of(sources, watch.tell)
            checked = self._checked(order, sources, mask, weights, correction, watch)
            bench = self._bench(checked, mask, weights, watch)
            image = self._made(bench, self.options.seed)
            return image, weights[0], _verdict(bench.evidence or _NO_EVIDENCE, image)

    def all_stand(self, request: Request, volumes: Mapping[Path, Volume], mask: BrainMask | None) -> bool:
        """Tell whether every image of a request stands whose sources were registered; see `earlier.all_stand`."""
        return all_stand(request, volumes, mask, self.options, self.masks)

    def standing(self, request: Request, order: Order) -> Target:
        """Return an image that stood when `all_stand` was asked.

        Raises:
            OutputRefused: it was changed or removed since.
        """
        place, checkpoint = request.destinations[order.job.target], order.checkpoint
        now, record = standing_at(place).image, read_sidecar(place.sidecar)
        if now is None or not isinstance(checkpoint, Checkpoint) or now != record.get("image", {}).get("sha256"):
            raise OutputRefused(f"{place.image} was changed while it was looked at", "run again")
        return self._found(place, checkpoint)

    def _found(self, place: Destination, checkpoint: Checkpoint, *told: str) -> Target:
        """Return an image that stands; a run that was killed after it had its place left temporary names beside it."""
        beside = tuple(one.image for one in place.further(self.options.samples))
        left = remove_dead_parts(place.image.parent)
        return Target(found(place, checkpoint), beside, (*mask_left_out(place, self.options.save_mask), *told, *left))

    def ahead(self, request: Request, inputs: Inputs) -> tuple[Checked, ...]:
        """Prepare and check the sources of a study's targets before its turn.

        Returns:
            Nothing of a target of which only its turn can tell whether and from what it is made: an image stands,
            weights are to be fetched, a skull to be stripped. Nothing either where this failed, which it will again in
            its turn, and be told.
        """
        orders = () if self.options.skull_strip or inputs.error or not inputs.sources else request.orders
        found = (self._ahead(request, order, inputs.sources[order.job.target]) for order in orders)
        return tuple(one for one in found if one is not None)

    def _ahead(self, request: Request, order: Order, sources: Sources) -> Checked | None:
        checkpoint, place = order.checkpoint, request.destinations[order.job.target]
        if not isinstance(checkpoint, Checkpoint) or not checkpoint.is_here or order.word.startswith(HUB_WORD):
            return None
        if os.path.lexists(place.image) and not self.options.overwrite:
            return None
        watch = Watch(self.progress, request.folder, ahead=True)
        try:
            begin(self.options, watch.tell)
            weights = checkpoint, order.sampling or sampling_of(checkpoint, self.options)
            correction, sources = self._corrected(order, sources, weights)
            return self._checked(order, sources, sources.mask, weights, correction, watch)
        except Exception:
            return None

    def target(self, request: Request, order: Order, sources: Sources, checked: Checked | None = None) -> Target:
        """Make and write one target, or find it made by the same recipe.

        Args:
            request, order: what is wanted.
            sources: as read.
            checked: what `ahead` made of them.

        Raises:
            MrimputeError: it cannot be made or written.
        """
        options, place = self.options, request.destinations[order.job.target]
        watch = Watch(self.progress, request.folder)
        checkpoint, sampling = weights = self.networks.obtain(order)
        begin(options, watch.tell)
        correction, sources = self._corrected(order, sources, weights)
        engine, word = self.networks.runner(weights, watch.tell).engine, self.masks.word(sources)
        fingerprint = fingerprint_of(order, checkpoint, sampling, sources, word, engine, options)
        standing = self._standing(place, fingerprint, options.left_open)
        further = further_of(place, fingerprint, standing, self._standing)
        if standing.finished and all(one.standing.finished for one in further):
            return self._shown(self._found(place, checkpoint), place, order, sources)
        mask = self.masks.of(sources, watch.tell)
        checked = checked or self._checked(order, sources, mask, weights, correction, watch)
        bench = self._bench(checked, mask, weights, watch)
        dicom = request.dicom_of(fingerprint.sources)
        highest = max(request.highest_number, sources.highest_number)
        blank = image_of(bench.ready, order.job.target, np.broadcast_to(np.float32(0), bench.ready.recipe.grid.shape))
        result = Result(blank, place, sources, dicom, highest, mask, fingerprint, checkpoint, standing)
        result = replace(result, checked=options.checks)
        if standing.finished:
            return self._shown(self._completed(bench, result, further), place, order, sources)
        return self._shown(self._written(bench, result, further, request.form == "dicom"), place, order, sources)

    def _completed(self, bench: Bench, result: Result, further: Sequence[Further]) -> Target:
        """Make again what is missing of the samples and spread of a mean that stands, which stays as it is."""
        missing = ", ".join(one.place.image.name for one in further if not one.standing.finished)
        notes = sampled(result, further, partial(self._one, bench), self._scaled)[2]
        again = f"{missing} was missing beside {result.destination.image} and was made again"
        return self._found(result.destination, result.checkpoint, again, *notes)

    def _written(self, bench: Bench, result: Result, further: Sequence[Further], as_dicom: bool) -> Target:
        """Make and write one target, with its samples and its mask where they are wanted."""
        make = partial(self._one, bench)
        result, samples, notes = sampled(result, further, make, self._scaled) if further else (make(result), (), ())
        if bench.evidence:
            result = replace(result, verdict=_verdict(bench.evidence, result.image))
        output = write(result, as_dicom, scaled=self._scaled)
        masks, told = write_mask(result, bench.mask) if bench.mask and self.options.save_mask else ((), ())
        warnings = (*result.sources.notes, *result.image.warnings, *notes, *output.warnings, *told)
        return Target(output, (*samples, *masks), warnings)

    def _shown(self, target: Target, place: Destination, order: Order, sources: Sources) -> Target:
        """Write report and picture of a result, where asked for; a failure is told, and the image stands.

        Those of an image that was there already are written again: what stands at their places may have been changed.
        """
        if not (self.options.report or self.options.picture):
            return target
        from mrimpute import report

        files: list[Path] = []
        try:
            made = report.result_at(place.sidecar)
            if made and self.options.report:
                files.append(report.write_report(made, sources.everything, order.calibration))
            if made and self.options.picture:
                files.append(report.write_result_picture(made, sources.everything))
        except MrimputeError as error:
            return replace(target, error=error)
        return replace(target, copies=(*target.copies, *files))

    @property
    def _scaled(self) -> bool:
        return self.options.intensity == "study"

    def _corrected(self, order: Order, sources: Sources, weights: Weights) -> tuple[Correction, Sources]:
        """Return what a network is blended with or goes through, and the sources without those that it leaves out.

        Raises:
            MrimputeError: see `correction_of`.
        """
        checkpoint, sampling = weights
        masked = bool(self.masks.word(sources))
        correction = correction_of(order.calibration, checkpoint, sampling, order.job.target, sources, masked)
        if isinstance(correction, Regressor):
            sources = sources.with_beside(correction.sources)
        return correction, sources

    def _checked(
        self,
        order: Order,
        sources: Sources,
        mask: BrainMask | None,
        weights: Weights,
        correction: Correction,
        watch: Watch,
    ) -> Checked:
        """Bring the sources into the network's frame, and check them there."""
        checkpoint, site, target = weights[0], order.calibration, order.job.target
        watch.tell(f"preparing {target}")
        ready = prepare_sources(sources, checkpoint.record, mask)
        present = Present(ready, sources, mask, checkpoint.record.inputs)
        if self.options.checks or self.options.self_check:
            watch.tell(f"checking the sources of {target}")
        placed = not site and takes_package(checkpoint)
        fit = fit_in(present, site) if self.options.checks or placed else None
        if self.options.checks:
            ready = with_fit(ready, fit, site)
            ready = with_information(ready, present, site) if site else ready
        if placed and fit and fit.place:
            correction = placed_regressor(target, sources, fit.place)
        ready = with_correction(ready, sources, mask, correction)
        evidence = evidence_of(present, checkpoint, site) if self.options.self_check else None
        return Checked(order, ready, evidence)

    def _bench(self, checked: Checked, mask: BrainMask | None, weights: Weights, watch: Watch) -> Bench:
        """Load the network for sources that were checked."""
        ready, warning = checked.ready, self.networks.runner(weights).warning
        ready = replace(ready, warnings=(*ready.warnings, warning)) if warning else ready
        generator = self.networks.load(weights, ready.recipe.window.size, watch.tell)
        return Bench(checked.order, ready, generator, mask, watch, checked.evidence)

    def _one(self, bench: Bench, result: Result) -> Result:
        return replace(result, image=self._made(bench, result.fingerprint.seed))

    def _made(self, bench: Bench, seed: int) -> Image:
        target = bench.order.job.target
        told = bench.watch.steps(f"sampling {target}")
        return synthesise(bench.ready, bench.generator, target, seed, bench.mask, told)

    def _standing(self, place: Destination, fingerprint: Fingerprint, open_to: OpenKeys | None = None) -> Standing:
        options = self.options
        return already_made(place, fingerprint, options.overwrite, open_to, options.checks)


_NO_EVIDENCE = Evidence(unjudged="no self-check was asked for")


def _verdict(evidence: Evidence, image: Image) -> Verdict:
    """Return what the self-check of the sources and the image itself make of it."""
    return judge(replace(evidence, fit=image.fit, black=image.black))
