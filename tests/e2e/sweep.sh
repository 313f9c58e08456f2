#!/usr/bin/env bash
# fovea sweep without a cluster: tables of runs that are not all alike.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
cd "$folder"

printf 'model: m\nout: o\nprompts: p\nsteps: 1\ndata: {train: t}\n' >config.yaml
plan() { # LINE...: the sweep with these lines
    printf 'config: config.yaml\nout: sweep\n' >sweep.yaml
    printf '%s\n' "$@" >>sweep.yaml
}
sweep() { "$FOVEA" sweep "$@"; }
made() { # NAME [LINE OF metrics.jsonl...]: a run's folder
    mkdir -p "sweep/$1"
    [ $# -eq 1 ] || printf '%s\n' "${@:2}" >"sweep/$1/metrics.jsonl"
}

# Runs without figures, without the metric yet, with a null, and with settings that others have not.
plan 'grid: {seed: [1, 2, 3, 4]}' 'list: [{optimizer.rate: 0.5}, {seed: 9, steps: 7}]'
sweep collect sweep.yaml >table || fail "before anything was submitted: status $?"
[ "$(grep -c 'not submitted' table)" = 6 ] && [ ! -e sweep ] || fail "$(cat table)"
made seed=1 '{"reward": 0.5, "loss": 1.0, "step": 2}'
made seed=2
made seed=3 '{"loss": 2.0, "step": 1}'
made seed=4 '{"reward": 0.25, "step": 1}' '{"reward": null, "step": 2}'
made rate=0.5 '{"reward": 0.75, "other": "a,b", "step": 3}'
sweep collect sweep.yaml >table || fail "status $?: $(cat table)"
[ "$(awk 'NR > 1 && NF > 3 { print $1 }' table | head -2 | tr '\n' ' ')" = "rate=0.5 seed=1 " ] || fail "order: $(cat table)"
cat >expected <<'END'
run,state,seed,optimizer.rate,steps,reward,other,step,loss
rate=0.5,failed,,0.5,,0.75,"a,b",3,
seed=1,failed,1,,,0.5,,2,1
END
diff expected <(head -3 sweep/results.csv) || fail "the table as CSV"
[ "$(awk -F, '{ print NF }' <(tail -n +3 sweep/results.csv) | sort -u)" = 9 ] || fail "$(cat sweep/results.csv)"
grep -qx 'seed=2,failed,2,,,,,,' sweep/results.csv || fail "no figures: $(cat sweep/results.csv)"

# A metric that no run has.
plan 'grid: {seed: [1]}' 'metric: rewrad'
! sweep collect sweep.yaml >table 2>said || fail "a metric that no run has"
grep -qF 'no run has a figure "rewrad": metric must be one of their metrics.jsonl' said || fail "$(cat said)"
echo "sweep: well"
