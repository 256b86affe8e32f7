"""Fill a study from Python: scan it, read the plan, make the missing sequence.

Usage: python examples/fill_api.py STUDY_DIR
"""

import sys
from pathlib import Path

from mrimpute import Options, fill, find_series, make_plan

folder = Path(sys.argv[1])
study = find_series(folder)
for series in study.series:
    print(f"{series.contrast}: {series.path.name} ({series.evidence[0].reason})")
for job in make_plan(study).jobs:
    print(f"{job.target} by {job.generator} from {', '.join(job.sources)}: {job.reason}")
for output in fill(folder, options=Options(weights=("builtin",))).outputs:
    print(output.path)
