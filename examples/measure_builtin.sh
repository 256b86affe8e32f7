#!/usr/bin/env bash
# Measure the small cWDM networks on patients they have not seen.
# Usage: examples/measure_builtin.sh DATA_DIR STATE_DIR
# STATE_DIR is what examples/train_builtin.sh wrote for the folds OPENMS-07, OPENMS-19, TCGA-DU-7294.
set -euo pipefail

data=$1 state=$2
for patient in ms-mni/OPENMS-07 ms-mni/OPENMS-19 glioma-brats-space/TCGA-DU-7294; do
    for target in t1 t1c t2 flair; do
        mrimpute evaluate --leave-one-out "$data/$patient" --missing "$target" \
            --weights "$state/$(basename "$patient")/$target" --json
    done
done
