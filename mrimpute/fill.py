"""The straight line: study folder → plan → volumes → generated → restored → written."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mrimpute import device
from mrimpute.contrasts import Contrast
from mrimpute.errors import MrimputeError, OutputRefused, StudyRefused, UsageError
from mrimpute.files import content_sha256
from mrimpute.generators.contract import convert, door
from mrimpute.plan import GENERATOR_NAMES, GeneratorName, Job, Plan, make_plan
from mrimpute.prepare import prepare, restore, skull
from mrimpute.prepare.sources import Gathered, find_reference, gather
from mrimpute.registry import HUB_WORD, Checkpoint, choose_checkpoint, hub
from mrimpute.sampling import choose_sampling
from mrimpute.settings import SETTINGS_FILE, Settings, read_settings
from mrimpute.study import Study, find_series
from mrimpute.write import copies, nifti
from mrimpute.write import place as write
from mrimpute.write.dicom import series as dicom_series
from mrimpute.write.layout import Layout, check_complete
from mrimpute.write.provenance import Fingerprint
from mrimpute.write.result import Made, Output

if TYPE_CHECKING:
    from mrimpute.generators.contract import Generator

Progress = Callable[[str, int, int], None]
"""Called with (what is going on, steps done, steps in all)."""

Sources = dict[Contrast, Gathered]
"""What each target of a plan is made from."""


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
        reference: contrast, or folder of one DICOM series, whose grid results get; None for the
            source with the thinnest slices.
        register: whether sources that are out of register may be moved.
        brain_mask: file that says where the brain is; None for the images as they are.
        skull_strip: call the stripper on PATH for images with skull.
        save_mask: write the brain mask beside the result.
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
    reference: Contrast | Path | None = None
    register: bool = False
    brain_mask: Path | None = None
    skull_strip: bool = False
    save_mask: bool = False
    weights: tuple[str, ...] = ()
    sampler: Literal["ddim", "ddpm", "paper", "none"] | None = None
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


@dataclass
class Outcome:
    """What came of one study, filled in while the work goes on.

    Attributes:
        folder: the study, as given.
        study, settings, plan: once known.
        volumes: digest of each source read, by contrast.
        outputs: images written or found.
        copies: other files written: acquired ones of a complete case (with a layout), brain masks.
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

    def __init__(self, options: Options, progress: Progress | None = None, say: hub.Notify | None = None) -> None:
        self.options = options
        self.progress = progress or (lambda _what, _done, _total: None)
        self.say = say or (lambda _line: None)
        self._claimed: dict[Path, Path] = {}
        self._loaded: tuple[Checkpoint, Generator] | None = None
        self._stripped: tuple[str, skull.BrainMask] | None = None
        if options.brain_mask and options.skull_strip:
            raise UsageError("--brain-mask and --skull-strip exclude each other", "leave one of them out")
        if options.save_mask and not (options.brain_mask or options.skull_strip):
            raise UsageError("there is no brain mask to save", "add --brain-mask FILE or --skull-strip")
        changed = options.brain_mask or options.skull_strip or isinstance(options.reference, Path)
        if options.layout is not None and (changed or options.format == "dicom"):
            raise UsageError(
                "a complete case holds the acquired NIfTI files as they are: no mask, other grid or DICOM goes with it",
                "leave --layout out, or prepare the study first",
            )

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
            self._claim(copies.plan_copies(plan.study, options.layout, options.out), plan.study)
        reference = find_reference(plan.study, options.reference)
        sources = {job.target: [plan.study.get(contrast) for contrast in job.sources] for job in plan.jobs}
        needed = {series.path: series for listed in sources.values() for series in listed}
        if reference and plan.jobs:
            needed.setdefault(reference.series.path, reference.series)
        for job in plan.jobs:
            place = self._place(plan.study, job.target)
            self._claim([place.image], plan.study)
            if options.save_mask:
                nifti.check_mask_place(place)
            write.check_room(place, max(prod(series.grid.shape) for series in needed.values()))
        mask = skull.read_brain_mask(options.brain_mask) if options.brain_mask and plan.jobs else None
        with device.memory_errors():
            volumes = {path: series.read() for path, series in needed.items()}
            for listed in sources.values():
                outcome.volumes |= {series.contrast: volumes[series.path].sha256 for series in listed}
            gathered = {
                target: gather(listed, reference, volumes, options.register, mask) for target, listed in sources.items()
            }
        if options.layout is not None and any(one.moved for one in gathered.values()):
            raise StudyRefused(
                f"{plan.study.folder}: series are out of register, and a {options.layout.name} case copies them so",
                "register the study first, or use --layout same",
            )
        if options.skull_strip and any(one.with_skull for one in gathered.values()):
            skull.program()
        return gathered

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
                        self._make(plan.study, job, sources[job.target], outcome)
                except MrimputeError as error:
                    failure = failure or error
            if failure:
                raise failure
            if self.options.layout and self.options.out:
                outcome.copies += copies.copy_acquired(plan.study, self.options.layout, self.options.out)
            if self._writes_bids(plan.study):
                for path in (*(output.path for output in outcome.outputs), *outcome.copies):
                    copies.describe_bids(path)

    def _writes_bids(self, study: Study) -> bool:
        """Tell whether results go into a BIDS tree."""
        if self.options.layout is not None:
            return self.options.layout.name == "bids"
        if self._as_dicom(study):
            return False
        return self.options.out is None and study.naming.scheme == "bids"

    def fill(self, folder: Path, missing: Sequence[Contrast] = ()) -> Outcome:
        """Fill one study; see the function `fill`."""
        outcome = Outcome(folder)
        plan = self.plan(folder, missing, outcome)
        self.make(plan, self.read(plan, outcome), outcome)
        return outcome

    def _make(self, study: Study, job: Job, gathered: Gathered, outcome: Outcome) -> None:
        """Make one target."""
        options, place = self.options, self._place(study, job.target)
        checkpoint = self._checkpoint(job, outcome)
        fingerprint = self._fingerprint(job, checkpoint, gathered)
        if write.already_made(place, fingerprint, options.overwrite):
            digest = content_sha256(place.image)
            outcome.outputs.append(Output(place.image, job.target, True, digest, fingerprint, checkpoint))
            if options.save_mask and not nifti.mask_path(place).exists():
                outcome.warnings.append(f"{place.image} was there already, so no mask was written; add --overwrite")
            return

        mask = gathered.mask or self._brain(gathered)
        volumes = {c: gathered.volumes[c] for c in checkpoint.record.sources if c in gathered.volumes}
        if mask:
            volumes = {contrast: mask.applied(volume) for contrast, volume in volumes.items()}
        ready = prepare(volumes, checkpoint.record.inputs, (gathered.reference.contrast, gathered.onto))
        outcome.warnings += [*gathered.notes, *ready.warnings]
        generator = self._generator(checkpoint, fingerprint, ready.recipe.window.size)
        made = generator(ready, (job.target,), options.seed, lambda done, total: self.progress(job.target, done, total))
        image = restore(made[0].voxels, ready.recipe)
        if mask:  # what it leaves out stays 0, holes too
            image = np.where(mask.on(ready.recipe.grid), image, np.float32(0))
        finished = Made(
            job.target,
            place,
            image,
            ready,
            gathered,
            {c: series for c in volumes if (series := study.get(c).dicom) is not None},
            max(study.highest_number, gathered.highest_number),
            mask,
            fingerprint,
            checkpoint,
        )
        if self._as_dicom(study) and gathered.reference.dicom is not None:
            output = dicom_series.write_series(finished, gathered.reference.dicom)
        else:
            output = nifti.write_volume(finished, scaled=options.intensity == "study")
        outcome.outputs.append(output)
        outcome.warnings += [
            f"{output.path}: {c.name} is {c.value:.3g}, over {c.limit:g}" for c in output.checks if not c.ok
        ]
        if mask and options.save_mask:
            outcome.copies.append(nifti.write_mask(finished, mask))

    def _mask_word(self, gathered: Gathered) -> str:
        """Return what decides the brain mask: the digest of the user's, or the program that will make one."""
        if gathered.mask:
            return gathered.mask.sha256
        return skull.program() if self.options.skull_strip and gathered.with_skull else ""

    def _brain(self, gathered: Gathered) -> skull.BrainMask | None:
        """Return the mask that the stripper on PATH makes of the reference, where a source has skull."""
        if not (self.options.skull_strip and gathered.with_skull):
            return None
        if self._stripped is None or self._stripped[0] != gathered.onto.sha256:
            cuda = device.choose_device(self.options.device).type == "cuda"
            self._stripped = gathered.onto.sha256, skull.strip(gathered.onto, cuda)
        return self._stripped[1]

    def _as_dicom(self, study: Study) -> bool:
        """Tell whether results of a study are DICOM series."""
        options = self.options
        is_dicom = any(series.dicom for series in study.series)
        if options.format == "dicom" and not is_dicom:
            is_dicom = isinstance(options.reference, Path)
            if not is_dicom:
                raise UsageError(
                    f"{study.folder} holds no DICOM series to go by", "add --reference FOLDER_OF_A_DICOM_SERIES"
                )
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

    def _checkpoint(self, job: Job, outcome: Outcome) -> Checkpoint:
        """Return the checkpoint for a job, fetched from the Hub where that is its origin."""
        word = self.options.weights_for(job.generator, outcome.settings)
        if outcome.settings.weights and not self.options.weights:
            self.say(f"{outcome.folder / SETTINGS_FILE} chooses --weights {word}")
        if word.startswith(HUB_WORD):
            hub.pull(word, self.say, convert)
        checkpoint = choose_checkpoint(word, job.generator, job.sources, job.target)
        hub.obtain(checkpoint, self.say, convert)
        return checkpoint

    def _fingerprint(self, job: Job, checkpoint: Checkpoint, gathered: Gathered) -> Fingerprint:
        options = self.options
        sampler, steps = choose_sampling(checkpoint, options.sampler, options.steps)
        return Fingerprint(
            target=job.target,
            checkpoint_sha256=checkpoint.sha256,
            sources={c: gathered.volumes[c].sha256 for c in checkpoint.record.sources if c in gathered.volumes},
            onto=gathered.onto.sha256,
            moved=list(gathered.moved),
            brain_mask=self._mask_word(gathered),
            sampler=sampler,
            steps=steps,
            seed=options.seed,
            precision="bfloat16" if options.precision == "bfloat16" else "float32",
            device=device.choose_device(options.device).type,
            intensity=options.intensity,
        )

    def _generator(self, checkpoint: Checkpoint, fingerprint: Fingerprint, window: tuple[int, int, int]) -> "Generator":
        """Return the loaded generator, keeping it for the next study of the same kind."""
        room = door(checkpoint.record.generator, "generator")
        where = device.choose_device(self.options.device)
        device.require_memory(room.memory_needed(checkpoint, window, where), where)
        if self._loaded is None or self._loaded[0] != checkpoint:
            device.configure(self.options.threads)
            dtype = device.choose_dtype(self.options.precision)
            self._loaded = None
            self._loaded = (checkpoint, room.load(checkpoint, fingerprint.sampler, fingerprint.steps, where, dtype))
        return self._loaded[1]
