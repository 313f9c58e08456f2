#!/usr/bin/env bash
# fovea pack --select: what is kept follows from the answers to either view, whatever the ranks, batches, gain, stops
# and shards; rows without a verdict or an image are not kept; the command of jobs/README.md; wrong settings.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"

refused() { refuses "$1" "$2" "$FOVEA" pack "${@:3}"; } # STATUS TEXT ARGUMENT...

# Random weights say what they say: truths of one letter are found in some of it.
"$FOVEA" init --shape "$root/configs/model/glance-vl.yaml" --out "$folder/model" --seed 5 --dtype fp32
images=(rgb.jpg rgb.png lossy.webp turned3.jpg)
letters=(a b c d e f g h i j k l m n o p q r s t u v w x y z)
for ((i = 40; i < 300; i++)); do
    echo "{\"question\": \"$i?\", \"image\": \"${images[i % 4]}\", \"answer\": \"${letters[i * 7 % 26]}\", \"n\": $i}"
done >"$folder/rows.jsonl"
"$FOVEA" pack --jsonl "$folder/rows.jsonl" --images "$TEST_DATA/images" --out "$folder/data.h5" >"$folder/log"
cat >"$folder/config.yaml" <<END
model: $folder/model
out: $folder/none
prompts: $root/configs/prompts/glance.yaml
steps: 1
data: {train: $folder/data.h5}
views: {min_pixels: 784, max_pixels: 3136}
rollout:
  samples: 4
  max_turn_tokens: 60
  max_tokens: 200
  max_running: 16
  pass_tokens: 256
  cache_pages: 64
reward: {verifier: containment}
END
choose() { # NAME RANKS [OPTION|KEY=VALUE...]
    mpiexec -n "$2" "$FOVEA" pack --select "$folder/config.yaml" --out "$folder/$1.h5" "${@:3}" >"$folder/$1.out" \
        2>"$folder/$1.log" || fail "$1: $(cat "$folder/$1.log")"
}
answers() { # NAME PACK MODE: greedy
    "$FOVEA" eval --model "$folder/model" --data "$folder/$2.h5" --mode "$3" --verifier containment --max-turn-tokens 60 \
        --max-tokens 200 --min-pixels 784 --max-pixels 3136 --prompts "$root/configs/prompts/glance.yaml" \
        --by selected --out "$folder/$1" >"$folder/$1.txt"
}
column() { sed -n "s/.*\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" "$folder/$1/samples.jsonl"; }

# As good as greedy, all answers to a view are one: eval tells what is to be kept.
choose cold 2 rollout.temperature=1e-7 --gain 4
answers low data low
answers high data high
paste -d' ' <(column low score) <(column high score) <(column low question) <(column low truth) |
    sed -n 's/^1.0 1.0 /low /p;s/^0.0 1.0 /high /p' >"$folder/expected"
answers kept cold low
paste -d' ' <(column kept source) <(column kept question) <(column kept truth) >"$folder/found"
cmp "$folder/expected" "$folder/found" || fail "kept: $(diff "$folder/expected" "$folder/found")"
for why in low high; do
    n=$(grep -c "^$why" "$folder/expected")
    [ "$n" -ge 2 ] || fail "only $n rows to keep as $why"
done
grep -qF "$(wc -l <"$folder/expected") of 260 rows" "$folder/cold.out" || fail "$(cat "$folder/cold.out")"

# Draws: the same from any ranks and batches; counts that give the reason.
draws=(--gain 2 rollout.max_turn_tokens=30)
choose one 1 "${draws[@]}"
choose four 4 "${draws[@]}" rollout.max_running=4 rollout.pass_tokens=8 rollout.cache_pages=12
cmp "$folder/one.h5" "$folder/four.h5" || fail "other ranks and batches select other rows"
choose seed 2 "${draws[@]}" seed=2
! cmp -s "$folder/one.h5" "$folder/seed.h5" || fail "another seed draws the same"
if command -v h5dump >/dev/null; then
    h5dump -y -d extra "$folder/one.h5" | grep -o '{".*}' | tr -d '"\\{},' | awk '
        { for (i = 1; i < NF; i += 2) v[$i] = $(i + 1) }
        v["samples:"] != 4 || v["n:"] == "" { bad = 1 }
        v["selected:"] == "low" { low++; if (v["low_right:"] != 4 || v["high_right:"] != 4) bad = 1 }
        v["selected:"] == "high" { high++; if (v["high_right:"] - v["low_right:"] < 2) bad = 1 }
        END { exit bad || high < 10 || NR != low + high }' || fail "fields: $(h5dump -y -d extra "$folder/one.h5")"
fi

# What is found of a row is the same whatever the gain.
gains() { # PACK: n, low_right and high_right of the rows that gain at least 3
    h5dump -y -d extra "$folder/$1.h5" | grep -o '{".*}' | tr -d '"\\{},' | awk '
        { for (i = 1; i < NF; i += 2) v[$i] = $(i + 1) }
        v["selected:"] == "high" && v["high_right:"] - v["low_right:"] >= 3 { print v["n:"], v["low_right:"], v["high_right:"] }'
}
choose three 2 --gain 3 "${draws[@]:2}"
if command -v h5dump >/dev/null; then
    gains one >"$folder/of_two"
    gains three >"$folder/of_three"
    [ -s "$folder/of_three" ] || fail "no row gains 3: $(cat "$folder/three.out")"
    cmp "$folder/of_two" "$folder/of_three" || fail "gain 3: $(diff "$folder/of_two" "$folder/of_three")"
fi

# Stopped in a pass, killed behind a chunk, started again on other ranks: the same pack, and nothing else is left.
cut_short() { # STATUS POINT=ACTION NAME RANKS [OPTION|KEY=VALUE...]
    local got=0
    FOVEA_AT=$2 mpiexec -n "$4" "$FOVEA" pack --select "$folder/config.yaml" --out "$folder/$3.h5" "${draws[@]}" "${@:5}" \
        >"$folder/$3.out" 2>"$folder/$3.log" || got=$?
    [ "$got" -eq "$1" ] || fail "status $got, expected $1: $(cat "$folder/$3.log")"
}
cut_short 75 pass:500=stop again 1
grep -q "stopped after [1-9][0-9]* of 260 rows" "$folder/again.log" || fail "$(cat "$folder/again.log")"
[ ! -e "$folder/again.h5" ] || fail "half a selection has a pack"
first=$(grep -c '"row"' "$folder/again.h5.selection")
cut_short 137 selected:2@0=kill again 2
known=$(grep -c '"row"' "$folder/again.h5.selection")
[ "$known" -ge $((first + 32)) ] || fail "$known rows are known, $first were"
printf '{"row": 259, "low": 4' >>"$folder/again.h5.selection" # as a full disk leaves it
refused 1 "again.h5.selection is of another selection: gain is 3, was 2" --select "$folder/config.yaml" \
    --out "$folder/again.h5" --gain 3 "${draws[@]:2}"
refused 1 "rollout.temperature is 0.5, was 1" --select "$folder/config.yaml" --out "$folder/again.h5" "${draws[@]}" \
    rollout.temperature=0.5
choose again 2 "${draws[@]}" rollout.max_running=8
grep -q "going on from .*: $known rows are known" "$folder/again.log" || fail "$(cat "$folder/again.log")"
cmp "$folder/one.h5" "$folder/again.h5" || fail "a selection that was stopped has other rows"
[ ! -e "$folder/again.h5.selection" ] || fail "what a selection knew is left"

# In shards, one of them stopped: the same pack.
merge() { "$FOVEA" pack --merge "$folder/merged.h5" "$@" >"$folder/merge.out" 2>&1; }
unmerged() { # TEXT FILE...
    ! merge "${@:2}" && grep -qF -- "$1" "$folder/merge.out" || fail "no \"$1\" in: $(cat "$folder/merge.out")"
}
shards=("$folder/part3.h5" "$folder/part1.h5" "$folder/part2.h5")
choose part1 1 "${draws[@]}" --shard 1/3
cut_short 75 selected:3=stop part2 1 --shard 2/3
choose part3 2 "${draws[@]}" --shard 3/3
unmerged "part2.h5: 39 of its 87 rows have not been looked at; start that shard again" "${shards[@]}"
choose part2 2 "${draws[@]}" --shard 2/3
unmerged "shard 1/3 is missing" "$folder/part3.h5" "$folder/part2.h5"
unmerged "are both shard 3/3" "${shards[@]}" "$folder/part3.h5"
unmerged "one.h5 is not the file of a selection" "${shards[@]}" "$folder/one.h5"
merge "${shards[@]}" || fail "$(cat "$folder/merge.out")"
cmp "$folder/one.h5" "$folder/merged.h5" || fail "shards have other rows"
cmp <(sed 's/.*rows: //' "$folder/one.out") <(sed 's/.*rows: //' "$folder/merge.out") || fail "$(cat "$folder/merge.out")"
refused 2 '--shard is "4/3"' --select "$folder/config.yaml" --out "$folder/x.h5" --shard 4/3
refused 2 "goes with the files of shards alone" --merge "$folder/x.h5" --out "$folder/y.h5" a

# As jobs/README.md has it, with a shipped configuration of two turns and a wording of one.
readme=$(grep -om1 'pack --select CONFIG .*' "$root/jobs/README.md")
[ -n "$readme" ] || fail "jobs/README.md selects nothing"
head -n 20 "$folder/rows.jsonl" >"$folder/few.jsonl"
"$FOVEA" pack --jsonl "$folder/few.jsonl" --images "$TEST_DATA/images" --out "$folder/few.h5" >"$folder/log"
for config in tiny glance visionthink-efficient visionthink-general; do
    command=${readme/CONFIG/configs/train/$config.yaml}
    got=0
    (cd "$root" && "$FOVEA" ${command/smart.h5/$folder/$config.h5} model="$folder/model" data.train="$folder/few.h5" \
        layout.tensor=1 views.min_pixels=784 views.max_pixels=3136 rollout.max_turn_tokens=8 rollout.max_tokens=1000 \
        rollout.cache_pages=64 rollout.max_running=8) >"$folder/log" 2>&1 || got=$?
    [ "$got" -eq 1 ] && grep -q "none of 20 rows is worth keeping" "$folder/log" || fail "$config: $(cat "$folder/log")"
done

# A row without an image has no two views.
{ head -n 12 "$folder/rows.jsonl" && echo '{"question": "?", "answer": "a", "images": []}'; } |
    "$FOVEA" pack --jsonl - --images "$TEST_DATA/images" --out "$folder/mixed.h5" >"$folder/log"
choose imageless 1 "${draws[@]}" data.train="$folder/mixed.h5" --gain 1
grep -q "of 13 rows: .*, 1 without an image" "$folder/imageless.out" || fail "$(cat "$folder/imageless.out")"

# A processor that takes less than the high-resolution view: told with both numbers; refused if no row has two views.
cp -r "$folder/model" "$folder/small"
sed -i -E 's/"(max_pixels|longest_edge)": [0-9]+/"\1": 9408/' "$folder/small/preprocessor_config.json"
choose shrunk 1 "${draws[@]}" model="$folder/small" data.train="$folder/mixed.h5" --gain 1 \
    views.min_pixels=12544 views.max_pixels=12544
grep -q "images of at most 9408 pixels .* of row 0 has [0-9]* x [0-9]* = 12[0-9]*: .* of 0; raise" "$folder/shrunk.log" || fail "$(cat "$folder/shrunk.log")"
sed -i -E 's/"(max_pixels|longest_edge)": [0-9]+/"\1": 784/' "$folder/small/preprocessor_config.json"
refused 1 "images of at most 784 pixels" --select "$folder/config.yaml" --out "$folder/x.h5" --gain 1 model="$folder/small" \
    views.min_pixels=3136
"$FOVEA" eval --model "$folder/small" --data "$folder/mixed.h5" --mode low --min-pixels 3136 --max-pixels 3136 --max-tokens 200 \
    --max-turn-tokens 4 --prompts "$root/configs/prompts/glance.yaml" --out "$folder/warned" >"$folder/log" 2>&1
grep -q "images of at most 784 pixels .* the same as both views of 12" "$folder/log" || fail "$(cat "$folder/log")"

# The high-resolution view is measured too; rows that are too long may be left out.
long=(views.min_pixels=50176 views.max_pixels=50176 rollout.max_tokens=100)
refused 1 "260 of 260 rows are too long" --select "$folder/config.yaml" --out "$folder/x.h5" --gain 1 "${long[@]}"
{ cat "$folder/few.jsonl" && echo "{\"question\": \"$(printf '%0200d' 1)\", \"image\": \"rgb.png\", \"answer\": \"a\"}"; } |
    "$FOVEA" pack --jsonl - --images "$TEST_DATA/images" --out "$folder/long.h5" >"$folder/log"
choose skipped 1 "${draws[@]}" --gain 1 data.train="$folder/long.h5" data.too_long=skip
grep -q "of 21 rows: .*, 1 too long" "$folder/skipped.out" || fail "$(cat "$folder/skipped.out")"

# A row of which one answer has no verdict is not kept; too many end the selection.
cat >"$folder/judge.sh" <<'END'
exec sed -u 's/.*"id": \([0-9]*\), .*"question": "[0-9]*0?".*/{"id": \1, "score": null}/;t;s/.*"id": \([0-9]*\),.*/{"id": \1, "score": 1}/'
END
program=(reward.judge=program judge.program="sh $folder/judge.sh" judge.verifier_first=false judge.tries=1 rollout.max_turn_tokens=8)
choose judged 2 "${program[@]}" out="$folder/verdicts" reward.max_unjudged_share=0.2 --gain 4
grep -q "of 260 rows: [0-9]* that .* enough for, 0 that need .*; 26 rows without a verdict" "$folder/judged.out" ||
    fail "$(cat "$folder/judged.out")"
answers left judged low
column left question | awk '/0\?$/ { exit 1 } END { exit NR < 200 }' || fail "kept: $(column left question)"
cp "$folder/judged.h5" "$folder/before.h5"
refused 1 "the judge gave no verdict on" --select "$folder/config.yaml" --out "$folder/judged.h5" "${program[@]}" \
    out="$folder/verdicts" reward.max_unjudged_share=0.01 --gain 4
cmp "$folder/judged.h5" "$folder/before.h5" || fail "a selection that failed changed the file"

refused 1 "none of 260 rows is worth keeping" --select "$folder/config.yaml" --out "$folder/x.h5" --gain 4 \
    reward.extraction=strict rollout.max_turn_tokens=8
refused 1 "--gain is 6, but rollout.samples is 4" --select "$folder/config.yaml" --out "$folder/x.h5"
refused 1 "rollout.max_running is 3" --select "$folder/config.yaml" --out "$folder/x.h5" rollout.max_running=3
refused 1 "no/such" --select "$folder/config.yaml" --out "$folder/no/such/x.h5" --gain 4
refused 2 "--gain and --shard with --select" --synthetic glance --rows 2 --out "$folder/x.h5" --gain 3
refused 2 'unexpected argument "steps=3"' --synthetic glance --rows 2 --out "$folder/x.h5" steps=3
refused 2 "--select CONFIG" --select "$folder/config.yaml" --jsonl - --out "$folder/x.h5"
! ls "$folder" | grep -q '^x' || fail "a refused selection left a file"
echo "select: well"
