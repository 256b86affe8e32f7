#!/usr/bin/env bash
# Complete cases for a segmenter: the acquired files copied unchanged, the missing one made, all under its names.
# Usage: examples/segmenter.sh COHORT_DIR OUT_DIR [LAYOUT [FILL OPTIONS…]]
# LAYOUT is brats21, brats23 (default), bids or nnunet:DATASET_JSON. With the last, OUT_DIR is what
# `nnUNetv2_predict -i OUT_DIR` reads. The authors' weights are used: no segmenter should see an image of the small
# built-in networks but for trying out (then: brats23 --weights builtin).
set -euo pipefail

cohort=$1 out=$2 layout=${3:-brats23}
mrimpute fill "$cohort"/*/ --out "$out" --layout "$layout" "${@:4}"
