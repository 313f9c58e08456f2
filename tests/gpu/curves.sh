#!/usr/bin/env bash
# The learning curves of the quickstart's small model (configs/model/glance-vl.yaml) on a GPU and on the CPU, both in bf16,
# side by side: supervised training from the same weights over the same rows. They take the same steps, with sums in
# another order, so the loss must fall alike. Two minutes on the CPU.
#
# usage: FOVEA=.../fovea bash tests/gpu/curves.sh FOLDER [STEPS]      FOLDER: an empty one
set -eu
. "$(dirname "$0")/../common"
folder=$(realpath "$1") steps=${2:-1500}
cd "$root" # the configuration's files are named from here
"$FOVEA" init --shape configs/model/glance-vl.yaml --out "$folder/model" --seed 1 --dtype fp32
"$FOVEA" pack --synthetic glance --rows 80000 --seed 2 --out "$folder/train.h5" >/dev/null
learn() { # BACKEND
    "$FOVEA" sft configs/train/glance.yaml seed=1 model="$folder/model" \
        data.train="$folder/train.h5" out="$folder/$1" steps="$steps" update.groups=32 optimizer.rate=1e-3 \
        optimizer.schedule=cosine optimizer.warmup_steps=50 optimizer.final_share=0.05 backend="$1" precision=bf16 \
        save.every=0 >"$folder/$1.out" 2>"$folder/$1.log" || fail "$(cat "$folder/$1.log")"
    field "$1" seconds | sort -g | awk -v name="$1" '
        { s[NR] = $1 } END { printf "%s: %d steps, half of them within %.1f ms\n", name, NR, 1e3 * s[int((NR + 1) / 2)] }'
}
learn cpu &
learn cuda
wait $!
# Means of a fortieth of the steps.
echo "      steps      cpu     cuda"
paste <(field cpu loss) <(field cuda loss) | awk -v n=$(((steps + 39) / 40)) '
    { a += $1; b += $2 }
    NR % n == 0 {
        a /= n; b /= n
        if (NR % (4 * n) == 0) printf "%5d..%4d %8.4f %8.4f\n", NR - n + 1, NR, a, b
        distance = a > b ? a - b : b - a
        if (distance > 0.05 + 0.1 * a) { printf "%5d..%4d %8.4f %8.4f: apart\n", NR - n + 1, NR, a, b; bad = 1 }
        a = b = 0
    }
    END { exit bad }' || fail "the curves part"
echo "curves: well"
