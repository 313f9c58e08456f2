#!/usr/bin/env bash
# Ctrl-C ends generate, eval and pack in order, with what was interrupted and status 130. An evaluation goes on from there,
# and so it does after TERM and USR1, which end it with 75.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
make_run "$folder"

# told SIGNAL STATUS POINT TEXT COMMAND...: it is held at the point (FOVEA_AT), hears the signal there, and ends with the
# status. What it prints is in $folder/out, its sentence, with TEXT, in $folder/log.
told() {
    local signal=$1 expected=$2 point=$3 text=$4 status=0 process
    shift 4
    FOVEA_AT="$point=hold:$folder/held" env --default-signal=INT "$@" >"$folder/out" 2>"$folder/log" &
    process=$!
    await $process [ -e "$folder/held" ] || fail "has ended before $point: $(cat "$folder/log")"
    kill -"$signal" $process
    rm "$folder/held"
    wait $process || status=$?
    [ $status = "$expected" ] || fail "status $status of $*: $(cat "$folder/log")"
    grep -qF -- "$text" "$folder/log" || fail "no \"$text\" in: $(cat "$folder/log")"
}

interrupted() { told INT 130 "$@"; } # POINT TEXT COMMAND...

wording=(--prompts "$root/configs/prompts/glance.yaml")
ask=("$FOVEA" generate --model "$folder/model" --prompt "Which digit?" --max-tokens 40 --temperature 0)
interrupted token:3 "interrupted after 3 tokens" "${ask[@]}"
[ -s "$folder/out" ] || fail "what was said is lost"
told TERM 143 token:3 "interrupted after 3 tokens" "${ask[@]}"
[ -s "$folder/out" ] || fail "what was said is lost"
interrupted token:2 "interrupted after 2 tokens" "${ask[@]}" --json
[ ! -s "$folder/out" ] || fail "half an object: $(cat "$folder/out")"

interrupted row:20 "nothing was written" "$FOVEA" pack --synthetic glance --rows 5000 --out "$folder/rows.h5"
told TERM 143 row:20 "nothing was written" "$FOVEA" pack --synthetic glance --rows 5000 --out "$folder/rows.h5"
[ -z "$(find "$folder" -name '*rows.h5*')" ] || fail "left: $(ls -a "$folder")"

evaluate=("$FOVEA" eval --model "$folder/model" --data "$folder/data.h5" "${wording[@]}" --mode policy --max-turn-tokens 30
    --max-tokens 400 --max-running 4)
"${evaluate[@]}" --out "$folder/whole" >/dev/null
interrupted pass:30 "samples, which are kept in $folder/cut; started again it goes on" "${evaluate[@]}" --out "$folder/cut"
[ ! -e "$folder/cut/summary.json" ] || fail "results of half an evaluation"
"${evaluate[@]}" --out "$folder/cut" --limit 60 >"$folder/log" 2>&1 && fail "taken up with other settings"
grep -q "begun.h5 is of an evaluation with other settings that was interrupted" "$folder/log" || fail "$(cat "$folder/log")"
cp "$folder/cut/begun.h5" "$folder/kept.h5"
truncate -s 5000 "$folder/cut/begun.h5"
"${evaluate[@]}" --out "$folder/cut" >"$folder/log" 2>&1 && fail "taken up from half a file"
grep -q "cannot go on with $folder/cut/begun.h5, remove it to begin anew: .*truncated" "$folder/log" || fail "$(cat "$folder/log")"
mv "$folder/kept.h5" "$folder/cut/begun.h5"
interrupted pass:30 "are kept" "${evaluate[@]}" --out "$folder/cut"
told TERM 75 pass:15 "started again it goes on" "${evaluate[@]}" --out "$folder/cut"
told USR1 75 pass:15 "started again it goes on" "${evaluate[@]}" --out "$folder/cut"

# mpirun that is told to end kills its ranks two seconds later, and is held until all is kept.
is_held() { [ "$(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null)" = T ]; }
FOVEA_AT="pass:15@0=hold:$folder/held" setsid mpirun -n 2 "${evaluate[@]}" --out "$folder/cut" >/dev/null 2>"$folder/log" &
launcher=$!
await $launcher [ -e "$folder/held" ] || fail "$(cat "$folder/log")"
before=$(stat -c %.9Z "$folder/cut/begun.h5")
kill -TERM -- -$launcher
await $launcher is_held $launcher || fail "mpirun has killed the evaluation: $(cat "$folder/log")"
rm "$folder/held"
status=0
wait $launcher || status=$?
[ $status = 1 ] || fail "mpirun's status is $status: $(cat "$folder/log")"
[ "$(stat -c %.9Z "$folder/cut/begun.h5")" != "$before" ] || fail "nothing was kept: $(cat "$folder/log")"

mpiexec -n 2 "${evaluate[@]}" --out "$folder/cut" >/dev/null 2>"$folder/log" || fail "$(cat "$folder/log")"
grep -q "going on with [0-9]* samples of an evaluation that was interrupted" "$folder/log" || fail "$(cat "$folder/log")"
cmp "$folder/whole/samples.jsonl" "$folder/cut/samples.jsonl" || fail "other samples"
cmp "$folder/whole/samples.h5" "$folder/cut/samples.h5" || fail "other samples"
[ "$(ls "$folder/cut")" = "$(ls "$folder/whole")" ] || fail "left: $(ls "$folder/cut")"

# A kill loses what was not answered: the evaluation goes on from its lines, by any ranks, also after a stop before or
# behind the kill, and with a torn line.
killed() { # POINT COMMAND...
    local point=$1 status=0
    shift
    FOVEA_AT="$point=kill" "$@" >/dev/null 2>"$folder/log" || status=$?
    [ $status -gt 128 ] || fail "status $status, not killed at $point: $(cat "$folder/log")"
}
answered() { cat "$folder/killed"/begun.*.jsonl | grep -c '"row": '; }
again=("${evaluate[@]}" --out "$folder/killed")
killed answered:5 "${again[@]}"
[ "$(answered)" = 5 ] || fail "$(answered) answers are there, not 5"
"${again[@]}" --mode low >"$folder/log" 2>&1 && fail "taken up in another mode"
grep -q 'begun.0.jsonl and what is asked for are not of one evaluation: "mode" is "policy" in one, "low" in the other' \
    "$folder/log" || fail "$(cat "$folder/log")"
"${again[@]}" --shard 1/2 >"$folder/log" 2>&1 && fail "taken up as a shard"
grep -q 'is of shard 1/1 of the evaluation, what is asked for of 1/2' "$folder/log" || fail "$(cat "$folder/log")"
killed answered:1 "${again[@]}"
killed pass:40 "${again[@]}"
before=$(answered)
told TERM 75 pass:20 "started again it goes on" "${again[@]}"
[ -e "$folder/killed/begun.h5" ] && [ "$(answered)" -ge "$before" ] || fail "nothing was kept: $(ls "$folder/killed")"
killed answered:3 "${again[@]}"
echo -n '{"row": 6' >>"$folder/killed/begun.0.jsonl"
killed answered:2 "${again[@]}"
FOVEA_AT="answered:4@1=kill" mpirun -n 2 "${again[@]}" >/dev/null 2>"$folder/log" && fail "a rank was not killed"
[ -e "$folder/killed/begun.1.jsonl" ] || fail "the second rank kept nothing"
before=$(answered)
"${again[@]}" >/dev/null 2>"$folder/log" || fail "$(cat "$folder/log")"
grep -Eq "going on with [1-6]?[0-9] samples of an evaluation that was interrupted" "$folder/log" || fail "$(cat "$folder/log")"
[ "$before" -gt 15 ] || fail "only $before answers were kept"
cmp "$folder/whole/samples.jsonl" "$folder/killed/samples.jsonl" || fail "other samples after kills"
cmp "$folder/whole/samples.h5" "$folder/killed/samples.h5" || fail "other samples after kills"
[ "$(ls "$folder/killed")" = "$(ls "$folder/whole")" ] || fail "left: $(ls "$folder/killed")"

# Who reads what is said may end first: what is under way goes on.
mkfifo "$folder/ears"
cat "$folder/ears" &
reader=$!
exec 4>"$folder/ears"
kill $reader
wait $reader || true
"${evaluate[@]}" --out "$folder/unheard" >/dev/null 2>&4 || fail "an evaluation that nobody hears: status $?"
"$FOVEA" train "$folder/config.yaml" out="$folder/run" steps=1 2>&4 || fail "a training that nobody hears: status $?"
exec 4>&-
grep -q "step 1 of 1:" "$folder/run/log" || fail "$(cat "$folder/run/log")"

# What is ignored stays so.
(
    trap '' INT
    FOVEA_AT="token:2=hold:$folder/held" "${ask[@]}" >"$folder/out" 2>"$folder/log" &
    process=$!
    await $process [ -e "$folder/held" ] || fail "$(cat "$folder/log")"
    kill -INT $process
    rm "$folder/held"
    wait $process || fail "an interrupt that was ignored: $(cat "$folder/log")"
)
echo "interrupt: well"
