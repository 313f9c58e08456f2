#!/usr/bin/env bash
# fovea on the first GPU that is seen, in at most 9 minutes: doctor and its self-test, the conformance suite, the
# reference implementation's figures in bf16, the same bits in rollout and update at the size of a 3B model, faults, a
# small training that goes on from the CPU's checkpoint and back, and how fast all of it is.
#
# usage: bash tests/gpu.sh [BUILD [STAGE...]]      BUILD: the folder of a build; without it the preset cuda is built
#                                                  first, for this GPU alone. STAGE: see the end; without any all of them
#
# The first stage that fails ends it. KEEP_GOING=1: the others are run all the same.
#
# tests/gpu/sanitize.sh runs the suite under compute-sanitizer, tests/gpu/accuracy.py compares with transformers; both
# take longer, and are not run here.
set -eu
cd "$(dirname "$0")/.."
. tests/common
. tests/e2e/common
. jobs/setup.sh
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 FOVEA_TEST_CUDA=only TEST_DATA=$PWD/tests/data
unset SLURM_JOB_ID SLURM_RESTART_COUNT
OMP_NUM_THREADS=$(nproc)
times=() failed=

# The seconds of all stages, and whether they were well.
finish() {
    say "seconds"
    printf '%s\n' "${times[@]}"
    [ -z "$failed" ] || fail "gpu:$failed, in $SECONDS s"
    say "gpu: well, in $SECONDS s"
}

# stage NAME: it is run, in a shell of its own that ends where it fails, and its seconds are noted.
stage() {
    local from=$SECONDS status
    say "$1"
    set +e
    (
        set -e
        "$1"
    )
    status=$?
    set -e
    [ $status = 0 ] || failed="$failed $1"
    times+=("$(printf '  %-12s %5d s%s' "$1" $((SECONDS - from)) "$([ $status = 0 ] || echo ", failed")")")
    echo "$1: $((SECONDS - from)) s"
    [ $status = 0 ] || [ -n "${KEEP_GOING-}" ] || finish
}

build() {
    local capability
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1) || true
    setup build
    cmake --preset cuda ${capability:+-DFOVEA_CUDA_ARCHITECTURES=$([ "$capability" = 9.0 ] && echo 90a-real || echo 80)}
    cmake --build --preset cuda --target fovea fovea_cuda conform golden_probe gpu_logprobs gpu_products \
        gpu_repeats unit_ops_graph unit_engine_ahead
}
[ $# -gt 0 ] || KEEP_GOING='' stage build
build=$(cd "${1:-build/cuda}" && pwd)
export FOVEA=$build/fovea
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

doctor() {
    "$FOVEA" doctor | tee "$folder/doctor"
    grep -q 'device 0: copies, a product and its bits are right' "$folder/doctor"
}

bits() {
    "$build/tests/unit_ops_graph"
    "$build/tests/unit_engine_ahead"
    "$build/tests/gpu_products" configs/model/qwen2.5-vl-3b.yaml cuda
    "$build/tests/gpu_products" configs/model/qwen2.5-vl-7b.yaml cuda 1024
    "$build/tests/gpu_logprobs" configs/model/qwen2.5-vl-3b.yaml cuda 100000
    "$build/tests/gpu_repeats" configs/model/glance-vl-100m.yaml cuda 200
}

run() {
    OMP_NUM_THREADS=4 "$FOVEA" "$1" "$folder/config.yaml" precision=bf16 out="$folder/$2" "${@:3}" 2>"$folder/$2.log"
}
told() { grep -q "$2" "$folder/$1/accepted" || fail "$1 is not told of: $(cat "$folder/$1/accepted")"; }
train() {
    [ -e "$folder/config.yaml" ] || make_run "$folder"
    well sft taught backend=cuda steps=60 save.every=0 update.groups=6 optimizer.rate=2e-3
    well train learnt model="$folder/taught/model"
    grep -q "computing on cuda" "$folder/learnt.log" || fail "auto is not cuda: $(cat "$folder/learnt.log")"
    well train moved backend=cpu steps=2
    well train moved backend=cuda steps=4
    told moved "backend is cuda, was cpu"
    well train moved backend=cpu steps=6
    told moved "backend is cpu, was cuda"
    for name in learnt moved; do
        [ "$(field $name logprob_max_diff | sort -u)" = 0.0 ] || fail "log-probs of $name differ from the rollout's"
    done
}

conform() { "$build/tests/conform"; }
golden() { "$build/tests/golden_probe" test_bf16; }
bench() { "$FOVEA" bench --backend cuda --precision bf16 --shape 3b --repeats 2 decode prefill vision train; }
faults() {
    [ -e "$folder/config.yaml" ] || make_run "$folder"
    bash tests/gpu/faults.sh "$folder"
}

stages=("${@:2}")
[ ${#stages[@]} -gt 0 ] || stages=(doctor conform golden bits train faults bench)
for name in "${stages[@]}"; do
    stage "$name"
done
finish
