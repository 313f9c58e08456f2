#!/usr/bin/env bash
# fovea pack: rows of JSON, bad rows by kind, standard input, synthetic rows; a file whole or not at all.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
images=$TEST_DATA/images
out=$folder/out.h5

. "$TEST_DATA/../common"
equal() { [ "$1" = "$2" ] || fail "got: $1; expected: $2"; }
pack() { "$FOVEA" pack --images "$images" --out "$out" "$@"; }
refused() { refuses "$1" "$2" "$FOVEA" pack "${@:3}"; } # STATUS TEXT ARGUMENT...
# What h5dump shows of a dataset, without indices and quotes.
values() { h5dump -y -d "$2" -o "$folder/values" "$1" >/dev/null && tr -d ' \n' <"$folder/values"; }

cat >"$folder/good.jsonl" <<'END'
{"problem": "<image>\nWhich bar?", "images": ["rgb.jpg"], "original_answer": "4", "data_source": "charts", "index": 1}

{"question": "How many?", "image": "rgb.png", "answer": 12, "info": {"tgt_width": 56, "tgt_height": 28}}
{"question": "Again: how many?", "image": "rgb.jpg", "answer": "c"}
END
said=$(pack --jsonl "$folder/good.jsonl")
grep -qF "3 rows, 3 images (2 distinct, $(cat "$images/rgb.jpg" "$images/rgb.png" | wc -c) bytes), 0 rows skipped" <<<"$said" ||
    fail "said: $said"
if command -v h5dump >/dev/null; then
    equal "$(values "$out" question)" '"Whichbar?","Howmany?","Again:howmany?"'
    equal "$(values "$out" answer)" '"4","12","c"'
    equal "$(values "$out" source)" '"charts","",""'
    equal "$(values "$out" target_width)" '0,56,0'
    equal "$(values "$out" row_image)" '0,1,0'
    h5dump -b LE -d images/bytes -o "$folder/bytes" "$out" >/dev/null
    cat "$images/rgb.jpg" "$images/rgb.png" | cmp - "$folder/bytes"
fi
cp "$out" "$folder/first.h5"
pack --jsonl - <"$folder/good.jsonl" >"$folder/log"
cmp "$out" "$folder/first.h5"
[ "$(pack --jsonl "$folder/good.jsonl" --limit 2 | grep -c ' 2 rows, 2 images (2 distinct')" = 1 ] || fail "--limit 2"
base64=$(base64 -w0 <"$images/rgb.jpg")
echo "{\"problem\": \"<image>q\", \"images\": [{\"base64\": \"$base64\"}], \"solution\": \"a\"}" | pack --jsonl - >"$folder/log"
grep -qF "1 rows, 1 images (1 distinct, $(wc -c <"$images/rgb.jpg") bytes)" "$folder/log" || fail "$(cat "$folder/log")"

# Several accepted answers: a column of lists, and nothing else is other.
sed 's/"answer": "c"/"answer": ["c", "see"]/' "$folder/good.jsonl" >"$folder/several.jsonl"
pack --jsonl "$folder/several.jsonl" >"$folder/log"
if command -v h5dump >/dev/null; then
    equal "$(values "$out" answer)" '"4","12","c"'
    equal "$(values "$out" answers)" '"","","["c","see"]"'
    ! h5dump -d answers "$folder/first.h5" >"$folder/log" 2>&1 || fail "lists where no row has one"
fi

# Bad rows by kind: each is refused with its line, and leaves what was there.
cp "$folder/first.h5" "$out"
head -c 700 "$images/rgb.jpg" >"$folder/cut.jpg"
bad() { # TEXT JSON
    { head -n 1 "$folder/good.jsonl"; echo "$2"; } >"$folder/bad.jsonl"
    echo "$2" >>"$folder/all.jsonl"
    refused 1 "bad.jsonl:2: $1" --images "$images" --out "$out" --jsonl "$folder/bad.jsonl"
    grep -qF "nothing was written (--skip-bad" "$folder/err" || fail "$(cat "$folder/err")"
}
qa='"question": "q", "answer": "a"'
: >"$folder/all.jsonl"
bad "cannot open $images/none.jpg" "{$qa, \"image\": \"none.jpg\"}"
bad "$folder/cut.jpg" "{$qa, \"image\": \"$folder/cut.jpg\"}"
bad 'there is no "original_answer"' '{"question": "q", "image": "rgb.jpg"}'
bad 'there is neither "images" nor "image"' "{$qa}"
bad 'row:1:' '{"question": "q", "image": "rgb'
bad '"question" has 1 <image>, but there are 2 images' \
    '{"question": "<image>q", "answer": "a", "images": ["rgb.jpg", "rgb.png"]}'
bad '"answer" is empty' '{"question": "q", "answer": "", "image": "rgb.jpg"}'
bad '"answer" is an empty list' '{"question": "q", "answer": [], "image": "rgb.jpg"}'
bad '"solution" is empty without its tags' \
    '{"question": "q", "original_answer": null, "solution": "<answer></answer>", "image": "rgb.jpg"}'
bad "row:1:17: not valid JSON: invalid token near 'NaN', in \"price\"" "{\"price\": [1, NaN, 2], $qa, \"image\": \"rgb.jpg\"}"
bad '2 images; a prompt shows one' "{$qa, \"images\": [\"rgb.jpg\", \"rgb.png\"]}"
cmp "$out" "$folder/first.h5"
equal "$(cd "$folder" && ls | grep -c '^out\.')" 1

# Skipped, named up to a number, counted; a row is not lost among them.
{ cat "$folder/all.jsonl" && cat "$folder/good.jsonl" && cat "$folder/all.jsonl"; } >"$folder/mixed.jsonl"
said=$(pack --jsonl "$folder/mixed.jsonl" --skip-bad 2>"$folder/log")
grep -qF "3 rows, 3 images (2 distinct" <<<"$said" && grep -qF "22 rows skipped" <<<"$said" || fail "said: $said"
equal "$(grep -c 'warning.*skipped.*mixed.jsonl:' "$folder/log")" 5
cmp "$out" "$folder/first.h5"
refused 1 "no row to pack (11 skipped)" --images "$images" --out "$out" --jsonl "$folder/all.jsonl" --skip-bad
refused 1 "no row to pack (0 skipped)" --out "$out" --jsonl /dev/null
cmp "$out" "$folder/first.h5"

# Many threads or one: the same file.
for ((i = 0; i < 70; i++)); do cat "$folder/good.jsonl"; done >"$folder/many.jsonl"
OMP_NUM_THREADS=4 pack --jsonl "$folder/many.jsonl" >"$folder/log"
cp "$out" "$folder/many.h5"
OMP_NUM_THREADS=1 pack --jsonl "$folder/many.jsonl" >"$folder/log"
cmp "$out" "$folder/many.h5"

# Synthetic rows: a seed is a file, to the byte.
glance() { "$FOVEA" pack --synthetic glance --rows 100 "$@" >"$folder/log"; }
glance --seed 5 --out "$folder/a.h5"
glance --seed 5 --out "$folder/b.h5"
glance --seed 6 --out "$folder/c.h5"
cmp "$folder/a.h5" "$folder/b.h5"
! cmp -s "$folder/a.h5" "$folder/c.h5" || fail "seeds 5 and 6 are equal"
grep -qF "100 rows, 100 images (100 distinct" "$folder/log" || fail "$(cat "$folder/log")"

# Pages, where fovea was built to draw them.
if "$FOVEA" pack --synthetic print --rows 12 --seed 1 --out "$folder/p.h5" >"$folder/log" 2>&1; then
    "$FOVEA" pack --synthetic print --rows 12 --seed 1 --out "$folder/q.h5" >"$folder/log"
    cmp "$folder/p.h5" "$folder/q.h5"
else
    grep -qE "built without pango|no font of this machine" "$folder/log" || fail "$(cat "$folder/log")"
    [ ! -e "$folder/p.h5" ] || fail "refused pages left a file"
fi

refused 2 "--out PACK.h5 is required" --jsonl -
refused 2 "give --jsonl FILE, --synthetic NAME or --select CONFIG" --out "$out"
refused 2 "give --jsonl FILE, --synthetic NAME or --select CONFIG" --out "$out" --jsonl - --synthetic glance --rows 1
refused 2 'there is no synthetic set "prunt"' --out "$out" --synthetic prunt --rows 1
refused 2 "go with --synthetic" --out "$out" --synthetic glance --rows 1 --skip-bad
refused 2 "go with --synthetic" --out "$out" --jsonl - --seed 1
refused 2 "needs --rows N" --out "$out" --synthetic glance
refused 2 '--limit is "0"' --out "$out" --jsonl - --limit 0
refused 2 "--out is empty" --out "" --jsonl -
refused 2 "unrecognized option" --frobnicate
refused 1 "cannot open /nowhere.jsonl" --out "$out" --jsonl /nowhere.jsonl
refused 1 "no/such.h5" --out "$folder/no/such.h5" --synthetic glance --rows 1
"$FOVEA" pack --help | grep -q -- --skip-bad
(trap '' XFSZ; ulimit -f 100; refused 1 "File too large" --synthetic glance --rows 1000 --out "$folder/large.h5")
! ls "$folder" | grep -q large || fail "half a file is left"
echo "pack: well"
