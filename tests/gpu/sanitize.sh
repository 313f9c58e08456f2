#!/usr/bin/env bash
# The conformance suite under compute-sanitizer: memory (memcheck), races in shared memory (racecheck), barriers
# (synccheck).
#
# usage: bash tests/gpu/sanitize.sh CONFORM [TOOL...]      OPERATIONS="gemm norm": these alone; else all of them
set -eu
conform=$1
shift
[ $# -gt 0 ] || set -- memcheck racecheck synccheck
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export FOVEA_TEST_CUDA=only OMP_NUM_THREADS=2
for tool in "$@"; do
    for operation in ${OPERATIONS:-""}; do
        from=$SECONDS
        "$sanitizer" --tool "$tool" --error-exitcode 9 --print-limit 20 "$conform" $operation >"$folder/log" 2>&1 || {
            grep -v '^\[' "$folder/log" | head -60
            echo "$tool $operation: FAILED"
            exit 1
        }
        echo "$tool ${operation:-all}: $(grep -c '^\[       OK \]' "$folder/log") operations, $(tail -1 "$folder/log"), $((SECONDS - from)) s"
    done
done
