#!/usr/bin/env bash
# What a step of training waits for a local judge, with random weights of one small shape for both models: without a
# judge; with one that the training rank runs itself, between its own passes and after them; and with one in a rank of
# its own, which judges while samples are still generated. One thread a rank; the draws are the same each time.
#
# usage: judge_step.sh [ROUNDS]      FOVEA: the program
set -eu
rounds=${1:-5}
export OMP_NUM_THREADS=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$(dirname "$0")/common"

printf '%s\n' 'system: Be fair.' 'user: "Q {question} T {truth} A {answer}"' 'verdict: score' >"$folder/judge.yaml"
for ((i = 0; i < 64; i++)); do
    printf '{"problem": "How many words are in sentence number %d?", "images": [], "answer": "7"}\n' "$i"
done >"$folder/rows.jsonl"
cat >"$folder/config.yaml" <<END
model: $folder/model
out: $folder/none
prompts: $folder/prompts.yaml
steps: $rounds
data: {train: $folder/rows.h5}
rollout: {prompts: 8, samples: 8, max_turn_tokens: 96, max_tokens: 512, max_turns: 1, max_running: 16, pass_tokens: 1024, cache_pages: 256, sampling_rounds: 0}
reward: {product: general, tool_penalty: none}
judge: {prompt: $folder/judge.yaml, model: $folder/judge, verifier_first: false, pass_tokens: 2048, cache_pages: 512}
loss: {kl_weight: 0}
update: {groups: 8, micro_tokens: 8192, recompute: false}
optimizer: {rate: 0}
save: {every: 0}
log: {trajectories: 0}
END
text_model "$folder" 384 6 1024 false
"$FOVEA" init --shape "$folder/shape.yaml" --out "$folder/judge" --seed 2 --dtype fp32
"$FOVEA" pack --jsonl "$folder/rows.jsonl" --out "$folder/rows.h5" >/dev/null

train() { # NAME RANKS [KEY=VALUE...]
    mpiexec -n "$2" "$FOVEA" train "$folder/config.yaml" out="$folder/$1" "${@:3}" >"$folder/log" 2>&1 || {
        cat "$folder/log" >&2
        exit 1
    }
}
train none 1
train own 1 reward.judge=local
train ranks 2 reward.judge=local layout.judge_ranks=1

# median NAME KEY: over the steps.
median() {
    sed -n "s/.*\"$2\": \([^,}]*\).*/\1/p" "$folder/$1/metrics.jsonl" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
row() { # TITLE NAME
    awk -v title="$1" -v step="$(median "$2" step_s)" -v rollout="$(median "$2" rollout_s)" -v wait="$(median "$2" judge_s)" \
        -v plain="$(median none rollout_s)" 'BEGIN {
        of_judge = rollout + wait - plain
        printf "%-44s %9.2f %9.2f %9.2f %9.1f %%\n", title, step, rollout, wait, 100 * of_judge / step }'
}
printf '%-44s %9s %9s %9s %11s\n' "" step rollout "then wait" "of the step"
row "no judge (a verifier)" none
row "a judge in the rank that trains" own
row "a judge in a rank of its own" ranks
