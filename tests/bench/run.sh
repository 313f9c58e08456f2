#!/usr/bin/env bash
# Builds the benchmarks and prints their tables.
#
# usage: bash tests/bench/run.sh [NAME...]      names: files of tests/bench without .c (all of them by default)
#
# Missing system packages, the peers among them, are installed first with apt, as root or through sudo; nothing
# is asked. A peer that is not there leaves its column empty.
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
[ $# -gt 0 ] || names=($(cd tests/bench && ls ./*.c | sed 's,^\./,,; s,\.c$,,'))
for name in "${names[@]}"; do
    [ -f "tests/bench/$name.c" ] || {
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
failed=()
for name in "${names[@]}"; do
    say "$name"
    "build/bench/tests/bench_$name" || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || {
    echo "failed: ${failed[*]}"
    exit 1
}
