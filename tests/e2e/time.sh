#!/usr/bin/env bash
# The end of an allocation, as Slurm's environment tells it, for runs that cannot stop before it: one that has saved
# itself goes on in the next allocation; one that could not is told that its time is too short.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
export SLURM_JOB_ID=77

make_run "$folder"
too_short="nothing was saved; the time must be longer than a step and a save (sbatch --time)"
# begin SECONDS JOB NAME [KEY=VALUE...]: a run in an allocation that ends so soon; $launcher is what started it.
begin() {
    SLURM_JOB_END_TIME=$(($(date +%s) + $1)) mpiexec -n 2 "$FOVEA" "$2" "$folder/config.yaml" out="$folder/$3" \
        watch.margin_s=4 "${@:4}" 2>"$folder/$3.log" &
    launcher=$!
}
ends() { # NAME STATUS
    local status=0
    wait "$launcher" || status=$?
    [ "$status" = "$2" ] || fail "$1 ended with $status, not $2: $(cat "$folder/$1.log")"
    grep -q "s of the allocation are left, and what has been under way for [0-9]* s is not done: it is lost" \
        "$folder/$1.log" || fail "$1: $(cat "$folder/$1.log")"
}

# A step that does not end.
FOVEA_AT="update@1=halt" begin 14 sft long
ends long 1
grep -qF "$too_short" "$folder/long.log" || fail "long: $(cat "$folder/long.log")"

# A rank that stands still after some steps.
FOVEA_AT="update:3@1=halt" begin 20 train still steps=100000
ends still 75
! grep -qF "$too_short" "$folder/still.log" || fail "still: $(cat "$folder/still.log")"
echo "time: well"
