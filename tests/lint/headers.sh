#!/usr/bin/env bash
# Every header compiles alone and has an include guard.
. "$(dirname "$0")/common"
compiler=$(command -v gcc || command -v cc)
headers=$(c_files src include kernels jobs | grep '\.h$')

report < <(for header in $headers; do
    awk 'function end(why) { if (why != "") print FILENAME ": " why; done = 1; exit }
        /^#/ && !guard { if ($1 != "#ifndef" || $2 !~ /_H$/) end("the first directive is no include guard"); guard = $2; next }
        /^#/ && !defined { if ($1 != "#define" || $2 != guard) end("the guard " guard " is not defined next"); defined = 1 }
        END { if (!done && !defined) print FILENAME ": no include guard" }' "$header"
done)

report < <(for header in $headers; do
    flags="-I$(dirname "$header")"
    case $header in kernels/cpu/*) flags+=" -DFV_ISA_NAME=portable -DFV_ISA_portable=1" ;; esac
    case $header in include/*) flags= ;; esac
    "$compiler" -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-psabi -Wno-unused-function -fsyntax-only -Iinclude -Isrc -I. $flags \
        -include "$header" -x c /dev/null 2>&1 | grep -E -m1 'error' | sed "s,^,$header: does not compile alone: ,"
done)
finish
