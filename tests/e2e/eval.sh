#!/usr/bin/env bash
# fovea eval: the same files, but for the seconds, from one rank, from several, and from shards that are merged.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
model=$folder/model
pack=$folder/glance.h5
export OMP_NUM_THREADS=1

. "$TEST_DATA/../common"
refused() { refuses "$1" "$2" "$FOVEA" eval "${@:3}"; } # STATUS TEXT ARGUMENT...
same() { # FOLDER FOLDER
    cmp "$1/samples.jsonl" "$2/samples.jsonl"
    cmp "$1/samples.h5" "$2/samples.h5"
    diff <(grep -v '"seconds"' "$1/summary.json") <(grep -v '"seconds"' "$2/summary.json")
}
setting() { grep -q "^ *\"$2\": $3,\?$" "$1/summary.json" || fail "no \"$2\": $3 in $(cat "$1/summary.json")"; }

# A low-resolution view of one token, a high-resolution one of four.
"$FOVEA" init --shape "$root/configs/model/tiny-vl.yaml" --out "$model" --seed 1
"$FOVEA" pack --synthetic glance --rows 40 --out "$pack" >/dev/null
cat >"$folder/prompts.yaml" <<'END'
system: Look.
user: '{image} {question}'
tool_result: 'Here: {image}'
tool_error: 'No: {error}'
END
options=(--model "$model" --data "$pack" --prompts "$folder/prompts.yaml" --verifier containment --max-turn-tokens 24
    --max-tokens 200)
low=("${options[@]}" --mode low)
evaluate() { "$FOVEA" eval "${low[@]}" --out "$folder/$1" "${@:2}" >"$folder/log" || fail "$(cat "$folder/log")"; }

evaluate one
grep -Eq '^all +40 +0 +0\.[0-9]{4} +0\.0000 +0\.2500 +24\.0 +[0-9.]+$' "$folder/log" || fail "$(cat "$folder/log")"
[ "$(wc -l <"$folder/one/samples.jsonl")" -eq 40 ] || fail "not a sample a row"
[ "$(cut -d'"' -f18- "$folder/one/samples.jsonl" | sort -u | wc -l)" -gt 5 ] || fail "a model that always says the same"
setting "$folder/one" visual_share 0.25
setting "$folder/one" rows 40
if command -v h5dump >/dev/null; then
    h5dump -y -d high_visual_tokens "$folder/one/samples.h5" | tr -d ' \n' | grep -q '4,4,4,4,4,4' || fail "high_visual_tokens"
fi

# Transparent pixels are white, or have the colour stored with them.
for image in rgba rgba_on_white; do
    echo "{\"question\": \"What?\", \"answer\": \"a\", \"image\": \"$image.png\"}"
done | "$FOVEA" pack --jsonl - --images "$TEST_DATA/images" --out "$folder/alpha.h5" >/dev/null
for behind in white drop; do
    "$FOVEA" eval "${low[@]}" --data "$folder/alpha.h5" --max-pixels 3136 --min-pixels 784 --transparency $behind \
        --out "$folder/$behind" >"$folder/log" || fail "$(cat "$folder/log")"
    setting "$folder/$behind" transparency "\"$behind\""
done
turns() { cut -d'"' -f17- "$folder/$1/samples.jsonl" | uniq | wc -l; }
[ "$(turns white)$(turns drop)" = 12 ] || fail "alpha: $(cat "$folder/white/samples.jsonl" "$folder/drop/samples.jsonl")"

# Views by Lanczos are others than bicubic ones; the folder says which, and what the tool shows.
for image in rgb.jpg rgba.png bilevel.png cmyk.jpg; do
    echo "{\"question\": \"What?\", \"answer\": \"a\", \"image\": \"$image\"}"
done | "$FOVEA" pack --jsonl - --images "$TEST_DATA/images" --out "$folder/views.h5" >/dev/null
for view in "--filter lanczos" "--filter bicubic" "--tool-view twice"; do
    # shellcheck disable=SC2086
    "$FOVEA" eval "${options[@]}" --mode high --data "$folder/views.h5" --max-pixels 200000 --min-pixels 190000 \
        --max-turn-tokens 40 --max-tokens 900 $view --out "$folder/view${view##* }" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"
done
setting "$folder/viewlanczos" filter '"lanczos"'
setting "$folder/viewtwice" tool_view '"twice"'
cmp -s "$folder/viewlanczos/samples.jsonl" "$folder/viewbicubic/samples.jsonl" && fail "one filter is the other"

# Batches and memory change nothing; neither do ranks that share the rows out.
evaluate small --max-running 3 --pass-tokens 6 --cache-pages 5
same "$folder/one" "$folder/small"
for n in 2 4; do
    mpirun -n "$n" "$FOVEA" eval "${low[@]}" --out "$folder/ranks$n" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"
    same "$folder/one" "$folder/ranks$n"
done

# A model in two parts; two such models.
mpirun -n 2 "$FOVEA" eval "${low[@]}" --tensor 2 --out "$folder/tensor" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"
setting "$folder/tensor" tensor 2
mpirun -n 4 "$FOVEA" eval "${low[@]}" --tensor 2 --out "$folder/tensors" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"
same "$folder/tensor" "$folder/tensors"

# Shards, merged in any order.
for i in 1 2 3; do evaluate "part$i" --shard "$i/3"; done
[ "$(wc -l <"$folder/part1/samples.jsonl")" -eq 14 ] || fail "shard 1/3 of 40 rows"
"$FOVEA" eval --merge "$folder/merged" "$folder/part2" "$folder/part3" "$folder/part1" >"$folder/log"
grep -q '^all  *40 ' "$folder/log" || fail "$(cat "$folder/log")"
same "$folder/one" "$folder/merged"
refused 1 "shard 2/3 is missing" --merge "$folder/x" "$folder/part3" "$folder/part1"
refused 1 "are both shard 1/3" --merge "$folder/x" "$folder/part1" "$folder/part2" "$folder/part1"
refused 1 "is one of 3 shards" --merge "$folder/x" "$folder/part1" "$folder/one"
refused 1 "merged/summary.json is there already" --merge "$folder/merged" "$folder/one"
refused 1 "cannot open $folder/none/summary.json" --merge "$folder/x" "$folder/none"
evaluate strict --shard 2/3 --extraction strict
refused 1 '"extraction" is "split" in one, "strict" in the other' \
    --merge "$folder/x" "$folder/part1" "$folder/strict" "$folder/part3"
evaluate narrow --shard 2/3 --precision bf16
refused 1 '"precision" is "fp32" in one, "bf16" in the other' \
    --merge "$folder/x" "$folder/part1" "$folder/narrow" "$folder/part3"
cp -r "$model" "$folder/other"
printf ' ' >>"$folder/other/generation_config.json"
evaluate other --shard 2/3 --model "$folder/other"
evaluate foreign --model "$folder/other"
refused 1 '"model_hash" is' --merge "$folder/x" "$folder/part1" "$folder/other" "$folder/part3"
sed -i 2d "$folder/part3/samples.jsonl"
refused 1 "are not the 13 rows of shard 3/3" --merge "$folder/x" "$folder/part"{1,2,3}
echo '{"row": 5}' >>"$folder/part3/samples.jsonl"
refused 1 "part3/samples.jsonl:13" --merge "$folder/x" "$folder/part"{1,2,3}
[ ! -e "$folder/x" ] || fail "refused shards were merged"

# What is there already, of the same evaluation: its table again, and nothing is computed; of another: refused.
again() { # FOLDER ARGUMENT...
    local before
    before=$(stat -c %Y.%i "$1"/*)
    "$FOVEA" eval --keep "${@:2}" >"$folder/log" 2>&1 || fail "not kept: $(cat "$folder/log")"
    grep -q "^all  *[0-9]* " "$folder/log" || fail "no table again: $(cat "$folder/log")"
    [ "$before" = "$(stat -c %Y.%i "$1"/*)" ] || fail "$1 was written again"
}
again "$folder/one" "${low[@]}" --out "$folder/one"
again "$folder/part1" "${low[@]}" --shard 1/3 --out "$folder/part1"
mpirun -n 2 "$FOVEA" eval --keep "${low[@]}" --out "$folder/one" >"$folder/log" 2>&1 || fail "$(cat "$folder/log")"
cp -r "$folder/merged" "$folder/whole"
again "$folder/whole" --merge "$folder/whole" "$folder/one"
kept() { refused 1 "$1" "${low[@]}" --out "$folder/one" --keep "${@:2}"; }
kept 'one is there already, give another folder: ' --model "$folder/other"
kept '"model_hash" is "' --model "$folder/other"
kept '"mode" is "low" in one, "high" in the other' --mode high
kept '"verifier" is "containment" in one, "exact" in the other' --verifier exact
kept '"max_tokens" is 200 in one, 199 in the other' --max-tokens 199
kept '"rows" is 40 in one, 39 in the other' --limit 39
kept 'one is shard 1/1 of the evaluation, what is asked for 1/3' --shard 1/3
"$FOVEA" pack --synthetic glance --rows 40 --seed 7 --out "$folder/data.h5" >/dev/null
kept '"data_hash" is "' --data "$folder/data.h5"
sed 's/Look/See/' "$folder/prompts.yaml" >"$folder/others.yaml"
kept '"prompts_hash" is "' --prompts "$folder/others.yaml"
refused 1 '"model_hash" is "' --keep --merge "$folder/whole" "$folder/foreign"

# The other modes, and a part of the rows.
"$FOVEA" eval "${options[@]}" --mode high --limit 5 --out "$folder/high" >"$folder/log"
setting "$folder/high" visual_share 1.0
setting "$folder/high" samples 5
"$FOVEA" eval "${options[@]}" --mode policy --limit 5 --out "$folder/policy" >"$folder/log"
setting "$folder/policy" mode '"policy"'
"$FOVEA" eval "${low[@]}" --by needs --out "$folder/by" >"$folder/log"
grep -q '^high  *10 ' "$folder/log" && grep -q '^low  *30 ' "$folder/log" || fail "$(cat "$folder/log")"
"$FOVEA" eval "${low[@]}" --limit 3 --by nothing --out "$folder/by-nothing" >"$folder/log"
grep -q '^(no name)  *3 ' "$folder/log" || fail "$(cat "$folder/log")"

needed="--model DIR, --data PACK.h5, --mode NAME, --prompts FILE and --out DIR are required"
refused 2 "$needed" --model "$model" --data "$pack" --mode low --out "$folder/x"
refused 2 "--model DIR is required" --data "$pack"
refused 2 '--mode is "middle", expected low, high or policy' --mode middle
refused 2 '--shard is "4/3"' --shard 4/3
refused 2 '--shard is "1/3x"' --shard 1/3x
refused 2 'there is no verifier "near"' --verifier near
refused 2 '--extraction is "soft", expected split, strict or none' --extraction soft
refused 2 '--too-long is "cut", expected refuse or skip' --too-long cut
refused 2 "--merge DIR goes with the folders of shards alone" --merge "$folder/x" --data "$pack" "$folder/part1"
refused 2 "needs the folders of the shards" --merge "$folder/x"
refused 2 'unexpected argument "more"' "${low[@]}" --out "$folder/x" more
refused 1 "one/summary.json is there already" "${low[@]}" --out "$folder/one"
refused 1 "cannot create folder $folder/no/such" "${low[@]}" --out "$folder/no/such"
refused 1 "shard 7/7 of 6 rows has none" "${low[@]}" --out "$folder/x" --limit 6 --shard 7/7
refused 1 "1 ranks cannot be cut into tensor groups of 2 (1 % 2 = 1): start a multiple of them, or set layout.tensor (--tensor)" \
    "${low[@]}" --out "$folder/x" --tensor 2
refused 1 "sums in 3 chunks (layout.chunks, --chunks): take 1, 2, 4 or 8" "${low[@]}" --out "$folder/x" --chunks 3
refused 2 '--cache-pages is "33554432", expected a whole number from 1 to 33554431' "${low[@]}" --out "$folder/x" --cache-pages 33554432
refused 1 "and --cache-pages is 1; and 37 more: raise --cache-pages to 4," "${low[@]}" --out "$folder/x" --cache-pages 1
SLURM_JOB_ID=77 SLURM_JOB_END_TIME=$(($(date +%s) + 30)) refused 1 \
    "s of the allocation are left, and the watch keeps 60 s of them free: ask for more time (sbatch --time)" \
    "${low[@]}" --out "$folder/x"
echo "eval: well"
