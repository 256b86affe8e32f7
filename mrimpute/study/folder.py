"""Which images lie in a study folder, and what stands beside them."""

import os
from pathlib import Path
from typing import Any

from mrimpute import io
from mrimpute.contrasts import Contrast, parse_contrast
from mrimpute.errors import StudyRefused, UsageError
from mrimpute.files import read_json, real_path
from mrimpute.marks import is_synthetic
from mrimpute.study.judge import evidence
from mrimpute.study.names import nnunet_channel, read_name
from mrimpute.study.sidecar import facts_of

MAX_DEPTH = 3
"""How deep below the study folder images are looked for, where the folder itself has none."""
MAX_FILES = 20_000


def image_files(folder: Path) -> list[Path]:
    """Return the images of the folder, sorted; with those of the folders below it where the
    folder itself has no source. Hidden names are skipped.

    Raises:
        StudyRefused: the folder does not exist, is no folder, or is huge.
        OSError: it cannot be listed.
    """
    if not folder.exists():
        raise StudyRefused(f"no such folder: {folder}", "check the path")
    if not folder.is_dir():
        raise StudyRefused(f"{folder} is a file", "give the folder that holds the study's images")
    images: list[Path] = []
    seen = 0
    for root, folders, files in os.walk(folder, onerror=_raise):
        depth = len(Path(root).relative_to(folder).parts)
        here = [Path(root) / name for name in files if not name.startswith(".") and io.split_suffix(name)[1]]
        images += [path for path in here if path.is_file() or not path.exists()]  # pipes and the like are no images
        seen += len(files)
        if seen > MAX_FILES:
            raise StudyRefused(f"{folder} holds more than {MAX_FILES} files", "give one study's folder")
        stop = (depth == 0 and any(_may_be_source(path) for path in images)) or depth >= MAX_DEPTH
        folders[:] = [] if stop else sorted(name for name in folders if name[0] != "." and name != "derivatives")
    return sorted(images)


def _may_be_source(path: Path) -> bool:
    """Tell whether an image beside folders of images is itself a series of the study."""
    stem, sidecar = io.split_suffix(path.name)[0], read_json_sidecar(path)
    stated = (
        read_name(stem).contrast or nnunet_channel(stem) or any(item.contrast for item in evidence(facts_of(sidecar)))
    )
    return bool(stated) and not is_synthetic(path, sidecar)


def _raise(error: OSError) -> None:
    raise error


def read_json_sidecar(path: Path) -> dict[str, Any]:
    """Return the JSON sidecar of an image, or {} where there is none that can be read."""
    sidecar = path.with_name(io.split_suffix(path.name)[0] + ".json")
    try:
        return read_json(sidecar)
    except (OSError, ValueError):
        return {}


def nnunet_channels(folder: Path, paths: list[Path], named: bool) -> dict[int, Contrast]:
    """Return channel → contrast for a folder of nnU-Net images, {} for any other folder.

    The order of channels is nowhere but in dataset.json, so without it nothing is guessed. A lone
    number at the end of a name makes no nnU-Net folder where other names state contrasts, or the
    user named the series.

    Raises:
        StudyRefused: nnU-Net names without a dataset.json that explains them.
    """
    stems = [io.split_suffix(path.name)[0] for path in paths]
    readings = {stem: read_name(stem) for stem in stems}
    if not any(nnunet_channel(stem) and not (r.contrast or r.set_aside) for stem, r in readings.items()):
        return {}
    resolved = real_path(folder)
    for place in (resolved, *resolved.parents[:2]):
        file = place / "dataset.json"
        if file.is_file():
            return read_dataset_json(file)
    if named or any(reading.contrast for reading in readings.values()):
        return {}
    raise StudyRefused(
        f"{folder} has nnU-Net names (CASE_0000 …) but no dataset.json that says which channel is which",
        "put dataset.json beside it, or name the series with --t1, --t1c, --t2, --flair",
    )


def read_dataset_json(file: Path) -> dict[int, Contrast]:
    """Return channel → contrast of an nnU-Net dataset.json (`channel_names`, or v1's `modality`).

    Raises:
        StudyRefused: no such file, no channels in it, or a channel that is no known contrast.
    """
    if not file.is_file():
        raise StudyRefused(f"no such file: {file}", "give the dataset.json of the nnU-Net data set")
    try:
        content = read_json(file)
        names = content.get("channel_names") or content["modality"]
        return {int(channel): parse_contrast(str(name)) for channel, name in names.items()}
    except UsageError as error:
        raise StudyRefused(f"{file}: {error.text}", "name the series with --t1, --t1c, --t2, --flair") from error
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise StudyRefused(f"{file} does not list channel_names", "repair it") from error
