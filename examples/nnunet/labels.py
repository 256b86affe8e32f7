"""Write the lesion masks of studies as labels of an nnU-Net data set: python labels.py LABELS_DIR STUDY…"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np


def main() -> None:
    target = Path(sys.argv[1])
    for study in map(Path, sys.argv[2:]):
        (mask,) = study.glob("*-seg.nii.gz")
        image = nib.load(mask)
        lesion = np.asarray(image.dataobj) > 0
        nib.save(nib.Nifti1Image(lesion.astype(np.uint8), image.affine), target / f"{study.name}.nii.gz")


if __name__ == "__main__":
    main()
