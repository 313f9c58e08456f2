#!/usr/bin/env bash
# fovea init and fovea export: a folder made, written in other forms and back to the same bytes; refusals.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
configs=$TEST_DATA/../../configs/model

. "$TEST_DATA/../common"
refused() { refuses failed "$@"; } # TEXT COMMAND...

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

# What transformers 5 writes, in the form of transformers 4: both were opened with 4.49, 4.57 and 5.24.
"$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/five" --style 5
(
    cd "$folder/five"
    printf '{"backend": "tokenizers", "is_local": true, "eos_token": "<|im_end|>", "extra_special_tokens": ["<|im_start|>"],
        "model_max_length": 1000000000000000019884624838656, "tokenizer_class": "TokenizersBackend"}' >tokenizer_config.json
    printf '%s\n' "$(sed -n 's/.*"chat_template": "\(.*\)".*/\1/p' chat_template.json | sed 's/\\\\n/@/g; s/\\n/\n/g; s/@/\\n/g')" >chat_template.jinja
    printf '{"image_processor": {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 14, "size": {"shortest_edge": 784,
        "longest_edge": 802816}}, "video_processor": {"patch_size": 14}, "processor_class": "Qwen2_5_VLProcessor"}' >processor_config.json
    rm chat_template.json preprocessor_config.json
)
"$FOVEA" generate --model "$folder/five" --prompt a --max-tokens 2 --image "$TEST_DATA/images/rgb.jpg" --json >"$folder/said"
"$FOVEA" export --model "$folder/five" --out "$folder/four" --style 4
"$FOVEA" generate --model "$folder/four" --prompt a --max-tokens 2 --image "$TEST_DATA/images/rgb.jpg" --json | cmp - "$folder/said"
has() { grep -q -- "$2" "$folder/four/$1" || fail "no $2 in $1: $(cat "$folder/four/$1")"; }
has tokenizer_config.json '"tokenizer_class": "PreTrainedTokenizerFast"'
has tokenizer_config.json '"additional_special_tokens"'
has tokenizer_config.json '"chat_template": ".*add_generation_prompt'
! grep -q 'extra_special_tokens\|backend\|is_local\|1000000000000000019884624838656' "$folder/four/tokenizer_config.json" ||
    fail "names of transformers 5: $(cat "$folder/four/tokenizer_config.json")"
cmp "$folder/tiny-vl/chat_template.json" "$folder/four/chat_template.json"
has preprocessor_config.json '"min_pixels": 784'
has preprocessor_config.json '"max_pixels": 802816'
has video_preprocessor_config.json '"patch_size": 14'
[ ! -e "$folder/four/processor_config.json" ] || fail "processor_config.json is left"

# Files are copied, links out of the folder are not; a cache of Hugging Face is nothing but links, of a known form.
cp -r "$folder/tiny-qwen2" "$folder/linked"
echo secret >"$folder/secret"
ln -s "$folder/secret" "$folder/linked/vocab.json"
refused "vocab.json is a link out of its folder, to $(realpath "$folder")/secret" "$FOVEA" export --model "$folder/linked" --out "$folder/x"
refused "vocab.json is a link out of its folder" "$FOVEA" init --shape "$configs/tiny-qwen2.yaml" --out "$folder/x" --tokenizer "$folder/linked"
ln -sf tokenizer_config.json "$folder/linked/vocab.json"
"$FOVEA" export --model "$folder/linked" --out "$folder/linked.copy"
[ ! -L "$folder/linked.copy/vocab.json" ] || fail "a link was copied as a link"
mkdir -p "$folder/cache/blobs" "$folder/cache/snapshots/1"
for file in "$folder"/tiny-qwen2/*; do
    cp "$file" "$folder/cache/blobs/" && ln -s "../../blobs/${file##*/}" "$folder/cache/snapshots/1/"
done
"$FOVEA" export --model "$folder/cache/snapshots/1" --out "$folder/cache.copy"
cmp "$folder/tiny-qwen2/tokenizer.json" "$folder/cache.copy/tokenizer.json"

refused "is not empty" "$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/tiny-vl"
refused "is not empty" "$FOVEA" export --model "$folder/tiny-vl" --out "$folder/tiny-vl"
refused "/nowhere/config.json" "$FOVEA" export --model /nowhere --out "$folder/x"
refused "/nowhere.yaml" "$FOVEA" init --shape /nowhere.yaml --out "$folder/x"
refused "--model and --out are required" "$FOVEA" export
refused "only as fp32, fp16 or bf16" "$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/x" --dtype int8
refused "only as fp32, fp16 or bf16" "$FOVEA" export --model "$folder/tiny-vl" --out "$folder/x" --dtype int8
refused '--style is "3", expected 4 or 5' "$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/x" --style 3
refused '--style is "keep", expected 4 or 5' "$FOVEA" init --shape "$configs/tiny-vl.yaml" --out "$folder/x" --style keep
refused '--style is "3", expected keep, 4 or 5' "$FOVEA" export --model "$folder/tiny-vl" --out "$folder/x" --style 3
refused '--shard-bytes is "0", expected a whole number from 1' "$FOVEA" export --model "$folder/tiny-vl" --out "$folder/x" --shard-bytes 0
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
