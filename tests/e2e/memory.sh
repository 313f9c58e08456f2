#!/usr/bin/env bash
# The memory of a run is flat: two ranks that train, validate, save and ask a judge hold after many steps what they
# held after 40. Tensors take what --dry-run plans, and none is allocated after the second step.
#
# MEMORY_STEPS: how many, 80 by default; longer runs see smaller leaks.
set -eu
steps=${MEMORY_STEPS:-80}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"

make_run "$folder"
"$FOVEA" pack --synthetic glance --rows 4 --seed 2 --out "$folder/validate.h5"
# Every other answer is right, so that every group teaches something.
cat >"$folder/judge.sh" <<'END'
exec sed -u 's/.*"id": \([0-9]*[13579]\), .*/{"id": \1, "score": 1}/;t;s/.*"id": \([0-9]*\),.*/{"id": \1, "score": 0}/'
END
settings=(steps="$steps" data.validate="$folder/validate.h5" rollout.prompts=2 rollout.max_turn_tokens=8
    rollout.max_running=8 rollout.sampling_rounds=0 reward.judge=program judge.program="sh $folder/judge.sh"
    judge.verifier_first=false update.groups=2 validate.every=10 save.every=10)
mpiexec -n 2 "$FOVEA" train --dry-run "$folder/config.yaml" "${settings[@]}" >"$folder/plan" || fail "the plan was not made"
mpiexec -n 2 "$FOVEA" train "$folder/config.yaml" "${settings[@]}" 2>"$folder/log" || fail "$(cat "$folder/log")"
[ "$(field run updates | sort -u)" = 1.0 ] || fail "a step without an update"
early=$(field run peak_megabytes | sed -n 40p) late=$(field run peak_megabytes | tail -1)
echo "memory: $early MB at most in 40 steps, $late MB in $steps"
awk -v a="$early" -v b="$late" 'BEGIN { exit !(a > 10 && b - a <= 4) }' || fail "from $early MB after 40 steps to $late MB after $steps"
planned=$(sed -n 's/.*of that, tensors *//p' "$folder/plan") held=$(field run tensor_megabytes | tail -1)
echo "tensors: $held MB at most, $planned bytes planned"
awk -v p="$planned" -v h="$held" 'BEGIN { exit !(h > 1 && h * 1e6 <= 1.05 * p && h * 1e6 >= 0.95 * p) }' || fail "$held MB of tensors, $planned bytes planned"
[ "$(field run tensor_allocations | sed -n '2,$p' | sort -u | wc -l)" = 1 ] || fail "allocations after the second step: $(field run tensor_allocations | uniq -c)"
