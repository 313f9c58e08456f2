#!/usr/bin/env bash
# Builds the benchmarks and prints their tables.
#
# usage: bash tests/bench/run.sh [NAME...]      names: files of tests/bench without .c or .sh (all by default)
#
# Missing system packages, the peers among them, are installed first with apt, as root or through sudo; nothing
# is asked. PyTorch, for sft alone, comes from PyPI into build/torch (some 6 GB). A peer that is not there leaves its
# column empty.
set -u -o pipefail

case ${1-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/../.." || exit 1
. jobs/setup.sh

names=("$@")
[ $# -gt 0 ] || names=($(cd tests/bench && ls ./*.c ./*.sh | sed 's,^\./,,; s,\.c$,,; s,\.sh$,,' | grep -vx run))
for name in "${names[@]}"; do
    [ "$name" != run ] && compgen -G "tests/bench/$name.[cs]*" >/dev/null || {
        echo "tests/bench/run.sh: there is no benchmark \"$name\"" >&2
        exit 2
    }
done

setup benchmarks || exit 1
{ cmake --preset release -B build/bench -DFOVEA_BENCH=ON && cmake --build build/bench --target bench; } \
    >build/bench.log 2>&1 || {
    cat build/bench.log
    exit 1
}

install_torch() {
    build/torch/bin/python -c 'import torch, transformers' 2>/dev/null && return
    say "installing PyTorch into build/torch"
    python3 -m venv build/torch && build/torch/bin/pip install -q torch numpy transformers || echo "there is no PyTorch"
}

# Threads that wait let others run: peers measured by turns would disturb each other.
export FOVEA=$PWD/build/bench/fovea OMP_WAIT_POLICY=passive OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
failed=()
for name in "${names[@]}"; do
    [ "$name" != sft ] || install_torch
    say "$name"
    if [ -f "tests/bench/$name.sh" ]; then
        bash "tests/bench/$name.sh"
    else
        "build/bench/tests/bench_$name"
    fi || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || {
    echo "failed: ${failed[*]}"
    exit 1
}
