#!/usr/bin/env bash
# Fill a cohort as a Slurm array: every task takes its part, stops in time, and goes on where it stopped.
# Usage: sbatch [--array=0-99 …] examples/slurm.sh LIST OUT_DIR [OPTION OF mrimpute fill]…
# LIST holds one study folder a line. The array must be a range (0-99); each number is one part of the cohort.
# Afterwards: mrimpute merge OUT_DIR/runs/*.jsonl --studies LIST > runs.jsonl
# How many studies a task should get: examples/cohort.md.
#SBATCH --job-name=mrimpute
#SBATCH --array=0-3
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --output=%x-%A_%a.log
#SBATCH --open-mode=append
##SBATCH --gres=gpu:1
# The last line, with one #, asks for a GPU; then one CPU is enough. USR1 comes 120 s before the time is up, TERM
# before a task is preempted: either way the task ends between two files, and is queued again.
set -uo pipefail

list=$1 out=$2
shift 2
runs=$out/runs
mkdir -p "$runs"
task=$SLURM_ARRAY_JOB_ID-$SLURM_ARRAY_TASK_ID-${SLURM_RESTART_COUNT:-0} # a new name each time: nothing is written over

again=
mrimpute fill - --out "$out" --shard slurm --json --resume "$runs" "$@" < "$list" > "$runs/$task.jsonl" &
fill=$!
trap 'again=yes; kill -TERM "$fill" 2> /dev/null' USR1 TERM
while kill -0 "$fill" 2> /dev/null; do wait "$fill"; done # a signal ends `wait`, not the program
wait "$fill"
status=$?
if [[ $again && $status -eq 143 ]]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
    exec sleep 60 # until Slurm ends this run of the task; one that has ended is not queued again
fi
exit "$status"
