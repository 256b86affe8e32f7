#!/usr/bin/env bash
# How the built-in cWDM weights were made: four targets, three patients, one CPU thread.
# Usage: examples/training/train_builtin.sh DATA_DIR STATE_DIR [fold]
# With a fold (OPENMS-07, OPENMS-19 or TCGA-DU-7294) that patient is left out: such networks
# give the quoted figures. A run that was stopped goes on when the same line is typed again.
set -euo pipefail

data=$1 state=$2 left_out=${3:-none}

source "$(dirname "$0")/studies.sh"

for target in flair t1 t2 t1c; do
    out=$state/$left_out/$target
    [ -f "$out/checkpoint.toml" ] && continue
    mrimpute train cwdm "${studies[@]}" --target "$target" --out "$out" \
        --channels 16 --levels 1,2,3 --res-blocks 1 --groups 8 --brain-window --crop 64 \
        --steps 1500 --learning-rate 2e-3 --schedule cosine --warmup 30 --ema 0.995 \
        --augment mirror,gamma=0.15,gain=0.03 --regression --precision bfloat16 --threads 1
done
