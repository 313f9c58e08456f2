#!/usr/bin/env bash
# What saving after every step adds to a run: a small text model with random weights, examples, steps of about a second.
# Runs that save after every step and runs that save at their end only, by turns; on one thread beside a free core, and
# on two ranks that keep two cores busy.
#
# usage: save_step.sh [ROUNDS]      FOVEA: the program
set -eu
rounds=${1:-3} steps=12
export OMP_NUM_THREADS=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$(dirname "$0")/common"

question=$(printf 'How many words are in this? %.0s' {1..8})
for ((i = 0; i < 64; i++)); do
    printf '{"problem": "%d %s", "images": [], "answer": "7"}\n' "$i" "$question"
done >"$folder/rows.jsonl"
cat >"$folder/config.yaml" <<END
model: $folder/model
out: $folder/none
prompts: $folder/prompts.yaml
steps: $steps
data: {train: $folder/rows.h5}
rollout: {max_turn_tokens: 64, max_tokens: 1024, max_turns: 1}
update: {groups: 4, micro_tokens: 4096, recompute: false}
optimizer: {rate: 1e-5}
END
text_model "$folder" 256 4 768 true
"$FOVEA" pack --jsonl "$folder/rows.jsonl" --out "$folder/rows.h5" >/dev/null

run() { # RANKS EVERY: its seconds
    local from
    rm -rf "$folder/run"
    from=$(date +%s.%N)
    mpiexec --bind-to none -n "$1" "$FOVEA" sft "$folder/config.yaml" out="$folder/run" update.groups=$((4 * $1)) save.every="$2" \
        >"$folder/log" 2>&1 || {
        cat "$folder/log" >&2
        exit 1
    }
    echo "$from $(date +%s.%N)" | awk '{ print $2 - $1 }'
}
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

printf '%-28s %14s %14s %8s %12s\n' "$steps steps, seconds" "one save" "$steps saves" more checkpoint
for ranks in 1 2; do
    rm -f "$folder"/once "$folder"/always
    for ((i = 0; i < rounds; i++)); do
        run $ranks 0 >>"$folder/once"
        run $ranks 1 >>"$folder/always"
    done
    bytes=$(du -sb "$folder/run/checkpoints/step_0000$steps" | cut -f1)
    awk -v title="$ranks ranks" -v a="$(median <"$folder/once")" -v b="$(median <"$folder/always")" -v bytes="$bytes" \
        'BEGIN { printf "%-28s %14.2f %14.2f %6.1f %% %9.0f MB\n", title, a, b, 100 * (b - a) / a, bytes / 1e6 }'
done
