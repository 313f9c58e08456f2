#!/usr/bin/env bash
# fovea pack --select: what is kept follows from the answers to either view, whatever the ranks and batches; rows
# without a verdict are not kept; wrong settings.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"

refused() { # STATUS TEXT ARGUMENT...
    local status=$1 text=$2 got=0
    shift 2
    "$FOVEA" pack "$@" >"$folder/log" 2>&1 || got=$?
    [ "$got" -eq "$status" ] || fail "status $got, expected $status, of: $* ($(cat "$folder/log"))"
    grep -qF -- "$text" "$folder/log" || fail "no \"$text\" in: $(cat "$folder/log")"
}

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
  answers: 4
  max_turn_tokens: 60
  max_tokens: 200
  max_running: 16
  pass_tokens: 256
  cache_pages: 64
reward: {rule: containment}
END
choose() { # NAME RANKS [OPTION|KEY=VALUE...]
    mpiexec -n "$2" "$FOVEA" pack --select "$folder/config.yaml" --out "$folder/$1.h5" "${@:3}" >"$folder/$1.out" \
        2>"$folder/$1.log" || fail "$1: $(cat "$folder/$1.log")"
}
answers() { # NAME PACK MODE: greedy
    "$FOVEA" eval --model "$folder/model" --data "$folder/$2.h5" --mode "$3" --rule containment --max-turn-tokens 60 \
        --max-tokens 200 --min-pixels 784 --max-pixels 3136 --prompts "$root/configs/prompts/glance.yaml" \
        --by selected --out "$folder/$1" >"$folder/$1.txt"
}
column() { sed -n "s/.*\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" "$folder/$1/samples.jsonl"; }

# As good as greedy, all answers to a view are one: eval tells what is to be kept.
choose cold 2 rollout.temperature=1e-7 --gain 4
answers low data low
answers full data full
paste -d' ' <(column low score) <(column full score) <(column low question) <(column low truth) |
    sed -n 's/^1.0 1.0 /low /p;s/^0.0 1.0 /full /p' >"$folder/expected"
answers kept cold low
paste -d' ' <(column kept source) <(column kept question) <(column kept truth) >"$folder/found"
cmp "$folder/expected" "$folder/found" || fail "kept: $(diff "$folder/expected" "$folder/found")"
for why in low full; do
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
        v["answers:"] != 4 || v["n:"] == "" { bad = 1 }
        v["selected:"] == "low" { low++; if (v["low_right:"] != 4 || v["full_right:"] != 4) bad = 1 }
        v["selected:"] == "full" { full++; if (v["full_right:"] - v["low_right:"] < 2) bad = 1 }
        END { exit bad || full < 10 || NR != low + full }' || fail "fields: $(h5dump -y -d extra "$folder/one.h5")"
fi

# A row of which one answer has no verdict is not kept; too many end the selection.
cat >"$folder/judge.sh" <<'END'
exec sed -u 's/.*"id": \([0-9]*\), .*"question": "[0-9]*0?".*/{"id": \1, "score": null}/;t;s/.*"id": \([0-9]*\),.*/{"id": \1, "score": 1}/'
END
program=(reward.judge=program judge.program="sh $folder/judge.sh" judge.rule_first=false judge.tries=1 rollout.max_turn_tokens=8)
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
refused 1 "--gain is 6, but rollout.answers is 4" --select "$folder/config.yaml" --out "$folder/x.h5"
refused 1 "rollout.max_running is 3" --select "$folder/config.yaml" --out "$folder/x.h5" rollout.max_running=3
refused 1 "no/such" --select "$folder/config.yaml" --out "$folder/no/such/x.h5" --gain 4
refused 2 "--gain with --select" --synthetic glance --rows 2 --out "$folder/x.h5" --gain 3
refused 2 'unexpected argument "steps=3"' --synthetic glance --rows 2 --out "$folder/x.h5" steps=3
refused 2 "--select CONFIG" --select "$folder/config.yaml" --jsonl - --out "$folder/x.h5"
! ls "$folder" | grep -q '^x' || fail "a refused selection left a file"
echo "select: well"
