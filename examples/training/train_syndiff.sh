#!/usr/bin/env bash
# How the built-in SynDiff weights are made: three pairs of contrasts, both directions each, one CPU thread.
# Usage: examples/training/train_syndiff.sh DATA_DIR STATE_DIR [fold] [unpaired]
# PAIRS="t1:t2 t1:flair" in the environment: only these pairs.
# With a fold (OPENMS-07, OPENMS-19 or TCGA-DU-7294) that patient is left out: such networks
# give the quoted figures ('none' leaves out nobody). A run that was stopped goes on when the same
# line is typed again. 'unpaired' trains as the paper does, without using that slices belong together.
set -euo pipefail

data=$1 state=$2 left_out=${3:-none} how=${4:-paired}

source "$(dirname "$0")/studies.sh"

options=(--paired --regression --pixel-weight 10 --augment mirror,gamma=0.15,gain=0.03
    --steps 1500 --generator-rate 1e-3 --discriminator-rate 2e-4 --ema 0.995)
# Longer unpaired training of networks this small loses again what it has learnt after 200 iterations.
[ "$how" = unpaired ] && options=(--augment mirror --steps 200 --generator-rate 1e-4 --discriminator-rate 5e-4 --ema 0.99)

for pair in ${PAIRS:-t1:t2 t2:flair t1:flair}; do
    out=$state/syndiff-$how/$left_out/${pair/:/-}
    [ -f "$out/${pair/:/-to-}/checkpoint.toml" ] && continue
    mrimpute train syndiff "${studies[@]}" --source "${pair%:*}" --target "${pair#*:}" --out "$out" \
        --size 192 --channels 16 --levels 1,1,2,2 --res-blocks 1 --attention none --latent 32 \
        --discriminator-channels 8 --one-shot-channels 16 --crop 128 --save-every 100 "${options[@]}" \
        --precision bfloat16 --threads 1
done
