"""The acquired images of a complete case, and the description of a BIDS data set."""

import gzip
import json
from pathlib import Path

from mrimpute._version import __version__
from mrimpute.errors import OutputRefused
from mrimpute.files import write_whole
from mrimpute.study import Study
from mrimpute.write.layout import Layout


def plan_copies(study: Study, layout: Layout, out: Path) -> dict[Path, bytes]:
    """Return the acquired images of a case, unchanged, by their place under a layout.

    Copies, not links: what a later tool does to its input must not reach the acquired file.

    Returns:
        place → bytes, in the segmenter's order; a plain .nii is packed, otherwise unchanged.

    Raises:
        OutputRefused: another file has one of the names already.
    """
    copies = {}
    for contrast in layout.needs:
        if contrast not in study.present:
            continue
        source = study.get(contrast).path
        content = source.read_bytes()
        if content[:2] != b"\x1f\x8b":
            content = gzip.compress(content, mtime=0)
        target = layout.image(study, contrast, out, synthetic=False)
        if target.exists() and target.read_bytes() != content:
            raise OutputRefused(f"{target} exists and is another file than {source}", "choose another --out")
        copies[target] = content
    return copies


def copy_acquired(study: Study, layout: Layout, out: Path) -> list[Path]:
    """Copy the acquired images of a case to their places; see `plan_copies`.

    Raises:
        OutputRefused: another file has one of the names, or the folder cannot be written.
    """
    copies = plan_copies(study, layout, out)
    for target, content in copies.items():
        if not target.exists():
            write_whole(target, content)
    return list(copies)


def describe_bids(image: Path) -> None:
    """Give the BIDS data set that an image lies in its dataset_description.json, where it has none.

    A data set without one is not valid (BIDS 1.9, dataset description); derivatives must say what
    made them.

    Raises:
        OutputRefused, ResourcesExhausted: it cannot be written.
    """
    root = next(folder for folder in image.parents if folder.name.startswith("sub-")).parent
    derivative = root.name == "mrimpute"
    content = {
        "Name": "Synthetic images made by mrimpute" if derivative else "Assembled by mrimpute",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative" if derivative else "raw",
        "GeneratedBy": [{"Name": "mrimpute", "Version": __version__}],
    }
    file = root / "dataset_description.json"
    if file.exists():
        return
    try:
        write_whole(file, (json.dumps(content, indent=2) + "\n").encode())
    except OutputRefused:
        if not file.exists():  # otherwise another run was quicker
            raise
