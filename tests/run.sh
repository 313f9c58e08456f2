#!/usr/bin/env bash
# Builds fovea and runs the tests.
#
# usage: bash tests/run.sh [STAGE...]      stages: release (the default), debug, fuzz; all: the three of them
#
# release: an optimised build and every test. debug: the address and undefined-behaviour sanitizers and the fast tests
# (labels unit and conform). fuzz: every libFuzzer target with clang, a few seconds each. On two cores release takes at
# most 10 minutes, all of them 25. Missing system packages are installed first with apt, as root or through sudo;
# nothing is asked. The library for GPUs, which takes minutes, is built by FOVEA_CUDA=ON, and tested by tests/gpu.sh.
set -u -o pipefail

case ${1-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/.." || exit 1
. jobs/setup.sh

stages=("${@:-release}")
[ "${stages[*]}" != all ] || stages=(release debug fuzz)
for stage in "${stages[@]}"; do
    case $stage in
    release | debug | fuzz) ;;
    *)
        echo "tests/run.sh: there is no stage \"$stage\"; release, debug, fuzz or all" >&2
        exit 2
        ;;
    esac
done

cores=$(nproc 2>/dev/null || echo 2)
passed=0 failed=0 skipped=0 cases=0 broken=() times=()

# timed NAME COMMAND...: run it and note its seconds.
timed() {
    local name=$1 from=$SECONDS status=0
    shift
    say "$name"
    "$@" || status=$?
    times+=("$name|$((SECONDS - from))")
    return $status
}

build() { # PRESET [TARGET]
    cmake --preset "$1" -DFOVEA_CUDA="${FOVEA_CUDA:-OFF}" >"build/$1.log" 2>&1 || {
        cat "build/$1.log"
        return 1
    }
    NINJA_STATUS='[%f/%t %es] ' cmake --build --preset "$1" -j "$cores" ${2:+--target "$2"}
}

run_tests() { # PRESET TESTS-AT-ONCE [CTEST OPTION...]
    local preset=$1 n=$2 log=build/$1.tests.log status=0
    shift 2
    ctest --test-dir "build/$preset" -j "$n" --output-on-failure "$@" | tee "$log" || status=1
    passed=$((passed + $(grep -cE '^ *[0-9]+/[0-9]+ Test .* Passed' "$log")))
    skipped=$((skipped + $(grep -cE '^ *[0-9]+/[0-9]+ Test .*\*\*\*Skipped' "$log")))
    failed=$((failed + $(grep -cE '^ *[0-9]+/[0-9]+ Test .*\*\*\*(Failed|Timeout|Exception|Not Run)' "$log")))
    cases=$((cases + $(grep -c '^\[       OK \]' "build/$preset/Testing/Temporary/LastTest.log")))
    return $status
}

stage() { # STAGE
    case $1 in
    release)
        # Many tests wait: for launchers, for Slurm, for what is held.
        timed "build release" build release &&
            timed "tests of release" run_tests release $((3 * cores))
        ;;
    debug)
        timed "build debug (sanitizers)" build debug &&
            timed "tests of debug" run_tests debug "$cores" -L 'unit|conform'
        ;;
    fuzz)
        if [ -n "$(needs_of_tests | missing)" ]; then
            say "no clang here: the fuzz targets are not built"
            return 0
        fi
        timed "build fuzz (clang, sanitizers)" build fuzz fuzz &&
            timed "short runs of the fuzz targets" run_tests fuzz "$cores" -L fuzz
        ;;
    esac
}

timed "system packages" setup tests || exit 1
timed "Python for the test of Parquet files" setup_python
for name in "${stages[@]}"; do
    stage "$name" || broken+=("$name")
done
bash tests/lint/sizes.sh

say "seconds"
printf '%s\n' "${times[@]}" "total|$SECONDS" | awk -F'|' '{ printf "  %-34s %5d\n", $1, $2 }'
say "$passed tests passed ($cases unit cases in them), $failed failed, $skipped skipped"
[ ${#broken[@]} -eq 0 ] || {
    echo "failed: ${broken[*]}"
    exit 1
}
