#!/usr/bin/env bash
# A run that is cut, wherever, and started again is the run that was not: the same tokens, weights and moments. Any
# layout goes on from any other's checkpoint; what does not fit is refused; two programs never write one run.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
. "$TEST_DATA/../e2e/common"
unset SLURM_JOB_ID SLURM_RESTART_COUNT

make_run "$folder"
"$FOVEA" pack --synthetic glance --rows 6 --seed 2 --out "$folder/validate.h5"
settings=(steps=4 rollout.prompts=12 update.groups=6)

# run JOB NAME RANKS [KEY=VALUE...]: its status; the log is NAME.log.
run() {
    local job=$1 name=$2 ranks=$3 status=0
    shift 3
    mpiexec -n "$ranks" "$FOVEA" "$job" "$folder/config.yaml" "${settings[@]}" out="$folder/$name" "$@" 2>"$folder/$name.log" || status=$?
    return $status
}
# held POINT NAME [KEY=VALUE...]: a run of two ranks that stands still there, on rank 0, until $folder/held is gone;
# $launcher is what started it.
held() {
    FOVEA_AT="$1@0=hold:$folder/held" mpiexec -n 2 "$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/$2" \
        "${@:3}" 2>"$folder/$2.log" &
    launcher=$!
    await $launcher [ -e "$folder/held" ] || fail "$2 has ended: $(cat "$folder/$2.log")"
}
same() { # NAME NAME: as the first run
    cmp "$folder/$1/trajectories.jsonl" "$folder/$2/trajectories.jsonl" || fail "$2: other samples than $1"
    "$FOVEA" ckpt diff "$(latest "$1")" "$(latest "$2")" >"$folder/diff" || fail "$2 is not $1: $(head -3 "$folder/diff")"
    [ "$(wc -l <"$folder/$1/metrics.jsonl")" = "$(wc -l <"$folder/$2/metrics.jsonl")" ] || fail "$2: other metrics"
    paste <(field "$1" loss) <(field "$2" loss) | awk '$1 != $2 { exit 1 }' || fail "$2: other losses than $1"
}

# SFT examples.
well sft examples 2 steps=6 update.groups=8 optimizer.rate=2e-3 sft.call_share=0.5
well sft halves 2 steps=3 update.groups=8 optimizer.rate=2e-3 sft.call_share=0.5
well sft halves 2 steps=6 update.groups=8 optimizer.rate=2e-3 sft.call_share=0.5
same examples halves
cmp "$folder/examples/model/model.safetensors" "$folder/halves/model/model.safetensors" || fail "another model"
well sft taught 2 steps=60 save.every=0 update.groups=16 optimizer.rate=2e-3 sft.call_share=0.5
mv "$folder/model" "$folder/base"
mv "$folder/taught/model" "$folder/model"

# Reinforcement learning, with validation: whole; in halves; through save, load and save again.
well train whole 2 data.validate="$folder/validate.h5" validate.every=1
[ "$(field whole call_rate | sort -rn | head -1)" != 0.0 ] || fail "no turns of the tool"
[ "$(ls "$folder/whole/checkpoints")" = "$(printf 'latest\nstep_000003\nstep_000004')" ] ||
    [ "$(ls "$folder/whole/checkpoints" | wc -l)" = 4 ] || fail "kept: $(ls "$folder/whole/checkpoints")"
for steps in 1 3 4; do
    well train quarters 2 data.validate="$folder/validate.h5" validate.every=1 steps=$steps
done
same whole quarters
well train quarters 1 data.validate="$folder/validate.h5" validate.every=1 # is done
same whole quarters
well train early 2 steps=2
well train late 2 steps=4 resume="$(latest early)"
cmp <(tail -n 16 "$folder/whole/trajectories.jsonl") "$folder/late/trajectories.jsonl" || fail "late: other samples"
"$FOVEA" ckpt diff "$(latest whole)" "$(latest late)" >/dev/null || fail "late: other weights"

# Cut inside a rollout, by other numbers of ranks each time; then by two, for an update by another number rounds
# otherwise: between two updates, inside a later rollout, before a save. A signal does the same as a stop at a point.
stopped pass:7 train cut 2
[ "$(ls "$folder/cut/checkpoints")" = "$(printf 'latest\nstep_000000')" ] || fail "cut: $(ls "$folder/cut/checkpoints")"
for cut in "1 pass:9" "4 pass:5" "2 update:2" "2 pass:11" "2 done"; do
    stopped "${cut#* }" train cut "${cut% *}"
    grep -q "going on from" "$folder/cut.log" || fail "cut: $(cat "$folder/cut.log")"
done
held pass:3 cut
kill -USR1 "$(rank_of $launcher 0)"
rm "$folder/held"
status=0
wait $launcher || status=$?
[ $status = 75 ] || fail "cut ended with $status after a signal: $(cat "$folder/cut.log")"
well train cut 2
well train plain 2
same plain cut
[ "$(field cut logprob_max_diff | sort -u)" = 0.0 ] || fail "log-probs differ from the rollout's"

# Where few groups are kept, sampling rounds fill the step; stopped again and again inside of them, it is the same one.
settings+=(rollout.prompts=6 rollout.sampling_rounds=24 reward.verifier=exact update.groups=3)
well train filled 2 steps=1
[ "$(field filled groups | sort -u)" = 6.0 ] || fail "steps are not full: $(field filled groups)"
for n_stops in $(seq 0 20); do
    status=0
    FOVEA_AT="pass:250=stop" run train pieces 2 steps=1 || status=$?
    [ $status = 75 ] || break
done
[ $status = 0 ] && [ $n_stops -gt 1 ] || fail "pieces: status $status after $n_stops stops: $(cat "$folder/pieces.log")"
same filled pieces
settings=(steps=4 rollout.prompts=12 update.groups=6)

# Any layout from any other: weights bit for bit, the same tokens, losses close.
well train spread 4 steps=1
well train spread 2 steps=2 layout.tensor=2
well train spread 1 steps=3
well train spread 4 steps=4 layout.tensor=2
[ "$(field spread logprob_max_diff | sort -u)" = 0.0 ] || fail "log-probs differ from the rollout's"
paste <(field plain loss) <(field spread loss) |
    awk '{ d = $1 - $2; if (d < -1e-6 || d > 1e-6) exit 1 }' || fail "spread: other losses: $(paste <(field plain loss) <(field spread loss))"
well train loaded 4 steps=3 resume="$(latest plain)" layout.tensor=2
"$FOVEA" ckpt diff "$(latest plain)" "$folder/loaded/model" >/dev/null || fail "loaded: other weights"

# An imported folder is where a run begins.
"$FOVEA" import --model "$folder/model" --out "$folder/imported"
well train imported 2 model="$folder/base" loss.kl_weight=0 steps=2
well train direct 2 loss.kl_weight=0 steps=2
same direct imported

# What does not fit is refused, with the difference.
"$FOVEA" init --shape "$root/configs/model/tiny-vl.yaml" --out "$folder/other" --seed 1
refused "another model: text." train plain 2 model="$folder/other"
refused "rollout.samples is 8, was 4" train plain 2 rollout.samples=8
refused "this checkpoint is of \`fovea train\`" sft plain 2
refused "data.train is another data set" train plain 2 data.train="$folder/validate.h5"
refused "model is another one" train plain 2 model="$folder/base"
refused "holds a run already" train plain 2 resume=none
refused "/nowhere" train new 2 resume=/nowhere

# A damaged newest checkpoint is told of, and the one before is used.
flip() { printf '\x55' | dd of="$1" bs=1 seek=9000 conv=notrunc status=none; }
cp -r "$folder/plain" "$folder/hurt"
flip "$folder/hurt/checkpoints/step_000004/shard_00001.h5"
refused "shard_00001.h5 is damaged" train named 2 resume="$folder/hurt/checkpoints/step_000004"
well train hurt 2
grep -q "step_000004 cannot be used: .*shard_00001.h5 is damaged" "$folder/hurt.log" || fail "$(cat "$folder/hurt.log")"
same plain hurt
[ -d "$folder/hurt/checkpoints/damaged_step_000004" ] || fail "the damaged checkpoint is gone"
flip "$folder/hurt/checkpoints/step_000004/shard_00000.h5"
flip "$folder/hurt/checkpoints/step_000003/shard_00000.h5"
refused "none of the 2 checkpoints" train hurt 2

# A journal that ends inside a line, or has what a power cut leaves: the run goes on, and its lines are whole.
cp -r "$folder/early" "$folder/torn"
truncate -s -20 "$folder/torn/metrics.jsonl"
printf '\0\0\0\n{"a": "\xc3' >"$folder/start"
cat "$folder/early/trajectories.jsonl" >>"$folder/start"
mv "$folder/start" "$folder/torn/trajectories.jsonl"
well train torn 2 steps=3
grep -q "metrics.jsonl has .* some are lost" "$folder/torn.log" || fail "$(cat "$folder/torn.log")"
grep -q "trajectories.jsonl: lines that are passed over: 2; the first: .*trajectories.jsonl:1" "$folder/torn.log" || fail "$(cat "$folder/torn.log")"
! grep -avE '^[{].*[}]$' "$folder/torn/metrics.jsonl" "$folder/torn/trajectories.jsonl" || fail "torn lines are left"

# Two copies: another run is refused; a requeued job takes the folder, and what it was taken from commits nothing more.
held done:2 twice steps=1000
mv "$folder/twice.log" "$folder/older.log"
refused "has been writing this run since" train twice 1 steps=1000
kill -9 $launcher
wait $launcher 2>/dev/null || true
rm "$folder/held"
export SLURM_JOB_ID=77
well train twice 2 steps=3 # waits for what was killed to go
rm -rf "$folder/twice"

# The older copy while it starts: it writes nothing over what the younger one has.
SLURM_RESTART_COUNT=0 held lease twice
mv "$folder/twice.log" "$folder/older.log"
SLURM_RESTART_COUNT=1 well train twice 2 steps=2
cp -r "$folder/twice" "$folder/younger"
rm "$folder/held"
status=0
wait $launcher || status=$?
[ $status = 1 ] || fail "the copy that was starting ended with $status"
grep -q "was taken over by process .* (job 77, restart 1)" "$folder/older.log" || fail "older: $(cat "$folder/older.log")"
diff -r -x log "$folder/younger" "$folder/twice" || fail "a copy that was taken over has written"
rm -rf "$folder/twice"

# And while it runs.
SLURM_RESTART_COUNT=0 held done:2 twice steps=1000
mv "$folder/twice.log" "$folder/older.log"
SLURM_RESTART_COUNT=1 well train twice 2 steps=4
rm "$folder/held"
status=0
wait $launcher || status=$?
[ $status = 1 ] || fail "the older copy ended with $status"
grep -q "^fovea: .* was taken over by process .* (job 77, restart 1)" "$folder/older.log" || fail "older: $(cat "$folder/older.log")"
same plain twice
[ "$(cat "$folder/twice/checkpoints/latest")" = step_000004 ] || fail "the older copy has the last word"
echo "resume: well"
