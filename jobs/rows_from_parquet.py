#!/usr/bin/env python3
"""Print the rows of Parquet and Arrow files as JSON lines for `fovea pack --jsonl -`.

usage: rows_from_parquet.py PATH... | fovea pack --jsonl - --out PACK.h5

PATH is a .parquet or .arrow file (stream or file form), or a folder, whose files are taken in the order of
their names, folders below it too. These are what Hugging Face data sets are made of. Every column is passed
on under its name. Images, which such sets keep as {bytes, path}, and other bytes become {"base64": ...}; an
image that has no bytes becomes its path. Needs pyarrow (pip install pyarrow).
"""
import base64
import json
import os
import pathlib
import sys

BATCH_ROWS = 64


def fail(text):
    sys.exit(f"rows_from_parquet.py: {text}")


def files_of(path):
    path = pathlib.Path(path)
    if path.is_file():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix in (".parquet", ".arrow"))
    return found or fail(f"{path}: no such file, and no folder with .parquet or .arrow files")


def batches_of(path):
    """The record batches of a file, a few rows at a time."""
    if path.suffix == ".parquet":
        yield from pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS)
        return
    with pyarrow.memory_map(str(path)) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        if is_file:
            reader = pyarrow.ipc.open_file(source)
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        else:
            batches = pyarrow.ipc.open_stream(source)
        for batch in batches:
            for first in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(first, BATCH_ROWS)


def plain(value):
    """The value in terms of JSON."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        return plain(value["path"] if value["bytes"] is None else value["bytes"])
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)  # dates, decimals


def print_rows(path):
    row = 0
    for batch in batches_of(path):
        for values in batch.to_pylist():
            try:
                print(json.dumps(plain(values), ensure_ascii=False, allow_nan=False))
            except ValueError as reason:
                fail(f"{path}: row {row}: {reason}")
            row += 1


def main(paths):
    if not paths or paths[0] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stdout if paths else sys.stderr)
        sys.exit(0 if paths else 2)
    sys.stdout.reconfigure(encoding="utf-8")
    try:
        for path in paths:
            for file in files_of(path):
                print_rows(file)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has said why it stopped
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, pyarrow.ArrowException) as reason:
        fail(f"{file}: {reason}")


if __name__ == "__main__":
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as reason:
        fail(f"{reason}: pip install pyarrow")
    main(sys.argv[1:])
