#!/usr/bin/env bash
# Runs of training whose ranks are killed at random moments, while the disk fails now and then: every one is started
# again until it ends, and is then, bit for bit, the run that was never disturbed. No committed checkpoint is lost.
#
# usage: bash tests/fault/kills.sh [KILLS]     30 by default; prints counts. By hand after
#        . build/release/tests/environment
set -eu
kills=${1:-30}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
unset SLURM_JOB_ID SLURM_RESTART_COUNT

make_run "$folder"
"$FOVEA" sft "$folder/config.yaml" out="$folder/taught" steps=60 save.every=0 update.groups=16 \
    optimizer.rate=2e-3 2>/dev/null
rm -r "$folder/model"
mv "$folder/taught/model" "$folder/model"
started=$(date +%s%N)
mpiexec -n 2 "$FOVEA" train "$folder/config.yaml" steps=8 out="$folder/whole" 2>"$folder/whole.log" || fail "$(cat "$folder/whole.log")"
whole_us=$((($(date +%s%N) - started) / 1000))

# The newest checkpoint that is committed: its step, or -1.
newest() { ls "$1/checkpoints" 2>/dev/null | sed -n 's/^step_0*\([0-9]\)/\1/p' | sort -n | tail -1 | grep . || echo -1; }
# Processes of a run, its ranks and what started them.
processes() { pgrep -f "out=$1( |\$)" || true; }

# Until another program than before has the run.
await_lease() { # RUN BEFORE
    for _ in $(seq 500); do
        [ "$(cat "$1/lock" 2>/dev/null)" = "$2" ] || return 0
        sleep 0.02
    done
}

n_kills=0 n_runs=0 n_starts=0
while [ "$n_kills" -lt "$kills" ]; do
    run=$folder/run$n_runs
    n_runs=$((n_runs + 1))
    committed=-1
    for ((start = 0; ; start++)); do
        [ $start -lt 200 ] || fail "a run does not come to its end"
        share=$((RANDOM % 3)) # of a hundred calls
        n_starts=$((n_starts + 1))
        before=$(cat "$run/lock" 2>/dev/null || true)
        mpiexec -n 2 -x LD_PRELOAD="$FAULT_SHIM" -x FAULT_LOG="$folder/faults" -x FAULT_SHARE=0.0$share \
            "$FOVEA" train "$folder/config.yaml" steps=8 out="$run" 2>"$folder/log" &
        launcher=$!
        if [ "$n_kills" -lt "$kills" ]; then
            # Mostly while it trains and saves, now and then while it starts.
            [ $((RANDOM % 5)) = 0 ] || await_lease "$run" "$before"
            # Any moment of an undisturbed run, on whatever machine.
            us=$((RANDOM * whole_us / 32768))
            printf -v moment '%d.%06d' $((us / 1000000)) $((us % 1000000))
            timeout "$moment" tail -s 0.05 --pid=$launcher -f /dev/null || true # it may have ended before
            victims=($(processes "$run"))
            [ ${#victims[@]} = 0 ] || ! kill -9 "${victims[RANDOM % ${#victims[@]}]}" 2>/dev/null ||
                n_kills=$((n_kills + 1))
        fi
        status=0
        wait $launcher 2>/dev/null || status=$?
        for _ in $(seq 1000); do
            [ -n "$(processes "$run")" ] || break
            sleep 0.02
        done
        [ -z "$(processes "$run")" ] || fail "ranks live on after a kill"
        now=$(newest "$run")
        [ "$now" -ge "$committed" ] || fail "checkpoint $committed was committed, and now there is $now"
        committed=$now
        [ $status != 0 ] || break
        # Whatever is there is whole.
        for saved in "$run"/checkpoints/step_*; do
            [ ! -d "$saved" ] || "$FOVEA" ckpt verify "$saved" >/dev/null || fail "$saved is not whole after a kill"
        done
    done
    cmp "$folder/whole/trajectories.jsonl" "$run/trajectories.jsonl" || fail "other samples after kills"
    "$FOVEA" ckpt diff "$folder/whole/checkpoints/step_000008" "$run/checkpoints/step_000008" >/dev/null ||
        fail "other weights or moments after kills"
    rm -rf "$run"
done
touch "$folder/faults"
echo "$n_kills kills, $(wc -l <"$folder/faults") injected faults ($(cut -d' ' -f1 "$folder/faults" | sort | uniq -c | tr -s ' \n' ' '))," \
    "$n_starts starts of $n_runs runs: all ended as the undisturbed one"
