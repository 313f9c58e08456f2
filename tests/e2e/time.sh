#!/usr/bin/env bash
# The end of an allocation, as Slurm tells it, for runs that cannot stop before it: one that has saved itself goes on in
# the next allocation; one that could not is told that its time is too short. Slurm answers when a rank stands still.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
export SLURM_JOB_ID=77
unset SLURM_JOB_END_TIME

make_run "$folder"
mkdir "$folder/bin"
cat >"$folder/bin/squeue" <<END
#!/bin/sh
until [ -e "$folder/ends" ]; do sleep 0.05; done
echo 0:06
END
chmod +x "$folder/bin/squeue"
export PATH=$folder/bin:$PATH
too_short="nothing was saved; the time must be longer than a step and a save (sbatch --time)"

is_still() { # PROCESS
    [ "$(cut -d' ' -f3 "/proc/$1/stat")" = T ]
}
rank_1_is_still() {
    is_still "$(rank_of "$launcher" 1)"
}
# ends_at POINT STATUS JOB NAME [KEY=VALUE...]: a run whose rank 1 stands still at a point, and whose allocation ends then.
ends_at() {
    local status=0
    rm -f "$folder/ends"
    FOVEA_AT="$1@1=halt" mpiexec -n 2 "$FOVEA" "$3" "$folder/config.yaml" out="$folder/$4" watch.margin_s=4 "${@:5}" \
        2>"$folder/$4.log" &
    launcher=$!
    await "$launcher" rank_1_is_still || fail "$4 does not come to $1: $(cat "$folder/$4.log")"
    touch "$folder/ends"
    wait "$launcher" || status=$?
    [ "$status" = "$2" ] || fail "$4 ended with $status, not $2: $(cat "$folder/$4.log")"
    grep -q "s of the allocation are left, and what has been under way for [0-9]* s is not done: it is lost" \
        "$folder/$4.log" || fail "$4: $(cat "$folder/$4.log")"
}

# A step that does not end.
ends_at update 1 sft long
grep -qF "$too_short" "$folder/long.log" || fail "long: $(cat "$folder/long.log")"

# A rank that stands still after some steps.
ends_at update:3 75 train still steps=100000
! grep -qF "$too_short" "$folder/still.log" || fail "still: $(cat "$folder/still.log")"
echo "time: well"
