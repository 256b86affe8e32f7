"""Learn the package's own regressions on every set of sources from the studies that the built-in networks saw.

Usage: python examples/training/builtin_regression.py DATA_DIR OUT_DIR

It writes what lies in mrimpute/weights/regression: no study is left out because its scanner is another.
Of the plain terms: where calibrations gain 0.9 to 1.7 dB by the rich ones, on a scanner that is not among the studies
a finished t2 and flair lose 0.6 and 0.3 (a t1 gains 1.0; 5 studies of 3 patients, learnt from two of another scanner).
"""

import sys
from dataclasses import replace
from pathlib import Path

from mrimpute.calibration import write_site
from mrimpute.calibration.gram import PLAIN
from mrimpute.calibration.learn import learn

PATIENTS = {
    "ms-mni/OPENMS-07": "OPENMS",
    "ms-mni/OPENMS-19": "OPENMS",
    "glioma-brats-space/TCGA-DU-7294": "TCGA-DU",
}
"""Each study and where it was scanned."""


def main() -> None:
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    learnt = learn([data / patient for patient in PATIENTS], "builtin", screen=False, kinds=PLAIN)
    assert not learnt.left_out, learnt.left_out
    places = [PATIENTS[str(used.relative_to(data))] for used in learnt.used]
    members = [replace(one, place=place) for one, place in zip(learnt.site.studies, places, strict=True)]
    write_site(replace(learnt.site, studies=tuple(members)), out, replace=True)
    for one in members:
        print(" ".join(one.voxels.values()))


if __name__ == "__main__":
    main()
