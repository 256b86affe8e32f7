"""Folder → Study: which series is which contrast, and why."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mrimpute import io
from mrimpute.contrasts import Contrast
from mrimpute.errors import ImageDamaged, SeveralVolumes, StudyAmbiguous, StudyRefused, UsageError
from mrimpute.files import real_path
from mrimpute.io.dicom.facts import Facts
from mrimpute.io.dicom.headers import holds_dicom, lies_beside_dicom
from mrimpute.marks import is_synthetic
from mrimpute.study.asides import COMPUTED
from mrimpute.study.candidate import Candidate, sort_out
from mrimpute.study.cases import one_case, refused
from mrimpute.study.dicom import find_dicom
from mrimpute.study.evidence import compatible
from mrimpute.study.folder import image_files, nnunet_channels, read_json_sidecar
from mrimpute.study.judge import Told, Verdict, after_agent, agent_tells, heard, judge, names_head
from mrimpute.study.model import NotUsed, Problem, Series, Study
from mrimpute.study.names import NameReading, Naming, bids_naming, make_naming, nnunet_channel, of_contrast, read_name
from mrimpute.study.reading import read_bids
from mrimpute.study.settle import settle
from mrimpute.study.sidecar import facts_of
from mrimpute.study.text import tokens_of

__all__ = ["NotUsed", "Problem", "Series", "Study", "find_series", "identify"]

_MADE = "made by mrimpute, not acquired"
_NUMBERED = re.compile(r"(\d{1,5})(?=[-_. a-zA-Z])(?!D)")


def find_series(folder: Path, overrides: Mapping[Contrast, Path] | None = None, ignore_broken: bool = False) -> Study:
    """Identify the series in a study folder, or refuse.

    Args:
        folder: the study.
        overrides: the user's word: contrast → file (of DICOM, any file of the series, or a folder
            with one series). It always wins.
        ignore_broken: leave out what is damaged; its problems stay in the study.

    Raises:
        StudyRefused: no such folder, no image in it.
        StudyAmbiguous: two files for one contrast, or evidence that contradicts itself.
        ImageDamaged: an identified series has an unusable header, or all there is is one
            multi-channel file.
        UsageError: an override names no file.
    """
    study = identify(folder, overrides)
    for problem in (study.without_broken if ignore_broken else study).problems:
        raise problem.refusal()
    return study


def identify(folder: Path, overrides: Mapping[Contrast, Path] | None = None) -> Study:
    """Identify the series in a study folder by user's word, header, sidecar and name; never by pixels.

    Only headers are read. The folder itself is searched, or, where it holds no image, the
    folders below it: for NIfTI and the like, and where there is none, for DICOM. What stands in the way of using the
    study is in its `problems`; its series are those that are settled.

    Raises:
        StudyRefused: no such folder, no image in it.
        ImageDamaged: all there is is one multi-channel file.
        UsageError: an override names no file.
    """
    try:
        return _identify(folder, overrides or {})
    except OSError as error:
        place = error.filename if error.filename is not None else folder
        raise StudyRefused(f"cannot look at {place} ({error.strerror})", "check path and permissions") from error


@dataclass(frozen=True)
class _Images:
    """The images of a study with what stands beside them.

    Attributes:
        paths: of all images.
        sidecars: path → its JSON sidecar, {} where there is none.
        synthetic: those that mrimpute made.
        users: resolved path → the contrast that the user named it for.
        channels: of an nnU-Net folder.
    """

    folder: Path
    paths: list[Path]
    sidecars: dict[Path, dict[str, Any]]
    synthetic: set[Path]
    users: dict[Path, Contrast]
    channels: Mapping[int, Contrast] = field(default_factory=dict)

    @property
    def acquired(self) -> list[Path]:
        """The images that mrimpute did not make."""
        return [path for path in self.paths if path not in self.synthetic]

    @cached_property
    def agent_tells(self) -> bool:
        """Whether the agent's fields differ between the sidecars; where all state one, they say nothing."""
        return len(self.recorded) == 1 or agent_tells(self.recorded)

    @cached_property
    def head(self) -> bool:
        """Whether a sidecar says that its series is of the head."""
        return names_head(self.recorded)

    @cached_property
    def recorded(self) -> list[Facts]:
        """What the sidecars record."""
        return [facts_of(sidecar) for sidecar in self.sidecars.values() if sidecar]

    @property
    def common(self) -> frozenset[str]:
        """The words that the names of all acquired images have, folded: time points, subjects, the examination."""
        stems = [io.split_suffix(path.name)[0] for path in self.acquired]
        words = [{token.text for token in tokens_of(stem)} for stem in stems if read_bids(stem) is None]
        return frozenset(set.intersection(*words)) if len(words) > 1 else frozenset()


def _identify(folder: Path, overrides: Mapping[Contrast, Path]) -> Study:
    paths = image_files(folder)
    sidecars = {path: read_json_sidecar(path) for path in paths}
    synthetic = {path for path in paths if is_synthetic(path, sidecars[path])}
    acquired = [path for path in paths if path not in synthetic]
    if not acquired and holds_dicom(folder):
        return find_dicom(folder, overrides, [NotUsed(path, _MADE) for path in paths])
    if acquired and not overrides and lies_beside_dicom(paths):
        raise StudyAmbiguous(
            f"{folder} holds both {acquired[0].name} and DICOM files",
            "give a folder with one of them, or name the series with --t1, --t1c, --t2, --flair",
        )
    images = _with_named(_Images(folder, paths, sidecars, synthetic, {}), overrides)
    if not images.paths:
        wanted = ", ".join(io.IMAGE_SUFFIXES)
        raise StudyRefused(f"no image in {folder} (looked for {wanted} and DICOM)", "give the folder of one study")
    beside = bool(acquired) and holds_dicom(folder)
    return _study(images, set(overrides), beside)


def _with_named(images: _Images, overrides: Mapping[Contrast, Path]) -> _Images:
    """Return the images with those that the user named, which may lie elsewhere, and the channels.

    Raises:
        UsageError: an override names no file, or two of them one.
        StudyRefused: nnU-Net names without a dataset.json that explains them.
    """
    folder = images.folder
    chosen = {contrast: _existing(path, folder, contrast) for contrast, path in overrides.items()}
    users = {real_path(path): contrast for contrast, path in chosen.items()}
    if len(users) < len(chosen):
        raise UsageError("one file was named for two contrasts", "name each file once")
    inside = {real_path(path) for path in images.paths}
    outside = [path for path in chosen.values() if real_path(path) not in inside]
    paths = images.paths + outside
    sidecars = images.sidecars | {path: read_json_sidecar(path) for path in outside}
    synthetic = images.synthetic | {path for path in outside if is_synthetic(path, sidecars[path])}
    unnamed = [path for path in paths if real_path(path) not in users]
    channels = nnunet_channels(folder, unnamed, bool(chosen)) if paths else {}
    return _Images(folder, paths, sidecars, synthetic, users, channels)


def _study(images: _Images, overruled: set[Contrast], beside: bool) -> Study:
    """Identify every image and put the study together, with its problems.

    Args:
        images: of the folder.
        overruled: the contrasts that the user named.
        beside: whether DICOM files lie in the folder too.
    """
    made, candidates = _candidates(images)
    found = sort_out(candidates, "neither its name nor a sidecar says what it is")
    if not found.usable:
        _refuse_multi_channel(found.unknown)
    settled = settle(found.usable, found.others, overruled)
    series = tuple(settled.kept[contrast] for contrast in Contrast if contrast in settled.kept)
    free = [item for item in series if item.contrast not in overruled]
    used = {item.path for item in series}
    rest = [item.path for item in found.usable if not item.user and item.path not in used]
    if mixed := one_case(images.folder, free, rest, images.sidecars):
        settled.problems.insert(0, mixed)
        settled.open += refused(free)
        series = tuple(item for item in series if item not in free)
    name, naming = _names(images.folder, series, images.channels)
    if beside and series:
        note = f"{images.folder} holds DICOM files too, which were not looked at: NIfTI comes first"
        series = (replace(series[0], warnings=(*series[0].warnings, note)), *series[1:])
    aside = (*made, *found.aside, *settled.left, *_no_files(images))
    unidentified = (*found.unknown, *settled.open)
    about = {item.path: item.about for item in candidates}
    return Study(images.folder, name, series, naming, aside, unidentified, 0, tuple(settled.problems), about)


def _no_files(images: _Images) -> list[NotUsed]:
    """Return what has an image's name and is none: a folder that holds no image either, a pipe, a device."""
    found = []
    for path in sorted(images.folder.iterdir()):
        odd = io.split_suffix(path.name)[1] and path.name[0] != "." and path.exists() and not path.is_file()
        if odd and not any(path in image.parents for image in images.paths):
            reading = read_name(io.split_suffix(path.name)[0])
            contrasts = (reading.contrast,) if reading.contrast and not reading.set_aside else ()
            what = "a folder, not an image" if path.is_dir() else "no regular file"
            likely = contrasts[0] if contrasts else None
            found.append(NotUsed(path, what, likely=likely, may_be=contrasts, broken=bool(contrasts)))
    return found


def _candidates(images: _Images) -> tuple[list[NotUsed], list[Candidate]]:
    """Return the images that mrimpute made, and the judged others.

    Raises:
        StudyRefused: the user named an image that mrimpute made.
    """
    made = []
    candidates = []
    common = images.common
    for path in images.paths:
        user = images.users.get(real_path(path))
        if path not in images.synthetic:
            candidates.append(_candidate(path, images, user, common))
        elif user:
            raise StudyRefused(f"{path} was made by mrimpute", "name an acquired series")
        else:
            made.append(NotUsed(path, _MADE))
    return made, candidates


def _refuse_multi_channel(unidentified: list[NotUsed]) -> None:
    """Say what to do about a lone 4-D file, as the Decathlon has them: its channels have no names.

    Raises:
        ImageDamaged: one of the files holds several volumes.
    """
    for item in unidentified:
        try:
            io.read_info(item.path)
        except SeveralVolumes:
            raise
        except ImageDamaged:
            continue


def _existing(path: Path, folder: Path, contrast: Contrast) -> Path:
    """Return the override's file, looked for as given and then inside the study."""
    for candidate in (path, folder / path):
        if candidate.is_file():
            return candidate
    raise UsageError(f"--{contrast} {path}: no such file")


def _candidate(path: Path, images: _Images, user: Contrast | None, common: frozenset[str]) -> Candidate:
    """Judge one image by its name, its folder and its sidecar."""
    stem = io.split_suffix(path.name)[0]
    reading, told = _told(path, images, common)
    facts = facts_of(images.sidecars[path])
    if user:
        reading = replace(reading, contrast=user) if compatible(reading.contrast or user, user) else NameReading()
        verdict = Verdict()
    else:
        verdict = judge(heard(facts, images.agent_tells, images.head), told)
        verdict = replace(verdict, doubt=reading.conflict) if reading.conflict and not verdict.aside else verdict
    info = defect = None
    if user or (verdict.contrast and not verdict.aside):
        try:
            info = io.read_info(path)
        except ImageDamaged as error:
            if user:
                raise
            defect = error
    return Candidate(
        path,
        verdict,
        facts,
        info.grid if info else None,
        number=facts.number or _leading_number(stem),
        user=user,
        defect=defect,
        warnings=info.warnings if info else (),
        reading=reading,
        after_agent=after_agent(facts, [Told("name", reading.reading)], verdict, images.agent_tells),
    )


def _leading_number(stem: str) -> int:
    """Return the series number that a name begins with, 0 where it does not."""
    match = _NUMBERED.match(stem)
    return int(match.group(1)) if match else 0


def _read_in(study: str, stem: str, common: frozenset[str]) -> NameReading:
    """Read a file's name; the study's own name in front of it tells nothing of the series, as in flair/flair-t1n."""
    whole = read_name(stem, common)
    rest = stem[len(study) :].lstrip("-_. ")
    if not stem.lower().startswith(study.lower()) or len(rest) == len(stem) - len(study) or read_bids(stem):
        return whole
    own = read_name(rest, common)
    if own.contrast is None or own.set_aside or read_name(study).reading.aside in COMPUTED:
        return whole
    return replace(own, prefix=stem[: len(stem) - len(rest)] + own.prefix)


def _told(path: Path, images: _Images, common: frozenset[str]) -> tuple[NameReading, list[Told]]:
    """Return what the name of a file states, by channel, word or folder."""
    stem = io.split_suffix(path.name)[0]
    reading = _read_in(real_path(images.folder).name, stem, common)
    channel = nnunet_channel(stem)
    if channel and channel[1] in images.channels and not reading.contrast and not reading.set_aside:
        contrast = images.channels[channel[1]]
        reading = NameReading(contrast, stem[-4:], stem[:-4], reading=of_contrast(contrast))
        return reading, [Told("channel", reading.reading, f"channel {channel[1]} in dataset.json")]
    told = [Told("name", reading.reading, reading.word)]
    if reading.contrast or reading.set_aside or path.parent == images.folder:
        return reading, told
    above = read_name(path.parent.name)
    if (above.contrast or above.set_aside) and not above.conflict:
        return reading, [Told("folder", above.reading, path.parent.name)]
    return reading, told


def _names(folder: Path, series: tuple[Series, ...], channels: Mapping[int, Contrast]) -> tuple[str, Naming]:
    """Return the study's name and how its new images are called."""
    name = real_path(folder).name or "study"
    readings = [item.reading for item in series if item.reading.word]
    if channels and readings:
        numbers = {contrast: f"{channel:04d}" for channel, contrast in channels.items()}
        return name, Naming("nnunet", readings[0].prefix, "", numbers)
    if readings and all(reading.prefix.startswith("sub-") and reading.prefix.endswith("_") for reading in readings):
        naming = bids_naming([reading.prefix.rstrip("_") for reading in readings])
        return naming.prefix.rstrip("_"), naming
    if len(readings) < len(series):
        return name, make_naming(name, [])
    return name, make_naming(name, readings)
