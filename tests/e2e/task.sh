#!/usr/bin/env bash
# Benchmarks by their task files: packed from the published layout, evaluated in shards, and scored again from what
# was written, with the same figures; answers of other programs; what is refused.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OMP_NUM_THREADS=1
cd "$root" # task files name wordings from here
. "$TEST_DATA/../common"
image=$TEST_DATA/images/rgba.png

"$FOVEA" init --shape configs/model/tiny-vl.yaml --out "$folder/model" --seed 1
small=(--max-turn-tokens 12 --max-tokens 1200 --min-pixels 784 --max-pixels 3136)

# Two questions about each image, in two categories.
for i in 0 1 2 3 4 5; do
    category=$([ "$i" -lt 4 ] && echo existence || echo code_reasoning)
    answer=$([ $((i % 2)) = 0 ] && echo Yes || echo No)
    echo "{\"question_id\": \"$category/$((i / 2)).png\", \"category\": \"$category\", \"question\": \"Number $i?\",
        \"answer\": \"$answer\", \"image\": \"$image\"}" | tr -d '\n'
    echo
done >"$folder/mme.jsonl"
mme=configs/eval/mme.yaml
"$FOVEA" pack --task $mme --jsonl "$folder/mme.jsonl" --out "$folder/mme.h5" >/dev/null

evaluate() { # NAME ARGUMENT...
    "$FOVEA" eval --task $mme --model "$folder/model" --data "$folder/mme.h5" --mode low "${small[@]}" \
        --out "$folder/$1" "${@:2}" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"
}
same() {
    cmp "$1/samples.jsonl" "$2/samples.jsonl"
    diff <(grep -v '"seconds"' "$1/summary.json") <(grep -v '"seconds"' "$2/summary.json")
}
evaluate whole
for figure in score perception cognition existence code_reasoning; do
    grep -Eq "^$figure +[0-9.]+( |$)" "$folder/log" || fail "no $figure in $(cat "$folder/log")"
    grep -q "\"$figure\": [0-9]" "$folder/whole/summary.json" || fail "no $figure in the summary"
done
grep -qF 'published (Yang et al., 2025): full resolution 2316, a quarter of the tokens 2270, VisionThink 2400 with' "$folder/log" ||
    fail "$(cat "$folder/log")"
grep -q '"scorer": "mme"' "$folder/whole/summary.json" || fail "the summary does not say who scored"
[ "$(grep -c '"task": "mme", "group": "existence/1.png", "reading": "' "$folder/whole/samples.jsonl")" = 2 ] ||
    fail "$(cat "$folder/whole/samples.jsonl")"
evaluate part1 --shard 1/2
evaluate part2 --shard 2/2
"$FOVEA" eval --merge "$folder/merged" "$folder/part1" "$folder/part2" >"$folder/log"
same "$folder/whole" "$folder/merged"
mpirun -n 2 "$FOVEA" eval --task $mme --model "$folder/model" --data "$folder/mme.h5" --mode low "${small[@]}" \
    --out "$folder/ranks" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"
same "$folder/whole" "$folder/ranks"
evaluate whole --keep
"$FOVEA" eval --task $mme --model "$folder/model" --data "$folder/mme.h5" --mode policy "${small[@]}" \
    --out "$folder/policy" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"

# The quickstart's task is what the quickstart's options were: the same table and the same answers.
"$FOVEA" init --shape configs/model/glance-vl.yaml --out "$folder/reader" --seed 1
"$FOVEA" pack --synthetic glance --rows 40 --out "$folder/glance.h5" >/dev/null
reader=(--model "$folder/reader" --data "$folder/glance.h5" --mode policy --max-tokens 320)
"$FOVEA" eval --task configs/eval/glance.yaml "${reader[@]}" --out "$folder/by-task" >"$folder/table" 2>"$folder/log" ||
    fail "$(cat "$folder/log")"
"$FOVEA" eval --verifier exact --by needs --prompts configs/prompts/glance.yaml --max-turn-tokens 128 "${reader[@]}" \
    --out "$folder/by-options" >"$folder/table2" 2>"$folder/log" || fail "$(cat "$folder/log")"
table() { grep -E '^(low|high|all) ' "$1" | sed 's/ [0-9.]*$//'; }
diff <(table "$folder/table") <(table "$folder/table2") || fail "another table"
diff <(sed 's/, "task": .*//' "$folder/by-task/samples.jsonl") <(sed 's/}$//' "$folder/by-options/samples.jsonl") ||
    fail "other samples"

# What was written is scored again: the same figures, from the folder, from its lines, and beside the data set.
figures() { sed -n '/"figures"/,/}/p' "$1"; }
score() { "$FOVEA" score "$@" >"$folder/scored" 2>"$folder/log" || fail "$(cat "$folder/log")"; }
for answers in "$folder/whole" "$folder/whole/samples.jsonl"; do
    score --task $mme --answers "$answers" --json
    cmp <(figures "$folder/scored") <(figures "$folder/whole/summary.json")
done
score --task $mme --answers "$folder/whole" --data "$folder/mme.h5" --json
cmp <(figures "$folder/scored") <(figures "$folder/whole/summary.json")

# Several samples of a row: the same ones from shards, from two ranks, from other batches, and after a kill.
draws=(--task configs/eval/glance.yaml "${reader[@]}" --samples 3 --temperature 0.9 --limit 9)
drawn() { "$FOVEA" eval "${draws[@]}" --out "$folder/$1" "${@:2}" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"; }
drawn draws
for figure in score pass@2 pass@3 majority; do
    grep -Eq "^$figure +[0-9.]+( |$)" "$folder/log" || fail "no $figure in $(cat "$folder/log")"
done
[ "$(wc -l <"$folder/draws/samples.jsonl")" = 27 ] || fail "not three samples a row"
[ "$(grep -c '"row": 4, ' "$folder/draws/samples.jsonl")" = 3 ] || fail "not three samples of row 4"
[ "$(grep '"row": 4, ' "$folder/draws/samples.jsonl" | sed 's/.*"turns"/"turns"/;s/"score".*//' | sort -u | wc -l)" -gt 1 ] ||
    fail "the samples of a row are one"
drawn draws1 --shard 1/2
drawn draws2 --shard 2/2 --max-running 4
"$FOVEA" eval --merge "$folder/draws-merged" "$folder/draws2" "$folder/draws1" >/dev/null
same "$folder/draws" "$folder/draws-merged"
cmp "$folder/draws/samples.h5" "$folder/draws-merged/samples.h5"
mpirun -n 2 "$FOVEA" eval "${draws[@]}" --out "$folder/draws-ranks" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"
same "$folder/draws" "$folder/draws-ranks"
(FOVEA_AT="answered:11=kill" "$FOVEA" eval "${draws[@]}" --out "$folder/draws-killed" || true) >/dev/null 2>&1
[ "$(grep -c '"row": ' "$folder/draws-killed/begun.0.jsonl")" = 11 ] || fail "not 11 samples were kept"
drawn draws-killed
same "$folder/draws" "$folder/draws-killed"
drawn draws-other --seed 1
drawn draws-many --samples 20 --limit 1
cmp -s "$folder/draws/samples.jsonl" "$folder/draws-other/samples.jsonl" && fail "another seed, the same samples"
score --task configs/eval/glance.yaml --answers "$folder/draws" --json
cmp <(figures "$folder/scored") <(figures "$folder/draws/summary.json")

# Two evaluations side by side: of two modes; of other data: refused.
"$FOVEA" compare "$folder/whole" "$folder/policy" --changed "$folder/changed" >"$folder/out" || fail "compare"
grep -Eq '^score +[0-9.]+ +[0-9.]+ +-?[0-9.]+  -?[0-9.]+ to -?[0-9.]+$' "$folder/out" || fail "$(cat "$folder/out")"
grep -q '^mode: "low", "policy"$' "$folder/out" || fail "$(cat "$folder/out")"
"$FOVEA" compare "$folder/whole" "$folder/merged" --json >"$folder/out" || fail "compare"
grep -q '"p": 1.0' "$folder/out" || fail "$(cat "$folder/out")"

# A sample of lmms-eval, and rows with an answer; every part of a verdict.
cat >"$folder/lmms.jsonl" <<'END'
{"doc_id": 0, "target": "Yes", "input": "Number 0?", "filtered_resps": ["<think>a</think><answer>\\boxed{yes}</answer>"], "mme_perception_score": {"question_id": "0", "category": "existence", "score": 1.0}}
{"doc_id": 1, "target": "No", "input": "Number 1?", "resps": [["<think>a</think><tool_call>{}</tool_call>"]], "mme_perception_score": {"question_id": "0", "category": "existence", "score": 0.0}}
END
score --task $mme --answers "$folder/lmms.jsonl" --out "$folder/verdicts.jsonl"
grep -Eq '^existence +50\.0000$' "$folder/scored" || fail "$(cat "$folder/scored")"
diff "$folder/verdicts.jsonl" - <<'END' || fail "other verdicts"
{"row": 0, "source": "existence", "answer": "\\boxed{yes}", "reading": "yes", "score": 1.0, "format": 1.0, "called": false, "tool_penalty": 0.0}
{"row": 1, "source": "existence", "answer": "<think>a</think><tool_call>{}</tool_call>", "reading": "neither", "score": 0.0, "format": 0.0, "called": true, "tool_penalty": 0.0}
END
# Four samples of one row: one of three right ones is direct, more than theta: those with a call pay.
said() { echo "{\"row\": 3, \"turns\": [$1], \"truth\": \"No\", \"category\": \"a\", \"question_id\": \"b\"}"; }
call='"<think>a</think><tool_call>{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\"}}</tool_call>"'
no='"<think>a</think><answer>no</answer>"'
{ said "$no"; said "$call, $no"; said "$call, \"<think>b</think> no\""; said "$call, $no"; } >"$folder/samples.jsonl"
penalties() { cut -d'"' -f18- "$folder/verdicts.jsonl" | grep -o '"tool_penalty": [0-9.]*' | cut -d' ' -f2 | tr '\n' ' '; }
score --task $mme --answers "$folder/samples.jsonl" --out "$folder/verdicts.jsonl" --size 0.125 metric=mean
[ "$(penalties)" = "0.0 0.125 0.0 0.125 " ] || fail "penalties: $(cat "$folder/verdicts.jsonl")"
score --task $mme --answers "$folder/samples.jsonl" --out "$folder/verdicts.jsonl" --theta 0.4 --size 0.25 metric=mean
[ "$(penalties)" = "0.25 0.0 0.0 0.0 " ] || fail "penalties: $(cat "$folder/verdicts.jsonl")"
grep -Eq '^format +0\.7500$' "$folder/scored" || fail "$(cat "$folder/scored")"

# Options, hints and what is asked stand around the question; an image may be base64.
echo "{\"index\": 1000007, \"category\": \"c\", \"hint\": \"A hint.\", \"question\": \"<image>Which?\", \"A\": \"red\",
    \"B\": \"blue\", \"C\": \"nan\", \"D\": null, \"answer\": \"B\", \"image\": \"$image\"}" | tr -d '\n' >"$folder/mmbench.jsonl"
"$FOVEA" pack --task configs/eval/mmbench.yaml --jsonl "$folder/mmbench.jsonl" --out "$folder/mmbench.h5" >/dev/null
echo '{"row": 0, "response": "blue"}' >"$folder/answers"
score --task configs/eval/mmbench.yaml --answers "$folder/answers" --data "$folder/mmbench.h5"
grep -Eq '^score +100\.0000( |$)' "$folder/scored" || fail "$(cat "$folder/scored")"
"$FOVEA" eval --task configs/eval/mmbench.yaml --model "$folder/model" --data "$folder/mmbench.h5" --mode high \
    "${small[@]}" --out "$folder/mmbench" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"
grep -qF '"question": "A hint.\nWhich?\nA. red\nB. blue\nGive the letter of the right option."' \
    "$folder/mmbench/samples.jsonl" || fail "$(cat "$folder/mmbench/samples.jsonl")"
echo "{\"index\": 7, \"category\": \"single\", \"question\": \"Which?\", \"A\": \"red\", \"B\": \"blue\", \"answer\": \"A\",
    \"image\": \"$(base64 -w0 "$image")\"}" | tr -d '\n' >"$folder/hrbench.jsonl"
"$FOVEA" pack --task configs/eval/hrbench.yaml --jsonl "$folder/hrbench.jsonl" --out "$folder/hrbench.h5" >/dev/null

# What eval has written as lmms-eval's samples is scored as it was.
score --task $mme --answers "$folder/policy" --samples "$folder/as-samples.jsonl" --json
cp "$folder/scored" "$folder/before"
score --task $mme --answers "$folder/as-samples.jsonl" --json
cmp <(figures "$folder/before") <(figures "$folder/scored")
grep -q '^{"doc_id": 0, "target": "Yes", "input": "Number 0?", "resps": \[".*"\], "filtered_resps": \[".*"\], "mme": ' \
    "$folder/as-samples.jsonl" || fail "$(cat "$folder/as-samples.jsonl")"

# Every task that is shipped can be read.
echo '{"response": "7", "truth": "yes", "category": "a", "question_type": "a", "question_id": "1", "index": 1}' >"$folder/any"
for task in configs/eval/*.yaml; do
    score --task "$task" --answers "$folder/any"
done

refused() { refuses "$1" "$2" "$FOVEA" "${@:3}"; } # STATUS TEXT COMMAND ARGUMENT...
echo "{\"question\": \"Is it?\", \"answer\": \"yes\", \"image\": \"$image\"}" >"$folder/other.jsonl"
"$FOVEA" pack --jsonl "$folder/other.jsonl" --out "$folder/other.h5" >/dev/null
common=(--model "$folder/model" --mode low "${small[@]}" --out "$folder/x")
refused 1 'there is no "category", which the task mme needs: this is data of another benchmark' \
    eval --task $mme --data "$folder/other.h5" "${common[@]}"
refused 1 'the truth is "B", expected yes or no' eval --task configs/eval/pope.yaml \
    --data "$folder/mmbench.h5" "${common[@]}"
refused 2 "--verifier, --extraction and --by are what --task says" eval --task $mme --data "$folder/mme.h5" \
    "${common[@]}" --verifier exact
refused 1 '"task" is "mme" in one, absent in the other' eval --data "$folder/mme.h5" --keep --model "$folder/model" \
    --mode low "${small[@]}" --prompts configs/prompts/answer.yaml --by category --out "$folder/whole"
refused 1 'names no wording for the mode low: say prompts.plain there, or give --prompts FILE' \
    eval --task configs/eval/mmmu.yaml --data "$folder/mme.h5" "${common[@]}"
"$FOVEA" init --shape configs/model/tiny-qwen2.yaml --out "$folder/text" --seed 1
refused 1 'text is a text model: it cannot take images' eval --task $mme --model "$folder/text" --data "$folder/mme.h5" --mode low \
    --out "$folder/x"
refused 1 '"data_hash" is' compare "$folder/whole" "$folder/mmbench"
refused 1 'part1 is shard 1/2: merge the shards first' compare "$folder/part1" "$folder/part1"
refused 2 'give two folders of fovea eval' compare "$folder/whole"
refused 2 '--samples 4 at --temperature 0 are the same answer' eval --task $mme --data "$folder/mme.h5" "${common[@]}" \
    --samples 4 --temperature 0
refused 2 '--max-running is 2, but the 3 samples of a row run at once' eval --task $mme --data "$folder/mme.h5" "${common[@]}" \
    --samples 3 --max-running 2
refused 1 'cannot open none.yaml' score --task none.yaml --answers "$folder/any"
refused 1 '"metric" is "median", expected mean, yes_no, pairs or circular' score --task $mme --answers "$folder/any" metric=median
: >"$folder/empty"
refused 1 "$folder/empty: there is no answer in it" score --task $mme --answers "$folder/empty"
refused 1 'it is an answer to the task "mme", not to docvqa' score --task configs/eval/docvqa.yaml --answers "$folder/whole"
refused 1 'these are answers to another task: row 0, by the scorer mme of the task mme: the truth is "7", expected yes or no' \
    score --task $mme --answers <(sed 's/"yes"/"7"/' "$folder/any")
refused 1 'its truth is "Yes", that of row 1 of' score --task $mme --data "$folder/mme.h5" \
    --answers <(sed 's/"doc_id": 0/"doc_id": 1/' "$folder/lmms.jsonl")
refused 1 'it is of row 9, but' score --task $mme --data "$folder/mme.h5" --answers <(sed 's/"doc_id": 0/"doc_id": 9/' "$folder/lmms.jsonl")
refused 2 "--task FILE and --answers FILE are required" score --task $mme
refused 2 "--task names the fields: leave out" pack --task $mme --jsonl "$folder/mme.jsonl" --answer-field x --out "$folder/x.h5"
refused 1 'there is no "text"' pack --task configs/eval/vstar.yaml --jsonl "$folder/mme.jsonl" --out "$folder/x.h5"
[ ! -e "$folder/x" ] && [ ! -e "$folder/x.h5" ] || fail "what was refused left something"
echo "task: well"
