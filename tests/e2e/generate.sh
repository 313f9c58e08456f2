#!/usr/bin/env bash
# fovea generate: text, images, JSON, sampling, standard input, several ranks; wrong use and broken inputs.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
configs=$TEST_DATA/../../configs/model
images=$TEST_DATA/images

. "$TEST_DATA/../common"
equal() { [ "$1" = "$2" ] || fail "got: $1; expected: $2"; }
generate() { "$FOVEA" generate --max-tokens 12 "$@"; }
refused() { refuses "$@"; } # STATUS TEXT COMMAND...
field() { sed -n "s/.*\"$1\": \([^],}]*[]\"]\{0,1\}\).*/\1/p"; }

for model in tiny-vl tiny-qwen2 tiny-qwen3; do
    "$FOVEA" init --shape "$configs/$model.yaml" --out "$folder/$model" --seed 3
    [ -n "$(generate --model "$folder/$model" --prompt "How many?" --json | field ids)" ] || fail "$model says nothing"
done
vl=$folder/tiny-vl

# The same answer from one thread or two, from the command line or standard input, on one rank or two.
both=(--model "$vl" --image "$images/rgb.jpg" --image "$images/lossy.webp" --json)
answer=$(generate "${both[@]}" --prompt "What differs?" --threads 2)
equal "$(generate "${both[@]}" --prompt "What differs?" --threads 1)" "$answer"
equal "$(printf 'What differs?' | generate "${both[@]}" --prompt -)" "$answer"
equal "$(printf 'What differs?' | mpiexec -n 2 "$FOVEA" generate --max-tokens 12 "${both[@]}" --prompt - | field ids)" \
    "$(field ids <<<"$answer")"
equal "$(field finish <<<"$answer")" '"length"'
[ "$(field visual_tokens <<<"$answer")" -gt 0 ] || fail "no visual tokens in: $answer"
[ "$(generate "${both[@]}" --prompt "What differs?" --system "Be brief.")" != "$answer" ] || fail "the system message is lost"

# What is transparent stands on white, or shows the colour stored with it.
generate --model "$vl" --prompt "What?" --json --image "$images/rgba.png" >"$folder/white"
generate --model "$vl" --prompt "What?" --json --image "$images/rgba_on_white.png" | cmp - "$folder/white"
generate --model "$vl" --prompt "What?" --json --image "$images/rgba.png" --transparency white | cmp - "$folder/white"
! generate --model "$vl" --prompt "What?" --json --image "$images/rgba.png" --transparency drop | cmp -s - "$folder/white" ||
    fail "--transparency drop is on white"
refused 2 '--transparency is "black", expected white or drop' generate --model "$vl" --prompt a --transparency black

# A device, as in training (e2e/refusals).
refused 1 "the back end cuda computes in bf16, and precision is fp32" generate --model "$vl" --prompt a --backend cuda
refused 2 '--backend is "gpu", expected auto, cpu or cuda' generate --model "$vl" --prompt a --backend gpu

# Draws follow the seed; temperature 0 follows nothing.
draw=(--model "$vl" --prompt "Say something" --temperature 1 --top-k 50 --top-p 0.9 --json)
equal "$(generate "${draw[@]}" --seed 5)" "$(generate "${draw[@]}" --seed 5)"
[ "$(generate "${draw[@]}" --seed 5)" != "$(generate "${draw[@]}" --seed 6)" ] || fail "seeds 5 and 6 draw the same"
equal "$(generate "${draw[@]}" --seed 5 --temperature 0)" "$(generate "${draw[@]}" --seed 6 --temperature 0)"
# The folder's generation_config.json is the default.
sed -i 's/"do_sample": false/"do_sample": true/' "$vl/generation_config.json"
equal "$(generate --model "$vl" --prompt a --json --seed 5)" "$(generate --model "$vl" --prompt a --json --seed 5 --temperature 1)"


# The folder's chat template says which system message comes first; --raw takes the whole text as it is given.
count() { generate "$@" --json | field prompt_tokens; }
text=$folder/tiny-qwen2
turn='<|im_start|>user
Hi<|im_end|>
<|im_start|>assistant
'
equal "$(generate --model "$text" --prompt Hi --json)" "$(generate --model "$text" --json --raw --prompt "<|im_start|>system
You are a helpful assistant.<|im_end|>
$turn")"
printf '%s' "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}" \
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}" >"$text/chat_template.jinja"
equal "$(generate --model "$text" --prompt Hi --json)" "$(generate --model "$text" --json --raw --prompt "$turn")"
echo '[INST] {{ messages[0].content }} [/INST]' >"$text/chat_template.jinja"
refused 1 "chat_template.jinja: the chat template is not one of Qwen's" generate --model "$text" --prompt Hi
rm "$text/chat_template.jinja"
[ "$(count --model "$text" --raw --prompt Hi)" = 2 ] || fail "--raw adds to the prompt"
shown="<|vision_start|><|image_pad|><|vision_end|>"
answer=$(generate --model "$vl" --raw --prompt "$shown" --image "$images/lossy.webp" --json)
equal "$(field prompt_tokens <<<"$answer")" "$(($(field visual_tokens <<<"$answer") + 2))"
refused 1 "1 images were given, but the prompt has 0 <|image_pad|>" generate --model "$vl" --raw --prompt a --image "$images/rgb.jpg"
refused 1 "more <|image_pad|> than the 0 images" generate --model "$vl" --raw --prompt "$shown"
refused 2 "--raw takes the prompt as it is" generate --model "$vl" --raw --prompt a --system b

refused 2 "--prompt TEXT is required" generate --model "$vl"
refused 2 "--model DIR is required" generate --prompt a
refused 2 "unrecognized option" generate --model "$vl" --prompt a --frobnicate
refused 2 "--temperature is \"hot\"" generate --model "$vl" --prompt a --temperature hot
refused 2 "unexpected argument \"words\"" generate --model "$vl" --prompt a words
refused 2 "--model is empty" generate --model "" --prompt a
refused 1 "/nowhere/config.json" generate --model /nowhere --prompt a
refused 1 "the prompt is empty" generate --model "$vl" --prompt ""
refused 1 "cannot open /nowhere.png" generate --model "$vl" --prompt a --image /nowhere.png
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n' >"$folder/pointer.png"
refused 1 "pointer.png is a Git-LFS pointer" generate --model "$vl" --prompt a --image "$folder/pointer.png"
refused 1 "is a text model" generate --model "$folder/tiny-qwen3" --prompt a --image "$images/rgb.jpg"
head -c 5000 /dev/zero | tr '\0' 'a' >"$folder/long"
refused 1 "exceed the model's 4096 positions" generate --model "$vl" --prompt - <"$folder/long"
refused 1 "cannot write to standard output" bash -c '"$0" generate --model "$1" --prompt a >/dev/full' "$FOVEA" "$vl"
refused 1 "cannot write to standard output" bash -c '"$0" generate --model "$1" --prompt a >&-' "$FOVEA" "$vl"
refused 1 "cannot read standard input" bash -c '"$0" generate --model "$1" --prompt - <&-' "$FOVEA" "$vl"
refused 1 "has another model, prompt or option than rank 0" timeout 60 \
    mpiexec -n 1 "$FOVEA" generate --model "$vl" --prompt a : -n 1 "$FOVEA" generate --model "$folder/tiny-qwen2" --prompt a
refused 1 "3 ranks cannot share sums of 4 chunks: 4 = 1 x 3 + 1; take ranks that divide the chunks" mpiexec -n 3 "$FOVEA" generate --model "$vl" --prompt a
refused 1 "cannot open /nowhere.png" mpiexec -n 2 "$FOVEA" generate --model "$vl" --prompt a --image /nowhere.png
equal "$(grep -c '^fovea: ' "$folder/err")" 1

# Broken images are refused, not guessed at.
head -c 700 "$images/rgb.jpg" >"$folder/cut.jpg"
refused 1 "cut.jpg" generate --model "$vl" --prompt a --image "$folder/cut.jpg"
: >"$folder/empty.png"
refused 1 "empty.png" generate --model "$vl" --prompt a --image "$folder/empty.png"
mkfifo "$folder/pipe"
refused 1 "pipe is not a regular file" timeout 20 "$FOVEA" generate --model "$vl" --prompt a --image "$folder/pipe"
refused 1 "$folder" generate --model "$vl" --prompt a --image "$folder"

# A tensor of the wrong shape, a missing one and a file cut short name themselves.
cp -r "$vl" "$folder/cut"
truncate -s 100000 "$folder/cut/model.safetensors"
refused 1 "model.safetensors" generate --model "$folder/cut" --prompt a
cp -r "$vl" "$folder/other"
sed -i 's/"vocab_size": 320/"vocab_size": 336/' "$folder/other/config.json"
refused 1 "embed_tokens" generate --model "$folder/other" --prompt a
sed -i 's/"num_hidden_layers": 4/"num_hidden_layers": 5/; s/336/320/' "$folder/other/config.json"
refused 1 "layers.4" generate --model "$folder/other" --prompt a
"$FOVEA" generate --help | grep -q -- --repetition-penalty
echo "generate: well"
