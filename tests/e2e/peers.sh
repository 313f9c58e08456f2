#!/usr/bin/env bash
# The figures beside peers: what is not installed is told in the table, and the table goes where it belongs. Skipped where
# there is no Python, which peers need and fovea does not.
. "$(dirname "$0")/../common"
command -v python3 >/dev/null || {
    echo "no python3 here: not checked"
    exit 77
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
peers=$root/tests/bench/peers

# A Python that has nothing of its own.
printf '#!/bin/sh\nexec python3 -S -B "$@"\n' >"$folder/python"
chmod +x "$folder/python"
FOVEA=$FOVEA BACKEND=cpu REPEATS=1 PYTHON=$folder/python TMPDIR=$folder ONLY="start transformers attention vllm" \
    bash "$peers/run.sh" "$folder/out" tiny >"$folder/table" 2>"$folder/log" || fail "run.sh: $(cat "$folder/log")"
grep -q '^| tiny: start to the first token.* | [0-9.]* s \[' "$folder/table" || fail "no start in: $(cat "$folder/table")"
! grep -q 'supervised step' "$folder/table" || fail "a row that nobody was asked for: $(cat "$folder/table")"
[ "$(grep -c '^\* .*: not installed here$' "$folder/table")" = 3 ] || fail "no peers in: $(cat "$folder/table")"
[ -z "$(find "$folder" -name 'peers.*' -type d)" ] || fail "left behind: $(ls "$folder")"

# A peer's figures, a failure of one, and an earlier one where there is none.
cat >"$folder/out/transformers-tiny.json" <<'END_OF_JSON'
{"program": "transformers 5, PyTorch 2", "date": "today",
 "figures": {"decode-1": {"value": 123.4, "note": "as it is"}, "train": {"why": "out of memory"}}}
END_OF_JSON
echo "ended with status 1: no memory" >"$folder/out/fovea-tiny-step.why"
cp "$folder/out/fovea-tiny-start.json" "$folder/out/fovea-7b-start.json"
printf 'before\n<!-- begin: tests/bench/peers/table.py -->\nold\n<!-- end: tests/bench/peers/table.py -->\nafter\n' >"$folder/README.md"
"$folder/python" "$peers/table.py" "$folder/out" "$folder/README.md" || fail "table.py"
for text in 'transformers 123 tokens/s' 'transformers: out of memory' 'decode-1: as it is' 'GRPO.* | ended with status 1: no memory |' 'earlier vLLM 201 tokens/s' '^before$' '^after$'; do
    grep -q -- "$text" "$folder/README.md" || fail "no \"$text\" in: $(cat "$folder/README.md")"
done
! grep -q '^old$' "$folder/README.md" || fail "the old table is still there"
exit 0
