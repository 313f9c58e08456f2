#!/usr/bin/env bash
# Layers include downwards only; foreign libraries stay in their layer; only jobs end the process or print
# (and src/comm ends all processes of a group that has failed, and the process that looks at HDF5 files itself).
. "$(dirname "$0")/common"

includes() { # "FILE LINE <name>" or "FILE LINE "name"" of each include directive
    c_files src include kernels jobs |
        xargs awk '/^[ \t]*#[ \t]*include/ {
            match($0, /[<"][^>"]*[>"]/); print FILENAME, FNR, substr($0, RSTART, RLENGTH) }'
}

# The layer of a file is its folder under src or include/fovea.
report < <(includes | awk '
BEGIN {
    n = split("base:0 io:1 comm:1 ops:2 kernels:3 model:4 engine:5 reward:6 data:7 train:8 eval:9 run:9 sweep:10 jobs:11", pair, " ")
    for (i = 1; i <= n; i++) { split(pair[i], p, ":"); rank[p[1]] = p[2] }
}

function layer_of(file,    part) {
    split(file, part, "/")
    return part[1] == "src" ? part[2] : part[1] == "include" ? part[3] : part[1]
}
function target_of(name, file,    part) {
    split(name, part, "/")
    if (part[1] == "fovea") return part[2]
    return part[1] in rank && part[2] != "" ? part[1] : layer_of(file)
}
function breach(text) { print $1 ":" $2 ": " text }
{
    name = substr($3, 2, length($3) - 2); file = $1; from = layer_of(file)
    if (!(from in rank))
        breach("\"" from "\" is no layer; name it in tests/lint/layers.sh")
    else if ($3 ~ /^"/) {
        to = target_of(name, file)
        if (to != from && rank[to] >= rank[from])
            breach(from " includes " name " of " to "; layers include downwards only")
    }
    if (name ~ /\.\.\//)
        breach(name " climbs out of its folder; includes start at include/ or src/")
    if (name ~ /^(mpi|nccl|pmix)\.h$/ && file !~ /^src\/comm\//)
        breach(name " is for src/comm only")
    if (name ~ /^(hdf5|hdf5_hl|H5[A-Za-z]*|yaml|jansson|jpeglib|turbojpeg|png)\.h$|^(curl|webp|pango|cairo)\// && file !~ /^src\/io\//)
        breach(name " is for src/io only")
    if (name ~ /^(cuda|cublas|curand|nvrtc)[A-Za-z0-9_]*\.h$/ && file !~ /^kernels\/cuda\// && file != "src/comm/nccl.c")
        breach(name " is for kernels/cuda only")
    if (file ~ /^include\// && name ~ /^(utf8proc|xxhash|omp)\.h$/)
        breach(name ": contracts name no foreign types")
}')

report < <(c_files src include kernels | xargs awk "$awk_code"'
{
    line = code($0)
    if (FILENAME !~ /^src\/comm\/|^src\/io\/hdf5\/hdf5_check\.c$|^src\/base\/process\/launcher\.c$/ && line ~ /(^|[^A-Za-z0-9_>.])(exit|_exit|_Exit|quick_exit|abort)[ ]*\(/)
        print FILENAME ":" FNR ": only jobs end the process"
    if (line ~ /(^|[^A-Za-z0-9_])(printf|vprintf|puts|putchar|stdout)([^A-Za-z0-9_]|$)/ && line !~ /format\(printf/)
        print FILENAME ":" FNR ": only jobs print to standard output"
}')
finish
