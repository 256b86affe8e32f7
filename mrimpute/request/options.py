"""What a user can decide about a run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mrimpute.calibration import Site
from mrimpute.contrasts import Contrast
from mrimpute.device import DEVICES, ENGINES, PRECISIONS, check_device_word
from mrimpute.errors import UsageError
from mrimpute.generators.contract import method_of
from mrimpute.plan import generator_names
from mrimpute.settings import Settings
from mrimpute.write.layout import Layout
from mrimpute.write.verdict import Word


@dataclass(frozen=True)
class Options:
    """What a user can decide about a run; the command line has an option for each.

    Attributes:
        overrides: contrast → file, the user's word on which series is which.
        generator: instead of the table's choice.
        out: folder in which each study gets one; None for beside the sources.
        layout: with `out`, assemble complete cases under these names.
        as_is: assemble a case though it does not lie as the layout's segmenters expect.
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
        trust_study_settings: let a study's mrimpute.toml name any folder or repository of weights.
        checks: whether names and scanner are judged by the grey values, where three series are there, and with a
            calibration how much each two tell of each other.
        ignore_broken: go on without series that are damaged, though one may be a wanted source.
        calibration: learnt from complete studies of the scanner; None for what the study's mrimpute.toml names,
            else none.
        samples: how many images with as many seeds; of several the mean is the result.
        self_check: whether results are judged, see `mrimpute.selfcheck`.
        report: whether an HTML report is written beside each result.
        picture: whether a picture of the sources and the result is written beside it.
        require: the verdict that results must have for exit code 0; None for any.

    Raises:
        UsageError: options that exclude each other.
    """

    overrides: dict[Contrast, Path] = field(default_factory=dict)
    generator: str | None = None
    out: Path | None = None
    layout: Layout | None = None
    as_is: bool = False
    intensity: Literal["study", "unit"] = "study"
    format: Literal["same", "nifti", "dicom"] = "same"
    reference: Contrast | Path | None = None
    register: bool = False
    brain_mask: Path | None = None
    skull_strip: bool = False
    save_mask: bool = False
    weights: tuple[str, ...] = ()
    sampler: str | None = None
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int | None = None
    overwrite: bool = False
    trust_study_settings: bool = False
    checks: bool = True
    ignore_broken: bool = False
    calibration: Site | None = None
    samples: int = 1
    self_check: bool = True
    report: bool = False
    picture: bool = False
    require: Word | None = None

    def __post_init__(self) -> None:
        check_device_word(self.device)
        if self.generator is not None and self.generator not in generator_names():
            raise UsageError(f"no generator is called {self.generator!r}", f"use {', '.join(generator_names())}")
        if self.sampler is not None and self.sampler not in (known := sampler_names()):
            raise UsageError(f"unknown sampler {self.sampler!r}", f"use one of {', '.join(known)}")
        if self.brain_mask and self.skull_strip:
            raise UsageError("--brain-mask and --skull-strip exclude each other", "leave one of them out")
        if self.save_mask and not (self.brain_mask or self.skull_strip):
            raise UsageError("there is no brain mask to save", "add --brain-mask FILE or --skull-strip")
        if self.require and not self.self_check:
            raise UsageError("--require needs the verdict that --no-self-check leaves out", "leave one of them out")
        if self.samples > 1 and self.layout is not None:
            raise UsageError("a complete case holds one image per contrast, not several samples", "leave one out")
        if self.layout is not None and self.out is None:
            raise UsageError("--layout assembles cases in a folder of their own", "add --out DIR")
        changed = self.brain_mask or self.skull_strip or isinstance(self.reference, Path)
        if self.layout is not None and self.layout.needs and (changed or self.format == "dicom"):
            raise UsageError(
                "a complete case holds the acquired NIfTI files as they are: no mask, other grid or DICOM goes with it",
                "leave --layout out, or prepare the study first",
            )

    @property
    def left_open(self) -> dict[str, tuple[str, ...]]:
        """What 'auto' leaves to the machine: a result is finished on every machine, whichever of them made it."""
        precise, placed = self.precision == "auto", self.device == "auto"
        auto = {"precision": precise, "engine": precise, "device": placed}
        choices = {"precision": PRECISIONS, "engine": ENGINES, "device": DEVICES}
        return {key: choices[key] for key, wanted in auto.items() if wanted}

    def weights_for(self, generator: str, settings: Settings | None = None) -> str:
        """Return the word on weights that holds for one generator: the user's, else the study's.

        Raises:
            UsageError: two words for it, or an unknown generator before '='.
        """
        general, special = [], []
        for word in self.weights or (settings or Settings()).weights:
            name, equals, rest = word.partition("=")
            if equals and name not in generator_names():
                raise UsageError(
                    f"--weights {word}: no generator is called {name!r}", f"use {', '.join(generator_names())}"
                )
            if not equals:
                general.append(word)
            elif name == generator:
                special.append(rest)
        words = special or general or ["auto"]
        if len(words) > 1:
            raise UsageError(f"--weights was given twice for {generator}", "write GENERATOR=NAME for each generator")
        return words[0]


def sampler_names() -> tuple[str, ...]:
    """Return every sampler that some generator takes."""
    return tuple(dict.fromkeys(name for generator in generator_names() for name in method_of(generator).samplers))
