#!/usr/bin/env bash
# fovea init and fovea export: a folder made, written in other forms and back to the same bytes; refusals.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
configs=$TEST_DATA/../../configs/model

fail() { echo "FAILED: $*" >&2; exit 1; }
# A command must fail with one sentence that holds the text given first.
refused() {
    local text=$1 status=0
    shift
    "$@" >"$folder/out" 2>"$folder/err" || status=$?
    [ "$status" -ne 0 ] && [ "$status" -lt 128 ] || fail "status $status of: $*"
    grep -qF -- "$text" "$folder/err" || fail "no \"$text\" in: $(cat "$folder/err")"
}

for model in tiny-vl tiny-qwen2 tiny-qwen3; do
    made=$folder/$model
    "$FOVEA" init --shape "$configs/$model.yaml" --out "$made" --seed 7
    OMP_NUM_THREADS=1 "$FOVEA" init --shape "$configs/$model.yaml" --out "$made.again" --seed 7
    cmp "$made/model.safetensors" "$made.again/model.safetensors"
    for file in config.json generation_config.json tokenizer.json tokenizer_config.json; do
        [ -s "$made/$file" ] || fail "$model has no $file"
    done
    "$FOVEA" export --model "$made" --out "$made.copy"
    cmp "$made/model.safetensors" "$made.copy/model.safetensors"
    cmp "$made/tokenizer.json" "$made.copy/tokenizer.json"
    # To another form, number format and several files, and back.
    "$FOVEA" export --model "$made" --out "$made.5" --style 5 --dtype fp32 --shard-bytes 100000
    [ -s "$made.5/model.safetensors.index.json" ] || fail "$model was not cut"
    "$FOVEA" export --model "$made.5" --out "$made.back" --style 4 --dtype bf16
    cmp "$made/model.safetensors" "$made.back/model.safetensors"
    cmp "$made/config.json" "$made.back/config.json"
    "$FOVEA" init --shape "$configs/$model.yaml" --out "$made.other" --seed 8
    ! cmp -s "$made/model.safetensors" "$made.other/model.safetensors" || fail "seeds 7 and 8 are equal"
done
[ -s "$folder/tiny-vl/preprocessor_config.json" ] || fail "tiny-vl has no preprocessor_config.json"
"$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/given" --tokenizer "$folder/tiny-vl"
cmp "$folder/tiny-vl/tokenizer.json" "$folder/given/tokenizer.json"
for model in qwen2 qwen3 qwen2_5_vl; do
    "$FOVEA" export --model "$TEST_DATA/golden/$model" --out "$folder/golden.$model"
done

refused "is not empty" "$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/tiny-vl"
refused "is not empty" "$FOVEA" export --model "$folder/tiny-vl" --out "$folder/tiny-vl"
refused "/nowhere/config.json" "$FOVEA" export --model /nowhere --out "$folder/x"
refused "/nowhere.yaml" "$FOVEA" init --shape /nowhere.yaml --out "$folder/x"
refused "--model and --out are required" "$FOVEA" export
refused "only as fp32, fp16 or bf16" "$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/x" --dtype int8
refused "expected 4 or 5" "$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/x" --style 3
refused "unrecognized option" "$FOVEA" export --frobnicate
# On a full disk (here: no file above 200 KiB) nothing is left that looks whole.
limited() { (trap '' XFSZ; ulimit -f 200; exec "$@"); }
refused "model.safetensors: File too large" limited "$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/full"
rmdir "$folder/full"
refused "model.safetensors: File too large" limited "$FOVEA" export --model "$folder/tiny-vl" --out "$folder/full"
rmdir "$folder/full"
refused "--out is empty, expected a path" "$FOVEA" init --shape "$configs/tiny-vl.yaml" --out ""
mkfifo "$folder/pipe"
refused "pipe is not a regular file" timeout 20 "$FOVEA" init --shape "$folder/pipe" --out "$folder/x"
cp -r "$folder/tiny-vl" "$folder/cut"
truncate -s 100000 "$folder/cut/model.safetensors"
refused "the file has" "$FOVEA" export --model "$folder/cut" --out "$folder/x"
printf '{"model_type": ' >"$folder/cut/config.json"
refused "config.json:1" "$FOVEA" export --model "$folder/cut" --out "$folder/x"
rm "$folder/cut/config.json" && mkdir "$folder/cut/config.json"
refused "config.json is not a regular file" "$FOVEA" export --model "$folder/cut" --out "$folder/x"
[ ! -e "$folder/x" ] || fail "a refused command left a folder"
echo "init and export: well"
