"""The calibration that one run of studies uses: named, learnt from given studies, or from those of the run itself."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mrimpute import device
from mrimpute.calibration.folder import choose_site, is_site, read_site, write_site
from mrimpute.calibration.site import Site
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.errors import MrimputeError, StudyRefused, UsageError
from mrimpute.files import real_path
from mrimpute.registry.store import exclusively
from mrimpute.study import find_series

BATCH = "batch"
"""The word with which a run calibrates from its own complete studies."""
BATCH_FOLDER = "mrimpute_calibration"
"""Where such a calibration lies below --out."""
MAX_STUDIES = 12
"""More studies of a run are not learnt from: the second one brought 0.1 dB."""

Notify = Callable[[str], None]
"""Called with a line for the user."""


@dataclass(frozen=True)
class Wish:
    """What a user says about calibration for one run.

    Attributes:
        word: a name in the store, or a folder; None for none.
        learn_from: studies to learn from, or the word BATCH; empty for none.
        out: the run's output folder, where BATCH keeps what it learns.
        recalibrate: whether BATCH learns again what an earlier run learnt.
        threads: CPU threads for learning; None for all that the job may use.
        dry: whether words are checked only, and nothing is learnt.
        skull_strip: whether the stripper on PATH takes the skull off the studies to learn from.

    Raises:
        UsageError: words that exclude each other.
    """

    word: str | None = None
    learn_from: tuple[str, ...] = ()
    out: Path | None = None
    recalibrate: bool = False
    threads: int | None = None
    dry: bool = False
    skull_strip: bool = False

    def __post_init__(self) -> None:
        batch = BATCH in self.learn_from
        if self.word and self.learn_from:
            raise UsageError("--calibration and --calibrate-from exclude each other", "leave one of them out")
        if batch and len(self.learn_from) > 1:
            raise UsageError("--calibrate-from batch goes with no other study", "name studies, or batch alone")
        if batch and self.out is None:
            raise UsageError("--calibrate-from batch keeps what it learns in the output folder", "add --out DIR")
        if self.recalibrate and not batch:
            raise UsageError("--recalibrate goes with --calibrate-from batch", "leave it out")

    def site(self, folders: Sequence[Path], targets: Sequence[Contrast], notify: Notify) -> Site | None:
        """Return the calibration of a run; None where none is asked for, or it would have to be learnt in a dry run or
        for studies none of which is there.

        Args:
            folders: every study of the run, before it is cut into shards.
            targets: what is made; empty for all that is missing.
            notify: told which studies were used and which were left out.

        Raises:
            WeightsUnavailable: there is no calibration of that name, or it is not valid.
            StudyRefused: no study is left to learn from.
            OutputRefused: it cannot be kept.
        """
        if self.word:
            return choose_site(self.word)
        kept = self.out / BATCH_FOLDER if self.out is not None and BATCH in self.learn_from else None
        if self.dry:
            return read_site(kept) if kept and kept.exists() and not self.recalibrate else None
        if not self.learn_from or not any(map(os.path.isdir, folders)):
            return None
        if kept:
            return self._of_batch(folders, targets, kept, notify)
        return self._learnt([Path(study) for study in self.learn_from], targets, notify)

    def _of_batch(self, folders: Sequence[Path], targets: Sequence[Contrast], place: Path, notify: Notify) -> Site:
        """Return what the complete studies of a run teach, from an earlier run where it is kept."""
        with exclusively(f"calibration-{hashlib.sha256(str(real_path(place)).encode()).hexdigest()[:16]}"):
            if place.exists() and not (self.recalibrate and is_site(place)):
                notify(f"calibration of an earlier run: {place}")
                return read_site(place)
            site = self._learnt(_most_complete(folders, targets), targets, notify)
            for line in write_site(site, place, replace=self.recalibrate):
                notify(line)
            return read_site(place)

    def _learnt(self, folders: Sequence[Path], targets: Sequence[Contrast], notify: Notify) -> Site:
        from mrimpute.calibration.learn import learn

        device.configure(self.threads)
        with device.memory_errors():
            learnt = learn(folders, "of this run", targets, skull_strip=self.skull_strip)
        for one in learnt.left_out:
            notify(f"not calibrated from {one.folder}: {one.reason}")
        notify(f"calibrated from {', '.join(map(str, learnt.used))}")
        return learnt.site


def _most_complete(folders: Sequence[Path], targets: Sequence[Contrast]) -> list[Path]:
    """Return the studies with the most of the four contrasts, a target among them, in the order of their paths.

    Raises:
        StudyRefused: none has a target and another contrast.
    """
    found = []
    for folder in sorted(folders):
        try:
            held = [contrast for contrast in find_series(folder).present if contrast in BRATS_FOUR]
        except MrimputeError:
            continue  # it is told when the study's own turn comes
        if len(held) > 1 and (not targets or set(targets) & set(held)):
            found.append((len(held), folder))
    if not found:
        wanted = " or ".join(targets) or "two contrasts"
        raise StudyRefused(f"none of the {len(folders)} studies holds {wanted} to learn from", "name complete studies")
    found.sort(key=lambda one: -one[0])
    return [folder for _, folder in found[:MAX_STUDIES]]
