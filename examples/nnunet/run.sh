#!/usr/bin/env bash
# What an nnU-Net makes of synthetic contrasts: train a small one on complete cases, then compare its labels of each
# complete case with those of the case with a synthetic FLAIR.
# Usage: examples/nnunet/run.sh WORK_DIR STUDY…
# Each STUDY holds t1, t1c, t2, flair and one lesion mask (…-seg.nii.gz). WORK_DIR is new. Needs nnunetv2 and mrimpute on
# PATH. A network of this few steps is no segmenter to judge by: what is shown is how to ask your own.
set -euo pipefail

work=$1
shift
data=$work/raw/Dataset001_Lesions
mkdir -p "$data/imagesTr" "$data/labelsTr" "$work/preprocessed" "$work/results"
work=$(cd "$work" && pwd) data=$work/raw/Dataset001_Lesions
export nnUNet_raw=$work/raw nnUNet_preprocessed=$work/preprocessed nnUNet_results=$work/results
here=$(cd "$(dirname "$0")" && pwd)
export nnUNet_extTrainer=$here/trainer nnUNet_n_proc_DA=1

cat > "$data/dataset.json" << END
{"channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}, "labels": {"background": 0, "lesion": 1},
 "numTraining": $#, "file_ending": ".nii.gz"}
END
mrimpute fill "$@" --layout "nnunet:$data/dataset.json" --out "$data/imagesTr" --quiet > "$work/copies.txt"
python3 "$here/labels.py" "$data/labelsTr" "$@"

nnUNetv2_plan_and_preprocess -d 1 -c 2d -np 1 -npfp 1 --no_pbar
nnUNetv2_train 1 2d all -tr FewSteps -device cpu

predict="nnUNetv2_predict -i {case} -o {out} -d 1 -c 2d -f all -tr FewSteps -device cpu --disable_tta -npp 1 -nps 1"
mrimpute evaluate --leave-one-out "$@" --missing flair --weights builtin --seen \
    --layout "nnunet:$data/dataset.json" --segmenter "$predict"
