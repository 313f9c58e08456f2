#!/usr/bin/env python3
"""Print the rows of Parquet and Arrow files as JSON lines for `fovea pack --jsonl -`.

usage: rows_from_parquet.py [--split NAME]... PATH... | fovea pack --jsonl - --out PACK.h5

PATH is a .parquet or .arrow file (stream or file form), or a folder, whose files are taken in the order of
their names, folders below it too. These are what Hugging Face data sets are made of: of a folder written by
save_to_disk the files that its state.json names are read, of a cache those of the splits in its
dataset_info.json; cache-*.arrow and tmp* are never rows. Files of several splits are not put together unless
--split names each: train, validation, test, or the folder that holds it. What is read and what is left out is
told on the standard error.

Every column is passed on under its name. Images, which such sets keep as {bytes, path}, and other bytes become
{"base64": ...}; an image that has no bytes becomes its path. A number that is none (NaN) is passed on with a
warning: for `fovea pack` that is a bad row. Needs pyarrow (pip install pyarrow).
"""
import argparse
import base64
import json
import math
import os
import pathlib
import re
import sys

BATCH_ROWS = 64
KEYWORDS = {"train": "train", "training": "train", "validation": "validation", "valid": "validation",
            "val": "validation", "dev": "validation", "test": "test", "testing": "test", "eval": "test",
            "evaluation": "test"}


def tell(text):
    print(f"rows_from_parquet.py: {text}", file=sys.stderr)


def fail(text):
    sys.exit(f"rows_from_parquet.py: {text}")


def read_json(path):
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as reason:
        fail(f"{path}: {reason}")
    return value if isinstance(value, dict) else fail(f"{path}: not a JSON object")


def split_in(name):
    """The split that a file or folder is named after, or ""."""
    found = [KEYWORDS[word] for word in re.split("[^a-z]+", name.lower()) if word in KEYWORDS]
    return found[-1] if found else ""


def saved_files(folder):
    """The files of a folder that save_to_disk wrote."""
    state = read_json(folder / "state.json")
    if state.get("_indices_data_files"):
        fail(f"{folder}: state.json picks rows by indices, which are not read here; load and save the data set "
             "again with a newer library")
    names = [entry.get("filename") for entry in state.get("_data_files") or []]
    if not names or not all(isinstance(name, str) for name in names):
        fail(f"{folder}: state.json names no files")
    files = [folder / name for name in names]
    for file in files:
        if not file.is_file():
            fail(f"{file}: named in state.json, and not there")
    return files


def cached_files(folder, files):
    """Those of the splits in dataset_info.json, if it has some: NAME-SPLIT.arrow, NAME-SPLIT-00000-of-00002.arrow."""
    splits = read_json(folder / "dataset_info.json").get("splits") or {}
    is_shard = re.compile("(^|.*-)(" + "|".join(map(re.escape, splits)) + r")(-\d+-of-\d+)?\.(arrow|parquet)")
    named = {file: is_shard.fullmatch(file.name) for file in files} if splits else {}
    return {file: match[2] for file, match in named.items() if match}


def splits_of_folder(root, folder):
    """{file: split} of the files that lie in a folder, without those that are no rows of it."""
    place = folder.relative_to(root)
    files = sorted(file for file in folder.iterdir() if file.suffix in (".parquet", ".arrow") and file.is_file())
    if (folder / "state.json").is_file():
        named = saved_files(folder)
        return {file: str(place) if place.parts else "" for file in named}
    files = [file for file in files if not file.name.startswith(("cache-", "tmp"))]
    if (folder / "dataset_info.json").is_file():
        named = cached_files(folder, files)
        if named:
            return named
    below = next((split for part in reversed(place.parts) if (split := split_in(part))), "")
    return {file: split_in(file.stem) or below for file in files}


def folders_of(root):
    """The folder and those below it; of a saved dictionary of data sets the ones that it names."""
    if (root / "dataset_dict.json").is_file():
        names = read_json(root / "dataset_dict.json").get("splits") or []
        missing = [name for name in names if not (root / name / "state.json").is_file()]
        return [root / name for name in names] if not missing else fail(f"{root}: there is no {missing[0]}/state.json")
    below = sorted(path for path in root.rglob("*") if path.is_dir())
    return [root] + [path for path in below if not any(part.startswith(".") for part in path.relative_to(root).parts)]


def pick(root, splits, wanted):
    """The files to read, in their order."""
    there = sorted(set(splits.values()))
    named = ", ".join(name or "files of no split" for name in there)
    if not wanted and len(there) > 1:
        fail(f"{root}: holds several splits: {named}; say which with --split NAME (each that is meant)")
    for name in wanted:
        if name not in there and KEYWORDS.get(name) not in there:
            fail(f"{root}: there is no split \"{name}\"; there are {named}")
    chosen = [name if name in there else KEYWORDS[name] for name in wanted] or there
    return [file for file, split in splits.items() if split in chosen]


def files_of(path, wanted):
    root = pathlib.Path(path)
    if root.is_file():
        return [root]
    if not root.is_dir():
        fail(f"{root}: no such file or folder")
    splits = {}
    for folder in folders_of(root):
        splits.update(splits_of_folder(root, folder))
    if not splits:
        fail(f"{root}: no such file, and no folder with .parquet or .arrow files of rows")
    files = pick(root, splits, wanted)
    tables = (file for file in root.rglob("*") if file.suffix in (".parquet", ".arrow"))
    for file in sorted(set(tables) - set(files)):
        tell(f"left out: {file}")
    return files


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


def has_nan(value):
    if isinstance(value, dict):
        return any(map(has_nan, value.values()))
    if isinstance(value, list):
        return any(map(has_nan, value))
    return isinstance(value, float) and not math.isfinite(value)


def print_rows(path):
    row = 0
    for batch in batches_of(path):
        for values in batch.to_pylist():
            values = plain(values)
            for column in filter(lambda column: has_nan(values[column]), values):
                tell(f"{path}: row {row}: column \"{column}\" holds NaN or an infinite number: a bad row")
            try:
                print(json.dumps(values, ensure_ascii=False))
            except ValueError as reason:
                fail(f"{path}: row {row}: {reason}")
            row += 1
    tell(f"{path}: {row} rows")


def parse_arguments():
    parser = argparse.ArgumentParser(prog="rows_from_parquet.py", description=__doc__, add_help=True,
                                     usage=argparse.SUPPRESS, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", metavar="PATH", help=argparse.SUPPRESS)
    parser.add_argument("--split", action="append", default=[], metavar="NAME", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    sys.stdout.reconfigure(encoding="utf-8")
    file = arguments.paths[0]
    try:
        for path in arguments.paths:
            for file in files_of(path, arguments.split):
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
    main()
