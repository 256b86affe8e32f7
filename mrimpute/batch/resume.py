"""Studies that an earlier run finished, known again by its JSON lines without opening an image.

A line holds a digest of what was wished and of how the study's files and the results stood (`seen`). Only where all of
that is the same now, and the same weights would be sampled in the same way, is the study passed over; everything else
goes the whole way, which compares digests of the files' content.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mrimpute._version import __version__
from mrimpute.batch.merge import Entry, entries_of
from mrimpute.contrasts import Contrast
from mrimpute.device import choose_device
from mrimpute.errors import MrimputeError, UsageError
from mrimpute.files import sha256_of_all
from mrimpute.files.listing import Listing, Stamp, listing_of, stamp_of, stamps_of
from mrimpute.io import split_suffix
from mrimpute.outcome import Outcome
from mrimpute.prepare import skull
from mrimpute.registry import choose_checkpoint
from mrimpute.request import Options, precision_of, sampling_of
from mrimpute.write.fit import PLANS_FILES
from mrimpute.write.provenance import RECIPE_VERSION

DONE = ("filled", "skipped", "complete")
LINES = "*.jsonl"
_Job = tuple[str, tuple[str, ...], str]
"""Generator, sources and target."""


def wishes_of(options: Options, missing: Sequence[Contrast]) -> str:
    """Return the digest of everything that a user wishes of each study of a run, and of this version of mrimpute.

    What only says how the work is done (threads) does not count. It is '' where files outside the study are named
    for it, as a brain mask: studies of such a run are not known again.
    """
    if options.overrides or options.brain_mask or isinstance(options.reference, Path):
        return ""
    told = {field.name: getattr(options, field.name) for field in fields(options)}
    told |= {"threads": None, "missing": tuple(missing)}
    told["out"] = options.out and os.path.realpath(options.out)
    told["calibration"] = options.calibration and options.calibration.sha256
    if options.layout and (file := options.layout.dataset_json):
        beside = [path for path in (file, *map(file.with_name, PLANS_FILES)) if path.is_file()]
        told["layout"] = options.layout.needs, sha256_of_all(beside)
    return _digest(__version__, RECIPE_VERSION, told)


def seen_of(outcome: Outcome, wishes: str) -> str | None:
    """Return the digest by which a finished study is known again; None where it is not finished, or cannot be.

    Args:
        outcome: what came of it; its listing was made before a file of it was opened.
        wishes: see `wishes_of`.
    """
    if outcome.error or outcome.listing is None or not wishes:
        return None
    written = [*(output.path for output in outcome.outputs), *outcome.copies]
    try:
        return _seen(wishes, outcome.folder, outcome.listing, written)
    except OSError:
        return None


def _seen(wishes: str, folder: Path, listing: Listing, written: Iterable[Path]) -> str:
    """Return the digest of wishes, of a study's own files, and of what was written for it, in the study or elsewhere.

    Raises:
        OSError: a folder of results cannot be listed.
    """
    results: Listing = {}
    for image in written:
        sidecar = image.with_name(f"{split_suffix(image.name)[0]}.json")
        results |= stamps_of(image) | {str(sidecar): stamp_of(sidecar)}
    start = f"{folder}{os.sep}"
    made = {name.removeprefix(start).rstrip("/") for name in results}
    own = {name: stamp for name, stamp in listing.items() if name.rstrip("/") not in made}
    return _digest(wishes, sorted(own.items(), key=_name), sorted(results.items(), key=_name))


def _name(item: tuple[str, Stamp]) -> str:
    return item[0]


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()


class Finished:
    """The studies that earlier runs finished, by their JSON lines.

    Args:
        files: of JSON lines, or folders of them, the older ones first; of a study the last success counts.
        options, missing: of this run.

    Raises:
        UsageError: a file is not there.
        StudyRefused: a file cannot be read, or holds something else.
    """

    def __init__(self, files: Iterable[Path], options: Options, missing: Sequence[Contrast]) -> None:
        self._options = options
        self._wishes = wishes_of(options, missing)
        self._recipes: dict[_Job, dict[str, object] | None] = {}
        self._lines: dict[str, Entry] = {}
        for file in _files_of(files):
            for entry in entries_of(file, []):
                if entry.exit == 0 and entry.status in DONE:
                    self._lines[os.path.normpath(entry.study)] = entry

    def record(self, folder: Path) -> dict[str, Any] | None:
        """Return what an earlier run told of a study that stands as it left it; None for any other."""
        entry = self._lines.get(os.path.normpath(folder))
        listing = listing_of(folder) if entry and not self._options.overwrite else None
        if entry is None or listing is None:
            return None
        try:
            record: dict[str, Any] = json.loads(entry.read())
            written = [*(output["path"] for output in record["outputs"]), *record["copies"]]
            same = record["seen"] == _seen(self._wishes, folder, listing, map(Path, written))
            return record if same and not record["settings"] and self._made_so(record) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _made_so(self, record: dict[str, Any]) -> bool:
        """Tell whether this run would make the images of a record with the same weights, sampled in the same way."""
        jobs = {job["target"]: (job["generator"], tuple(job["sources"]), job["target"]) for job in record["plan"]}
        for output in record["outputs"]:
            recipe, job = output["recipe"], jobs[output["modality"]]
            if job not in self._recipes:
                self._recipes[job] = self._recipe_of(job)
            now = self._recipes[job]
            masked = recipe["brain_mask"] in ("", now and now["brain_mask"])
            if now is None or not masked or any(recipe[key] != now[key] for key in now if key != "brain_mask"):
                return False
        return True

    def _recipe_of(self, job: _Job) -> dict[str, object] | None:
        """Return what of a recipe does not hang on the sources' voxels; None where it cannot be told beforehand."""
        options, (generator, sources, target) = self._options, job
        try:
            contrasts = tuple(Contrast(source) for source in sources)
            checkpoint = choose_checkpoint(options.weights_for(generator), generator, contrasts, Contrast(target))
            sampling, where = sampling_of(checkpoint, options), choose_device(options.device)
            return {
                "sha256": checkpoint.sha256,
                "sampler": sampling.sampler,
                "steps": sampling.steps,
                "precision": precision_of(checkpoint, options.precision, where),
                "device": where.type,
                "calibration": options.calibration.sha256 if options.calibration else "",
                "brain_mask": skull.program() if options.skull_strip else "",
            }
        except (MrimputeError, ValueError):
            return None


def _files_of(paths: Iterable[Path]) -> list[Path]:
    """Return the files of JSON lines that paths stand for, of a folder the older ones first.

    Raises:
        UsageError: a path is not there.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"--resume {path}: no such file", "name what `fill --json` wrote, or its folder")
        inside = sorted(path.glob(LINES), key=lambda file: file.stat().st_mtime_ns) if path.is_dir() else [path]
        found += inside
    return found
