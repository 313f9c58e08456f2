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
pack() { "$FOVEA" pack --images "$TEST_DATA/images" --out "$folder/$1" --jsonl - >"$folder/log"; }

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
nan = pyarrow.Table.from_pylist([{"problem": "q", "score": float("nan")}])
pyarrow.parquet.write_table(nan, folder + "/nan.parquet")
END
"$python" "$folder/make.py" "$folder"
pack expected.h5 <"$folder/rows.jsonl"
grep -qF "150 rows, 150 images (3 distinct" "$folder/log" || fail "$(cat "$folder/log")"
for form in set stream.arrow file.arrow; do
    "$python" "$bridge" "$folder/$form" | pack "$form.h5"
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
refused "nan.parquet: row 0: " "$folder/nan.parquet"
echo "parquet: well"
