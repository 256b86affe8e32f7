#!/usr/bin/env bash
# Fill a whole cohort: one call, one JSON line per study, a bad study does not stop the rest.
# Usage: examples/batch.sh COHORT_DIR OUT_DIR
# Which studies failed, and why: jq -r 'select(.exit != 0) | [.study, .error.text] | @tsv' OUT_DIR/runs.jsonl
set -euo pipefail

cohort=$1 out=$2
mkdir -p "$out"
status=0
mrimpute fill "$cohort"/*/ --out "$out" --weights builtin --json --quiet > "$out/runs.jsonl" || status=$?
case $status in
    0) echo "all studies are complete" ;;
    8) echo "some studies failed; see $out/runs.jsonl" ;;
    *) echo "no study could be filled (code $status); see $out/runs.jsonl" ;;
esac
exit "$status"
