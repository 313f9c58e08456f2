#!/usr/bin/env bash
# fovea sft and fovea train: examples lower the loss; steps find the rollout's bits; ranks, micro-batches and
# batching change no token; validation is what fovea eval does; wrong configurations.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"

refused() { refuses "$@"; } # STATUS TEXT COMMAND...
near() { awk -v bound="$1" '{ d = $1 - $2; if (d < 0) d = -d; if (d > bound) exit 1 }'; }

make_run "$folder"
"$FOVEA" pack --synthetic glance --rows 10 --seed 2 --out "$folder/validate.h5"

"$FOVEA" sft "$folder/config.yaml" out="$folder/sft" steps=12 data.validate="$folder/validate.h5" update.groups=8 optimizer.rate=2e-3 2>"$folder/sft.log" || fail "$(cat "$folder/sft.log")"
field sft loss | awk 'NR == 1 { first = $1 } END { exit !($1 < 0.8 * first) }' || fail "examples do not lower the loss"
for step in 000000 000005 000010 000012; do
    [ "$(wc -l <"$folder/sft/validation/step_$step/samples.jsonl")" = 10 ] || fail "no whole validation after step $step"
done
[ "$(field sft validate_score | wc -l)" = 4 ] || fail "not four validations"
[ "$(ls "$folder/sft/validation" | wc -l)" = 4 ] || fail "not four folders"
"$FOVEA" eval --model "$folder/sft/model" --data "$folder/validate.h5" --mode policy --verifier containment \
    --prompts "$root/configs/prompts/glance.yaml" --max-turn-tokens 120 --max-tokens 320 --min-pixels 784 \
    --max-pixels 3136 --out "$folder/eval" >/dev/null
cmp "$folder/eval/samples.jsonl" "$folder/sft/validation/step_000012/samples.jsonl" || fail "validation is not what eval does"
"$FOVEA" generate --model "$folder/sft/model" --prompt hi --max-tokens 3 >/dev/null

# SFT examples are taught at temperature 1, whatever samples are generated at.
for temperature in 1 0.5; do
    "$FOVEA" sft "$folder/config.yaml" out="$folder/at$temperature" steps=2 rollout.temperature=$temperature 2>"$folder/sft.log" ||
        fail "$(cat "$folder/sft.log")"
done
[ "$(field at1 loss)" = "$(field at0.5 loss)" ] || fail "examples at another temperature: $(field at1 loss) $(field at0.5 loss)"

# Each run differs from the first in one thing; texts, rewards and draws are those of the first.
train() { # NAME RANKS [KEY=VALUE...]
    local name=$1 ranks=$2
    shift 2
    mpiexec -n "$ranks" "$FOVEA" train "$folder/config.yaml" out="$folder/$name" "$@" 2>"$folder/$name.log" ||
        fail "$name: $(cat "$folder/$name.log")"
    [ "$(field "$name" logprob_max_diff | sort -u)" = 0.0 ] || fail "$name: log-probs differ from the rollout's"
}
train one 1
[ "$(field one updates | sort -rn | head -1)" != 0.0 ] || fail "nothing was trained"
train two 2 data.validate="$folder/validate.h5" validate.every=2 validate.before=false
[ "$(ls "$folder/two/validation")" = "$(printf 'step_%06d\n' 2 3)" ] || fail "validations at other steps"
train four 4
train small 1 update.micro_tokens=200 update.recompute=true update.reference_on_host=true
train narrow 1 rollout.max_running=4 rollout.pass_tokens=16 rollout.cache_pages=12
for name in two four small narrow; do
    cmp "$folder/one/trajectories.jsonl" "$folder/$name/trajectories.jsonl" || fail "$name: other samples"
    paste <(field one loss) <(field "$name" loss) | near 1e-6 || fail "$name: another loss: $(paste <(field one loss) <(field "$name" loss))"
    paste <(field one gradient_norm) <(field "$name" gradient_norm) | near 1e-5 || fail "$name: another norm: $(paste <(field one gradient_norm) <(field "$name" gradient_norm))"
done
train split 2 layout.tensor=2
train remax 2 advantage.estimator=remax steps=1
turns() { sed -n 's/.*\("turns": \[[^]]*\]\).*/\1/p' "$folder/$1/trajectories.jsonl"; }
[ -n "$(turns remax)" ] || fail "no samples"
[ "$(turns remax)" = "$(turns one | head -"$(turns remax | wc -l)")" ] || fail "a greedy sample changed the others"

# The first step is at the reference; then the way that all of it goes costs something.
train charged 2 loss.kl_place=reward loss.kl_weight=0.1 optimizer.rate=1e-3 steps=2
[ "$(field charged kl_cost | head -1)" = 0.0 ] || fail "a distance from the reference at the start"
[ "$(field charged kl_cost | tail -1)" != 0.0 ] || fail "no distance from the reference"

# Equal rewards are no signal, whatever the KL takes from them.
train equal 2 loss.kl_place=reward loss.kl_weight=0.1 optimizer.rate=1e-3 reward.accuracy_weight=0 reward.format_weight=0 reward.tool_penalty=none
[ "$(field equal groups | sort -u)" = 0.0 ] || fail "trained on equal rewards: $(field equal groups)"

# What becomes of groups that do not fill a mini-batch.
train keep 1 rollout.sampling_rounds=0 rollout.prompts=20 update.groups=4 update.partial=keep steps=1
n=$(field keep groups) n=${n%.0}
for partial in drop spread; do
    train $partial 1 rollout.sampling_rounds=0 rollout.prompts=20 update.groups=4 update.partial=$partial steps=1
done
[ $n -gt 4 ] || fail "$n groups show nothing"
[ "$(field keep updates) $(field drop updates) $(field spread updates)" = "$(((n + 3) / 4)).0 $((n / 4)).0 $((n / 4)).0" ] ||
    fail "$n groups by 4: $(field keep updates), $(field drop updates) and $(field spread updates) updates"
[ "$(field drop groups) $(field drop groups_spare) $(field spread groups)" = "$((n / 4 * 4)).0 $((n % 4)).0 $n.0" ] ||
    fail "$n groups: $(field drop groups) and $(field drop groups_spare), $(field spread groups)"

# Metrics do not depend on what the loss is a mean over.
for mean in sequence token constant; do
    train $mean 1 loss.mean=$mean loss.constant=1000 steps=1 update.groups=6 optimizer.rate=0
done
[ "$(for mean in sequence token constant; do field $mean entropy; done | sort -u | wc -l)" = 1 ] || fail "entropies of means differ"

[ "$(wc -l <"$folder/one/metrics.jsonl")" = 3 ] || fail "not a line of metrics a step"

refused 1 "holds a run already" "$FOVEA" train "$folder/config.yaml" out="$folder/one" resume=none
refused 1 "unknown key \"rollout.sampels\", did you mean \"rollout.samples\"?" \
    "$FOVEA" train "$folder/config.yaml" rollout.sampels=2
refused 1 "advantage.estimator grpo compares" "$FOVEA" train "$folder/config.yaml" rollout.samples=1
refused 1 "rollout.max_tokens is 2000, but" "$FOVEA" train "$folder/config.yaml" rollout.max_tokens=2000
refused 1 "names no wording" "$FOVEA" sft "$folder/config.yaml" sft.plain_share=0.5
refused 1 "layout.tensor is 3" mpiexec -n 2 "$FOVEA" train "$folder/config.yaml" layout.tensor=3
[ "$(grep -c '^fovea: ' "$folder/err")" = 1 ] || fail "not one sentence: $(cat "$folder/err")"
refused 1 "/nowhere.h5" "$FOVEA" train "$folder/config.yaml" data.train=/nowhere.h5
refused 2 "a configuration is required" "$FOVEA" train
refused 1 "/nowhere.yaml" "$FOVEA" train /nowhere.yaml
"$FOVEA" train --keys | grep -q "max_turn_tokens"
mpiexec -n 4 "$FOVEA" train "$folder/config.yaml" out="$folder/dry" layout.tensor=2 --dry-run >"$folder/out"
for text in "4 ranks = 2 copies of the model x 2 ranks each" "copy 1: ranks 2 3" "image at 28 x 28 pixels: 1 tokens]" \
    "Answer or look closer" "together" "the first batch: 6 prompts, 4 samples of each" \
    "1 of them an image that the tool shows in 4"; do
    grep -qF "$text" "$folder/out" || fail "no \"$text\" in: $(cat "$folder/out")"
done
"$FOVEA" sft "$folder/config.yaml" out="$folder/dry" sft.call_share=1 --dry-run >"$folder/out"
grep -qF "image at 56 x 56 pixels: 4 tokens]" "$folder/out" || fail "no example in: $(cat "$folder/out")"
[ "$(grep -c '^  row ' "$folder/out")" = 3 ] || fail "not the batch: $(cat "$folder/out")"
"$FOVEA" train "$folder/config.yaml" out="$folder/dry" update.reference_on_host=true --dry-run |
    grep -Eq 'reference policy, on the host +[1-9]' || fail "no memory of the host"
[ ! -e "$folder/dry" ] || fail "a dry run left a folder"
echo "train: well"
