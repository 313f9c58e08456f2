#!/usr/bin/env bash
# fovea import and fovea ckpt: a folder made a checkpoint, looked at, read and exported; damage is named.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
configs=$TEST_DATA/../../configs/model

. "$TEST_DATA/../common"
refused() { # TEXT COMMAND...: with one sentence
    refuses failed "$@"
    [ "$(wc -l <"$folder/err")" -eq 1 ] || fail "not one sentence: $(cat "$folder/err")"
}

"$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/model" --seed 7
"$FOVEA" import --model "$folder/model" --out "$folder/run"
saved=$folder/run/checkpoints/step_000000
"$FOVEA" ckpt list "$folder/run" | grep -q "^step_000000 .* latest$"
"$FOVEA" ckpt verify "$saved" | grep -q "whole"
"$FOVEA" ckpt diff "$folder/model" "$saved" | grep -q "the same"
for file in config.json generation_config.json tokenizer.json preprocessor_config.json; do
    cmp "$folder/model/$file" "$saved/$file"
done

# Back to the same bytes; and read in place, whole or shared out.
"$FOVEA" ckpt export "$saved" --out "$folder/back" --dtype bf16
cmp "$folder/model/model.safetensors" "$folder/back/model.safetensors"
cmp "$folder/model/config.json" "$folder/back/config.json"
"$FOVEA" ckpt export "$saved" --out "$folder/cut" --dtype fp32 --shard-bytes 100000
[ -s "$folder/cut/model.safetensors.index.json" ] || fail "the export was not cut"
"$FOVEA" ckpt diff "$folder/cut" "$saved" >/dev/null
answer() { "$@" --prompt "What is it?" --temperature 0 --max-tokens 8 --json; }
answer "$FOVEA" generate --model "$folder/model" >"$folder/expected"
answer "$FOVEA" generate --model "$saved" | cmp - "$folder/expected"
answer mpirun -n 2 "$FOVEA" generate --model "$folder/model" >"$folder/expected"
answer mpirun -n 2 "$FOVEA" generate --model "$saved" | cmp - "$folder/expected"
for model in qwen2 qwen3 qwen2_5_vl; do
    "$FOVEA" import --model "$TEST_DATA/golden/$model" --out "$folder/golden.$model"
    "$FOVEA" ckpt diff "$TEST_DATA/golden/$model" "$folder/golden.$model/checkpoints/step_000000" >/dev/null
done
# What others see: virtual datasets and lines of checksums.
if command -v h5dump >/dev/null; then
    (cd / && h5dump -d weights/model.norm.weight "$saved/index.h5") | grep -q "(0): 1, 1, 1, 1"
fi
if command -v xxh128sum >/dev/null; then
    (cd "$saved" && xxh128sum -c checksums >/dev/null)
fi

"$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/other" --seed 8
refused "tensors differ" "$FOVEA" ckpt diff "$folder/other" "$saved"
grep -q "^weights/model.embed_tokens.weight: " "$folder/out" || fail "$(cat "$folder/out")"
refused "tensors, " "$FOVEA" ckpt diff "$TEST_DATA/golden/qwen2" "$saved"
refused "has checkpoints already" "$FOVEA" import --model "$folder/model" --out "$folder/run"
refused "/nowhere/config.json" "$FOVEA" import --model /nowhere --out "$folder/none"
refused "/nowhere/checkpoints" "$FOVEA" ckpt list /nowhere
"$FOVEA" ckpt frob >"$folder/out" 2>&1 && fail "frob is a verb"
"$FOVEA" ckpt diff "$saved" >"$folder/out" 2>&1 && fail "diff of one"

# Damage to a copy is named by verify and by everything that reads.
damaged=$folder/damaged
fresh() { rm -rf "$damaged" && cp -r "$saved" "$damaged"; }
both() {
    refused "$1" "$FOVEA" ckpt verify "$damaged"
    refused "$1" "$FOVEA" ckpt export "$damaged" --out "$folder/none"
}
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$damaged/$1")
    printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$damaged/$1" bs=1 seek="$2" conv=notrunc status=none
}
fresh; flip config.json 10; both "damaged/config.json is damaged"
fresh; flip index.h5 5000; both "damaged/index.h5 is damaged"
fresh; flip shard_00000.h5 10000; both "damaged/shard_00000.h5 is damaged"
fresh; flip checksums 3; both "is damaged"
fresh; truncate -s -1 "$damaged/shard_00000.h5"; both "damaged/shard_00000.h5"
fresh; rm "$damaged/shard_00000.h5"; both "damaged/shard_00000.h5 is missing"
fresh; rm "$damaged/checksums"; both "damaged/checksums"
fresh; sed -i '$d' "$damaged/checksums"; both "does not list it"
fresh; touch "$damaged/shard_00001.h5"; both "damaged/shard_00001.h5 is not of this checkpoint"
fresh; flip shard_00000.h5 10000
"$FOVEA" ckpt verify "$saved" >/dev/null
[ ! -e "$folder/none/config.json" ] || fail "an export of a damaged checkpoint"
