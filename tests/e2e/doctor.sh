#!/usr/bin/env bash
# fovea doctor names every library and ends well where fovea runs; it ends with 1, and says why, where not.
set -eu
export OMP_NUM_THREADS=1
text=$("$FOVEA" doctor)
for word in MPI HDF5 jansson libyaml libcurl libjpeg-turbo libpng libwebp utf8proc xxHash kernels memory driver \
    NCCL mpiexec Slurm "fovea can run here"; do
    grep -q "$word" <<<"$text" || { echo "nothing about $word in: $text"; exit 1; }
done
! grep -q REQUIRED <<<"$text"

# What cannot be printed is no success.
for words in doctor --help --version; do
    status=0
    "$FOVEA" $words 2>/dev/null >/dev/full || status=$?
    [ "$status" = 1 ] || { echo "status $status of $words on a full device"; exit 1; }
done
text=$("$FOVEA" doctor 2>&1 >&-) && { echo "a closed standard output is no failure"; exit 1; }
grep -q '^fovea: cannot write to standard output' <<<"$text"

status=0
text=$(ulimit -v 600000 && OMP_NUM_THREADS=4000 "$FOVEA" doctor) || status=$?
[ "$status" = 1 ] || { echo "status $status without memory for the kernels: $text"; exit 1; }
grep -q '^  kernels .*REQUIRED: cannot allocate' <<<"$text"

# A library for GPUs that cannot be used is told of and missed by nobody else.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$FOVEA" "$folder/fovea"
echo "no library" >"$folder/libfovea_cuda.so"
grep -q "^  libfovea_cuda.so .* does not load: .*; the libraries of the CUDA toolkit" <<<"$("$folder/fovea" doctor)"
cp "$FAULT_SHIM" "$folder/libfovea_cuda.so"
text=$("$folder/fovea" doctor)
grep -q "^  libfovea_cuda.so .* is of another version of fovea .*: build both again" <<<"$text" || { echo "another version: $text"; exit 1; }
grep -q "fovea can run here" <<<"$text"

# A device that is full or too old is told of; one that fails is a reason not to run.
cp "$DEVICE_SHIM" "$folder/libfovea_cuda.so"
examine() { # FAULT STATUS WORDS_OF_THE_DEVICE WORDS_OF_WHAT_IS_MISSING
    status=0
    text=$(DEVICE_FAULT=$1 "$folder/fovea" doctor) || status=$?
    [ "$status" = "$2" ] && grep -q "device 0: $3\$" <<<"$text" && grep -q "^  device 0  *$4device 0 is $1\$" <<<"$text" || {
        echo "status $status of a device that is $1: $text"
        exit 1
    }
}
examine full 0 "cannot be used" ""
examine old 0 "cannot be used" ""
examine broken 1 FAILED "REQUIRED: "

# Ranks: one line each; tests/mpi/device.c and tests/slurm have more.
text=$(CUDA_VISIBLE_DEVICES='' mpiexec -n 2 "$FOVEA" doctor --ranks)
[ "$(awk 'NR > 1 { print $1, $4, $5 }' <<<"$text")" = "0 $OMP_NUM_THREADS none"$'\n'"1 $OMP_NUM_THREADS none" ] || {
    echo "ranks: $text"
    exit 1
}
