#!/usr/bin/env bash
# A run in bf16: weights, activations and the cache are bf16, the masters fp32. Cut and started again it is the run that
# was not; rollout and update give the same log-probs; any ranks give the same tokens; what is exported are the masters.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
. "$TEST_DATA/../e2e/common"
unset SLURM_JOB_ID SLURM_RESTART_COUNT

make_run "$folder"
settings=(steps=3 rollout.prompts=8 update.groups=4 precision=bf16)
run() {
    local job=$1 name=$2 ranks=$3 status=0
    shift 3
    mpiexec -n "$ranks" "$FOVEA" "$job" "$folder/config.yaml" "${settings[@]}" out="$folder/$name" "$@" 2>"$folder/$name.log" || status=$?
    return $status
}
same() { # NAME NAME: as the first run
    cmp "$folder/$1/trajectories.jsonl" "$folder/$2/trajectories.jsonl" || fail "$2: other samples than $1"
    "$FOVEA" ckpt diff "$(latest "$1")" "$(latest "$2")" >"$folder/diff" || fail "$2 is not $1: $(head -3 "$folder/diff")"
    paste <(field "$1" loss) <(field "$2" loss) | awk '$1 != $2 { exit 1 }' || fail "$2: other losses than $1"
}

# SFT examples teach as they do in fp32: many small steps, which bf16 weights without masters would not take.
well sft taught 2 steps=60 save.every=0 update.groups=16 optimizer.rate=2e-3 sft.call_share=0.5
well sft wide 2 steps=60 save.every=0 update.groups=16 optimizer.rate=2e-3 sft.call_share=0.5 precision=fp32
paste <(field taught loss) <(field wide loss) | awk '{ a = $1; b = $2 }
    NR == 1 { if (a == b) exit 1; first = a }
    END { if (!(a < 0.5 * first && (a - b) ^ 2 < (0.05 * first) ^ 2)) exit 1 }' ||
    fail "losses in bf16 and fp32: $(paste <(field taught loss) <(field wide loss))"
mv "$folder/model" "$folder/base"
mv "$folder/taught/model" "$folder/model"

# Cut in rollouts, by other numbers of ranks too, and between updates.
well train whole 2
[ "$(field whole logprob_max_diff | sort -u)" = 0.0 ] || fail "log-probs differ from the rollout's"
[ "$(total whole call_rate)" != 0 ] || fail "no turns of the tool"
stopped pass:7 train cut 2
stopped pass:5 train cut 1
stopped update:2 train cut 2
well train cut 2
same whole cut

# Tokens are the same on any ranks, and so is what is exported.
well train split 4 steps=1 layout.tensor=2
well train alone 1 steps=1
cmp "$folder/split/trajectories.jsonl" "$folder/alone/trajectories.jsonl" || fail "other samples on other ranks"
"$FOVEA" export --model "$(latest whole)" --out "$folder/narrow" --dtype bf16
"$FOVEA" export --model "$(latest whole)" --out "$folder/masters" --dtype fp32
"$FOVEA" ckpt diff "$(latest whole)" "$folder/masters" >/dev/null || fail "the masters were not exported"
"$FOVEA" ckpt diff "$(latest whole)" "$folder/narrow" >/dev/null && fail "masters are no more than bf16"
ask() { "$FOVEA" generate --model "$1" --prompt "What is it?" --max-tokens 24 "${@:2}"; }
[ "$(ask "$folder/masters" --precision bf16)" = "$(ask "$folder/narrow" --precision bf16)" ] ||
    fail "rounded when exported or when opened: other tokens"

# The precision is part of what a run is.
refused "precision is fp32, was bf16" train whole 2 precision=fp32
refused '"precision" is "fp16", expected fp32 or bf16' train new 1 precision=fp16
"$FOVEA" generate --model "$folder/model" --prompt x --precision fp8 2>&1 | grep -q '"fp8", expected fp32 or bf16' ||
    fail "--precision fp8 was not refused"
