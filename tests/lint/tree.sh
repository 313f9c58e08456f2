#!/usr/bin/env bash
# The top level holds the agreed entries only, and no file names a path of one machine
# (templates of mkdtemp end in XXXXXX), and no folder of the program has more files than are seen at once.
. "$(dirname "$0")/common"

report < <(project_files | cut -d/ -f1 | sort -u | grep -vE \
    '^(src|kernels|jobs|configs|slurm|include|tests|CMakeLists\.txt|CMakePresets\.json|README\.md|LICENSE|\..*)$' |
    sed 's/$/: not an entry of the top level/')

report < <(project_files | tr '\n' '\0' |
    xargs -0 grep -InE '(^|[^A-Za-z0-9_.}])/(work|home|root|tmp|mnt|Users)/[A-Za-z0-9]' |
    grep -v XXXXXX | cut -c1-120 | sed 's/$/: a path of one machine/')
report < <(project_files | grep -E '^(src|include|jobs|kernels|configs|slurm)/' | sed 's,/[^/]*$,,' | sort | uniq -c |
    awk '$1 > 25 { print $2 ": " $1 " files; files of one noun go into a folder" }')
finish
