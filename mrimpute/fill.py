"""The straight line: study folder → plan → volumes → generated → restored → written."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib import import_module
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mrimpute import device, hub, io, provenance, write
from mrimpute.contrasts import Contrast
from mrimpute.dicom import derive
from mrimpute.dicom.pixels import reads_back
from mrimpute.errors import MrimputeError, OutputRefused, StudyRefused, UsageError
from mrimpute.io import nifti
from mrimpute.layout import Layout, check_complete
from mrimpute.plan import GENERATOR_NAMES, GeneratorName, Job, Plan, make_plan
from mrimpute.prepare import Prepared, Recipe, prepare, restore
from mrimpute.provenance import Fingerprint
from mrimpute.registry import HUB_WORD, Checkpoint, choose_checkpoint
from mrimpute.sampling import choose_sampling
from mrimpute.settings import SETTINGS_FILE, Settings, read_settings
from mrimpute.study import Study, find_series
from mrimpute.volume import FloatArray, Volume

if TYPE_CHECKING:
    from mrimpute.generators.contract import Generator

Progress = Callable[[str, int, int], None]
"""Called with (what is going on, steps done, steps in all)."""

Sources = dict[Contrast, Volume]

GRID_LIMIT_MM = 1e-4
BLACK_LIMIT = 0.5


@dataclass(frozen=True)
class Options:
    """What a user can decide about a run; the command line has an option for each.

    Attributes:
        overrides: contrast → file, the user's word on which series is which.
        generator: instead of the table's choice.
        out: folder in which each study gets one; None for beside the sources.
        layout: with `out`, assemble complete cases under these names.
        intensity: grey values on the study's scale, or left in [0, 1].
        format: 'same' (NIfTI from NIfTI, DICOM from DICOM), 'nifti' or 'dicom'.
        weights: 'auto', 'builtin', a name, a folder or hf://owner/repo; `GENERATOR=…` for one
            generator only. Empty for what the study's mrimpute.toml says, else 'auto'.
        sampler, steps: None for the checkpoint's own.
        seed: of the noise.
        device: auto, cpu, cuda or cuda:N.
        precision: auto, float32 or bfloat16.
        threads: CPU threads; None for all that the job may use.
        overwrite: replace an earlier synthetic image.
    """

    overrides: dict[Contrast, Path] = field(default_factory=dict)
    generator: GeneratorName | None = None
    out: Path | None = None
    layout: Layout | None = None
    intensity: Literal["study", "unit"] = "study"
    format: Literal["same", "nifti", "dicom"] = "same"
    weights: tuple[str, ...] = ()
    sampler: Literal["ddim", "ddpm"] | None = None
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int | None = None
    overwrite: bool = False

    def weights_for(self, generator: str, settings: Settings | None = None) -> str:
        """Return the word on weights that holds for one generator: the user's, else the study's.

        Raises:
            UsageError: two words for it, or an unknown generator before '='.
        """
        general, special = [], []
        for word in self.weights or (settings or Settings()).weights:
            name, equals, rest = word.partition("=")
            if equals and name not in GENERATOR_NAMES:
                raise UsageError(
                    f"--weights {word}: no generator is called {name!r}", f"use {', '.join(GENERATOR_NAMES)}"
                )
            if not equals:
                general.append(word)
            elif name == generator:
                special.append(rest)
        words = special or general or ["auto"]
        if len(words) > 1:
            raise UsageError(f"--weights was given twice for {generator}", "write GENERATOR=NAME for each generator")
        return words[0]


@dataclass(frozen=True)
class Check:
    """One figure measured on a written image, and the limit it should keep."""

    name: str
    value: float
    limit: float

    @property
    def ok(self) -> bool:
        """Whether the value keeps the limit."""
        return self.value <= self.limit


@dataclass(frozen=True)
class Output:
    """One synthetic image.

    Attributes:
        path: its NIfTI file, or the folder of its DICOM series.
        target: its contrast.
        skipped: whether it was there already, made by the same recipe.
        sha256: digest of the file.
        fingerprint: what decided its voxels.
        checkpoint: the weights.
        reference: contrast of the source whose grid it has (None where skipped).
        zero, one: grey values that the network's 0 and 1 became (None where skipped).
        checks: what was measured on the written image.
    """

    path: Path
    target: Contrast
    skipped: bool
    sha256: str
    fingerprint: Fingerprint
    checkpoint: Checkpoint
    reference: Contrast | None = None
    zero: float | None = None
    one: float | None = None
    checks: tuple[Check, ...] = ()


@dataclass
class Outcome:
    """What came of one study, filled in while the work goes on.

    Attributes:
        folder: the study, as given.
        study, settings, plan: once known.
        volumes: digest of each source read, by contrast.
        outputs: images written or found.
        copies: acquired files of a complete case (with a layout).
        warnings: what the user should know.
    """

    folder: Path
    study: Study | None = None
    settings: Settings = field(default_factory=Settings)
    plan: Plan | None = None
    volumes: dict[Contrast, str] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    copies: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def fill(
    folder: Path, missing: Sequence[Contrast] = (), options: Options | None = None, progress: Progress | None = None
) -> Outcome:
    """Make the sequences that one study lacks, and write them beside it.

    Args:
        folder: the study.
        missing: targets; empty for every one of t1, t1c, t2, flair that is not there.
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

    def __init__(self, options: Options, progress: Progress | None = None, say: hub.Say | None = None) -> None:
        self.options = options
        self.progress = progress or (lambda _what, _done, _total: None)
        self.say = say or (lambda _line: None)
        self._claimed: dict[Path, Path] = {}
        self._loaded: tuple[Checkpoint, Generator] | None = None

    def plan(self, folder: Path, missing: Sequence[Contrast] = (), outcome: Outcome | None = None) -> Plan:
        """Identify the series and plan the targets; nothing is read but headers."""
        outcome = outcome or Outcome(folder)
        outcome.study = find_series(folder, self.options.overrides)
        outcome.settings = read_settings(folder)
        outcome.warnings += [warning for series in outcome.study.series for warning in series.warnings]
        outcome.plan = make_plan(outcome.study, missing, self.options.generator)
        for job in outcome.plan.jobs:
            outcome.warnings += [
                f"{item.path} may be an acquired {job.target}, but is set aside: {item.reason}"
                for item in outcome.study.set_aside
                if item.likely is job.target
            ]
        return outcome.plan

    def read(self, plan: Plan, outcome: Outcome) -> Sources:
        """Read and check the sources of a plan; nothing heavier happens before.

        Raises:
            ImageDamaged, StudyRefused: the inputs cannot be used.
            OutputRefused, ResourcesExhausted: the result could not be written.
        """
        options = self.options
        if options.layout is not None and options.out is not None:
            check_complete(plan.study, options.layout, [job.target for job in plan.jobs])
            self._claim(write.plan_copies(plan.study, options.layout, options.out), plan.study)
        for job in plan.jobs:
            place = self._place(plan.study, job.target)
            self._claim([place.image], plan.study)
            write.check_room(place, max(prod(plan.study.get(contrast).grid.shape) for contrast in job.sources))
        needed = dict.fromkeys(contrast for job in plan.jobs for contrast in job.sources)
        spaces = {series.dicom.slices[0].space for c in needed if (series := plan.study.get(c)).dicom}
        if len(spaces - {""}) > 1:
            raise StudyRefused(
                f"the series of {plan.study.folder} have different frames of reference: positions do not compare",
                "register them first and give NIfTI",
            )
        with device.memory_errors():
            volumes = {contrast: plan.study.get(contrast).read() for contrast in needed}
        outcome.volumes |= {contrast: volume.sha256 for contrast, volume in volumes.items()}
        return volumes

    def _claim(self, places: Iterable[Path], study: Study) -> None:
        """Take places for one study of this run.

        Raises:
            OutputRefused: another study of the run has one of them.
        """
        for place in places:
            holder = self._claimed.setdefault(place.resolve(), study.folder)
            if holder.resolve() != study.folder.resolve():
                raise OutputRefused(
                    f"{study.folder} and {holder} would both be written to {place}",
                    "fill one of them with another --out",
                )

    def make(self, plan: Plan, sources: Sources, outcome: Outcome) -> None:
        """Make and write the targets of a plan.

        Raises:
            MrimputeError: the first failure, after the other targets were made.
        """
        failure: MrimputeError | None = None
        with write.holding(plan.study):
            for job in plan.jobs:
                try:
                    with device.memory_errors():
                        outcome.outputs.append(self._make(plan.study, job, sources, outcome))
                except MrimputeError as error:
                    failure = failure or error
            if failure:
                raise failure
            if self.options.layout and self.options.out:
                outcome.copies += write.copy_acquired(plan.study, self.options.layout, self.options.out)
            if self._writes_bids(plan.study):
                for path in (*(output.path for output in outcome.outputs), *outcome.copies):
                    write.describe_bids(path)

    def _writes_bids(self, study: Study) -> bool:
        """Tell whether results go into a BIDS tree."""
        if self.options.layout is not None:
            return self.options.layout.name == "bids"
        return self.options.out is None and study.naming.scheme == "bids"

    def fill(self, folder: Path, missing: Sequence[Contrast] = ()) -> Outcome:
        """Fill one study; see the function `fill`."""
        outcome = Outcome(folder)
        plan = self.plan(folder, missing, outcome)
        self.make(plan, self.read(plan, outcome), outcome)
        return outcome

    def _make(self, study: Study, job: Job, sources: Sources, outcome: Outcome) -> Output:
        """Make one target."""
        options = self.options
        place = self._place(study, job.target)
        checkpoint = self._checkpoint(job, outcome)
        volumes = {contrast: sources[contrast] for contrast in checkpoint.record.sources}
        fingerprint = self._fingerprint(job, checkpoint, volumes)
        if write.already_made(place, fingerprint, options.overwrite):
            digest = write.content_sha256(place.image)
            return Output(place.image, job.target, True, digest, fingerprint, checkpoint)

        ready = prepare(volumes, checkpoint.record.inputs)
        outcome.warnings += ready.warnings
        generator = self._generator(checkpoint, fingerprint, ready.recipe.window.size)
        made = generator(ready, (job.target,), options.seed, lambda done, total: self.progress(job.target, done, total))
        unit = restore(made[0].voxels, ready.recipe)
        reference = study.get(ready.recipe.reference)
        if self._as_dicom(study) and reference.dicom is not None:
            return self._write_series(study, job, place, unit, ready, checkpoint, fingerprint, volumes, outcome)
        zero, one = (0.0, 1.0) if options.intensity == "unit" else _scale(job.target, checkpoint, ready.recipe)
        voxels = np.where(ready.recipe.head, zero + unit * np.float32(one - zero), zero).astype(np.float32)

        image = nifti.encode(voxels, ready.recipe.grid, ready.recipe.header, provenance.description(job.target))
        digest = hashlib.sha256(image).hexdigest()
        record = provenance.sidecar(
            place.image.name, digest, fingerprint, checkpoint, volumes, ready.recipe, (zero, one), ready.warnings
        )
        write.write(place, image, voxels, record)
        checks = _check(place.image, unit, ready.recipe)
        outcome.warnings += [f"{place.image}: {c.name} is {c.value:.3g}, over {c.limit:g}" for c in checks if not c.ok]
        return Output(
            place.image, job.target, False, digest, fingerprint, checkpoint, ready.recipe.reference, zero, one, checks
        )

    def _as_dicom(self, study: Study) -> bool:
        """Tell whether results of a study are DICOM series."""
        options = self.options
        is_dicom = any(series.dicom for series in study.series)
        if options.format == "dicom" and not is_dicom:
            raise UsageError(f"{study.folder} holds no DICOM series to go by", "leave --format dicom out")
        wanted = is_dicom and options.format != "nifti" and options.layout is None
        if wanted and options.intensity == "unit":
            raise UsageError("DICOM stores whole numbers, not [0, 1]", "add --format nifti, or leave --intensity out")
        return wanted

    def _place(self, study: Study, target: Contrast) -> write.Place:
        """Return where the result of one target belongs."""
        options = self.options
        if self._as_dicom(study):
            if target is Contrast.CT:
                raise UsageError("a synthetic CT is written as NIfTI only", "add --format nifti")
            return write.series_place(study, target, options.out)
        return write.place_for(study, target, options.out, options.layout)

    def _write_series(
        self,
        study: Study,
        job: Job,
        place: write.Place,
        unit: FloatArray,
        ready: Prepared,
        checkpoint: Checkpoint,
        fingerprint: Fingerprint,
        volumes: Sources,
        outcome: Outcome,
    ) -> Output:
        """Write one target as a derived DICOM series."""
        sources = {contrast: study.get(contrast).dicom for contrast in volumes}
        series = {contrast: item for contrast, item in sources.items() if item is not None}
        reference = series[ready.recipe.reference]
        one = derive.stored_range(ready.recipe.scale)
        derivation = derive.Derivation(
            job.target,
            reference,
            series,
            json.dumps(asdict(fingerprint), sort_keys=True),
            provenance.derivation(fingerprint, checkpoint, one),
            derive.series_number(reference, study.highest_number),
            datetime.now(),
        )
        files = derive.encode(derive.derive(unit, one, derivation))
        digest = hashlib.sha256(b"".join(files)).hexdigest()
        record = provenance.sidecar(
            place.image.name, digest, fingerprint, checkpoint, volumes, ready.recipe, (0.0, one), ready.warnings
        )
        expected = np.clip(np.rint(np.asarray(unit, np.float64) * one), 0, 65_535)
        write.write_series(place, files, lambda folder: reads_back(folder, reference.grid, expected), record)
        checks = (Check("share of the head that is black", float(np.mean(unit[ready.recipe.head] == 0)), BLACK_LIMIT),)
        outcome.warnings += [f"{place.image}: {c.name} is {c.value:.3g}, over {c.limit:g}" for c in checks if not c.ok]
        return Output(
            place.image, job.target, False, digest, fingerprint, checkpoint, ready.recipe.reference, 0.0, one, checks
        )

    def _checkpoint(self, job: Job, outcome: Outcome) -> Checkpoint:
        """Return the checkpoint for a job, fetched from the Hub where that is its origin."""
        word = self.options.weights_for(job.generator, outcome.settings)
        if outcome.settings.weights and not self.options.weights:
            self.say(f"{outcome.folder / SETTINGS_FILE} chooses --weights {word}")
        if word.startswith(HUB_WORD):
            hub.pull(word, self.say)
        checkpoint = choose_checkpoint(word, job.generator, job.sources, job.target)
        hub.obtain(checkpoint, self.say)
        return checkpoint

    def _fingerprint(self, job: Job, checkpoint: Checkpoint, volumes: dict[Contrast, Volume]) -> Fingerprint:
        options = self.options
        sampler, steps = choose_sampling(checkpoint, options.sampler, options.steps)
        return Fingerprint(
            target=job.target,
            checkpoint_sha256=checkpoint.sha256,
            sources={contrast: volume.sha256 for contrast, volume in volumes.items()},
            sampler=sampler,
            steps=steps,
            seed=options.seed,
            precision="bfloat16" if options.precision == "bfloat16" else "float32",
            device=device.choose_device(options.device).type,
            intensity=options.intensity,
        )

    def _generator(self, checkpoint: Checkpoint, fingerprint: Fingerprint, window: tuple[int, int, int]) -> "Generator":
        """Return the loaded generator, keeping it for the next study of the same kind."""
        room = import_module(f"mrimpute.generators.{checkpoint.record.generator}.generator")
        where = device.choose_device(self.options.device)
        device.require_memory(room.memory_needed(checkpoint, window, where), where)
        if self._loaded is None or self._loaded[0] != checkpoint:
            device.configure(self.options.threads)
            dtype = device.choose_dtype(self.options.precision)
            self._loaded = None
            self._loaded = (checkpoint, room.load(checkpoint, fingerprint.sampler, fingerprint.steps, where, dtype))
        return self._loaded[1]


def _scale(target: Contrast, checkpoint: Checkpoint, recipe: Recipe) -> tuple[float, float]:
    """Return the grey values that 0 and 1 become: of CT the checkpoint's range in Hounsfield units,
    else the study's scale."""
    low, high = checkpoint.record.inputs.ranges.get(target, (0.0, recipe.scale))
    return low, high


def _check(image: Path, unit: FloatArray, recipe: Recipe) -> tuple[Check, ...]:
    """Measure on a written image what a user would see first if it were wrong."""
    written = io.read_info(image).grid
    moved = float(np.abs(written.corners() - recipe.grid.corners()).max())
    dark = float(np.mean(unit[recipe.head] == 0))
    return (
        Check("distance of its corners from the source's (mm)", moved, GRID_LIMIT_MM),
        Check("share of the head that is black", dark, BLACK_LIMIT),
    )
