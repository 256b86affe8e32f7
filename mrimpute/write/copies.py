"""The acquired images of a complete case, and the description of a BIDS data set."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrimpute._version import __version__
from mrimpute.errors import OutputRefused
from mrimpute.files import write_whole
from mrimpute.study import Study
from mrimpute.write.layout import Layout
from mrimpute.write.provenance import SOURCE_LINK


def plan_copies(study: Study, layout: Layout | None, out: Path | None) -> dict[Path, bytes]:
    """Return the acquired images of a case, unchanged, by their place under a layout.

    Copies, not links: what a later tool does to its input must not reach the acquired file.

    Returns:
        place → bytes ({} without a layout), in the segmenter's order; a plain .nii is packed, otherwise unchanged.

    Raises:
        OutputRefused: another file has one of the names already.
    """
    copies: dict[Path, bytes] = {}
    if layout is None or out is None:
        return copies
    for contrast in layout.needs:
        if contrast not in study.present:
            continue
        source = study.get(contrast).path
        content = source.read_bytes()
        if content[:2] != b"\x1f\x8b":
            content = gzip.compress(content, mtime=0)
        target = layout.image(study, contrast, out, synthetic=False)
        if target.exists() and not (target.is_file() and target.read_bytes() == content):
            raise OutputRefused(f"{target} exists and is another file than {source}", "choose another --out")
        copies[target] = content
    return copies


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
    for target, content in copies.items():
        if not target.exists():
            write_whole(target, content)
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
