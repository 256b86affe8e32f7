"""Learn the package's own regressions on every set of sources from the studies that the built-in networks saw.

Usage: python examples/training/builtin_regression.py DATA_DIR OUT_DIR

It writes what lies in mrimpute/weights/regression: no study is left out because its scanner is another.
Which of the terms a regression takes is told where the package uses it (mrimpute/calibration/use.py).
"""

import sys
from dataclasses import replace
from pathlib import Path

from mrimpute.calibration import write_site
from mrimpute.calibration.learn import learn

PATIENTS = {
    "ms-mni/OPENMS-07": "OPENMS",
    "ms-mni/OPENMS-19": "OPENMS",
    "glioma-brats-space/TCGA-DU-7294": "TCGA-DU",
}
"""Each study and where it was scanned."""


def main() -> None:
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    learnt = learn([data / patient for patient in PATIENTS], "builtin", screen=False, every=1)
    assert not learnt.left_out, learnt.left_out
    places = [PATIENTS[str(used.relative_to(data))] for used in learnt.used]
    members = [replace(one, place=place) for one, place in zip(learnt.site.studies, places, strict=True)]
    write_site(replace(learnt.site, studies=tuple(members), figures=()), out, replace=True)
    for one in members:
        print(" ".join(one.voxels.values()))


if __name__ == "__main__":
    main()
