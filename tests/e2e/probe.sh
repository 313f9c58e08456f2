#!/usr/bin/env bash
# fovea probe: refusals, and an output that is not left behind half written unnoticed. Figures: tests/golden.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
model=$TEST_DATA/golden/qwen2_5_vl
case=$model/case0.h5

. "$TEST_DATA/../common"
refused() { refuses "$1" "$2" "$FOVEA" probe "${@:3}"; } # STATUS TEXT ARGUMENT...

"$FOVEA" probe --model "$model" --case "$case" --out "$folder/out.h5" --greedy 3
[ -s "$folder/out.h5" ] || fail "nothing written"
# An output that cannot be written to its end leaves the file that was there.
cp "$folder/out.h5" "$folder/kept.h5"
(trap '' XFSZ; ulimit -f 200; refused 1 "out.h5.tmp" --model "$model" --case "$case" --out "$folder/out.h5" --grad)
cmp "$folder/out.h5" "$folder/kept.h5"
! ls "$folder" | grep -q tmp || fail "a temporary file is left"
mkfifo "$folder/pipe"
refused 1 "pipe is not a regular file" --model "$model" --case "$folder/pipe" --out "$folder/x.h5"
refused 2 "--case IN.h5 and --out OUT.h5 are required" --model "$model"
refused 2 "--steps is \"0\"" --model "$model" --case "$case" --out "$folder/x.h5" --steps 0
refused 1 "cannot read /nowhere.h5" --model "$model" --case /nowhere.h5 --out "$folder/x.h5"
refused 1 "is not a readable HDF5 file" --model "$model" --case "$model/config.json" --out "$folder/x.h5"
refused 1 "cannot create /nowhere/x.h5" --model "$model" --case "$case" --out /nowhere/x.h5
refused 1 "has no vision tower" --model "$TEST_DATA/golden/qwen2" --case "$case" --out "$folder/x.h5"
head -c 3000 "$case" >"$folder/cut.h5"
refused 1 "cut.h5" --model "$model" --case "$folder/cut.h5" --out "$folder/x.h5"
[ ! -e "$folder/x.h5" ] || fail "a refused command left a file"
echo "probe: well"
