#!/usr/bin/env bash
# Layers include downwards only; foreign libraries stay in their layer; only jobs end the process or print
# (and src/comm ends all processes of a group that has failed, and the process that looks at HDF5 files itself).
. "$(dirname "$0")/common"

# A public header NAME.h belongs to the layer that has the source NAME.c or NAME_*.c; the others are named here.
home_of_headers() {
    cat <<'END'
ops ops.h
ops ops.def
kernels cuda.h
END
    project_files | sed -nE 's,^src/([a-z]+)/([a-z0-9_]+)\.c$,\1 \2.h,p'
    project_files | sed -nE 's,^src/([a-z]+)/([a-z0-9]+)_[a-z0-9_]+\.c$,\1 \2.h,p'
}

includes() { # "FILE LINE <name>" or "FILE LINE "name"" of each include directive
    c_files src include kernels jobs |
        xargs awk '/^[ \t]*#[ \t]*include/ {
            match($0, /[<"][^>"]*[>"]/); print FILENAME, FNR, substr($0, RSTART, RLENGTH) }'
}

report < <({ home_of_headers && echo --- && includes; } | awk '
BEGIN {
    n = split("base:0 io:1 comm:1 ops:2 kernels:3 model:4 loop:5 eval:6 jobs:7", pair, " ")
    for (i = 1; i <= n; i++) { split(pair[i], p, ":"); rank[p[1]] = p[2] }
}
!listed && $1 == "---" { listed = 1; next }
!listed { if (!($2 in home)) home[$2] = $1; next }

function layer_of(file,    part) {
    split(file, part, "/")
    if (part[1] == "src") return part[2]
    if (part[1] == "include") return home[part[3]]
    return part[1]
}
function target_of(name, file,    part, from) {
    split(name, part, "/")
    if (part[1] == "fovea") return home[part[2]]
    if (part[1] in rank && part[2] != "") return part[1]
    return layer_of(file)
}
function breach(text) { print $1 ":" $2 ": " text }
{
    name = substr($3, 2, length($3) - 2); file = $1; from = layer_of(file)
    if (file ~ /^include\// && from == "") {
        if (!(file in told))
            breach("no layer has a source " file "; name its layer in tests/lint/layers.sh")
        told[file] = 1
    } else if (!(from in rank))
        breach("\"" from "\" is no layer; name it in tests/lint/layers.sh")
    else if ($3 ~ /^"/) {
        to = target_of(name, file)
        if (to == "")
            breach(name " belongs to no layer; name its layer in tests/lint/layers.sh")
        else if (to != from && rank[to] >= rank[from])
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
    if (FILENAME !~ /^src\/comm\/|^src\/io\/hdf5_check\.c$/ && line ~ /(^|[^A-Za-z0-9_>.])(exit|_exit|_Exit|quick_exit|abort)[ ]*\(/)
        print FILENAME ":" FNR ": only jobs end the process"
    if (line ~ /(^|[^A-Za-z0-9_])(printf|vprintf|puts|putchar|stdout)([^A-Za-z0-9_]|$)/ && line !~ /format\(printf/)
        print FILENAME ":" FNR ": only jobs print to standard output"
}')
finish
