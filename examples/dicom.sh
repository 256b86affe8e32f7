#!/usr/bin/env bash
# DICOM in, DICOM out: say what each series is, then make the FLAIR as a derived series of the same study.
# Usage: examples/dicom.sh STUDY_DIR OUT_DIR
# No network access. The series lands in OUT_DIR/STUDY-NAME/mrimpute_flair/, marked as synthetic; not for diagnosis.
set -euo pipefail

study=$1 out=$2
mrimpute scan "$study"
mrimpute fill "$study" --missing flair --weights builtin --out "$out"
