#!/usr/bin/env bash
# What cannot work is refused before anything is generated, with the arithmetic: layouts, sizes, rows.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$TEST_DATA/../..
export OMP_NUM_THREADS=1

fail() { echo "FAILED: $*" >&2; exit 1; }
command=train
refused() { # RANKS TEXT [KEY=VALUE...]
    local ranks=$1 text=$2 got=0
    shift 2
    mpiexec -n "$ranks" "$FOVEA" $command "$folder/config.yaml" "$@" >"$folder/out" 2>&1 || got=$?
    [ "$got" -ne 0 ] || fail "not refused: $*"
    grep -qF -- "$text" "$folder/out" || grep -q -- "$text" "$folder/out" || fail "no \"$text\" with $ranks ranks, $*: $(cat "$folder/out")"
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
rollout: {prompts: 6, samples: 4, max_turn_tokens: 120, max_tokens: 320, max_running: 12, pass_tokens: 256,
  cache_pages: 64}
reward: {verifier: containment}
update: {groups: 3, micro_tokens: 4096}
END

# Layouts. The model has 8 heads, 2 of them of keys, and 4 in its vision tower.
refused 1 "layout.tensor is 2, but 1 ranks - layout.judge_ranks 0 = 1 = 0 x 2 + 1" layout.tensor=2
refused 3 "3 ranks - layout.judge_ranks 0 = 3 = 1 x 2 + 1: it must divide" layout.tensor=2
refused 3 "layout.tensor is 3, but layout.chunks 4 = 1 x 3 + 1: it must divide them" layout.tensor=3
refused 8 "layout.tensor is 8, but layout.chunks 4 = 0 x 8 + 4" layout.tensor=8
refused 1 "layout.chunks is 3; 1, 2, 4 or 8" layout.chunks=3
refused 8 "8 ranks cannot share the 4 heads of the vision tower" layout.tensor=8 layout.chunks=8
refused 2 "layout.judge_ranks is 2, but there are 2 ranks: none is left to train" layout.judge_ranks=2
refused 1 '"layout.tensor" is 0, expected a whole number, 1 or more' layout.tensor=0

# A device: what it cannot do yet, and where its library is missing.
refused 1 "the back end cuda computes in bf16, and precision is fp32: set precision=bf16" backend=cuda
refused 2 "the back end cuda works in one process, and there are 2 ranks" backend=cuda precision=bf16
refused 1 '"backend" is "gpu", expected auto, cpu or cuda' backend=gpu
[ -e "$(dirname "$FOVEA")/libfovea_cuda.so" ] ||
    refused 1 "the back end cuda needs libfovea_cuda.so, which is not beside the program: with the CUDA toolkit, cmake --preset cuda" \
        backend=cuda precision=bf16

# Sizes.
refused 1 "update.groups is 4, but rollout.prompts is 6 = 1 x 4 + 2" update.groups=4
refused 1 "expected at least 2 x rollout.max_running = 2 x 12 = 24" rollout.pass_tokens=20
refused 1 "rollout.max_tokens = 320 tokens may take 6 pages of 64 tokens" rollout.cache_pages=5
refused 1 "rollout.max_running is 3, expected at least rollout.samples, 4" rollout.max_running=3
refused 1 "rollout.max_running is 4, expected at least rollout.samples and a greedy one, 5" rollout.max_running=4 \
    advantage.estimator=remax
refused 1 "rollout.max_tokens is 5000, but" rollout.max_tokens=5000 rollout.cache_pages=200
refused 1 "views.min_pixels is 784, more than views.max_pixels, 100" views.max_pixels=100
refused 1 "views.prompt is high, so the tool has nothing more to show" views.prompt=high

# Rows, whichever of them it is and whoever measures it; the first of them with what each needs, and the mend.
refused 1 "data.h5: 20 of 20 rows are too long: row 0 needs 95 tokens (its image at 28 x 28 pixels is 1 tokens, the view of 56 x 56 that the tool shows 4), and rollout.max_tokens is 30; row 1 needs 95" rollout.max_tokens=30
refused 1 "; and 17 more: raise rollout.max_tokens to 95, lower views.max_pixels, or leave such rows out (data.too_long: skip)" rollout.max_tokens=30
for i in 1 2 3; do
    echo "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"answer\": \"a\"}"
done >"$folder/rows.jsonl"
cp "$folder/rows.jsonl" "$folder/mixed.jsonl"
echo '{"question": "q", "image": "rgb.jpg", "answer": "a", "info": {"tgt_width": 1120, "tgt_height": 560}}' >>"$folder/mixed.jsonl"
echo '{"question": "'"$(printf 'why %.0s' {1..100})"'", "images": [], "answer": "a"}' >>"$folder/mixed.jsonl"
pack() { "$FOVEA" pack --jsonl "$folder/$1.jsonl" --images "$TEST_DATA/images" --out "$folder/$1.h5" >"$folder/out"; }
pack rows
pack mixed
large="row 3 needs [0-9]* tokens (its image at [0-9]* x [0-9]* pixels is [0-9]* tokens, the view of"
two="mixed.h5: 2 of 5 rows are too long: row 3 needs"
refused 2 "$two" data.train="$folder/mixed.h5"
grep -q "$large .*; row 4 needs 4[0-9]* tokens, and rollout.max_tokens is 320: raise" "$folder/out" || fail "$(cat "$folder/out")"
refused 2 "$two" data.validate="$folder/mixed.h5"
command=sft
refused 2 "$two" data.train="$folder/mixed.h5"
refused 1 "rows.h5: 3 of 3 rows are too long: row 0 needs 114 tokens in a turn, and rollout.max_turn_tokens is 100" \
    data.train="$folder/rows.h5" rollout.max_turn_tokens=100
command=train
refused 1 "mixed.h5: 5 of 5 rows are too long" data.train="$folder/mixed.h5" data.too_long=skip rollout.max_tokens=30
grep -q "; and 2 more; none is left$" "$folder/out" || fail "$(cat "$folder/out")"

# Left out, they are not there: the same draws as from a data set without them, also when the run goes on.
sampled() { # NAME [KEY=VALUE...]
    mpiexec -n 2 "$FOVEA" train "$folder/config.yaml" out="$folder/$1" "${@:2}" >"$folder/out" 2>&1 || fail "$(cat "$folder/out")"
}
small=(rollout.prompts=2 update.groups=1 rollout.max_turn_tokens=20 log.trajectories=2)
sampled without "${small[@]}" data.train="$folder/rows.h5"
for steps in 1 3; do
    sampled skipped "${small[@]}" data.train="$folder/mixed.h5" data.too_long=skip steps=$steps
    grep -q "2 of 5 rows are too long and are left out (data.too_long: skip): row 3 needs" "$folder/out" || fail "$(cat "$folder/out")"
done
cmp "$folder/without/trajectories.jsonl" "$folder/skipped/trajectories.jsonl" || fail "rows that are left out change draws"
! (sampled skipped "${small[@]}" data.train="$folder/rows.h5" data.too_long=skip steps=4) 2>/dev/null || fail "other rows are gone on with"

# A judge that has no room: its wording with the question, against its context and its cache.
"$FOVEA" init --shape "$root/configs/model/tiny-qwen3.yaml" --out "$folder/judge" --seed 4
printf 'system: Be fair.\nuser: "%s {question} {truth} {answer}"\nverdict: score\n' "$(printf 'fair %.0s' {1..60})" >"$folder/judge.yaml"
judge=(reward.judge=local judge.prompt="$folder/judge.yaml" judge.model="$folder/judge" judge.in_flight=4)
refused 1 "row 4 needs 12 pages of the judge, and judge.cache_pages is 8: raise rollout.max_tokens to [0-9]* and judge.cache_pages to 12, lower" data.train="$folder/mixed.h5" \
    "${judge[@]}" judge.cache_pages=8 rollout.max_tokens=800
sed -i 's/"max_position_embeddings": [0-9]*/"max_position_embeddings": 600/' "$folder/judge/config.json"
refused 3 "row 4 needs [0-9]* tokens of the judge, and what judge.model has positions for is 600: raise rollout.max_tokens to [0-9]*, lower views" data.train="$folder/mixed.h5" "${judge[@]}" \
    layout.judge_ranks=1 rollout.max_tokens=800

refused 1 "backend is cuda, which computes in bf16, but the local judge in fp32: set judge.precision=bf16" "${judge[@]}" \
    backend=cuda precision=bf16 judge.precision=fp32
refused 1 "model: a local judge reads text alone, and this is a vision-language model" "${judge[@]}" judge.model="$folder/model"
refused 1 "rollout.max_images is 1, so the tool has nothing to show, but rollout.max_turns is 2" rollout.max_images=1

# Evaluation and selection measure as well; an evaluation that is refused leaves no folder.
evaluate() {
    "$FOVEA" eval --model "$folder/model" --data "$folder/mixed.h5" --prompts "$root/configs/prompts/glance.yaml" \
        --max-tokens 320 --max-turn-tokens 20 --min-pixels 784 --max-pixels 3136 --out "$folder/$1" "${@:2}" >"$folder/out" 2>&1
}
! evaluate eval --mode policy || fail "too long rows were evaluated"
grep -qF "$two" "$folder/out" && grep -qF "(--too-long skip)" "$folder/out" || fail "$(cat "$folder/out")"
[ ! -e "$folder/eval" ] || fail "a refused evaluation left a folder"
! evaluate eval --mode low || fail "too long rows were evaluated"
grep -qF "$two" "$folder/out" || fail "$(cat "$folder/out")"
for i in 1 2 3 4; do evaluate part$i --mode policy --too-long skip --shard $i/4 || fail "$(cat "$folder/out")"; done
evaluate whole --mode policy --too-long skip || fail "$(cat "$folder/out")"
grep -q "^left out, too long: 2 rows$" "$folder/out" || fail "$(cat "$folder/out")"
"$FOVEA" eval --merge "$folder/merged" "$folder"/part{3,1,4,2} >"$folder/out"
cmp "$folder/whole/samples.jsonl" "$folder/merged/samples.jsonl" || fail "other samples from shards"
! "$FOVEA" pack --select "$folder/config.yaml" --out "$folder/smart.h5" data.train="$folder/mixed.h5" --gain 2 2>"$folder/out" ||
    fail "too long rows were selected from"
grep -qF "$two" "$folder/out" || fail "$(cat "$folder/out")"
echo "refusals: well"
