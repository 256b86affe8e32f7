"""The pairs that `evaluate` compared, kept as files: acquired and synthetic, both in [0, 1], on one grid."""

from pathlib import Path

import numpy as np

from mrimpute.contrasts import Contrast
from mrimpute.errors import OutputRefused
from mrimpute.evaluate import Evaluation
from mrimpute.files import write_whole
from mrimpute.io import nifti
from mrimpute.write import provenance


def keep_pair(evaluation: Evaluation, folder: Path) -> tuple[Path, Path]:
    """Write what was compared as FOLDER/STUDY/STUDY_CONTRAST_acquired.nii.gz and …_synthetic.nii.gz.

    Args:
        evaluation: of a sequence that was left out.
        folder: where pairs are kept; a pair of the same bytes that is there already is left alone.

    Returns:
        The acquired and the synthetic file.

    Raises:
        OutputRefused: another file has one of the names, or the folder cannot be written.
        ResourcesExhausted: the disk is full.
    """
    target = evaluation.target
    texts = {
        "acquired": "acquired, mapped to [0, 1] by mrimpute evaluate",
        "synthetic": provenance.description(Contrast(target)),
    }
    made, acquired = evaluation.images
    paths = []
    for word, voxels in (("acquired", acquired), ("synthetic", made)):
        path = folder / evaluation.study / f"{evaluation.study}_{target}_{word}.nii.gz"
        _keep(path, nifti.encode(np.asarray(voxels, np.float32), evaluation.grid, None, texts[word]))
        paths.append(path)
    return paths[0], paths[1]


def _keep(path: Path, content: bytes) -> None:
    if path.exists():
        if not (path.is_file() and path.read_bytes() == content):
            raise OutputRefused(f"{path} exists and is another image", "choose another folder with --keep")
        return
    write_whole(path, content)
