"""The acquired images of a complete case, and the description of a BIDS data set."""

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrimpute._version import __version__
from mrimpute.errors import OutputRefused
from mrimpute.files import write_whole
from mrimpute.io.nifti import GZIP_MAGIC, LEVEL
from mrimpute.study import Study
from mrimpute.write.layout import Layout
from mrimpute.write.provenance import SOURCE_LINK


def plan_copies(study: Study, layout: Layout | None, out: Path | None) -> dict[Path, Path]:
    """Return where the acquired images of a case belong under a layout; what stands there must be such a copy.

    Copies, not links: what a later tool does to its input must not reach the acquired file.

    Returns:
        place → source ({} without a layout), in the segmenter's order.

    Raises:
        OutputRefused: another file has one of the names already.
    """
    if layout is None or out is None:
        return {}
    present = [contrast for contrast in layout.needs if contrast in study.present]
    copies = {layout.image(study, one, out, synthetic=False): study.get(one).path for one in present}
    for target, source in copies.items():
        if target.exists() and not (target.is_file() and _is_copy(target.read_bytes(), source.read_bytes())):
            raise OutputRefused(f"{target} exists and is another file than {source}", "choose another --out")
    return copies


def _is_copy(content: bytes, source: bytes) -> bool:
    """Tell whether content is that of a source: as it is or, of a plain one, packed at any level."""
    if _is_packed(source):
        return content == source
    try:
        return gzip.decompress(content) == source
    except (OSError, EOFError, zlib.error):
        return False


def _is_packed(content: bytes) -> bool:
    return content.startswith(GZIP_MAGIC)


def _packed(content: bytes) -> bytes:
    """Return what a copy holds: a packed image unchanged, a plain one packed."""
    return content if _is_packed(content) else gzip.compress(content, LEVEL, mtime=0)


def complete_case(
    study: Study, layout: Layout | None, out: Path | None, made: Sequence[Path], bids: bool
) -> list[Path]:
    """Copy the acquired images of a case to their places, and describe a BIDS data set.

    Args:
        study: the study.
        layout, out: of the case; None where the study keeps its own names.
        made: the synthetic images.
        bids: whether they lie in a BIDS tree.

    Returns:
        The copies.

    Raises:
        OutputRefused: another file has one of the names, or the folder cannot be written.
    """
    copies = plan_copies(study, layout, out)
    for target, source in copies.items():
        if not target.exists():
            write_whole(target, _packed(source.read_bytes()))
    for path in (*made, *copies) if bids else ():
        describe_bids(path)
    return list(copies)


DESCRIPTION = "dataset_description.json"


def describe_bids(image: Path) -> None:
    """Give the BIDS data set that an image lies in its dataset_description.json, where it has none.

    A data set without one is not valid (BIDS 1.9, dataset description); derivatives must say what
    made them.

    Raises:
        OutputRefused, ResourcesExhausted: it cannot be written.
    """
    root = next(folder for folder in image.parents if folder.name.startswith("sub-")).parent
    if root.name == "mrimpute":
        describe_derivatives(root, "../..")
    else:
        _describe(root, {"Name": "Assembled by mrimpute", "DatasetType": "raw"})


def describe_derivatives(root: Path, source: str) -> None:
    """Give a folder of derivatives its dataset_description.json, where it has none.

    Args:
        root: of the derivatives.
        source: URI of the data set that they are made from; it may be relative, '' for one that is not told.

    Raises:
        OutputRefused, ResourcesExhausted: it cannot be written.
    """
    links = {"SourceDatasets": [{"URL": source}], "DatasetLinks": {SOURCE_LINK: source}} if source else {}
    _describe(root, {"Name": "Synthetic images made by mrimpute", "DatasetType": "derivative"} | links)


def _describe(root: Path, content: dict[str, Any]) -> None:
    file = root / DESCRIPTION
    if file.exists():
        return
    made_by = {"BIDSVersion": "1.9.0", "GeneratedBy": [{"Name": "mrimpute", "Version": __version__}]}
    try:
        write_whole(file, (json.dumps(content | made_by, indent=2) + "\n").encode())
    except OutputRefused:
        if not file.exists():  # otherwise another run was quicker
            raise
