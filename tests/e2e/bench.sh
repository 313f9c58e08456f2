#!/usr/bin/env bash
# fovea bench: a figure for everything it measures, as a table and as JSON; what makes no sense is one sentence.
. "$(dirname "$0")/../common"
. "$(dirname "$0")/common"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TMPDIR=$folder/tmp
mkdir "$TMPDIR"

run() { # [STATUS] NAME OPTION...
    local log=$folder/$2.log
    "$FOVEA" bench "${@:3}" >"$folder/$2.out" 2>"$log"
}
small="--repeats 2 --batch 1,3 --prompt 64 --new 4 --prompts 2 --samples 2 --image 28 --length 64 --sequences 2
    --pass-tokens 64 --micro-tokens 128"

# Every measurement has its line, and the same figures as JSON; nothing is left behind.
well bench all all $small --profile --json "$folder/all.json"
for name in decode prefill vision rollout train update step judge start; do
    grep -q "^$name .*\[" "$folder/all.out" || fail "no $name in: $(cat "$folder/all.out")"
    grep -q "\"name\": \"$name\"" "$folder/all.json" || fail "no $name in: $(cat "$folder/all.json")"
done
[ "$(grep -c '^decode ' "$folder/all.out")" = 2 ] || fail "decode is not measured for each batch"
grep -q '^update .* trees, [0-9.]* times as fast' "$folder/all.out" || fail "no trees in: $(cat "$folder/all.out")"
grep -q '^    gemm  *[1-9]' "$folder/all.out" || fail "no time by operation: $(cat "$folder/all.out")"
for field in value ceiling share seconds peak_bytes; do
    [ "$(figures "$folder/all.json" $field | grep -c '^[0-9]')" -ge 10 ] || fail "$field is missing"
done
[ "$(figures "$folder/all.json" value | awk '$1 <= 0')" = "" ] || fail "a figure is nothing"
[ -z "$(ls "$TMPDIR")" ] || fail "left behind: $(ls "$TMPDIR")"

# Ranks share out the model, and one of them tells.
mpiexec -n 2 "$FOVEA" bench decode prefill vision rollout train update step $small --shape "$root/configs/model/tiny-vl.yaml" \
    >"$folder/two.out" 2>"$folder/two.log" || fail "two ranks: $(cat "$folder/two.log")"
for name in prefill vision train step; do
    [ "$(grep -c "^$name " "$folder/two.out")" = 1 ] || fail "$name of two ranks: $(cat "$folder/two.out")"
done

# JSON to standard output, and nothing else.
well bench json vision $small --json -
[ "$(head -c 1 "$folder/json.out")" = "{" ] || fail "not JSON: $(cat "$folder/json.out")"
"$FOVEA" init --shape "$root/configs/model/tiny-vl.yaml" --out "$folder/model"
well bench model decode $small --model "$folder/model" --precision bf16
well bench file decode $small --shape "$root/configs/model/tiny-qwen2.yaml"

# What the same bits cost: here nothing is in any other order.
well bench bits decode prefill $small --without-same-bits --json "$folder/bits.json"
[ "$(grep -c 'with the same bits [0-9.]*, without [0-9.]* tokens/s: they cost [-0-9.]* %' "$folder/bits.out")" = 3 ] ||
    fail "no cost of the same bits: $(cat "$folder/bits.out")"
[ "$(figures "$folder/bits.json" cost_of_same_bits | grep -c '[0-9]')" = 3 ] || fail "no cost as JSON"
OMPI_COMM_WORLD_SIZE=2 refused 'two processes' bench bits decode $small --without-same-bits

# Ctrl-C ends it after what is under way, and nothing is left behind.
for at in start pass; do
    status=0
    FOVEA_AT=$at=stop run bench stopped step $small || status=$?
    [ $status = 130 ] || fail "stopped at $at it ended with $status: $(cat "$folder/stopped.log")"
    [ -z "$(ls "$TMPDIR")" ] || fail "left behind: $(ls "$TMPDIR")"
done

# Refusals.
refused 'expected 3b, 7b, tiny, or a file' bench shape decode --shape nowhere
refused 'has positions for' bench longest decode $small --prompt 5000 --new 200000
refused 'has no room for an image' bench prompt rollout $small --image 448
refused 'wording' bench wording step $small --prompt 4
refused 'no room for a prompt' bench length train $small --length 8
refused 'has no vision tower' bench text vision $small --shape "$root/configs/model/tiny-qwen2.yaml"
refused 'expected at least 28' bench pixels vision $small --image 8
OMPI_COMM_WORLD_SIZE=2 refused 'without mpirun' bench start start $small
for words in "" "nothing" "decode --batch 0" "decode --batch ," "decode --repeats 0" "decode --shape 3b --model $folder/model" \
    "decode --new x"; do
    status=0
    "$FOVEA" bench $words >"$folder/usage.out" 2>"$folder/usage.log" || status=$?
    [ $status = 2 ] || fail "status $status of \"bench $words\": $(cat "$folder/usage.log")"
done
exit 0
