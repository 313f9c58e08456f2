#!/usr/bin/env bash
# fovea train with a judge of its own: the same verdicts in the ranks that train and in ranks that only judge; asked
# nobody again after a kill; a judge that thinks; ranks that judge and die, hang or cannot start are named.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"

make_run "$folder"
"$FOVEA" init --shape "$root/configs/model/tiny-qwen3.yaml" --out "$folder/judge" --seed 4 --dtype fp32
cat >"$folder/judge.yaml" <<'END'
system: Be fair.
user: "Q {question} T {truth} A {answer}"
verdict: score
END
settings=(rollout.max_turn_tokens=24 rollout.max_tokens=256 rollout.sampling_rounds=0 reward.judge=local reward.verifier=exact
    reward.product=efficient validate.before=false judge.prompt="$folder/judge.yaml" judge.model="$folder/judge"
    judge.in_flight=8 judge.pass_tokens=512 judge.cache_pages=64)
train() { # NAME RANKS [KEY=VALUE...]
    mpiexec -n "$2" "$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/$1" "${@:3}" 2>"$folder/$1.log"
}
judged() { # NAME RANKS [KEY=VALUE...]
    train "$@" || fail "$1: $(cat "$folder/$1.log")"
    [ "$(total "$1" unjudged_share)" = 0 ] || fail "$1: answers without a verdict: $(cat "$folder/$1/metrics.jsonl")"
    [ "$1" = first ] || cmp "$folder/first/trajectories.jsonl" "$folder/$1/trajectories.jsonl" ||
        fail "$1: other samples or verdicts"
}
refused() { # NAME RANKS TEXT [KEY=VALUE...]
    train "$1" "$2" "${@:4}" && fail "$1: not refused"
    grep -q "$3" "$folder/$1.log" || fail "$1: $(cat "$folder/$1.log")"
}

# In the ranks that train, and in ranks of their own.
judged first 2
asked=$(total first judge_asked)
[ "$asked" -gt 20 ] || fail "only $asked cases asked"
sed -n 's/.*"accuracy": \([^,}]*\).*/\1/p' "$folder/first/metrics.jsonl" | awk '$1 > 0.1 && $1 < 0.9 { n++ } END { exit !(n > 0) }' ||
    fail "one verdict on everything: $(cat "$folder/first/metrics.jsonl")"
judged alone 1 judge.in_flight=1 judge.pass_tokens=100
judged tensor 2 layout.tensor=2
judged ranks 3 layout.judge_ranks=1
judged more 5 layout.judge_ranks=3 layout.tensor=2
[ "$(total ranks judge_asked)" = "$asked" ] || fail "ranks: $(total ranks judge_asked) cases asked, not $asked"

# From the log: of a whole run, and of one that was killed.
judged again 2 judge.log="$folder/first/verdicts"
judged replay 1 reward.judge=replay judge.log="$folder/first/verdicts"
[ "$(total again judge_asked)$(total replay judge_asked)" = 00 ] || fail "again: asked"
# In the run's precision or its own: another one is another judge.
train own 1 judge.precision=bf16 judge.log="$folder/first/verdicts" || fail "own: $(cat "$folder/own.log")"
[ "$(total own judge_asked)" -gt 0 ] || fail "own: verdicts of another precision"
train run 1 precision=bf16 || fail "run: $(cat "$folder/run.log")"
train same 1 precision=bf16 judge.precision=bf16 judge.log="$folder/run/verdicts" || fail "same: $(cat "$folder/same.log")"
[ "$(total same judge_asked)" = 0 ] || fail "same: asked"
held() { # POINT@RANK NAME [KEY=VALUE...]: a run that stands still there; $launcher is what started it
    FOVEA_AT="$1=hold:$folder/held" mpiexec -n 3 "$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/$2" \
        layout.judge_ranks=1 "${@:3}" 2>"$folder/$2.log" &
    launcher=$!
    await $launcher [ -e "$folder/held" ] || fail "$2 has ended: $(cat "$folder/$2.log")"
}
held done@0 dead judge.log="$folder/log"
kill -9 $launcher
wait $launcher 2>/dev/null || true
rm "$folder/held"
judged resumed 3 layout.judge_ranks=1 judge.log="$folder/log"
[ "$(total resumed judge_asked)" -lt "$asked" ] || fail "resumed: all is asked again"

# A selection is judged alike.
choose() { # NAME RANKS [KEY=VALUE...]
    mpiexec -n "$2" "$FOVEA" pack --select "$folder/config.yaml" --out "$folder/$1.h5" --gain 1 "${settings[@]}" "${@:3}" \
        >"$folder/$1.out" 2>"$folder/$1.log" || fail "$1: $(cat "$folder/$1.log")"
}
choose chosen 2
choose chosen_ranks 3 layout.judge_ranks=1
cmp "$folder/chosen.h5" "$folder/chosen_ranks.h5" || fail "ranks that judge: another selection"

# Stopped on request; cases that are under way then are asked again.
for point in pass:4 pass:8@1; do
    status=0
    FOVEA_AT="$point=stop" mpiexec -n 3 "$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/halted" \
        layout.judge_ranks=1 2>"$folder/halted.log" || status=$?
    [ "$status" = 75 ] || fail "halted at $point: $status, not 75: $(cat "$folder/halted.log")"
done
judged halted 3 layout.judge_ranks=1
grep -q "going on from" "$folder/halted.log" || fail "halted: $(cat "$folder/halted.log")"

# A reply that has not come to its end is no verdict.
refused thinking 3 "the judge gave no verdict on .* cut).*reward.max_unjudged_share" \
    layout.judge_ranks=1 judge.method=think judge.reply_tokens=8

# Ranks that judge and do not.
start() { # NAME: runs for long; $judge becomes the process that judges
    held done@0 "$1" judge.deadline_s=2 steps=100000
    judge=$(rank_of $launcher 2)
    [ -n "$judge" ] || fail "$1: no process judges: $(cat "$folder/$1.log")"
}
start stopped
kill -STOP "$judge"
rm "$folder/held"
wait $launcher && fail "stopped: the run went well"
grep -q "rank 2 (process $judge on .*) has died or hangs while judging: it has said nothing" "$folder/stopped.log" ||
    fail "stopped: $(cat "$folder/stopped.log")"
start killed
kill -KILL "$judge"
rm "$folder/held"
wait $launcher && fail "killed: the run went well"
grep -q "rank 2 .*signal 9" "$folder/killed.log" || fail "killed: $(cat "$folder/killed.log")"
rm "$folder/judge/tokenizer.json"
refused broken 3 "tokenizer.json" layout.judge_ranks=1
[ "$(grep -c '^fovea: ' "$folder/broken.log")" = 1 ] || fail "not one sentence: $(cat "$folder/broken.log")"
refused others 3 "only with reward.judge local do ranks judge" layout.judge_ranks=1 reward.judge=api
echo "judge: well"
