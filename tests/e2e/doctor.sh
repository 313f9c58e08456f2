#!/usr/bin/env bash
# fovea doctor names every library and ends well where fovea runs; it ends with 1, and says why, where not.
set -eu
text=$("$FOVEA" doctor)
for word in MPI HDF5 jansson libyaml libcurl libjpeg-turbo libpng libwebp utf8proc xxHash kernels memory driver \
    NCCL mpiexec Slurm "fovea can run here"; do
    grep -q "$word" <<<"$text" || { echo "nothing about $word in: $text"; exit 1; }
done
! grep -q REQUIRED <<<"$text"

status=0
text=$(ulimit -v 600000 && OMP_NUM_THREADS=4000 "$FOVEA" doctor) || status=$?
[ "$status" = 1 ] || { echo "status $status without memory for the kernels: $text"; exit 1; }
grep -q '^  kernels .*REQUIRED: cannot allocate' <<<"$text"
