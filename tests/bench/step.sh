#!/usr/bin/env bash
# One step of training by phases, on one thread: eight samples of 256 tokens of a prompt of 1024, a small text model
# with random weights, a judge that takes no time. The update is measured twice, by turns: with the prompt and its
# samples as one tree, and with each sample packed behind a prompt of its own. The samples are the same.
#
# usage: step.sh [ROUNDS]      FOVEA: the program
set -eu
rounds=${1:-3}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$(dirname "$0")/common"
prompts=1 samples=8

question=$(printf 'How many words are in this? %.0s' {1..40})
for ((i = 0; i < prompts; i++)); do
    printf '{"problem": "%d %s", "images": [], "answer": "7"}\n' "$i" "${question:0:986}"
done >"$folder/rows.jsonl"
# Every other answer is right, so that every group teaches something.
cat >"$folder/judge.sh" <<'END_OF_JUDGE'
exec sed -u 's/.*"id": \([0-9]*[13579]\), .*/{"id": \1, "score": 1}/;t;s/.*"id": \([0-9]*\),.*/{"id": \1, "score": 0}/'
END_OF_JUDGE
cat >"$folder/config.yaml" <<END_OF_CONFIG
model: $folder/model
out: $folder/none
prompts: $folder/prompts.yaml
steps: 1
data: {train: $folder/rows.h5}
rollout: {prompts: $prompts, samples: $samples, max_turn_tokens: 256, max_tokens: 2048, max_turns: 1, max_running: 16, pass_tokens: 1024, cache_pages: 256, sampling_rounds: 0}
reward: {judge: program, product: general, tool_penalty: none}
judge: {program: sh $folder/judge.sh, verifier_first: false}
loss: {kl_weight: 0}
update: {groups: $prompts, micro_tokens: 8192, recompute: false}
optimizer: {rate: 0}
log: {trajectories: 0}
END_OF_CONFIG
text_model "$folder" 384 6 1024 false
"$FOVEA" pack --jsonl "$folder/rows.jsonl" --out "$folder/rows.h5" >/dev/null

train() { # NAME [KEY=VALUE...]
    "$FOVEA" train "$folder/config.yaml" out="$folder/$1" "${@:2}" 2>"$folder/log" || { cat "$folder/log" >&2; exit 1; }
}
for ((i = 0; i < rounds; i++)); do
    train "tree.$i"
    train "plain.$i" update.micro_tokens=1
done

# median NAME KEY: of a number in the metrics of all rounds.
median() {
    sed -n "s/.*\"$2\": \([^,}]*\).*/\1/p" "$folder/$1".*/metrics.jsonl | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
for name in tree plain; do
    [ "$(median $name logprob_max_diff)" = 0.0 ] || { echo "step.sh: log-probs differ from the rollout's" >&2; exit 1; }
done
n=$((prompts * samples))
echo "$n samples of $(median tree response_tokens) tokens of $prompts prompts of $(median tree prompt_tokens), $rounds rounds"
printf '%-30s %9s %12s %12s\n' "" seconds tokens/s samples/s
# line TITLE SECONDS TOKENS_PER_SECOND
line() { awk -v t="$1" -v s="$2" -v r="$3" -v n=$n 'BEGIN { printf "%-30s %9.2f %12.0f %12.2f\n", t, s, r, (s > 0 ? n / s : 0) }'; }
generated=$(median tree generated_tokens)
line "rollout, computed tokens" "$(median tree rollout_s)" "$(median tree rollout_tokens_per_s)"
line "rollout, generated tokens" "$(median tree rollout_s)" "$(median tree generated_tokens_per_s)"
line "judge, generated tokens" "$(median tree judge_s)" "$(awk -v n="$generated" -v s="$(median tree judge_s)" 'BEGIN { print n / s }')"
line "update, trees" "$(median tree update_s)" "$(median tree update_tokens_per_s)"
line "update, each with its prompt" "$(median plain update_s)" "$(median plain update_tokens_per_s)"
awk -v a="$(median plain update_s)" -v b="$(median tree update_s)" 'BEGIN { printf "trees: %.2f times the samples a second\n", a / b }'
