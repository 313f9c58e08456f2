#!/usr/bin/env bash
# A disk that is full for a while ends no run, whatever is to be written then: lines of the journal, answers, verdicts,
# records of validations, checkpoints, the model at the end; and nothing is missing afterwards. One that stays full ends
# it after a bound. A folder that is not every rank's is found at the start.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"

make_run "$folder"
"$FOVEA" pack --synthetic glance --rows 4 --seed 2 --out "$folder/validate.h5" >/dev/null
cat >"$folder/judge.sh" <<'END'
exec sed -u 's/.*"id": \([0-9]*[02468]\),.*/{"id": \1, "score": 0}/;t;s/.*"id": \([0-9]*\),.*/{"id": \1, "score": 1}/'
END
settings=(data.validate="$folder/validate.h5" validate.every=1 reward.judge=program judge.program="sh $folder/judge.sh"
    judge.verifier_first=false rollout.max_turn_tokens=20 rollout.sampling_rounds=0)
train() { # NAME [KEY=VALUE...]
    env FOVEA_AT="$at" LD_PRELOAD="$FAULT_SHIM" FAULT_FULL="$folder/$1.full" FAULT_BELOW="$folder/$1/" \
        "$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/$1" "${@:2}" 2>"$folder/$1.log"
}
reached() { # FILE: the run is held there
    for _ in $(seq 3000); do
        [ ! -e "$1" ] || return 0
        sleep 0.02
    done
    fail "$1 was not reached: $(cat "$folder"/*.log)"
}
said() { # NAME TEXT
    for _ in $(seq 3000); do
        ! grep -q "$2" "$folder/$1.log" || return 0
        sleep 0.02
    done
    fail "no \"$2\" in: $(cat "$folder/$1.log")"
}

at=
train whole steps=4 || fail "$(cat "$folder/whole.log")"

# Full for good: after so many steps with a last try, it ends where it can go on.
at="done:3=hold:$folder/second"
train long steps=100 save.max_unsaved=2 &
long=$!
reached "$folder/second"
touch "$folder/long.full"
rm "$folder/second"

# Full after the first step, until the third is done; and again at the end.
at="done:1=hold:$folder/first done:3=hold:$folder/third end=hold:$folder/end"
train short steps=4 &
run=$!
reached "$folder/first"
touch "$folder/short.full"
rm "$folder/first"
reached "$folder/third"
rm "$folder/short.full" "$folder/third"
reached "$folder/end"
touch "$folder/short.full"
rm "$folder/end"
said short "the model cannot be written yet"
rm "$folder/short.full"
wait $run || fail "a short time without room ended the run: $(cat "$folder/short.log")"
for what in "metrics.jsonl: No space left" "the checkpoint of step .* was NOT saved" "metrics.jsonl is written again" \
    "verdicts wait in memory" "validation after step . wait in memory"; do
    grep -q "$what" "$folder/short.log" || fail "no \"$what\" in: $(cat "$folder/short.log")"
done
for name in trajectories.jsonl validation/step_00000{0,1,2,3,4}/samples.jsonl model/model.safetensors; do
    cmp "$folder/short/$name" "$folder/whole/$name" || fail "another $name: $(cat "$folder/short.log")"
done
[ "$(field short loss)" = "$(field whole loss)" ] || fail "other metrics: $(cat "$folder/short/metrics.jsonl")"
"$FOVEA" ckpt verify "$folder/short/checkpoints/step_000004" >/dev/null || fail "no whole checkpoint"
at=
train replay steps=4 reward.judge=replay judge.log="$folder/short/verdicts" || fail "verdicts are missing: $(cat "$folder/replay.log")"
cmp "$folder/replay/trajectories.jsonl" "$folder/whole/trajectories.jsonl" || fail "other verdicts were kept"

# Ranks that see different folders under one name.
mkdir "$folder/a" "$folder/b"
! mpiexec -n 1 -wdir "$folder/a" "$FOVEA" train "$folder/config.yaml" out=run : -n 1 -wdir "$folder/b" "$FOVEA" train \
    "$folder/config.yaml" out=run 2>"$folder/apart.log" || fail "ranks of two folders trained"
grep -q "run/checkpoints is not seen on .*: out must be a folder that all ranks share" "$folder/apart.log" ||
    fail "$(cat "$folder/apart.log")"
status=0
wait $long || status=$?
[ $status = 75 ] || fail "long ended with $status: $(cat "$folder/long.log")"
grep -q "nothing could be saved for 2 steps (save.max_unsaved): trying a last time" "$folder/long.log" &&
    grep -q "no further checkpoint of .* can be saved: stopped" "$folder/long.log" || fail "$(cat "$folder/long.log")"
echo "full: well"
