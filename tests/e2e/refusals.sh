#!/usr/bin/env bash
# What cannot work is refused before anything is drawn, with the arithmetic: layouts, sizes, rows.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$TEST_DATA/../..
export OMP_NUM_THREADS=1

fail() { echo "FAILED: $*" >&2; exit 1; }
refused() { # RANKS TEXT [KEY=VALUE...]
    local ranks=$1 text=$2 got=0
    shift 2
    mpiexec -n "$ranks" "$FOVEA" train "$folder/config.yaml" "$@" >"$folder/out" 2>&1 || got=$?
    [ "$got" -ne 0 ] || fail "not refused: $*"
    grep -qF -- "$text" "$folder/out" || fail "no \"$text\" with $ranks ranks, $*: $(cat "$folder/out")"
    [ "$(grep -c '^fovea: ' "$folder/out")" = 1 ] || fail "not one sentence: $(cat "$folder/out")"
    [ ! -e "$folder/run/metrics.jsonl" ] || fail "a run was begun: $*"
}

"$FOVEA" init --shape "$root/configs/model/tiny-vl.yaml" --out "$folder/model" --seed 1
"$FOVEA" pack --synthetic glance --rows 20 --seed 1 --out "$folder/data.h5" >"$folder/out"
cat >"$folder/config.yaml" <<END
model: $folder/model
out: $folder/run
prompts: $root/configs/prompts/glance.yaml
steps: 3
data: {train: $folder/data.h5}
views: {min_pixels: 784, max_pixels: 3136}
rollout: {prompts: 6, answers: 4, max_turn_tokens: 120, max_tokens: 320, max_running: 12, pass_tokens: 256,
  cache_pages: 64}
reward: {rule: containment}
update: {groups: 3, micro_tokens: 4096}
END

# Layouts. The model has 8 heads, 2 of them of keys, and 4 in its vision tower.
refused 1 "layout.tensor is 2, but 1 ranks - layout.judge_ranks 0 = 1 = 0 x 2 + 1" layout.tensor=2
refused 3 "3 ranks - layout.judge_ranks 0 = 3 = 1 x 2 + 1: it must divide" layout.tensor=2
refused 3 "3 ranks cannot share 8 query heads" layout.tensor=3
refused 8 "8 ranks cannot share the 4 heads of the vision tower" layout.tensor=8
refused 2 "layout.judge_ranks is 2, but there are 2 ranks: none is left to train" layout.judge_ranks=2
refused 1 '"layout.tensor" is 0, expected a whole number, 1 or more' layout.tensor=0

# Sizes.
refused 1 "update.groups is 4, but rollout.prompts is 6 = 1 x 4 + 2" update.groups=4
refused 1 "expected at least 2 x rollout.max_running = 2 x 12 = 24" rollout.pass_tokens=20
refused 1 "rollout.max_tokens = 320 tokens may take 6 pages of 64 tokens" rollout.cache_pages=5
refused 1 "rollout.max_running is 3, expected at least rollout.answers, 4" rollout.max_running=3
refused 1 "rollout.max_running is 4, expected at least rollout.answers and a greedy one, 5" rollout.max_running=4 \
    advantage.estimator=remax
refused 1 "rollout.max_tokens is 5000, but" rollout.max_tokens=5000 rollout.cache_pages=200
refused 1 "views.min_pixels is 784, more than views.max_pixels, 100" views.max_pixels=100
refused 1 "views.prompt is large, so the tool has nothing more to show" views.prompt=large

# Rows, whichever of them it is.
wording='the wording around it '
refused 1 "data.h5: row 0: its image at 28 x 28 pixels is 1 tokens, $wording" rollout.max_tokens=30
for i in 1 2 3; do
    echo "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"answer\": \"a\"}"
done >"$folder/rows.jsonl"
echo '{"question": "q", "image": "rgb.jpg", "answer": "a", "info": {"tgt_width": 1120, "tgt_height": 560}}' >>"$folder/rows.jsonl"
"$FOVEA" pack --jsonl "$folder/rows.jsonl" --images "$TEST_DATA/images" --out "$folder/large.h5" >"$folder/out"
refused 2 "large.h5: row 3: its image at 1120 x 560 pixels is 800 tokens, $wording" data.train="$folder/large.h5"
refused 2 "large.h5: row 3: its image at 1120 x 560 pixels is 800 tokens, $wording" data.validate="$folder/large.h5"
echo '{"question": "q", "images": ["rgb.jpg", "rgb.png"], "answer": "a"}' >>"$folder/rows.jsonl"
sed -i 4d "$folder/rows.jsonl"
"$FOVEA" pack --jsonl "$folder/rows.jsonl" --images "$TEST_DATA/images" --out "$folder/two.h5" >"$folder/out"
refused 1 "two.h5: row 3: 2 images; a prompt shows one" data.train="$folder/two.h5"
echo "refusals: well"
