#!/usr/bin/env bash
# The back end cuda on the first device that is seen: the conformance suite, the reference implementation's figures in
# bf16, and a short training in which the log-probs of rollout and update are the same bits.
#
# usage: bash tests/gpu.sh [BUILD]      BUILD: the folder of a build; without it the preset cuda is built first
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || {
    cmake --preset cuda
    cmake --build --preset cuda --target fovea fovea_cuda conform golden_probe
}
build=$(cd "${1:-build/cuda}" && pwd)
export FOVEA=$build/fovea TEST_DATA=$PWD/tests/data FOVEA_TEST_CUDA=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. tests/common
. tests/e2e/common

"$build/tests/conform"
"$build/tests/golden_probe" test_bf16

make_run "$folder"
run() { "$FOVEA" "$1" "$folder/config.yaml" backend=cuda precision=bf16 out="$folder/$2" "${@:3}" 2>"$folder/$2.log"; }
well sft taught steps=60 save.every=0 update.groups=6 optimizer.rate=2e-3
well train learnt model="$folder/taught/model"
[ "$(field learnt logprob_max_diff | sort -u)" = 0.0 ] || fail "log-probs differ from the rollout's"
echo "gpu: well"
