#!/bin/sh
# Fail a build whose answers have become slower, or fail more often: exit code 0 fine, 1 worse,
# 2 could not tell.
#
#   sh gate.sh                        the first time: measure, and keep that as the baseline
#   sh gate.sh                        from then on: measure again and compare
#   TARGET=targets:slow_answer sh gate.sh
#
# The baseline belongs to one kind of machine: make it where the gate runs, and make it anew
# (delete it) when a change of speed is meant. A shared machine is never equally fast twice, so
# that the smallest change that counts is larger here than the 5 % that compare takes by default.
set -eu
cd "$(dirname "$0")"
tokenclock=${TOKENCLOCK:-tokenclock}
results=${RESULTS:-.}

rm -f "$results/candidate.jsonl"
$tokenclock run "${TARGET:-targets:answer}" --input prompts.txt -n "${CALLS:-50}" \
    --warmup 2 -o "$results/candidate.jsonl" || exit 2
if [ ! -f "$results/baseline.jsonl" ]; then
    # Only now: a run that went wrong or was interrupted is no baseline.
    mv "$results/candidate.jsonl" "$results/baseline.jsonl"
    exit 0
fi
$tokenclock compare "$results/baseline.jsonl" "$results/candidate.jsonl" \
    --minimum-effect "${MINIMUM_EFFECT:-0.25}" --fail-on regression,failures
