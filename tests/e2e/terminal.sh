#!/usr/bin/env bash
# Control characters of models, data and names reach no terminal and no line of a log; a pipe and a file get a model's
# text as it is.
set -eu
command -v script >/dev/null || {
    echo "no script (bsdutils) here: not checked"
    exit 77
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"

# on_terminal FILE COMMAND...: what a terminal gets of it.
on_terminal() {
    local file=$1
    shift
    TERM=xterm script -qec "$(printf '%q ' "$@")" /dev/null </dev/null | tr -d '\r' >"$file" || true
}
clean() { # FILE: control characters of ASCII or C1, but line feeds and tabs, or marks of direction
    ! LC_ALL=C grep -aqP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]' "$1" || fail "control characters: $(cat -v "$1")"
}

make_run "$folder"
"$FOVEA" tokenize --model "$folder/model" --stdin >"$folder/ids" <<<$'a\tb\e[31mred\x07\xc2\x9b\xe2\x80\xaeend'
decode=("$FOVEA" tokenize --model "$folder/model" --decode)
"${decode[@]}" <"$folder/ids" >"$folder/file"
grep -aq $'\e\[31mred\x07' "$folder/file" || fail "a file does not get the text: $(cat -v "$folder/file")"
on_terminal "$folder/seen" bash -c "$(printf '%q ' "${decode[@]}") <'$folder/ids'"
clean "$folder/seen"
grep -aqF $'a\tb\\x1b[31mred\\x07\\u009b\\u202eend' "$folder/seen" || fail "not shown: $(cat -v "$folder/seen")"

# What a model says, token by token: the same words, and on a terminal without what moves it.
ask=("$FOVEA" generate --model "$folder/model" --prompt x --temperature 50 --seed 3 --max-tokens 200)
"${ask[@]}" >"$folder/answer"
LC_ALL=C grep -aqP '[\x00-\x08\x0e-\x1f]' "$folder/answer" || fail "the model says nothing odd"
on_terminal "$folder/answer.seen" "${ask[@]}"
clean "$folder/answer.seen"
[ "$(wc -c <"$folder/answer.seen")" -gt "$(wc -c <"$folder/answer")" ] || fail "nothing was shown otherwise"
mpiexec -n 2 "${ask[@]}" >"$folder/answer.ranks"
cmp "$folder/answer" "$folder/answer.ranks" || fail "a file gets another text of two ranks"

# Names, in errors, in the log and in a table.
odd=$folder/$'odd\e[31m\nname'
! "$FOVEA" generate --model "$odd" --prompt x 2>"$folder/error" || fail "no folder, and no error"
clean "$folder/error"
[ "$(wc -l <"$folder/error")" = 1 ] || fail "not one line: $(cat -v "$folder/error")"
! "$FOVEA" $'comm\e[31mand' 2>"$folder/error" || fail "no command, and no error"
clean "$folder/error"
for odd in $'unexpected\e[31m' $'--option\e[31m'; do
    ! "$FOVEA" generate --model x --prompt x "$odd" 2>"$folder/error" || fail "no option, and no error"
    clean "$folder/error"
done
cat >"$folder/rows.jsonl" <<'END'
{"problem": "1+1?", "original_answer": "2", "source": "red\u001b[31m\nline", "images": []}
END
"$FOVEA" pack --jsonl "$folder/rows.jsonl" --out "$folder/rows.h5" >/dev/null
"$FOVEA" eval --model "$folder/model" --data "$folder/rows.h5" --mode low --max-tokens 320 --max-turn-tokens 8 \
    --prompts "$root/configs/prompts/answer.yaml" --out "$folder/eval" >"$folder/table" 2>"$folder/error"
clean "$folder/table"
clean "$folder/error"
grep -qF 'red\x1b[31m\nline' "$folder/table" || fail "no name in the table: $(cat -v "$folder/table")"
echo "terminal: well"
