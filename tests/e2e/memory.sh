#!/usr/bin/env bash
# The memory of a run is flat: two ranks that train, validate, save and ask a judge hold after many steps what they
# held after 40.
#
# MEMORY_STEPS: how many, 80 by default; longer runs see smaller leaks.
set -eu
steps=${MEMORY_STEPS:-80}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$TEST_DATA/../..
export OMP_NUM_THREADS=1

fail() { echo "FAILED: $*" >&2; exit 1; }

"$FOVEA" init --shape "$root/configs/model/glance-vl.yaml" --out "$folder/model" --seed 1 --dtype fp32
"$FOVEA" pack --synthetic glance --rows 64 --seed 1 --out "$folder/data.h5"
"$FOVEA" pack --synthetic glance --rows 4 --seed 2 --out "$folder/validate.h5"
# Every other answer is right, so that every group teaches something.
cat >"$folder/judge.sh" <<'END'
exec sed -u 's/.*"id": \([0-9]*[13579]\), .*/{"id": \1, "score": 1}/;t;s/.*"id": \([0-9]*\),.*/{"id": \1, "score": 0}/'
END
cat >"$folder/config.yaml" <<END
model: $folder/model
out: $folder/run
prompts: $root/configs/prompts/glance.yaml
steps: $steps
data: {train: $folder/data.h5, validate: $folder/validate.h5}
views: {min_pixels: 784, max_pixels: 3136}
rollout: {prompts: 2, answers: 4, max_turn_tokens: 8, max_tokens: 320, max_running: 8, pass_tokens: 256, cache_pages: 64, refills: 0}
reward: {judge: program}
judge: {program: sh $folder/judge.sh, rule_first: false}
update: {groups: 2, micro_tokens: 4096, recompute: false}
optimizer: {rate: 1e-4}
validate: {every: 10}
save: {every: 10}
END
mpiexec -n 2 "$FOVEA" train "$folder/config.yaml" 2>"$folder/log" || fail "$(cat "$folder/log")"
field() { sed -n "s/.*\"$1\": \([^,}]*\).*/\1/p" "$folder/run/metrics.jsonl"; }
[ "$(field updates | sort -u)" = 1.0 ] || fail "a step without an update"
early=$(field peak_megabytes | sed -n 40p) late=$(field peak_megabytes | tail -1)
echo "memory: $early MB at most in 40 steps, $late MB in $steps"
awk -v a="$early" -v b="$late" 'BEGIN { exit !(a > 10 && b - a <= 4) }' || fail "from $early MB after 40 steps to $late MB after $steps"
