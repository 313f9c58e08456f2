#!/usr/bin/env bash
# The memory plan: what rows and settings may take at most is there before the first step, whatever row comes first; as
# many layers keep their activations as there is room for, to the same bits; what cannot fit is refused with the
# arithmetic; state of the optimizer that waits on the host changes nothing, over a save and a start from it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
. "$TEST_DATA/../e2e/common"

make_run "$folder"
run() { # JOB NAME [KEY=VALUE...]
    local job=$1 name=$2
    shift 2
    "$FOVEA" "$job" "$folder/config.yaml" out="$folder/$name" "$@" >"$folder/$name.out" 2>"$folder/$name.log"
}
planned() { sed -n "s/^  $2 *//p" "$folder/$1.out"; } # NAME WORDS: bytes of a dry run
held() { field "$1" tensor_megabytes | tail -1; }
close_to() { # NAME BYTES: tensors of the run are so many within 5 %
    awk -v h="$(held "$1")" -v p="$2" 'BEGIN { exit !(h * 1e6 <= 1.05 * p && h * 1e6 >= 0.95 * p) }' ||
        fail "$1: $(held "$1") MB of tensors, $2 bytes planned"
}

# Images that differ in size.
for side in 56 84 112 140 168 196 224 252; do
    bmp $side >"$folder/$side.bmp"
    echo "{\"question\": \"Which?\", \"answer\": \"$side\", \"image\": \"$side.bmp\"}"
done >"$folder/rows.jsonl"
"$FOVEA" pack --jsonl "$folder/rows.jsonl" --images "$folder" --out "$folder/sizes.h5" >/dev/null
sizes=(data.train="$folder/sizes.h5" views.max_pixels=65536 rollout.max_tokens=400 update.groups=1 update.micro_tokens=300)
for seed in 1 2 3; do
    run sft grown$seed "${sizes[@]}" steps=12 seed=$seed || fail "$(cat "$folder/grown$seed.log")"
    [ "$(field grown$seed tensor_allocations | sort -u | wc -l)" = 1 ] ||
        fail "allocations during a run: $(field grown$seed tensor_allocations | uniq -c)"
done
run sft sizes_plan "${sizes[@]}" --dry-run || fail "$(cat "$folder/sizes_plan.log")"
close_to grown1 "$(planned sizes_plan 'of that, tensors')"

# Layers that keep their activations. The plan is what the run then holds.
well train all update.recompute=false steps=2
well train none update.kept_layers=0 update.recompute=true steps=2
for name in all none; do
    recompute=$([ $name = all ] && echo false || echo true)
    run train ${name}_plan update.recompute=$recompute update.kept_layers=0 --dry-run || fail "$(cat "$folder/${name}_plan.log")"
    close_to $name "$(planned ${name}_plan 'of that, tensors')"
done
most=$(planned all_plan 'of that, tensors') least=$(planned none_plan 'of that, tensors')
room=$(awk -v a="$least" -v b="$most" 'BEGIN { printf "%.9f", (a + 3 * b) / 4e9 }')
well train some update.recompute=true memory_gigabytes="$room" steps=2
grep -Eq "with .* GB for tensors, [12] of 3 layers keep their activations" "$folder/some.log" || fail "$(cat "$folder/some.log")"
awk -v h="$(held some)" -v r="$room" -v l="$least" 'BEGIN { exit !(h <= 1e3 * r && h * 1e6 > l) }' ||
    fail "$(held some) MB of tensors with room for $room GB"
for name in none some; do
    cmp "$folder/all/trajectories.jsonl" "$folder/$name/trajectories.jsonl" || fail "$name: other answers"
    cmp "$folder/all/model/model.safetensors" "$folder/$name/model/model.safetensors" || fail "$name: other weights"
done
too_little=$(awk -v a="$least" 'BEGIN { print 0.9 * a / 1e9 }')
refused "set optimizer.on_host: moments, or lower update.micro_tokens" train refused memory_gigabytes="$too_little"
grep -Eq "a rank would hold .* GB of tensors, and there is room for .*: weights .* \+ gradients .* \+ optimizer" "$folder/refused.log" ||
    fail "$(cat "$folder/refused.log")"
[ ! -e "$folder/refused" ] || fail "a refused run left a folder"

# State on the host.
for precision in fp32 bf16; do
    well train here_$precision precision=$precision
    well train away_$precision precision=$precision optimizer.on_host=all
    stopped done:2 train again_$precision precision=$precision optimizer.on_host=all
    well train again_$precision precision=$precision optimizer.on_host=moments
    for name in away again; do
        cmp "$folder/here_$precision/trajectories.jsonl" "$folder/${name}_$precision/trajectories.jsonl" || fail "$name: other answers"
        cmp "$folder/here_$precision/model/model.safetensors" "$folder/${name}_$precision/model/model.safetensors" ||
            fail "$name, $precision: other weights"
    done
    awk -v h="$(held here_$precision)" -v a="$(held away_$precision)" 'BEGIN { exit !(a < h) }' || fail "nothing waits on the host"
done
run train away_plan optimizer.on_host=all precision=bf16 --dry-run || fail "$(cat "$folder/away_plan.log")"
close_to away_bf16 "$(planned away_plan 'of that, tensors')"
[ "$(planned away_plan 'the optimizer, on the host')" -gt 0 ] || fail "no memory of the host"

# Workspaces of operations are known before any has run; for a device that is not here, too, where the library is.
[ "$(planned away_plan 'workspace of operations')" -gt 0 ] || fail "no workspace"
if [ -e "$(dirname "$FOVEA")/libfovea_cuda.so" ] && ! command -v nvidia-smi >/dev/null; then
    run train cuda_plan backend=cuda precision=bf16 memory_gigabytes=1 --dry-run || fail "$(cat "$folder/cuda_plan.log")"
    grep -q "no device is here" "$folder/cuda_plan.log" || fail "$(cat "$folder/cuda_plan.log")"
    [ "$(planned cuda_plan 'workspace of operations')" -gt 0 ] || fail "no workspace of the device"
fi
echo "memory plan: well"
