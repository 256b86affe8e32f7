"""Folder → Study: which series is which contrast, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mrimpute import io
from mrimpute.contrasts import Contrast
from mrimpute.errors import ImageDamaged, SeveralVolumes, StudyAmbiguous, StudyRefused, UsageError
from mrimpute.io.dicom.headers import holds_dicom, lies_beside_dicom
from mrimpute.marks import is_synthetic
from mrimpute.study.dicom import find_dicom
from mrimpute.study.evidence import Evidence, compatible, names_agent, sidecar_evidence
from mrimpute.study.folder import image_files, nnunet_channels, read_json_sidecar
from mrimpute.study.model import NotUsed, Series, Study, agreed
from mrimpute.study.names import NameReading, Naming, bids_naming, case_of, make_naming, nnunet_channel, read_name

__all__ = ["NotUsed", "Series", "Study", "find_series"]

_MADE = "made by mrimpute, not acquired"
_TWIN_WORDS = ("_bias", "_unstripped")


def find_series(folder: Path, overrides: Mapping[Contrast, Path] | None = None) -> Study:
    """Identify the series in a study folder by user's word, header, sidecar and name; never by pixels.

    Only headers are read. The folder itself is searched, or, where it holds no image, the
    folders below it: for NIfTI and the like, and where there is none, for DICOM.

    Args:
        folder: the study.
        overrides: the user's word: contrast → file (of DICOM, any file of the series, or a folder
            with one series). It always wins.

    Raises:
        StudyRefused: no such folder, no image in it.
        StudyAmbiguous: two files for one contrast, or evidence that contradicts itself.
        ImageDamaged: an identified series has an unusable header, or all there is is one
            multi-channel file.
        UsageError: an override names no file.
    """
    try:
        return _find_series(folder, overrides or {})
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

    @property
    def agents(self) -> set[Path]:
        """The images whose sidecar names an agent; none where all of them do, which says nothing."""
        named = {path for path, sidecar in self.sidecars.items() if sidecar and names_agent(sidecar)}
        return named if named != {path for path, sidecar in self.sidecars.items() if sidecar} else set()


def _find_series(folder: Path, overrides: Mapping[Contrast, Path]) -> Study:
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
    users = {path.resolve(): contrast for contrast, path in chosen.items()}
    if len(users) < len(chosen):
        raise UsageError("one file was named for two contrasts", "name each file once")
    inside = {path.resolve() for path in images.paths}
    outside = [path for path in chosen.values() if path.resolve() not in inside]
    paths = images.paths + outside
    sidecars = images.sidecars | {path: read_json_sidecar(path) for path in outside}
    synthetic = images.synthetic | {path for path in outside if is_synthetic(path, sidecars[path])}
    unnamed = [path for path in paths if path.resolve() not in users]
    channels = nnunet_channels(folder, unnamed, bool(chosen)) if paths else {}
    return _Images(folder, paths, sidecars, synthetic, users, channels)


def _study(images: _Images, overruled: set[Contrast], beside: bool) -> Study:
    """Identify every image and put the study together.

    Args:
        images: of the folder.
        overruled: the contrasts that the user named.
        beside: whether DICOM files lie in the folder too.
    """
    found: list[Series] = []
    set_aside: list[NotUsed] = []
    unidentified: list[NotUsed] = []
    agents = images.agents
    for path in images.paths:
        user = images.users.get(path.resolve())
        if path in images.synthetic:
            if user:
                raise StudyRefused(f"{path} was made by mrimpute", "name an acquired series")
            set_aside.append(NotUsed(path, _MADE))
            continue
        outcome = _identify(path, images, user, overruled, path in agents)
        if isinstance(outcome, Series):
            found.append(outcome)
        else:
            (set_aside if outcome.recognised else unidentified).append(outcome)
    if not found:
        _refuse_multi_channel(unidentified)

    series, twins = _one_each(found, overruled)
    _check_one_case(images.folder, [item for item in series if item.contrast not in overruled])
    name, naming = _names(images.folder, series, images.channels)
    if beside and series:
        note = f"{images.folder} holds DICOM files too, which were not looked at: NIfTI comes first"
        series = (replace(series[0], warnings=(*series[0].warnings, note)), *series[1:])
    return Study(images.folder, name, series, naming, tuple(set_aside + twins), tuple(unidentified))


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


def _identify(
    path: Path, images: _Images, user: Contrast | None, named: set[Contrast], agent: bool
) -> Series | NotUsed:
    """Weigh the evidence for one image."""
    reading = read_name(io.split_suffix(path.name)[0])
    if user:
        evidence = [Evidence(user, f"named by the user with --{user}", 1.0)]
        reading = replace(reading, contrast=user) if compatible(reading.contrast or user, user) else NameReading()
    else:
        if reading.set_aside:
            return NotUsed(path, reading.set_aside)
        if reading.conflict:
            if reading.contrast in named:
                return NotUsed(path, reading.conflict)
            raise StudyAmbiguous(f"{path}: {reading.conflict}", f"say which with --{reading.contrast} {path}")
        reading, evidence = _stated(path, reading, images)
        evidence += _recorded(images.sidecars[path], evidence, agent)
        if len(evidence) == 1 and evidence[0].contrast is None:
            return NotUsed(path, evidence[0].reason)
    if not evidence:
        return NotUsed(path, "neither its name nor a sidecar says what it is", recognised=False)
    contrast = agreed(path, evidence)
    info = io.read_info(path)
    return Series(contrast, path, tuple(evidence), info.grid, info.warnings, reading)


def _stated(path: Path, reading: NameReading, images: _Images) -> tuple[NameReading, list[Evidence]]:
    """Return what the name of a file states, by channel, word or folder."""
    stem = io.split_suffix(path.name)[0]
    channel = nnunet_channel(stem)
    if channel and channel[1] in images.channels and not reading.contrast:
        contrast = images.channels[channel[1]]
        reading = NameReading(contrast, stem[-4:], stem[:-4])
        return reading, [Evidence(contrast, f"channel {channel[1]} in dataset.json", 0.95)]
    if reading.contrast:
        return reading, [Evidence(reading.contrast, f"'{reading.word}' in its name", 0.9)]
    if path.parent != images.folder and (above := read_name(path.parent.name)).contrast and not above.conflict:
        return reading, [Evidence(above.contrast, f"in a folder called '{path.parent.name}'", 0.8)]
    return reading, []


def _recorded(sidecar: Mapping[str, Any], stated: list[Evidence], agent: bool) -> list[Evidence]:
    """Return what the sidecar of a file says, given what its name states."""
    evidence = []
    if physics := sidecar_evidence(sidecar):
        evidence.append(replace(physics, reason=f"sidecar: {physics.reason}"))
    if agent and any(item.contrast is Contrast.T1 for item in stated + evidence):
        evidence.append(Evidence(Contrast.T1C, "sidecar: names a contrast agent", 0.9))
    return evidence


def _one_each(found: list[Series], overruled: set[Contrast]) -> tuple[tuple[Series, ...], list[NotUsed]]:
    """Return one series per contrast, and those that a better one replaces.

    Raises:
        StudyAmbiguous: two candidates for one contrast.
    """
    series: list[Series] = []
    twins: list[NotUsed] = []
    for contrast in Contrast:
        candidates = [item for item in found if item.contrast is contrast]
        if contrast in overruled:
            winner = max(candidates, key=lambda item: item.confidence)
            twins += [NotUsed(item.path, f"overruled by --{contrast}") for item in candidates if item is not winner]
            candidates = [winner]
        plain = {_untwinned(item.path) for item in candidates if _untwinned(item.path) == str(item.path)}
        for item in list(candidates):
            if str(item.path) not in plain and _untwinned(item.path) in plain:
                candidates.remove(item)
                twins.append(
                    NotUsed(item.path, f"a variant of {Path(_untwinned(item.path)).name}; take it with --{contrast}")
                )
        if len(candidates) > 1:
            names = ", ".join(str(item.path) for item in candidates)
            raise StudyAmbiguous(
                f"{contrast} found {len(candidates)} times ({names})",
                f"name one with --{contrast} {candidates[0].path}, or give one study at a time",
            )
        series += candidates
    return tuple(series), twins


def _check_one_case(folder: Path, series: list[Series]) -> None:
    """Refuse series that belong to different subjects or visits.

    Series may lie in several folders only where each has one of its own, named after its
    contrast, as in T1/, T1Post/, T2/.

    Raises:
        StudyAmbiguous: names or folders tell of more than one case.
    """
    cases = sorted({case for item in series if (case := case_of(item.reading))})
    if len(cases) > 1:
        raise StudyAmbiguous(
            f"{folder} holds series of several cases ({', '.join(cases)})",
            "give one study at a time, or name the series with --t1, --t1c, --t2, --flair",
        )
    places = [item.path.parent for item in series]
    one_each = len(set(places)) == len(places) and all(read_name(place.name).contrast for place in places)
    if len(set(places)) > 1 and not cases and not one_each:
        raise StudyAmbiguous(
            f"{folder} holds series in several folders ({', '.join(sorted({str(place) for place in places}))})",
            "give one study at a time, or name the series with --t1, --t1c, --t2, --flair",
        )


def _untwinned(path: Path) -> str:
    """Return the path without the words that mark a processed variant of the same scan."""
    text = str(path)
    for word in _TWIN_WORDS:
        text = text.replace(word, "")
    return text


def _names(folder: Path, series: tuple[Series, ...], channels: Mapping[int, Contrast]) -> tuple[str, Naming]:
    """Return the study's name and how its new images are called."""
    name = folder.resolve().name or "study"
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
