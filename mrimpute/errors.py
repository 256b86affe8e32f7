"""The tree of errors a user can cause, and the exit code of each.

    MrimputeError
    ├── UsageError            2   wrong words on the command line
    ├── StudyRefused          3   the study cannot be used as it is
    │   ├── ImageDamaged          a file is unreadable, damaged or not a usable image
    │   │   └── SeveralVolumes        a 4-D file
    │   ├── StudyAmbiguous        two readings of the study are possible
    │   └── NoRoute               nothing can make the target from what is present
    ├── WeightsUnavailable    4   a checkpoint is absent, damaged or unknown
    ├── ResourcesExhausted    5   memory, disk or the asked-for device
    ├── OutputRefused         6   the result cannot be placed where it belongs
    └── Unexpected            1   a bug, wrapped for one study of a batch
    Terminated          130, 143  a signal arrived; no `except Exception` stops it

Code 7 is no error: what was asked does not hold (`mrimpute verify`: no mark; `fill --require`: another verdict).
Everything else is a bug and ends with code 1.
"""

import errno
import traceback
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line; the same numbers stand in the JSON records."""

    DONE = 0
    BUG = 1
    USAGE = 2
    REFUSED = 3
    WEIGHTS = 4
    RESOURCES = 5
    OUTPUT = 6
    UNMET = 7
    PARTIAL = 8
    INTERRUPTED = 130
    TERMINATED = 143


class MrimputeError(Exception):
    """A failure that is not a bug: one clear line and an exit code.

    Args:
        text: what happened, where, and what was seen.
        hint: what the user can do about it.
    """

    exit_code = ExitCode.BUG
    kind = "error"

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        """Return text and hint as one line."""
        line = f"{self.text}; {self.hint}" if self.hint else self.text
        return " ".join(line.split())


class UsageError(MrimputeError):
    """Wrong words on the command line, or wrong arguments of a function."""

    exit_code = ExitCode.USAGE
    kind = "usage"


class StudyRefused(MrimputeError):
    """The study cannot be used as it is."""

    exit_code = ExitCode.REFUSED
    kind = "study-refused"


class ImageDamaged(StudyRefused):
    """A file is unreadable, damaged, or no usable image."""

    kind = "image-damaged"


class SeveralVolumes(ImageDamaged):
    """A file holds several volumes (channels, directions, time points)."""

    kind = "several-volumes"


class StudyAmbiguous(StudyRefused):
    """Two readings of the study are possible; the user must say which holds."""

    kind = "study-ambiguous"


class NoRoute(StudyRefused):
    """Nothing can make the target from what is present."""

    kind = "no-route"


class WeightsUnavailable(MrimputeError):
    """A checkpoint is absent, damaged, unknown, or for another job."""

    exit_code = ExitCode.WEIGHTS
    kind = "weights-unavailable"


class ResourcesExhausted(MrimputeError):
    """Not enough memory or disk, or the device asked for is not there."""

    exit_code = ExitCode.RESOURCES
    kind = "resources-exhausted"


class OutputRefused(MrimputeError):
    """The result cannot be placed where it belongs."""

    exit_code = ExitCode.OUTPUT
    kind = "output-refused"


class Unexpected(MrimputeError):
    """A bug, told in one line so that the other studies of a batch go on."""

    kind = "bug"

    def __init__(self, error: Exception) -> None:
        if isinstance(error.__cause__, Terminated):  # Python wraps a signal that comes while a class is made
            raise error.__cause__
        place = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        super().__init__(
            f"unexpected error ({type(error).__name__}): {error}{place}", "run again with --debug and report it"
        )


_SYSTEM = (
    *(errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EROFS, errno.ETIMEDOUT),
    *(errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
)
"""What an operating system refuses without a fault of the program's."""
_NO_ROOM = "failed to map segment"
"""What the loader of shared libraries says where a limit leaves no address space."""
_NO_THREAD = ("start new thread", "PlatformMultiThreader")
"""What Python and ITK say where a limit lets no thread begin."""


def as_mrimpute_error(error: Exception) -> MrimputeError:
    """Return an error of the tree as it is, what the system refused as that, and all else as a bug in one line.

    What the calls held that it ended is let go of: after a target that failed, the next one needs the memory.
    """
    causes: list[BaseException] = [error]
    for one in causes:
        traceback.clear_frames(one.__traceback__)
        further = one.__cause__ or one.__context__
        if further and further not in causes:
            causes.append(further)
    if isinstance(error, MrimputeError):
        return error
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        place = f": {error.filename}" if error.filename else ""
        refused = f"the operating system refused to go on ({error.strerror}){place}"
        told: MrimputeError = ResourcesExhausted(refused, "check disks, permissions and limits")
    elif isinstance(error, ImportError | OSError) and _NO_ROOM in str(error):
        told = ResourcesExhausted("memory ran out while a library was loaded", "raise the limit on it (ulimit -v)")
    elif isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_THREAD):
        told = ResourcesExhausted("no thread could be started", "raise the limits (ulimit -v, ulimit -u)")
    else:
        told = Unexpected(error)
    told.__cause__ = error
    return told


class Terminated(BaseException):
    """A signal asked the program to end.

    Attributes:
        exit_code: 130 for Ctrl-C, 143 for SIGTERM and SIGHUP.
    """

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code
