#!/usr/bin/env bash
# Whole steps of reinforcement learning with two turns, on charts: how long each phase takes, how many tokens a second
# that is (of prompts and responses, the tool's included), and what share of it the device waits for the host. The
# weights are random, so every 64th token of the vocabulary reads as a call of the tool: of turns that are cut after 128
# tokens 7 in 8 have one.
#
# usage: FOVEA=.../fovea bash tests/gpu/step.sh CHARTS FOLDER [SHAPE [PROMPTS [KEY=VALUE...]]]
#
# CHARTS: a folder with rows in train.jsonl and their images. FOLDER: for the weights, which are made if they are not
# there (3B: 7.5 GB, 7B: 16.6 GB). SHAPE: qwen2.5-vl-3b, or another of configs/model; PROMPTS: of a step (16), with 8
# samples each. INIT_ONLY=1: nothing but the weights. STEPS: 3.
set -eu
. "$(dirname "$0")/../common"
OMP_NUM_THREADS=$(nproc)
charts=$1 folder=$2 shape=${3:-qwen2.5-vl-3b} prompts=${4:-16} steps=${STEPS:-3}
mkdir -p "$folder"

# Tokens that read as calls are added to those of the tokenizer.
teach_calls() { # TOKENIZER
    awk -v vocab="$(sed -n 's/^ *vocab: *//p' "$root/configs/model/$shape.yaml")" 'BEGIN {
        for (id = 1024; id < vocab - 300; id += 64)
            printf "{\"id\":%d,\"content\":\"<tool_call>{\\\"name\\\":\\\"resize_image\\\",\\\"arguments\\\":{\\\"action\\\":\\\"resize\\\"},\\\"n\\\":%d}</tool_call>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true},\n", id, id
    }' >"$folder/calls"
    awk 'NR == FNR { calls = calls $0; next }
        { at = index($0, "\"added_tokens\":"); if (at) { at += index(substr($0, at), "["); print substr($0, 1, at - 1) calls substr($0, at) } else print }' \
        "$folder/calls" "$1" >"$folder/tokenizer"
    mv "$folder/tokenizer" "$1"
}
if [ ! -e "$folder/model/config.json" ]; then
    "$FOVEA" init --noise --shape "$root/configs/model/$shape.yaml" --out "$folder/new"
    teach_calls "$folder/new/tokenizer.json"
    mv "$folder/new" "$folder/model"
    echo "model: $SECONDS s"
fi
[ -z "${INIT_ONLY-}" ] || exit 0
"$FOVEA" pack --jsonl "$charts/train.jsonl" --images "$charts" --out "$folder/data.h5" >/dev/null
# A token is a byte here, so the wording is as long as that of look-closer.yaml is in real tokens.
cat >"$folder/prompts.yaml" <<'END'
system: |-
  Answer questions about images. The image that you see first is small. You may look at it in full resolution, once:
  <tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>
user: |-
  {image}
  {question}
  Think, then answer or call the tool.
tool_result: |-
  {image}
  This is the image in full resolution. Think, then answer.
tool_error: |-
  {error}
END
# Every other sample is right, so that every group teaches something.
cat >"$folder/judge.sh" <<'END'
exec sed -u 's/.*"id": \([0-9]*[13579]\), .*/{"id": \1, "score": 1}/;t;s/.*"id": \([0-9]*\),.*/{"id": \1, "score": 0}/'
END
settings=(model="$folder/model" prompts="$folder/prompts.yaml" data.train="$folder/data.h5" data.validate= steps="$steps"
    backend=cuda precision=bf16 layout.tensor=1 views.max_pixels=1048576 rollout.prompts="$prompts" rollout.samples=8
    rollout.max_turn_tokens=128 rollout.max_tokens=2048 rollout.max_running=$((8 * prompts)) rollout.pass_tokens=8192
    rollout.sampling_rounds=0 rollout.cache_pages=$((prompts * 200)) update.groups="$prompts" update.micro_tokens=8192
    reward.judge=program judge.program="sh $folder/judge.sh" judge.verifier_first=false save.every=0 "${@:5}")
rm -rf "$folder/run"
status=0
FOVEA_AT=done:$steps=kill "$FOVEA" train "$root/configs/train/visionthink-efficient.yaml" "${settings[@]}" out="$folder/run" \
    2>"$folder/log" || status=$?
[ $status = 137 ] || fail "ended with $status: $(tail -3 "$folder/log")"
echo "$steps steps: $SECONDS s"
for name in step_s rollout_s judge_s reference_s update_s step_tokens step_tokens_per_s generated_tokens_per_s \
    reference_tokens_per_s update_tokens_per_s idle_share sampling_idle_share update_idle_share prompt_tokens \
    response_tokens turns visual_share evictions tensor_megabytes logprob_max_diff; do
    printf '%-24s %s\n' $name "$(field run $name | tr '\n' ' ')"
done
[ "$(field run step_s | wc -l)" = "$steps" ] || fail "not $steps steps"
[ "$(field run logprob_max_diff | sort -u)" = 0.0 ] || fail "log-probs differ from the rollout's"
