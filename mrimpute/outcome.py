"""What came of one study."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mrimpute.contrasts import Contrast
from mrimpute.errors import ExitCode, MrimputeError
from mrimpute.files.listing import Listing
from mrimpute.plan import Plan
from mrimpute.prepare.reading import Inputs
from mrimpute.request import Request
from mrimpute.settings import Settings
from mrimpute.study import Study
from mrimpute.write import Output
from mrimpute.write.verdict import Word


@dataclass(frozen=True)
class Outcome:
    """What came of one study.

    Attributes:
        folder: the study, as given.
        study, settings, plan: as far as they became known.
        volumes: digest of each source read, by contrast.
        outputs: images written or found.
        copies: other files written: acquired ones of a complete case (with a layout), brain masks, samples.
        warnings: what the user should know.
        error: what ended the work; None where all was done.
        listing: how the study's files stood before one was opened; see `listing_of`.
    """

    folder: Path
    study: Study | None = None
    settings: Settings = field(default_factory=Settings)
    plan: Plan | None = None
    volumes: dict[Contrast, str] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    copies: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    error: MrimputeError | None = None
    listing: Listing | None = None

    def unmet(self, required: Word | None) -> list[Output]:
        """Return the images whose verdict is not the one required; none where any will do."""
        return [one for one in self.outputs if required and (one.verdict is None or one.verdict.word != required)]

    def exit_code(self, required: Word | None = None) -> ExitCode:
        """Return the exit code of this study alone: that of its error, else whether what is required holds."""
        if self.error:
            return self.error.exit_code
        return ExitCode.UNMET if self.unmet(required) else ExitCode.DONE


@dataclass(frozen=True)
class Target:
    """What came of one target: its image, what else was written, what to tell, or why there is none."""

    output: Output | None = None
    copies: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    error: MrimputeError | None = None


def outcome_of(
    request: Request,
    inputs: Inputs,
    targets: Sequence[Target] = (),
    copies: Sequence[Path] = (),
    error: MrimputeError | None = None,
) -> Outcome:
    """Return what came of a request, from the inputs and the targets."""
    return Outcome(
        request.folder,
        request.study,
        request.settings,
        request.plan,
        inputs.digests,
        tuple(target.output for target in targets if target.output),
        (*(path for target in targets for path in target.copies), *copies),
        tuple(dict.fromkeys([*request.warnings, *(warning for target in targets for warning in target.warnings)])),
        error,
        request.listing,
    )


@dataclass(frozen=True)
class Spent:
    """Time on the clock and on the CPU, in seconds."""

    seconds: float
    cpu_seconds: float

    @classmethod
    def so_far(cls) -> "Spent":
        """Return what this process has spent; only differences mean something."""
        return cls(time.monotonic(), time.process_time())

    def __sub__(self, earlier: "Spent") -> "Spent":
        return Spent(self.seconds - earlier.seconds, self.cpu_seconds - earlier.cpu_seconds)
