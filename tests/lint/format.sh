#!/usr/bin/env bash
# Every C file is as clang-format 14 lays it out by .clang-format (other versions lay out differently).
. "$(dirname "$0")/common"
format=$(command -v clang-format-14 || command -v clang-format) || {
    echo "no clang-format here: not checked"
    exit 77
}
"$format" --version | grep -q 'version 14\.' || {
    echo "$("$format" --version): not version 14, not checked"
    exit 77
}
c_files src include kernels jobs tests | grep -v '\.def$' | xargs "$format" --dry-run -Werror --ferror-limit=1
