#!/usr/bin/env bash
# The conformance suite under compute-sanitizer: memory (memcheck), races in shared memory (racecheck), barriers
# (synccheck); an operation after the other, each with its seconds.
#
# usage: bash tests/gpu/sanitize.sh CONFORM [TOOL...]
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

# Kernels whose warps wait for each other at barriers in shared memory (mbarrier), which racecheck does not follow: it
# reports races in NVIDIA's own, too (nvjet). That their results have the same bits is held by other tests.
by_barrier='nvjet_|skinny_kernel|tree_kernel|attention_grad_groups_keys'

# checked TOOL OPERATION: to $folder/log
checked() {
    local left_out=()
    [ "$1" != racecheck ] || left_out=(--kernel-name-exclude regex="$by_barrier")
    timeout "${LIMIT:-600}" "$sanitizer" --tool "$1" "${left_out[@]}" --error-exitcode 9 --print-limit 20 "$conform" "$2" >"$folder/log" 2>&1
}

# The algorithms of products are measured before, without a sanitizer.
case " $operations " in
*[[:space:]]gemm[[:space:]]*) "$conform" gemm >"$folder/log" 2>&1 || {
    cat "$folder/log"
    exit 1
} ;;
esac
for tool in "$@"; do
    for operation in $operations; do
        from=$SECONDS
        export FOVEA_TEST_EVERY=${EVERY:-$(every "$tool" "$operation")}
        checked "$tool" "$operation" || {
            grep -v '^\[' "$folder/log" | head -60
            echo "$tool $operation: FAILED"
            exit 1
        }
        echo "$tool $operation (1 of $FOVEA_TEST_EVERY): $(tail -1 "$folder/log"), $((SECONDS - from)) s"
    done
done
