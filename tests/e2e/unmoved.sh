#!/usr/bin/env bash
# fovea train with a rate of 0: 20 steps leave every weight and what validation says, and every figure that compares
# policies says that nothing has moved. Groups without signal are replaced so often and no more.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"

is() { # RUN FIELD VALUE: at every step
    [ "$(field "$1" "$2" | sort -u)" = "$3" ] || fail "$1: $2 is not always $3: $(field "$1" "$2" | tr '\n' ' ')"
}

make_run "$folder"
settings=(steps=20 rollout.prompts=4 rollout.max_turn_tokens=40 rollout.max_tokens=256 rollout.sampling_rounds=2
    loss.entropy_weight=0.001 loss.kl_weight=0.01 update.groups=2 update.micro_tokens=300 update.recompute=true
    optimizer.rate=0 optimizer.weight_decay=0.1 data.validate="$folder/data.h5" validate.every=10)
train() { # NAME RANKS [KEY=VALUE...]
    mpiexec -n "$2" "$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/$1" "${@:3}" 2>"$folder/$1.log" ||
        fail "$1: $(cat "$folder/$1.log")"
}

train still 2
cmp "$folder/still/model/model.safetensors" "$folder/model/model.safetensors" || fail "weights have moved"
[ "$(field still updates | awk '{ n += $1 } END { print (n > 30) }')" = 1 ] || fail "too few updates: $(field still updates)"
[ "$(field still gradient_norm | sort -g | tail -1)" != 0.0 ] || fail "there was nothing to move the weights"
for name in logprob_max_diff kl approximate_kl clip_share kl_cost learning_rate updates_skipped; do is still "$name" 0.0; done
is still ratio 1.0
for step in 10 20; do
    cmp "$folder/still/validation/step_000000/samples.jsonl" "$folder/still/validation/step_0000$step/samples.jsonl" ||
        fail "another validation after step $step"
done

# With a rate the same figures tell that something moves, from the second update on.
train moved 2 optimizer.rate=1e-2 steps=2 rollout.sampling_rounds=4 data.validate=''
[ "$(field moved logprob_max_diff | sort -u)" = 0.0 ] || fail "fresh samples differ from the rollout"
[ "$(field moved kl | tail -1)" != 0.0 ] || fail "no distance from the reference"
[ "$(field moved ratio | sort -u)" != 1.0 ] || fail "ratios of 1 after an update"

# No answer is right or has the format: every group is dropped, and replaced twice.
train same 2 reward.verifier=exact steps=2 data.validate=''
is same groups_no_signal 12.0
is same groups 0.0
is same updates 0.0
cmp "$folder/same/model/model.safetensors" "$folder/model/model.safetensors" || fail "weights moved without an update"
train once 1 reward.verifier=exact steps=1 rollout.sampling_rounds=0 data.validate=''
is once groups_no_signal 4.0
echo "unmoved: well"
