#!/usr/bin/env bash
# The quickstart for several seeds, from nothing each time: what every one of them has to reach, and the seconds it took.
#
# usage: bash tests/long/seeds.sh [SEED...]      by default 1 2 3; BACKEND=cuda: on a GPU, its larger model
set -eu -o pipefail

case ${1-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/../.."
backend=${BACKEND:-cpu} prefix=
[ "$backend" = cpu ] || prefix=$backend-
seeds=("$@")
[ $# -gt 0 ] || seeds=(1 2 3)

# figures NAME: score, calls on small and on large print, share of visual tokens, as fovea eval printed them.
figures() {
    awk '/^high / { small = $(NF - 2) } /^low / { large = $(NF - 2) } /^all / { print $(NF - 4), small, large, $(NF - 2) }' "$1.txt"
}

# check SEED SECONDS PROCESSOR_SECONDS: a line of the table; fails if the seed misses what it has to reach.
check() {
    local at=build/quickstart/$prefix$1
    paste -d' ' <(figures "$at/low") <(figures "$at/high") <(figures "$at/after") | awk -v seed="$1" -v s="$2" -v cpu="$3" '
        { missed = ""
          if ($9 < 0.97 * $5) missed = missed ", accuracy under 97 % of always large"
          if ($12 > 0.55 * $8) missed = missed ", visual tokens over 55 %"
          if ($10 < 0.85) missed = missed ", calls on small print under 85 %"
          if ($11 > 0.15) missed = missed ", calls on large print over 15 %"
          if ($1 > 0.9 * $9) missed = missed ", always small is hardly worse"
          if (s > 600) missed = missed ", over 10 minutes"
          printf "%4s %12.1f %12.1f %10.1f %12.1f %12.1f %8.1f %8.0f %8.0f   %s\n", seed, 100 * $1, 100 * $5, 100 * $9,
              100 * $10, 100 * $11, 100 * $12, s, cpu, missed ? "missed: " substr(missed, 3) : "well"
          exit missed != "" }'
}

mkdir -p build
lines=() status=0
for seed in "${seeds[@]}"; do
    rm -rf "build/quickstart/$prefix$seed"
    TIMEFORMAT='%R %U %S'
    { time bash jobs/quickstart.sh "$seed" "$backend" >"build/seed-$seed.log" 2>&1; } 2>"build/seed-$seed.time" || {
        tail -20 "build/seed-$seed.log"
        exit 1
    }
    read -r real user system <"build/seed-$seed.time"
    line=$(check "$seed" "$real" "$(awk -v a="$user" -v b="$system" 'BEGIN { print a + b }')") || status=1
    lines+=("$line")
done
printf '%4s %12s %12s %10s %12s %12s %8s %8s %8s\n' "" "always small" "always large" policy "calls, small" "calls, large" visual seconds "of CPU"
printf '%s\n' "${lines[@]}"
exit $status
