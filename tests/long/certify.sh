#!/usr/bin/env bash
# What a version has to hold before it is used for long runs: 500 kills, 500 starts each by srun and mpirun, three seeds
# of the quickstart. Some hours on two cores; each part prints what it found, and the first that fails ends it.
#
# usage: bash tests/long/certify.sh [NUMBER]      of kills and of starts, 500 by default
set -eu

case ${1-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/../.."
number=${1:-500}
cmake --preset release >/dev/null
cmake --build --preset release
. build/release/tests/environment
bash tests/fault/kills.sh "$number"
bash tests/slurm/starts.sh "$number" srun
bash tests/slurm/starts.sh "$number" mpirun
bash tests/long/seeds.sh
