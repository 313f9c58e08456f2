#!/usr/bin/env bash
# jobs/rows_from_parquet.py: Parquet and Arrow files give the data set that the same rows as JSON lines give.
# Skipped where pyarrow is missing; tests/run.sh installs it in build/python.
set -eu -o pipefail
own=$TEST_DATA/../../build/python/bin/python
python=${PYTHON:-$([ -x "$own" ] && echo "$own" || echo python3)}
"$python" -c 'import pyarrow' 2>/dev/null || {
    echo "no pyarrow here: not checked (bash tests/run.sh installs it)"
    exit 77
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
bridge=$TEST_DATA/../../jobs/rows_from_parquet.py

fail() { echo "FAILED: $*" >&2; exit 1; }
pack() { "$FOVEA" pack --images "$TEST_DATA/images" --out "$folder/$1" --jsonl - "${@:2}" >"$folder/log"; }

# 150 rows with VisionThink's columns, in four forms.
cat >"$folder/make.py" <<'END'
import datetime, json, os, sys
import pyarrow, pyarrow.parquet
folder, images = sys.argv[1], os.environ["TEST_DATA"] + "/images/"
names = ["rgb.jpg", "rgb.png", "lossy.webp"]
day = datetime.date(2025, 1, 2)
rows = [{"problem": f"<image>Question {i} ä?", "images": [{"bytes": open(images + names[i % 3], "rb").read(), "path": None}],
         "original_answer": str(i), "data_source": "set", "day": day,
         "info": {"tgt_width": 56 if i % 2 else None, "tgt_height": 28 if i % 2 else None, "use_tool": i % 2 == 1}}
        for i in range(150)]
rows[7]["images"] = [{"bytes": None, "path": "rgb.jpg"}]
with open(folder + "/rows.jsonl", "w") as out:
    for i, row in enumerate(rows):
        name = "rgb.jpg" if i == 7 else names[i % 3]
        print(json.dumps({**row, "images": [name], "day": "2025-01-02"}), file=out)
table = pyarrow.Table.from_pylist(rows)
os.makedirs(folder + "/set/data")
pyarrow.parquet.write_table(table.slice(0, 100), folder + "/set/data/train-00000-of-00002.parquet")
pyarrow.parquet.write_table(table.slice(100), folder + "/set/data/train-00001-of-00002.parquet")
with pyarrow.ipc.new_stream(folder + "/stream.arrow", table.schema) as out:
    out.write_table(table)
with pyarrow.ipc.new_file(folder + "/file.arrow", table.schema) as out:
    out.write_table(table)
row = {"problem": "q", "images": [{"bytes": None, "path": "rgb.jpg"}], "answer": "a"}
nan = pyarrow.Table.from_pylist([{**row, "price": [0.5]}, {**row, "price": [1.0, float("nan")]}, {**row, "price": None}])
pyarrow.parquet.write_table(nan, folder + "/nan.parquet")
lists = pyarrow.Table.from_pylist([{**row, "answer": ["a", "b"]}, {**row, "answer": ["c"]}])
pyarrow.parquet.write_table(lists, folder + "/lists.parquet")

# What save_to_disk and the cache of the library leave behind.
def save(name, part, files, split=None):
    os.makedirs(f"{folder}/{name}")
    for file in files:
        with pyarrow.ipc.new_stream(f"{folder}/{name}/{file}", part.schema) as out:
            out.write_table(part)
    state = {"_data_files": [{"filename": file} for file in files if file.startswith("data-")], "_indices_data_files": None}
    json.dump({**state, "_split": split}, open(f"{folder}/{name}/state.json", "w"))
    json.dump({"splits": {"train": {"num_examples": 150}}}, open(f"{folder}/{name}/dataset_info.json", "w"))
def cached(path):
    with pyarrow.ipc.new_stream(path, table.schema) as out:
        out.write_table(table.slice(0, 50))
save("saved", table, ["data-00000-of-00001.arrow", "cache-4f3e2d1c.arrow", "other.arrow"])
save("dict/train", table, ["data-00000-of-00001.arrow", "cache-1.arrow"], "train")
save("dict/held-out", table.slice(0, 50), ["data-00000-of-00001.arrow"], "test")
json.dump({"splits": ["train", "held-out"]}, open(folder + "/dict/dataset_dict.json", "w"))
cached(folder + "/dict/cache-2.arrow")
os.makedirs(folder + "/cache/0.0.0")
json.dump({"splits": {"train": {}, "test": {}}}, open(folder + "/cache/0.0.0/dataset_info.json", "w"))
for file in ("set-train-00000-of-00001.arrow", "cache-3.arrow", "tmp4x.arrow", "set-test.arrow", "odd.arrow"):
    with pyarrow.ipc.new_stream(folder + "/cache/0.0.0/" + file, table.schema) as out:
        out.write_table(table)
os.makedirs(folder + "/hub/data")
os.makedirs(folder + "/hub/more/dev")
for file in ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet", "more/dev/0000.parquet"):
    pyarrow.parquet.write_table(table, folder + "/hub/" + file)
os.makedirs(folder + "/plain")
with pyarrow.ipc.new_stream(folder + "/plain/rows.arrow", table.schema) as out:
    out.write_table(table)
cached(folder + "/plain/cache-5.arrow")
END
"$python" "$folder/make.py" "$folder"
pack expected.h5 <"$folder/rows.jsonl"
grep -qF "150 rows, 150 images (3 distinct" "$folder/log" || fail "$(cat "$folder/log")"
for form in set stream.arrow file.arrow; do
    "$python" "$bridge" "$folder/$form" 2>"$folder/err" | pack "$form.h5"
    cmp "$folder/expected.h5" "$folder/$form.h5"
done

refused() { # TEXT ARGUMENT...
    local text=$1 status=0
    shift
    "$python" "$bridge" "$@" >"$folder/out" 2>"$folder/err" || status=$?
    [ "$status" -eq 1 ] && grep -qF "$text" "$folder/err" || fail "status $status of $*: $(cat "$folder/err")"
}
echo "no table" >"$folder/broken.parquet"
echo "no table" >"$folder/broken.arrow"
refused "no such file" "$folder/nowhere"
refused "broken.parquet: " "$folder/broken.parquet"
refused "broken.arrow: " "$folder/broken.arrow"

# Copies of the library are no rows, and splits are not put together unless both are named.
same() { # ARGUMENT...: the 150 rows
    "$python" "$bridge" "$@" 2>"$folder/err" | pack same.h5
    cmp "$folder/expected.h5" "$folder/same.h5" || fail "other rows of $*: $(cat "$folder/err")"
}
told() { grep -qF "$1" "$folder/err" || fail "no \"$1\" in: $(cat "$folder/err")"; }
same "$folder/saved"
told "saved/data-00000-of-00001.arrow: 150 rows"
told "left out: $folder/saved/cache-4f3e2d1c.arrow"
told "left out: $folder/saved/other.arrow"
same "$folder/plain"
told "left out: $folder/plain/cache-5.arrow"
refused "dict: holds several splits: held-out, train; say which with --split NAME" "$folder/dict"
[ ! -s "$folder/out" ] || fail "rows of a refused folder"
same --split train "$folder/dict"
same "$folder/dict/train"
refused 'there is no split "dev"; there are held-out, train' --split dev "$folder/dict"
"$python" "$bridge" --split train --split held-out "$folder/dict" 2>"$folder/err" | pack both.h5
grep -qF "200 rows" "$folder/log" || fail "$(cat "$folder/log")"
refused "several splits: test, train" "$folder/cache"
same --split train "$folder/cache"
told "left out: $folder/cache/0.0.0/odd.arrow"
refused "several splits: test, train, validation" "$folder/hub"
for split in train test dev validation; do same --split $split "$folder/hub"; done
same "$folder/hub/data/test-00000-of-00001.parquet"
rm "$folder/dict/train/data-00000-of-00001.arrow"
refused "data-00000-of-00001.arrow: named in state.json, and not there" --split train "$folder/dict"

# A number that is none is a bad row, with its column and its line.
status=0
"$python" "$bridge" "$folder/nan.parquet" 2>"$folder/err" |
    "$FOVEA" pack --images "$TEST_DATA/images" --out "$folder/nan.h5" --jsonl - >"$folder/log" 2>&1 || status=$?
[ "$status" -eq 1 ] || fail "NaN: status $status"
told 'nan.parquet: row 1: column "price" holds NaN'
grep -qE "standard input:2: row:1:[0-9]+: not valid JSON: .*NaN.*, in \"price\"" "$folder/log" || fail "$(cat "$folder/log")"
"$python" "$bridge" "$folder/nan.parquet" 2>"$folder/err" | pack nan.h5 --skip-bad 2>"$folder/err"
grep -qF "2 rows, 2 images (1 distinct" "$folder/log" && grep -qF "1 rows skipped" "$folder/log" || fail "$(cat "$folder/log")"
"$python" "$bridge" "$folder/lists.parquet" 2>"$folder/err" | pack lists.h5
grep -qF "2 rows" "$folder/log" || fail "$(cat "$folder/log")"
echo "parquet: well"
