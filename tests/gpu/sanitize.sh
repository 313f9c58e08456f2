#!/usr/bin/env bash
# The conformance suite under compute-sanitizer: memory (memcheck), races in shared memory (racecheck), barriers
# (synccheck); an operation after the other, each with its seconds.
#
# usage: bash tests/gpu/sanitize.sh CONFORM [TOOL...]
#
# racecheck needs the library of a build with -DCMAKE_CUDA_FLAGS=-DFV_RACECHECK, in which every thread arrives at a barrier
# that one arrives at for many otherwise (kernels/cuda/gemm/hopper.cuh).
#
# OPERATIONS="gemm norm": these alone; else all of them. EVERY=n: every n-th case of an operation; else all of them, but
# for racecheck, under which kernels that keep much in shared memory are far slower. LIMIT: seconds that an operation may
# take (600).
set -eu
conform=$(realpath "$1")
shift
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- memcheck racecheck synccheck
operations=${OPERATIONS:-$(sed -n 's/^FV_OP[A-Z_]*(\([a-z_]*\),.*/\1/p' include/fovea/ops/ops.def)}
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export FOVEA_TEST_CUDA=only OMP_NUM_THREADS=2 FOVEA_CACHE=$folder

# every TOOL OPERATION
every() {
    case $1.$2 in
    racecheck.gemm | racecheck.attention) echo 8 ;;
    racecheck.attention_grad | racecheck.vocab_filter) echo 5 ;;
    *) echo 1 ;;
    esac
}

# NVIDIA's own kernels of products, in which racecheck reports races: it does not follow all that orders them. To leave them
# out by --kernel-name-exclude makes the sanitizer fail with an illegal access of its own.
theirs='nvjet_'

# checked TOOL OPERATION: to $folder/log
checked() {
    local status=0
    timeout "${LIMIT:-600}" "$sanitizer" --tool "$1" --error-exitcode 9 --print-limit 10000 "$conform" "$2" >"$folder/log" 2>&1 || status=$?
    [ "$1 $status" = "racecheck 9" ] || return $status
    grep -q '^\[  PASSED  \] 1 test' "$folder/log" || return 1
    ! grep -E '^=+ +(Error|Warning|and) ?.* at ' "$folder/log" | grep -qvE "$theirs"
}

# The algorithms of products are measured before, without a sanitizer.
case " $operations " in
*[[:space:]]gemm[[:space:]]*) FOVEA_TEST_EVERY=${EVERY:-1} "$conform" gemm >"$folder/log" 2>&1 || {
    cat "$folder/log"
    exit 1
} ;;
esac
for tool in "$@"; do
    for operation in $operations; do
        from=$SECONDS
        export FOVEA_TEST_EVERY=${EVERY:-$(every "$tool" "$operation")}
        checked "$tool" "$operation" || {
            grep -v '^\[' "$folder/log" | grep -vE "$theirs" | head -60
            echo "$tool $operation: FAILED"
            exit 1
        }
        echo "$tool $operation (1 of $FOVEA_TEST_EVERY): $(tail -1 "$folder/log"), $((SECONDS - from)) s"
    done
done
