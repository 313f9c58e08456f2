#!/usr/bin/env bash
# fovea generate --prompts: a policy that has learned one call of the tool is shown its own wording and both views, as
# fovea eval shows them; and evaluation obeys the folder's repetition_penalty.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
image=$TEST_DATA/images/rgba.png
policy=$folder/run/model
cd "$root"

. "$TEST_DATA/../common"
refused() { refuses "$1" "$2" "$FOVEA" generate --model "$policy" --prompt a "${@:3}"; } # STATUS TEXT ARGUMENT...

"$FOVEA" init --shape configs/model/glance-vl.yaml --out "$folder/model" --seed 1 --dtype fp32
for _ in 1 2 3 4; do echo '{"question": "What digit is it?", "answer": "3", "image": "rgba.png"}'; done |
    "$FOVEA" pack --jsonl - --images "$TEST_DATA/images" --out "$folder/rows.h5" >/dev/null
"$FOVEA" sft configs/train/glance.yaml model="$folder/model" data.train="$folder/rows.h5" out="$folder/run" steps=60 \
    update.groups=4 optimizer.rate=3e-3 optimizer.warmup_steps=5 sft.call_share=1 sft.plain_share=0 save.every=0 \
    >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"

views=(--min-pixels 784 --max-pixels 3136)
ask() { "$FOVEA" generate --model "$policy" --image "$image" --prompt "What digit is it?" "${views[@]}" --max-tokens 128 "$@"; }
call='<think>?</think><tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'
answer='<think>3</think><answer>3</answer>'
said=$(ask --prompts configs/prompts/glance.yaml)
[ "$said" = "$call"$'\n'"$answer" ] || fail "it says: $said"
[ "$(mpiexec -n 2 "$FOVEA" generate --model "$policy" --image "$image" --prompt "What digit is it?" "${views[@]}" \
    --max-tokens 128 --prompts configs/prompts/glance.yaml)" = "$said" ] || fail "two ranks say something else"
ask --prompts configs/prompts/glance.yaml --json | grep -q '"finish": "stop", "prompt_tokens": [0-9]*, "visual_tokens": 2, "calls": 1}' ||
    fail "$(ask --prompts configs/prompts/glance.yaml --json)"
ask --prompts configs/prompts/glance-answer.yaml --json | grep -q '"calls": 0' || fail "a call without a tool"
[ "$(ask)" != "$said" ] || fail "the chat template asks as the wording does"

evaluate() { # NAME OPTION...
    "$FOVEA" eval --model "$policy" --data "$folder/rows.h5" --limit 1 --mode policy --prompts configs/prompts/glance.yaml \
        --max-turn-tokens 128 "${views[@]}" --out "$folder/$1" "${@:2}" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"
}
turns() { sed -n 's/.*"turns": \(\[.*\]\), "score".*/\1/p' "$folder/$1/samples.jsonl"; }
evaluate plain
[ "$(turns plain)" = "[\"${call//\"/\\\"}\", \"$answer\"]" ] || fail "eval says: $(turns plain)"
sed -i 's/"do_sample"/"repetition_penalty": 50, "num_beams": 4, "do_sample"/' "$policy/generation_config.json"
evaluate penalised
grep -q "generation_config.json: passed over, as not supported: num_beams" "$folder/log" || fail "$(cat "$folder/log")"
[ "$(grep -c "passed over" "$folder/log")" = 1 ] || fail "named more than once"
[ "$(turns penalised)" != "$(turns plain)" ] || fail "the folder's repetition_penalty is passed over"
grep -q '"repetition_penalty": 50' "$folder/penalised/summary.json" || fail "$(cat "$folder/penalised/summary.json")"
evaluate without --repetition-penalty 1
[ "$(turns without)" = "$(turns plain)" ] || fail "--repetition-penalty 1 says: $(turns without)"

refused 2 "it goes with neither --raw nor --system" --prompts configs/prompts/glance.yaml --raw
refused 2 "--prompts shows one image, 2 were given" --prompts configs/prompts/glance.yaml --image "$image" --image "$image"
refused 1 "/nowhere.yaml" --prompts /nowhere.yaml
refused 1 "gray1.png" --prompts configs/prompts/glance.yaml --image gray1.png
