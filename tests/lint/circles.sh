#!/usr/bin/env bash
# No circles: of two nouns at most one knows the other, through however many files. A noun is a header and its sources;
# X_internal and other files X_... without a header in include/ belong to X.
. "$(dirname "$0")/common"

report < <(c_files src include kernels jobs | xargs awk '
FNR == 1 { names[FILENAME] = 1 }
/^[ \t]*#[ \t]*include[ \t]*"/ { match($0, /"[^"]*"/); includes[FILENAME, substr($0, RSTART + 1, RLENGTH - 2)] = 1 }

function plain(file) {
    sub(/^(include\/fovea|include|src)\//, "", file); sub(/^fovea\//, "", file); sub(/\.[a-z]+$/, "", file)
    return file
}
function noun(name,    prefix) {
    for (prefix = name; !(prefix in public) && sub(/_[a-z0-9]+$/, "", prefix);)
        if (prefix in known) name = prefix
    return name
}
END {
    for (file in names) { known[plain(file)] = 1; if (file ~ /^include\//) public[plain(file)] = 1 }
    for (pair in includes) {
        split(pair, p, SUBSEP); from = noun(plain(p[1])); to = plain(p[2])
        if (!(to in known)) { folder = p[1]; sub(/[^\/]*$/, "", folder); to = plain(folder p[2]) }
        if (to in known && from != noun(to)) { edge[from, noun(to)] = 1; left[from] = left[noun(to)] = 1 }
    }
    for (changed = 1; changed;) { # whoever knows nobody that is left, or is known by nobody, is in no circle
        changed = 0
        split("", knows); split("", is_known)
        for (e in edge) { split(e, p, SUBSEP); if (p[1] in left && p[2] in left) { knows[p[1]] = 1; is_known[p[2]] = 1 } }
        for (n in left) if (!(n in knows) || !(n in is_known)) { delete left[n]; changed = 1 }
    }
    for (e in edge) { split(e, p, SUBSEP); if (p[1] in left && p[2] in left) print p[1] " includes " p[2] ": part of a circle" }
}' | sort)
finish
