#!/usr/bin/env bash
# Prints lengths of functions and files and shares of comments, beside those of well-made C projects of this
# kind (flux-core, PETSc, SUNDIALS, llm.c, ggml). Information, no limit.
. "$(dirname "$0")/common"

# Numbers of standard input: count, median, 95th percentile, largest.
spread() {
    sort -n | awk '{ v[NR] = $1 } END {
        if (NR) printf "%7d %7d %7d %7d", NR, v[int((NR + 1) / 2)], v[int((NR * 95 + 99) / 100)], v[NR] }'
}

row() { # NAME GUIDE, numbers on standard input
    printf '  %-34s%s   %s\n' "$1" "$(spread)" "$2"
}

# "LINES PARAMETERS FILE:LINE" of every function. The layout is clang-format's: a body opens and closes in column 1.
functions() {
    c_files src kernels jobs | grep '\.c$' | xargs awk "$awk_code"'
    FNR == 1 { head = ""; in_body = 0 }
    { line = code($0) }
    in_body { if ($0 ~ /^}/) { print FNR - start + 1, count, FILENAME ":" start; in_body = 0; head = "" } next }
    /^{/ { if (head ~ /\)[ ]*$/) { in_body = 1; parameters() } head = ""; next }
    line ~ /^[ \t]*(#|$)/ || line ~ /[;}][ \t]*$/ { head = ""; next }
    { if (head == "") start = FNR; head = head line }
    function parameters(    i, c, depth) {
        count = 1; depth = 0
        for (i = length(head); i > 0; i--) {
            c = substr(head, i, 1)
            depth += (c == ")") - (c == "(")
            if (c == "," && depth == 1) count++
            if (depth == 0 && c == "(") break
        }
        if (substr(head, i) ~ /^\([ ]*void[ ]*\)/) count = 0
    }'
}

# Share of lines with a comment among those that are not empty, in percent, for each file.
comment_shares() {
    xargs awk '
    FNR == 1 { if (lines) print int(100 * comments / lines + 0.5); lines = comments = inside = 0 }
    /^[ \t]*$/ { next }
    { lines++ }
    inside || /\/\*/ || /\/\// { comments++ }
    /\/\*/ { inside = 1 }
    /\*\// { inside = 0 }
    END { if (lines) print int(100 * comments / lines + 0.5) }'
}

lengths_of_files() {
    xargs wc -l | awk '$2 != "total" { print $1 }'
}

sources=$(c_files src kernels jobs | grep '\.c$')
headers=$(c_files include | grep '\.h$')
found=$(functions)
printf '\n  %-34s%7s %7s %7s %7s   %s\n' "" count median 95th most "others of this kind"
row "lines of a function" "12-16, 95 % below 60" < <(cut -d' ' -f1 <<<"$found")
row "parameters of a function" "at most 6" < <(cut -d' ' -f2 <<<"$found")
row "lines of a source file" "200-350" < <(lengths_of_files <<<"$sources")
row "lines of a public header" "" < <(lengths_of_files <<<"$headers")
row "comments in sources, %" "13-30" < <(comment_shares <<<"$sources")
row "comments in public headers, %" "35-55" < <(comment_shares <<<"$headers")
echo "  longest functions:" $(sort -rn <<<"$found" | awk 'NR <= 3 { print $3 " (" $1 ")" }')
echo "  most parameters:" $(sort -k2,2rn <<<"$found" | awk 'NR <= 3 { print $3 " (" $2 ")" }')
