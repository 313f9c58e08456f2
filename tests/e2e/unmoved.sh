#!/usr/bin/env bash
# fovea train with a rate of 0: 20 steps leave every weight and what validation says, and every figure that compares
# policies says that nothing has moved. Groups without signal are replaced so often and no more.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$TEST_DATA/../..
export OMP_NUM_THREADS=1

fail() { echo "FAILED: $*" >&2; exit 1; }
field() { sed -n "s/.*\"$2\": \([^,}]*\).*/\1/p" "$folder/$1/metrics.jsonl"; }
is() { # RUN FIELD VALUE: at every step
    [ "$(field "$1" "$2" | sort -u)" = "$3" ] || fail "$1: $2 is not always $3: $(field "$1" "$2" | tr '\n' ' ')"
}

"$FOVEA" init --shape "$root/configs/model/glance-vl.yaml" --out "$folder/model" --seed 1 --dtype fp32
"$FOVEA" pack --synthetic glance --rows 40 --seed 1 --out "$folder/data.h5"
cat >"$folder/config.yaml" <<END
model: $folder/model
out: $folder/none
prompts: $root/configs/prompts/glance.yaml
steps: 20
data: {train: $folder/data.h5, validate: $folder/data.h5}
views: {min_pixels: 784, max_pixels: 3136}
rollout:
  prompts: 4
  answers: 4
  max_turn_tokens: 40
  max_tokens: 256
  max_running: 12
  pass_tokens: 256
  cache_pages: 64
  refills: 2
reward: {rule: containment}
loss: {entropy_weight: 0.001, kl_weight: 0.01}
update: {groups: 2, micro_tokens: 300}
optimizer: {rate: 0, weight_decay: 0.1}
validate: {every: 10}
END
train() { # NAME RANKS [KEY=VALUE...]
    mpiexec -n "$2" "$FOVEA" train "$folder/config.yaml" out="$folder/$1" "${@:3}" 2>"$folder/$1.log" ||
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
train moved 2 optimizer.rate=1e-2 steps=2 rollout.refills=4 data.validate=''
[ "$(field moved logprob_max_diff | sort -u)" = 0.0 ] || fail "fresh answers differ from the rollout"
[ "$(field moved kl | tail -1)" != 0.0 ] || fail "no distance from the reference"
[ "$(field moved ratio | sort -u)" != 1.0 ] || fail "ratios of 1 after an update"

# No answer is right or has the format: every group is dropped, and replaced twice.
train same 2 reward.rule=exact steps=2 data.validate=''
is same groups_no_signal 12.0
is same groups 0.0
is same updates 0.0
cmp "$folder/same/model/model.safetensors" "$folder/model/model.safetensors" || fail "weights moved without an update"
train once 1 reward.rule=exact steps=1 rollout.refills=0 data.validate=''
is once groups_no_signal 4.0
echo "unmoved: well"
