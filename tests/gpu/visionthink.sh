#!/usr/bin/env bash
# VisionThink's two-turn configuration on one card, with random weights of the 7B shape: three steps of 8 prompts with 16
# samples, up to 512 new tokens a turn, with the reference policy and the moments of AdamW in host memory. It is stopped
# after two, goes on from its checkpoint, and takes the memory that the plan names.
#
# usage: FOVEA=.../fovea bash tests/gpu/visionthink.sh FOLDER [LAYERS]
#
# FOLDER: an empty one; with all 28 layers it takes 17 GB for the weights, 100 for a checkpoint and 33 for the model at the
# end, and the host 67 for moments, 17 for the reference and 33 while it saves.
set -eu
. "$(dirname "$0")/../common"
folder=$1 layers=${2:-28}
sed "s/n_layers: 28/n_layers: $layers/" "$root/configs/model/qwen2.5-vl-7b.yaml" >"$folder/shape.yaml"
"$FOVEA" init --noise --shape "$folder/shape.yaml" --out "$folder/model"
for i in $(seq 24); do
    bmp $((448 + 28 * i)) >"$folder/$i.bmp"
    echo "{\"question\": \"What is the number in row $i?\", \"answer\": \"$i\", \"image\": \"$i.bmp\"}"
done >"$folder/rows.jsonl"
"$FOVEA" pack --jsonl "$folder/rows.jsonl" --images "$folder" --out "$folder/data.h5" >/dev/null
# Every other sample is right, so that every group teaches something.
cat >"$folder/judge.sh" <<'END'
exec sed -u 's/.*"id": \([0-9]*[13579]\), .*/{"id": \1, "score": 1}/;t;s/.*"id": \([0-9]*\),.*/{"id": \1, "score": 0}/'
END
settings=(model="$folder/model" prompts="$root/configs/prompts/look-closer.yaml" data.train="$folder/data.h5" data.validate= steps=3 backend=cuda precision=bf16
    layout.tensor=1 views.max_pixels=1048576 rollout.prompts=8 rollout.samples=16 rollout.max_turn_tokens=512
    rollout.max_tokens=4096 rollout.max_running=128 rollout.sampling_rounds=0 rollout.cache_pages=2048 update.groups=4
    update.micro_tokens=16384 update.reference_on_host=true optimizer.on_host=moments save.every=2 save.keep_last=1
    save.keep_best=false reward.judge=program judge.program="sh $folder/judge.sh" judge.verifier_first=false)
run() { # NAME [KEY=VALUE...]
    "$FOVEA" train "$root/configs/train/visionthink-efficient.yaml" "${settings[@]}" out="$folder/$1" "${@:2}" \
        >"$folder/$1.out" 2>>"$folder/$1.log"
}
run run --dry-run || fail "$(cat "$folder/run.log")"
sed -n '/^memory/,/^layers/p' "$folder/run.out"
planned=$(sed -n 's/^  of that, tensors *//p' "$folder/run.out")
status=0
FOVEA_AT=done:2=stop run run || status=$?
tail -4 "$folder/run.log"
[ $status = 75 ] || fail "not stopped after two steps: $(cat "$folder/run.log")"
run run || fail "$(cat "$folder/run.log")"
tail -3 "$folder/run.log"
for name in logprob_max_diff loss rollout_s update_s reference_s step_s generated_tokens_per_s update_tokens_per_s tensor_megabytes; do
    echo "$name: $(field run $name | tr '\n' ' ')"
done
[ "$(field run logprob_max_diff | sort -u)" = 0.0 ] || fail "log-probs differ from the rollout's"
[ "$(field run tensor_megabytes | wc -l)" = 3 ] || fail "not three steps"
field run tensor_megabytes | tail -1 | awk -v p="$planned" '{ exit !($1 * 1e6 <= 1.05 * p && $1 * 1e6 >= 0.95 * p) }' ||
    fail "$(field run tensor_megabytes | tail -1) MB of tensors, $planned bytes planned"
echo "visionthink: well"
