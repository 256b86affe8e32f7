"""Draw the README's picture: python examples/demo_picture.py DEMO_DIR FULL_DEMO_DIR OUT.png

DEMO_DIR is an example study after `fill`, FULL_DEMO_DIR the same head with `mrimpute example --full`.
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

demo, full, out = map(Path, sys.argv[1:])
panels = []
for path in (
    *(demo / f"example-{word}.nii.gz" for word in ("t1n", "t1c", "t2w")),
    full / "example-t2f.nii.gz",
    demo / "example-t2f.nii.gz",
):
    voxels = nib.load(path).get_fdata()[50:190, 25:220, 90].T  # axial, left on the right
    panels.append(np.clip(voxels / np.percentile(voxels[voxels > 0], 99.5), 0, 1))
sitk.WriteImage(sitk.GetImageFromArray((np.hstack(panels) * 255).astype(np.uint8)), str(out))
