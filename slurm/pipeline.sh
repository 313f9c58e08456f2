#!/usr/bin/env bash
# A run of training, then the evaluation of its model, then the merged tables, each when the one before is done:
#
#   bash slurm/pipeline.sh RUN SHARDS PACK.h5 [PACK.h5...] -- CONFIG [KEY=VALUE...] [-- OPTION OF fovea eval...]
#
# RUN is the run's folder; the tables are in RUN/eval. Sizes: FOVEA_TRAIN and FOVEA_EVAL hold options of sbatch.
# Run from the project's folder. Prints the three job numbers.
set -eu
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

after() { echo --dependency="afterok:$1" --kill-on-invalid-dep=yes; }
train=$(sbatch --parsable ${FOVEA_TRAIN-} slurm/train.sbatch "${config[@]}" out="$run")
eval=$(sbatch --parsable $(after "$train") --array=1-$((shards * ${#packs[@]})) ${FOVEA_EVAL-} \
    slurm/eval.sbatch "$run/eval" "${packs[@]}" -- --model "$run/model" "$@")
merge=$(sbatch --parsable $(after "$eval") slurm/merge.sbatch "$run/eval")
echo "$train $eval $merge"
