#!/usr/bin/env bash
# How the built-in ALDM weights are made: four contrasts, three patients, three stages, one CPU thread.
# Usage: examples/training/train_aldm.sh DATA_DIR STATE_DIR [fold]
# With a fold (OPENMS-07, OPENMS-19 or TCGA-DU-7294) that patient is left out: such networks
# give the quoted figures ('none' leaves out nobody). A run that was stopped goes on when the same
# line is typed again. What is built in is the step 'spade': the diffusion trained here makes worse images
# (measure_aldm.py), and is here to go on from.
set -euo pipefail

data=$1 state=$2 left_out=${3:-none}

source "$(dirname "$0")/studies.sh"

small=(--channels 16 --levels 1,2 --groups 8 --codes 4096 --spade-channels 16 --spade-hidden 16
    --unet-channels 64 --attention 4)
augment=(--augment mirror,gamma=0.15,gain=0.03)
before=()
for step in autoencoder spade-boxes spade diffusion-boxes diffusion; do
    case $step in
    # Halved once, not twice as the authors' latents: so small a network keeps 23 dB of an image, not 18.
    autoencoder) options=("${small[@]}" "${augment[@]}" --losses adversarial=0 --crop 48 --steps 900 --learning-rate 2e-3) ;;
    # First on boxes, which is quick; then on whole heads, in which the normalisations have other statistics.
    spade-boxes) options=("${augment[@]}" --variants 3 --losses image=0,cycle=0 --crop 64 --steps 1600 --learning-rate 1e-3) ;;
    spade) options=(--losses cycle=0 --steps 120 --learning-rate 3e-4 --regression) ;;
    # The later the timestep, the more an error of the noise is worth: first up to a ratio of 100, then all.
    diffusion-boxes) options=(--crop 48 --steps 4000 --learning-rate 5e-4) ;;
    diffusion) options=(--crop 48 --losses clean_ratio=10000 --steps 4000 --learning-rate 2e-4) ;;
    esac
    out=$state/aldm/$left_out/$step
    [ -f "$out/checkpoint.toml" ] || mrimpute train aldm "${studies[@]}" --stage "${step%-boxes}" --out "$out" \
        "${before[@]}" --brain-window "${options[@]}" --cosine --ema 0.99 --save-every 50 --precision bfloat16 --threads 1
    before=(--start "$out")
done
