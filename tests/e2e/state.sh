#!/usr/bin/env bash
# The forms of the training state: masters of bf16 weights are the same numbers whether they are whole or the bits that the
# weights lack, also where one run goes on from the other; bf16 moments are saved as they are, and a run that is cut is the
# run that was not.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
. "$TEST_DATA/../e2e/common"
unset SLURM_JOB_ID SLURM_RESTART_COUNT

make_run "$folder"
settings=(steps=4 update.groups=8 optimizer.rate=2e-3 save.every=2 precision=bf16)
run() { # JOB NAME RANKS [KEY=VALUE...]
    mpiexec -n "$3" "$FOVEA" "$1" "$folder/config.yaml" "${settings[@]}" out="$folder/$2" "${@:4}" 2>"$folder/$2.log"
}
same() { # NAME NAME: as the first run
    "$FOVEA" ckpt diff "$(latest "$1")" "$(latest "$2")" >"$folder/diff" || fail "$2 is not $1: $(head -3 "$folder/diff")"
    cmp "$folder/$1/model/model.safetensors" "$folder/$2/model/model.safetensors" || fail "$2: another model than $1"
    paste <(field "$1" loss) <(field "$2" loss) | awk '$1 != $2 { exit 1 }' || fail "$2: other losses than $1"
}
bytes() { # NAME: of the shards of its checkpoint
    cat "$(latest "$1")"/shard_*.h5 | wc -c
}

well sft whole 2
well sft split 2 optimizer.master=split
same whole split
well sft changed 2 optimizer.master=split steps=2
well sft changed 2
same whole changed

well sft halves 2 optimizer.moments=bf16 optimizer.master=split
well sft again 2 optimizer.moments=bf16 steps=2
well sft again 2 optimizer.moments=bf16
same halves again
"$FOVEA" ckpt diff "$(latest whole)" "$(latest halves)" >/dev/null && fail "bf16 moments change nothing"
awk -v a="$(bytes whole)" -v b="$(bytes halves)" 'BEGIN { exit !(b < 0.7 * a) }' ||
    fail "bf16 moments: $(bytes halves) bytes, fp32 $(bytes whole)"
paste <(field whole loss) <(field halves loss) | awk '($1 - $2) ^ 2 > (0.02 * $1) ^ 2 { exit 1 }' || fail "halves: far from whole"
refused "optimizer.moments is fp32, was bf16" sft halves 2
refused "optimizer.master: split is of bf16 weights" sft none 1 precision=fp32 optimizer.master=split
echo "state: well"
