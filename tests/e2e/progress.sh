#!/usr/bin/env bash
# Progress: a line that is rewritten where standard error is a terminal, and plain lines elsewhere; the log of a run.
set -eu
command -v script >/dev/null || {
    echo "no script (bsdutils) here: not checked"
    exit 77
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"

# The program stands at these points for longer than a line stays as it is, so that what comes next is shown, however
# quick the machine.
slowly() {
    local file
    while [ -d "$folder" ]; do
        for file in "$folder"/held[1-9]; do
            [ ! -e "$file" ] || { sleep 0.3 && rm -f "$file"; }
        done
        sleep 0.02
    done
}
at() { # POINT...
    local point i=0 all=
    for point in "$@"; do
        i=$((i + 1))
        all="$all $point=hold:$folder/held$i"
    done
    export FOVEA_AT="$all"
}
slowly &

on_terminal() { # NAME COMMAND...
    local name=$1
    shift
    TERM=xterm script -qec "$(printf '%q ' "$@")" /dev/null >"$folder/$name.seen" </dev/null || fail "$name: $(cat "$folder/$name.seen")"
    tr '\r' '\n' <"$folder/$name.seen" | grep -aF $'\e[K' >"$folder/$name.lines" || fail "$name: no line is rewritten"
}
shows() { grep -aqE "$2" "$folder/$1.lines" || fail "$1: no $2 in: $(cat "$folder/$1.lines")"; }

make_run "$folder"
at row:100
on_terminal pack "$FOVEA" pack --synthetic glance --rows 4000 --seed 1 --out "$folder/data.h5"
shows pack 'rows [0-9]+ %'
settings=(steps=4 rollout.prompts=16 rollout.max_running=16 rollout.cache_pages=80 rollout.sampling_rounds=0 update.groups=16
    update.micro_tokens=256)
at pass:4 micro:2 pass:40 micro:20 micro:40 micro:60
on_terminal train "$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/run"
shows train 'step [0-9] of 4 \| rollout [0-9]+ % \| [0-9]+ tokens/s'
shows train 'update [0-9]+ % \| [0-9]+ tokens/s'
shows train 'step [123] of 4 .*\| [0-9]+ s left'
at micro:2 micro:20 micro:40
on_terminal sft "$FOVEA" sft "$folder/config.yaml" "${settings[@]}" out="$folder/sft" steps=30
shows sft 'step [0-9]+ of 30 \| update [0-9]+ % \| [0-9]+ tokens/s \| [0-9]+ s left'
at pass:5
on_terminal eval "$FOVEA" eval --model "$folder/model" --data "$folder/data.h5" --mode low --limit 600 --max-tokens 320 \
    --prompts "$root/configs/prompts/glance.yaml" --max-turn-tokens 20 --out "$folder/eval"
shows eval 'rollout [0-9]+ % \| [0-9]+ tokens/s \| [0-9]+ s left'
grep -aq 'score' "$folder/eval.seen" || fail "no table: $(cat "$folder/eval.seen")"

at pass:4 update:2 update:3 update:4
# A narrow terminal keeps the time that is left, and no line is wider than it.
on_terminal narrow sh -c "stty cols 40; exec \"$FOVEA\" train \"$folder/config.yaml\" ${settings[*]} out=\"$folder/narrow\""
shows narrow 'step [123] of 4 .*\| [0-9]+ s left$'
! sed 's/\x1b\[K//;/^fovea/d' "$folder/narrow.lines" | grep -aE '^.{40}' || fail "lines that are too wide"
unset FOVEA_AT

# A stop is acknowledged at once, by one rank, though what is under way takes its time.
FOVEA_AT="pass:3@0=hold:$folder/pass" mpiexec -n 2 "$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/stopped" 2>"$folder/stopped.err" &
run=$!
await $run [ -e "$folder/pass" ]
for rank in 0 1; do kill -INT "$(rank_of $run $rank)"; done
await $run grep -q "info: stopping: .*Ctrl-C again ends" "$folder/stopped.err"
[ -e "$folder/pass" ] || fail "the pass was not held"
rm "$folder/pass"
status=0
wait $run || status=$?
[ $status = 75 ] || fail "stopped: $status: $(cat "$folder/stopped.err")"
[ "$(grep -c "info: stopping" "$folder/stopped.err")" = 1 ] || fail "$(cat "$folder/stopped.err")"

# Elsewhere no line is rewritten; the log holds what was said, with its time.
unset FOVEA_AT
"$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/plain" steps=1 2>"$folder/plain.err"
! grep -aq $'[\r\e]' "$folder/plain.err" || fail "a line is rewritten in a file"
for run in run plain; do
    for name in config.yaml log metrics.jsonl model/config.json trajectories.jsonl; do
        [ -s "$folder/$run/$name" ] || fail "no $name in the folder of a run: $(ls "$folder/$run")"
    done
done
[ "$(grep -cE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z info: step [1-4] of 4: ' "$folder/run/log")" = 4 ] ||
    fail "log: $(cat "$folder/run/log")"
diff <(sed 's/^[^ ]* //' "$folder/plain/log") <(sed 's/^fovea\[0\] //' "$folder/plain.err") || fail "another log"

# The error that ends a run is in its log, whichever rank it was of.
cat >"$folder/judge.sh" <<'END'
exec sed -u 's/.*"id": \([0-9]*\),.*/{"id": \1, "score": null}/'
END
! mpiexec -n 2 "$FOVEA" train "$folder/config.yaml" "${settings[@]}" out="$folder/failed" steps=1 reward.judge=program judge.tries=1 \
    judge.program="sh $folder/judge.sh" 2>/dev/null || fail "not refused"
tail -1 "$folder/failed/log" | grep -q 'Z error: .*the judge gave no verdict on' || fail "log: $(cat "$folder/failed/log")"
echo "progress: well"
