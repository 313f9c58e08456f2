#!/usr/bin/env bash
# A run of training, then the evaluation of its model, then the merged tables, each when the one before is done:
#
#   bash slurm/pipeline.sh RUN SHARDS PACK.h5 [PACK.h5...] -- CONFIG [KEY=VALUE...] [-- OPTION OF fovea eval...]
#
# RUN is the run's folder; the tables are in RUN/eval. Sizes: FOVEA_TRAIN and FOVEA_EVAL hold options of sbatch.
# Prints the three job numbers.
set -eu -o pipefail
usage() {
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
[ $# -ge 5 ] || usage
run=$1 shards=$2
shift 2
packs=() config=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    packs+=("$1")
    shift
done
[ $# -gt 1 ] && [ ${#packs[@]} -gt 0 ] || usage
shift
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    config+=("$1")
    shift
done
[ $# -eq 0 ] || shift

# The scripts beside this one, or of FOVEA_HOME; what is set for sbatch makes no array or wait of these jobs.
scripts=${FOVEA_HOME:-$(cd "$(dirname "$0")/.." && pwd)}/slurm
unset SBATCH_ARRAY_INX SBATCH_WAIT
tasks=$((shards * ${#packs[@]}))
most=$(scontrol show config | sed -n 's/^MaxArraySize *= *//p')
[ "$tasks" -lt "${most:-1000000000}" ] || {
    echo "slurm/pipeline.sh: $shards shards of ${#packs[@]} packs are $tasks tasks, and MaxArraySize is $most here:" \
        "give $(((most - 1) / ${#packs[@]})) shards or fewer" >&2
    exit 2
}

submit() { sbatch --parsable "$@" | cut -d';' -f1; } # behind it a cluster may be named
after() { echo --dependency="afterok:$1" --kill-on-invalid-dep=yes; }
train=$(submit ${FOVEA_TRAIN-} "$scripts/train.sbatch" "${config[@]}" out="$run")
eval=$(submit $(after "$train") --array=1-$tasks ${FOVEA_EVAL-} \
    "$scripts/eval.sbatch" "$run/eval" "${packs[@]}" -- --model "$run/model" "$@")
merge=$(submit $(after "$eval") "$scripts/merge.sbatch" "$run/eval")
echo "$train $eval $merge"
