#!/usr/bin/env bash
# Installs the system packages that are missing, builds fovea, makes a tiny vision-language model with random
# weights and lets it answer about an image. The words mean nothing; the path they take is that of a real model.
#
# usage: bash jobs/quickstart.sh
#
# Works as root or through sudo and asks nothing. Everything it makes is under build/.
set -eu -o pipefail

case ${1-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/.."
. jobs/setup.sh

# Show a command, then run it.
run() {
    printf '\n$ %s\n' "$(printf '%q ' "$@")"
    "$@"
}

setup build

say "building (build/release)"
cmake --preset release >/dev/null
NINJA_STATUS='[%f/%t] ' cmake --build --preset release --target fovea

fovea=build/release/fovea
model=build/quickstart/model
say "a tiny model with random weights, and its first words"
mkdir -p build/quickstart
[ -e $model/config.json ] || { # written last: without it the folder is what an interrupted run left
    rm -rf $model
    run $fovea init --shape configs/model/tiny-vl.yaml --out $model --seed 1
}
run $fovea generate --model $model --image tests/data/golden/images/two_col_40902.png --prompt "Which bar is higher?" \
    --max-tokens 32

say "done in $SECONDS s. Next: '$fovea --help', and the same commands with a Qwen2.5-VL folder (README.md)"
