#!/usr/bin/env bash
# Installs the system packages that are missing, builds fovea, and lets a small model learn when to look closer:
# it sees images at half size, with a quarter of the tokens, and may call a tool that shows them whole. In a
# quarter of the images the print is too small to be read at half size. Supervised examples teach it to read and, at random,
# to call the tool; reinforcement learning then teaches it when. Two to six minutes on two cores.
#
# usage: bash jobs/quickstart.sh [SEED [cpu|cuda]]      another seed gives other data, another model, another run
#
# cuda: on the first GPU, in bf16, with a model of 100 million numbers (configs/model/glance-vl-100m.yaml).
#
# Works as root or through sudo and asks nothing. Everything it makes is under build/quickstart; what a stage
# has finished is not done again.
set -eu -o pipefail

case ${1-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
seed=${1:-1}
[[ $seed =~ ^[0-9]+$ ]] || {
    echo "jobs/quickstart.sh: the seed is \"$seed\", expected a whole number" >&2
    exit 2
}
backend=${2:-cpu}
[[ $backend =~ ^(cpu|cuda)$ ]] || {
    echo "jobs/quickstart.sh: the back end is \"$backend\", expected cpu or cuda" >&2
    exit 2
}
cd "$(dirname "$0")/.."
. jobs/setup.sh
cores=$(nproc 2>/dev/null || echo 1)
# Small print is what is learned last: after 1500 supervised steps on the CPU two seeds of seven did not read it.
if [ "$backend" = cpu ]; then
    shape=glance-vl ranks=$((cores < 4 ? cores : 4)) at=build/quickstart/$seed
    taught=(steps=1800 optimizer.rate=1e-3) learnt=() evaluated=()
else
    shape=glance-vl-100m ranks=1 at=build/quickstart/cuda-$seed
    taught=(steps=1500 backend=cuda precision=bf16 optimizer.rate=1e-4)
    learnt=(steps=80 backend=cuda precision=bf16 optimizer.rate=2e-5 update.micro_tokens=16384
        rollout.max_running=512 rollout.pass_tokens=8192 rollout.cache_pages=4096)
    evaluated=(--backend cuda --precision bf16)
fi
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1

# Show a command, then run it.
run() {
    printf '\n$ %s\n' "$(printf '%q ' "$@")"
    "$@"
}

# once RESULT COMMAND...: run the command unless its result, which it writes last, is there.
once() {
    local result=$1
    shift
    [ -e "$result" ] || run "$@"
}

setup build

say "building (build/release)"
cmake --preset release >/dev/null
NINJA_STATUS='[%f/%t] ' cmake --build --preset release --target fovea
if has_gpu; then
    say "a GPU is here: building its library, for what comes after (here: jobs/quickstart.sh $seed cuda)"
    NINJA_STATUS='[%f/%t] ' cmake --build --preset release --target fovea_cuda
fi

fovea=build/release/fovea
config=configs/train/glance.yaml
mkdir -p "$at"
# A folder without its last file is what an interrupted run left.
for made in model sft/model run/model; do
    [ -e "$at/$made/config.json" ] || rm -rf "${at:?}/${made%/model}"
done

say "a model with random weights, and questions about images: what digit is it?"
once "$at/model/config.json" $fovea init --shape configs/model/$shape.yaml --out "$at/model" --seed "$seed" --dtype fp32
once "$at/train.h5" $fovea pack --synthetic glance --rows 80000 --seed $((2 * seed)) --out "$at/train.h5"
once "$at/held-out.h5" $fovea pack --synthetic glance --rows 1000 --seed $((2 * seed + 1)) --out "$at/held-out.h5"

say "supervised: reading, with the tool called at random"
once "$at/sft/model/config.json" mpiexec -n "$ranks" $fovea sft $config seed="$seed" model="$at/model" \
    data.train="$at/train.h5" out="$at/sft" update.groups=32 "${taught[@]}" \
    optimizer.schedule=cosine optimizer.warmup_steps=50 optimizer.final_share=0.05

say "reinforcement learning: when to call it"
once "$at/run/model/config.json" mpiexec -n "$ranks" $fovea train $config seed="$seed" model="$at/sft/model" \
    data.train="$at/train.h5" out="$at/run" "${learnt[@]}"

# evaluate NAME MODEL MODE
evaluate() {
    once "$at/$1/summary.json" mpiexec -n "$ranks" $fovea eval --task configs/eval/glance.yaml --model "$at/$2/model" \
        --data "$at/held-out.h5" --mode "$3" --out "$at/$1" --max-tokens 320 "${evaluated[@]}" >"$at/$1.txt"
}
say "1000 images that it has not seen"
evaluate low sft low
evaluate high sft high
evaluate before sft policy
evaluate after run policy

# row TITLE NAME: one line of the table from what fovea eval printed.
row() {
    awk -v title="$1" '
        /^high / { small = $(NF - 2) }
        /^low / { large = $(NF - 2) }
        /^all / { score = $(NF - 4); visual = $(NF - 2); seconds = $NF }
        END { printf "%-38s %8.1f %% %9.1f %% %9.1f %% %9.1f %% %8.1f\n",
              title, 100 * score, 100 * small, 100 * large, 100 * visual, seconds }' "$at/$2.txt"
}
heading() { printf '%-38s %10s %11s %11s %11s %8s\n' "" "$@"; }
echo
heading "" "calls when" "calls when" "visual" ""
heading "right" "small print" "large print" "tokens" "seconds"
row "always low resolution" low
row "always high resolution" high
row "the policy after supervised training" before
row "the policy after learning when" after

say "done in $SECONDS s. Next: '$fovea --help', and the same commands with a Qwen2.5-VL folder (README.md)"
