#!/usr/bin/env bash
# fovea train with a judge behind an API (a server of ours), in 2 ranks: faults of the server change no verdict; what
# has been judged is asked nobody again, after a kill too; replay needs no server; the key is nowhere.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
export OPENAI_API_KEY=sk-secret-2718281828459045 GATE_KEY=sk-secret-1414213562373095

bash "$CERTIFICATES" "$(mkdir "$folder/tls" && echo "$folder/tls")"
# Servers end with this shell, which holds their input. serve NAME [OPTION...]: its port.
serve() {
    mkdir "$folder/$1.server"
    mkfifo "$folder/$1.port"
    exec {input}> >(exec "$JUDGE_SERVER" "$folder/$1.server" --cert "$folder/tls/good.pem" --key "$folder/tls/key.pem" \
        --require "Bearer $OPENAI_API_KEY" --require "X-Gate: $GATE_KEY" "${@:2}" >"$folder/$1.port")
    read -r port <"$folder/$1.port"
}
requests() { wc -l <"$folder/$1.server/requests"; }

make_run "$folder"
settings=(rollout.max_turn_tokens=24 rollout.max_tokens=256 rollout.sampling_rounds=0 reward.judge=api reward.verifier=exact
    reward.product=efficient validate.before=false judge.prompt="$root/configs/prompts/judge.yaml" judge.model=judge-1 judge.ca_file="$folder/tls/ca.pem"
    judge.in_flight=8 judge.headers='X-Team: blue; X-Gate: $GATE_KEY')
train() { # NAME RANKS [KEY=VALUE...]
    mpiexec -n "$2" "$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/$1" "${@:3}" 2>"$folder/$1.log"
}
judged() { # NAME RANKS [KEY=VALUE...]
    train "$@" || fail "$1: $(cat "$folder/$1.log")"
    [ "$(total "$1" unjudged_share)" = 0 ] || fail "$1: answers without a verdict: $(cat "$folder/$1/metrics.jsonl")"
}
same() { cmp "$folder/$1/trajectories.jsonl" "$folder/$2/trajectories.jsonl" || fail "$2: other samples or verdicts"; }

# Verdicts, and the same with faults and another number of ranks.
serve well
judged first 2 judge.url="https://127.0.0.1:$port/v1"
asked=$(total first judge_asked)
[ "$asked" -gt 20 ] || fail "only $asked cases asked"
[ "$(requests well)" -ge "$asked" ] || fail "the server had $(requests well) requests for $asked cases"
field first accuracy | awk '$1 > 0.2 && $1 < 0.8 { n++ } END { exit !(n > 0) }' || fail "verdicts are not the server's"
serve ill --plan 429:0,busy:2,500:4,stall:1,half:4,garbage:4,html:4
judged faults 1 judge.url="https://127.0.0.1:$port/v1" judge.tries=1000 judge.deadline_s=2
same first faults

# Nobody is asked twice: not with the log of another run, and not after a kill.
judged again 2 judge.url="https://127.0.0.1:1/v1" judge.log="$folder/first/verdicts"
same first again
[ "$(total again judge_asked)" = 0 ] || fail "again: asked"
judged replay 1 reward.judge=replay judge.log="$folder/first/verdicts" judge.ca_file=/nowhere
same first replay
holds() { [ "$(requests "$1")" -gt "$2" ]; }
# start NAME N [KEY=VALUE...]: a run whose server holds all requests but the first N; returns when it holds one.
start() {
    serve "$1" --hold-after "$2"
    mpiexec -n 2 "$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/$1" judge.url="https://127.0.0.1:$port/v1" \
        "${@:3}" 2>/dev/null &
    await $! holds "$1" "$2" || fail "$1: ended before it asked $2 cases"
}
kill_ranks() {
    kill -9 "$(rank_of $! 0)" "$(rank_of $! 1)" || fail "no ranks"
    wait $! 2>/dev/null || true
}
start killed 12 judge.log="$folder/log"
kill_ranks
serve after
url=https://127.0.0.1:$port/v1
judged resumed 2 judge.url="$url" judge.log="$folder/log"
same first resumed
n=$(($(requests killed) + $(requests after)))
[ "$n" -le $((asked + 8 + 2)) ] || fail "$n requests for $asked cases and a kill"

# Too many without a verdict end the run with a sentence.
train unknown 2 reward.judge=replay judge.model=other judge.log="$folder/first/verdicts" && fail "unknown: not refused"
grep -q "the judge gave no verdict on .* unknown).*reward.max_unjudged_share is 0.1" "$folder/unknown.log" ||
    fail "unknown: $(cat "$folder/unknown.log")"
[ "$(grep -c '^fovea: ' "$folder/unknown.log")" = 1 ] || fail "not one sentence: $(cat "$folder/unknown.log")"
OPENAI_API_KEY=sk-wrong-1618033988749894 train wrong 2 judge.url="$url" && fail "a wrong key was accepted"
grep -q "does not accept the key" "$folder/wrong.log" || fail "wrong: $(cat "$folder/wrong.log")"
train missing 2 judge.model= && fail "no model was accepted"
grep -q "needs judge.model and judge.prompt" "$folder/missing.log" || fail "missing: $(cat "$folder/missing.log")"

# A program; two ranks of one tensor group, of which one asks.
cat >"$folder/judge.sh" <<'END'
exec sed -u 's/.*"id": \([0-9]*\), .*"truth": "[0-4].*/{"id": \1, "score": 1}/;t;s/.*"id": \([0-9]*\),.*/{"id": \1, "score": 0}/'
END
judged program 2 reward.judge=program judge.program="sh $folder/judge.sh" layout.tensor=2
[ "$(total program judge_asked)" -gt 20 ] || fail "the program was not asked"

# The key, while a run goes on and after all of them.
start seen 1 judge.log="$folder/log2"
! cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -vE '^(Bearer|X-Gate:)' | grep -qE 'sk-(secret|wrong)' ||
    fail "the key is in a command line"
kill_ranks
! grep -rlE 'sk-(secret|wrong)' "$folder" || fail "the key is in a file"
echo "judge: well"
