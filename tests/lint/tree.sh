#!/usr/bin/env bash
# The top level holds the agreed entries only, and no file names a path of one machine
# (templates of mkdtemp end in XXXXXX).
. "$(dirname "$0")/common"

report < <(project_files | cut -d/ -f1 | sort -u | grep -vE \
    '^(src|kernels|jobs|configs|slurm|include|tests|CMakeLists\.txt|CMakePresets\.json|README\.md|LICENSE|\..*)$' |
    sed 's/$/: not an entry of the top level/')

report < <(project_files | tr '\n' '\0' |
    xargs -0 grep -InE '(^|[^A-Za-z0-9_.}])/(work|home|root|tmp|mnt|Users)/[A-Za-z0-9]' |
    grep -v XXXXXX | cut -c1-120 | sed 's/$/: a path of one machine/')
finish
