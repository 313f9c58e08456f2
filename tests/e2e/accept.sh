#!/usr/bin/env bash
# resume.accept: what is meant to differ from a checkpoint is named, recorded and taken; all else goes on, or is refused.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
. "$TEST_DATA/../e2e/common"
make_run "$folder"

# run JOB NAME [KEY=VALUE...]: its status; the log is NAME.log.
run() {
    local job=$1 name=$2 status=0
    shift 2
    "$FOVEA" "$job" "$folder/config.yaml" out="$folder/$name" "$@" >"$folder/$name.out" 2>"$folder/$name.log" || status=$?
    return $status
}
copy() { cp -r "$folder/$1" "$folder/$2"; }
logged() { grep -qF -- "$2" "$folder/$1.log" || fail "no \"$2\" in: $(cat "$folder/$1.log")"; }

"$FOVEA" init --shape "$root/configs/model/glance-vl.yaml" --out "$folder/base" --seed 2 --dtype fp32
"$FOVEA" init --shape "$root/configs/model/tiny-vl.yaml" --out "$folder/other" --seed 1
"$FOVEA" pack --synthetic glance --rows 50 --seed 3 --out "$folder/data2.h5" >/dev/null
sed '$a # another file' "$root/configs/prompts/glance.yaml" >"$folder/prompts.yaml"
well train plain steps=2

# What is not named is refused, whatever else is, and so are other shapes and names that mean nothing.
refused "optimizer.rate is 0.001, was 0.0001; go on with those, name them in resume.accept" train plain optimizer.rate=1e-3
refused "settings: rollout.samples is 8, was 4;" train plain optimizer.rate=1e-3 rollout.samples=8 resume.accept=optimizer.rate
refused "data.train is another data set" train plain data.train="$folder/data2.h5" resume.accept=model
refused "name it in resume.accept" train plain prompts="$folder/prompts.yaml" resume.accept=model
refused "another model: text." train plain model="$folder/other" resume.accept=model
refused "this checkpoint is of" sft plain resume.accept=optimizer.rate
refused 'resume.accept: unknown key "optimizer.rates", did you mean "optimizer.rate"?' train plain resume.accept=optimizer.rates

# Another rate: the samples of the next step are the same, what is learned of them is not.
copy plain longer
copy plain faster
well train longer steps=3
well train faster steps=3 optimizer.rate=1e-3 resume.accept='[optimizer.rate]'
logged faster "accepted: optimizer.rate is 0.001, was 0.0001"
[ "$(cat "$folder/faster/accepted")" = "step 2: optimizer.rate is 0.001, was 0.0001" ] || fail "$(cat "$folder/faster/accepted")"
cmp "$folder/longer/trajectories.jsonl" "$folder/faster/trajectories.jsonl" || fail "faster: other samples"
"$FOVEA" ckpt diff "$(latest longer)" "$(latest faster)" >/dev/null && fail "faster: no other weights"
well train faster steps=4 optimizer.rate=1e-3 resume.accept=optimizer.rate
logged faster "resume.accept names what does not differ from the checkpoint: optimizer.rate"
[ "$(wc -l <"$folder/faster/accepted")" = 1 ] || fail "$(cat "$folder/faster/accepted")"
refused "optimizer.rate is 0.0001, was 0.001" train faster steps=5

# Stopped in a step whose samples stay as they are, it goes on; where they would be of two kinds, it begins anew.
copy plain stopped
stopped pass:20 train stopped steps=3
copy stopped slower
copy stopped within
copy plain between
well train slower steps=3 optimizer.rate=1e-3 resume.accept=optimizer.rate
cmp "$folder/longer/trajectories.jsonl" "$folder/slower/trajectories.jsonl" || fail "slower: other samples"
for name in between within; do
    well train $name steps=3 rollout.max_turn_tokens=50 rollout.temperature=0.5 resume.accept='[rollout.max_turn_tokens, rollout.temperature]'
done
cmp "$folder/between/trajectories.jsonl" "$folder/within/trajectories.jsonl" || fail "within: other samples"
"$FOVEA" ckpt diff "$(latest between)" "$(latest within)" || fail "within: other weights"

# Another data set, model and wording, of SFT examples too.
well train stopped steps=3 data.train="$folder/data2.h5" model="$folder/base" prompts="$folder/prompts.yaml" \
    resume.accept='[data.train, model, prompts]'
for text in "data.train is " ", model is " ", prompts is "; do logged stopped "$text"; done
well sft examples steps=2
well sft examples steps=3 data.train="$folder/data2.h5" optimizer.rate=1e-3 resume.accept='[optimizer.rate, data.train]'
logged examples "accepted: optimizer.rate is 0.001, was 0.0001, data.train is "

# A schedule is made for a number of steps, which may differ all the same.
well train between steps=4 rollout.max_turn_tokens=50 rollout.temperature=0.5 optimizer.schedule=linear resume.accept=optimizer.schedule
logged between "steps is 4, was 3: the rates up to here were not those"
echo "accept: well"
