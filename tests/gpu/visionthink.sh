#!/usr/bin/env bash
# VisionThink's two-turn configuration on one card, with random weights of the 7B shape: three steps of 8 prompts with 16
# samples, up to 512 new tokens a turn, with the reference policy and the moments of AdamW in host memory. It is stopped
# after two, goes on from its checkpoint, and takes the memory that the plan names.
#
# usage: FOVEA=.../fovea bash tests/gpu/visionthink.sh FOLDER [LAYERS [KEY=VALUE...]]
#
# FOLDER: an empty one, or one with the model of an earlier call with as many LAYERS. A billion numbers of the model (it
# has 8.3, with all 28 layers; 0.23 a layer) take there 2 GB for the weights, 8 for each of two checkpoints and 4 for the
# model at the end, and in host memory 4 GB for moments, 2 for the reference and 4 while it saves or goes on. NO_END=1:
# killed once the third step is done, so that there must be room for one checkpoint and no model at the end. NO_SAVE=1:
# three steps at once, and then killed.
set -eu
. "$(dirname "$0")/../common"
OMP_NUM_THREADS=$(nproc)
folder=$1 layers=${2:-28}
sed "s/n_layers: 28/n_layers: $layers/" "$root/configs/model/qwen2.5-vl-7b.yaml" >"$folder/shape.yaml"
rm -rf "$folder/run" "$folder/run.log" "$folder/new" # a model that is there is taken, a run is begun anew
[ -e "$folder/model" ] || {
    "$FOVEA" init --noise --shape "$folder/shape.yaml" --out "$folder/new"
    mv "$folder/new" "$folder/model"
}
for i in $(seq 24); do
    bmp $((448 + 28 * i)) >"$folder/$i.bmp"
    echo "{\"question\": \"What is the number in row $i?\", \"answer\": \"$i\", \"image\": \"$i.bmp\"}"
done >"$folder/rows.jsonl"
"$FOVEA" pack --jsonl "$folder/rows.jsonl" --images "$folder" --out "$folder/data.h5" >/dev/null
echo "model and data: $SECONDS s"
# Every other sample is right, so that every group teaches something.
cat >"$folder/judge.sh" <<'END'
exec sed -u 's/.*"id": \([0-9]*[13579]\), .*/{"id": \1, "score": 1}/;t;s/.*"id": \([0-9]*\),.*/{"id": \1, "score": 0}/'
END
settings=(model="$folder/model" prompts="$root/configs/prompts/look-closer.yaml" data.train="$folder/data.h5" data.validate= steps=3 backend=cuda precision=bf16
    layout.tensor=1 views.max_pixels=1048576 rollout.prompts=8 rollout.samples=16 rollout.max_turn_tokens=512
    rollout.max_tokens=4096 rollout.max_running=128 rollout.sampling_rounds=0 rollout.cache_pages=2048 update.groups=4
    update.micro_tokens=16384 update.reference_on_host=true optimizer.on_host=moments optimizer.master=split
    optimizer.moments=bf16 save.every=2 save.keep_last=1 save.keep_best=false reward.judge=program
    judge.program="sh $folder/judge.sh" judge.verifier_first=false "${@:3}")
run() { # NAME [KEY=VALUE...]
    "$FOVEA" train "$root/configs/train/visionthink-efficient.yaml" "${settings[@]}" out="$folder/$1" "${@:2}" \
        >"$folder/$1.out" 2>>"$folder/$1.log"
}
run run --dry-run || fail "$(cat "$folder/run.log")"
sed -n '/^memory/,/^layers/p' "$folder/run.out"
planned=$(sed -n 's/^  of that, tensors *//p' "$folder/run.out")
echo "planned: $SECONDS s"
# ends STATUS POINT [KEY=VALUE...]: a run that ends so, there.
ends() {
    local status=0
    FOVEA_AT=$2 run run "${@:3}" || status=$?
    [ $status = "$1" ] || fail "ended with $status, not at $2: $(cat "$folder/run.log")"
}
visit=3
if [ -z "${NO_SAVE-}" ]; then
    ends 75 done:2=stop
    tail -4 "$folder/run.log"
    echo "two steps and a checkpoint of $(du -sm "$folder/run/checkpoints" | cut -f1) MB: $SECONDS s"
    visit=1
fi
if [ -z "${NO_SAVE-}${NO_END-}" ]; then
    run run || fail "$(cat "$folder/run.log")"
else
    ends 137 done:$visit=kill ${NO_SAVE:+save.every=0}
fi
tail -3 "$folder/run.log"
echo "three steps: $SECONDS s"
for name in logprob_max_diff loss rollout_s update_s reference_s step_s generated_tokens_per_s update_tokens_per_s tensor_megabytes; do
    echo "$name: $(field run $name | tr '\n' ' ')"
done
[ "$(field run logprob_max_diff | sort -u)" = 0.0 ] || fail "log-probs differ from the rollout's"
[ "$(field run tensor_megabytes | wc -l)" = 3 ] || fail "not three steps"
used=$(field run tensor_megabytes | sort -n | tail -1)
awk -v used="$used" -v planned="$planned" 'BEGIN {
    share = used * 1e6 / planned
    printf "tensors: %.2f GB used, %.2f GB planned: %.1f %%\n", used / 1e3, planned / 1e9, 100 * share
    exit !(share <= 1.05 && share >= 0.95) }' || fail "not what was planned"
echo "visionthink: well"
